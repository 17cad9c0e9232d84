"""Simulated showers: written as DL1 files into the cache folder, read like any other file."""

from dataclasses import asdict, dataclass
from pathlib import Path

from airshower.config.fields import number, section
from airshower.data.simulated import SimulatedConfig, SimulatedData, SimulatedFile
from airshower.detectors.cta.dl1.writer import Dl1Writer
from airshower.detectors.cta.simulation import OBS_IDS, CtaSimulation, simulate_events
from airshower.detectors.cta.simulation.file_array import digest
from airshower.detectors.cta.source import CtaConfig, CtaContents, CtaEvents
from airshower.runtime.log import progress

VERSION = 2  # raise when the simulation's physics changes: files made by an older one are then left alone


class SimulatedCta(CtaContents, SimulatedData[CtaEvents]):
    """`data=cta_simulated`: gammas and protons made on first use."""

    @dataclass
    class Config(CtaConfig, SimulatedConfig):
        """`data.*`."""

        events: int = number(4000, low=1)
        validation_events: int = number(1000, low=1)
        test_events: int = number(1000, low=1, free=True)
        simulation: CtaSimulation = section(CtaSimulation)

    def source(self, name: str, events: int, seed: int) -> CtaEvents:
        """See `SimulatedData.source`."""
        return CtaEvents(self.config, self.file(name, events, seed))

    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        """See `SimulatedData.files`: one in DL1."""
        simulation = self.config.simulation
        array = simulation.build_array()
        made_from = {"version": VERSION, "events": events, "seed": seed, **asdict(simulation), "array": digest(array)}

        def write(path: Path, text: str) -> None:
            cameras = [kind.camera for kind in array.kinds]
            with Dl1Writer(
                path, array.telescopes(), cameras, simulation.runs(), {"airshower_simulation": text}
            ) as writer:
                simulated = simulate_events(simulation, seed, events)
                for number, event in enumerate(progress(simulated, f"simulating {name} events", events, "events/s"), 1):
                    writer.append(OBS_IDS[event.primary], number, event.shower, event.images, event.thrown)

        return {"": SimulatedFile("cta_simulated", f"{name}_{events}", ".dl1.h5", made_from, write)}
