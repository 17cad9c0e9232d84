"""Simulated events of HAWC: written as XCDF files into the cache folder, read like any other file."""

from dataclasses import asdict, dataclass
from pathlib import Path

from airshower.config.fields import number, section
from airshower.data.source import Splits
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.simulation import PRIMARIES, SimulationConfig, simulate_events
from airshower.detectors.hawc.source import HawcEvents, TankConfig
from airshower.detectors.hawc.xcdf_writer import XcdfWriter
from airshower.runtime.folders import simulated_file
from airshower.runtime.log import logger

VERSION = 2  # raise when the simulation's physics changes: files made by an older one are then left alone
BLOCK_EVENTS = 100  # small ones: a block is what is read at once for any of its events


class SimulatedHawc:
    """`data=hawc_simulated`: events made on first use; inference and iotest run over those of the validation file."""

    kind = HawcEvents.kind

    @dataclass
    class Config(TankConfig):
        """`data.*`."""

        events: int = number(30_000, low=1)
        validation_events: int = number(5000, low=1)
        proton_fraction: float = number(0.0, low=0.0, high=1.0)
        seed: int = number(1, low=0)
        simulation: SimulationConfig = section(SimulationConfig)

    def __init__(self, config: Config, seed: int):
        self.config = config

    def open(self) -> Splits:
        """Simulates what is not in the cache yet and opens it."""
        config = self.config

        def simulate(name: str, events: int, seed: int) -> HawcEvents:
            return HawcEvents(config, self.files(name, events, seed))

        return Splits.simulated(simulate, config.events, config.validation_events, config.seed)

    def files(self, name: str, events: int, seed: int) -> dict[str, list[Path]]:
        """The XCDF files of so many events, by primary; with protons asked for there is at least one of each."""
        protons = round(self.config.proton_fraction * events)
        if 0.0 < self.config.proton_fraction < 1.0 and events > 1:
            protons = min(max(protons, 1), events - 1)
        counts = dict(zip(PRIMARIES, (events - protons, protons), strict=True))
        return {primary: [self.file(name, primary, count, seed)] for primary, count in counts.items() if count}

    def file(self, name: str, primary: str, events: int, seed: int) -> Path:
        """The file of these events, simulated if it is not there."""
        made_from = {"version": VERSION, "seed": seed, **asdict(self.config.simulation)}
        path, text = simulated_file("hawc_simulated", f"{name}_{primary}_{events}", made_from, ".xcd")
        if not path.exists():
            logger.info("simulating %d %s events of the %s file", events, primary, name)
            with XcdfWriter(
                path, EVENT_FIELDS, [f"airshower simulation of {primary}s: {text}"], (), BLOCK_EVENTS
            ) as writer:
                for columns in simulate_events(self.config.simulation, primary, seed, events):
                    writer.append(columns)
        return path
