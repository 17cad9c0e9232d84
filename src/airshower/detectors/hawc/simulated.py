"""Simulated events of HAWC: written as XCDF files into the cache folder, read like any other file."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Self

from airshower.config.fields import number, section
from airshower.data.containers import Container
from airshower.data.simulated import SimulatedConfig, SimulatedData, SimulatedFile
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.file_array import array_comments
from airshower.detectors.hawc.quantities import POINT_FEATURES
from airshower.detectors.hawc.simulation import PRIMARIES, HawcSimulation, simulate_events
from airshower.detectors.hawc.source import HawcConfig, HawcContents, HawcEvents, no_images
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.runtime.log import logger, progress_bar

VERSION = 3  # raise when the simulation's physics changes: files made by an older one are then left alone
BLOCK_EVENTS = 100  # small ones: a block is what is read at once for any of its events


class SimulatedHawc(HawcContents, SimulatedData[HawcEvents]):
    """`data=hawc_simulated`: events made on first use."""

    @dataclass
    class Config(HawcConfig, SimulatedConfig):
        """`data.*`."""

        events: int = number(30_000, low=1)
        validation_events: int = number(5000, low=1)
        test_events: int = number(5000, low=1, free=True)
        proton_fraction: float = number(0.0, low=0.0, high=1.0)
        simulation: HawcSimulation = section(HawcSimulation)

    @classmethod
    def gives(cls, config: Config) -> Mapping[str, type[Container]]:
        """See `Data`; no images of other arrays than HAWC."""
        if config.channels and config.simulation.array != "hawc":
            raise no_images(config, f"data.simulation.array={config.simulation.array}")
        return super().gives(config)

    def source(self, name: str, events: int, seed: int) -> HawcEvents:
        """See `SimulatedData.source`."""
        files = self.files(name, events, seed)
        return HawcEvents(self.config, {primary: [file.cached()] for primary, file in files.items()})

    def in_full(self) -> Self:
        """See `Data`: with images of charge and time, or of another array with points."""
        if self.config.simulation.array != "hawc":
            return type(self)(replace(self.config, features=self.config.features or list(POINT_FEATURES)), self.seed)
        return type(self)(replace(self.config, channels=self.config.channels or ["charge", "time"]), self.seed)

    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        """See `SimulatedData.files`: XCDF files, keyed by primary; at least one event of each requested primary."""
        protons = round(self.config.proton_fraction * events)
        if 0.0 < self.config.proton_fraction < 1.0 and events > 1:
            protons = min(max(protons, 1), events - 1)
        counts = dict(zip(PRIMARIES, (events - protons, protons), strict=True))
        return {primary: self._file(name, primary, count, seed) for primary, count in counts.items() if count}

    def _file(self, name: str, primary: str, events: int, seed: int) -> SimulatedFile:
        made_from = {"version": VERSION, "seed": seed, **self.config.simulation.made_from()}
        array = array_comments(self.config.simulation.build_array())

        def write(path: Path, text: str) -> None:
            about = f"airshower simulation of {primary}s: {text}"
            logger.info("simulating %d %s events of the %s file", events, primary, name)
            with (
                XcdfWriter(path, EVENT_FIELDS, [about, *array], (), BLOCK_EVENTS) as writer,
                progress_bar() as bar,
            ):
                line = bar.add_task(f"simulating {primary} events", total=events, note="")
                for columns in simulate_events(self.config.simulation, primary, seed, events):
                    writer.append(columns)
                    bar.update(line, advance=len(columns["rec.nHit"]))

        return SimulatedFile("hawc_simulated", f"{name}_{primary}_{events}", ".xcd", made_from, write)
