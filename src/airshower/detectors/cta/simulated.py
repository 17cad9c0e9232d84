"""Simulated showers: written as DL1 files into the cache folder, read like any other file."""

from dataclasses import asdict, dataclass
from pathlib import Path

from airshower.config.fields import number, section
from airshower.data.source import Splits
from airshower.detectors.cta.dl1_writer import Dl1Writer
from airshower.detectors.cta.simulation import OBS_IDS, SimulationConfig, simulate_events
from airshower.detectors.cta.simulation.file_array import digest
from airshower.detectors.cta.source import IactConfig, IactImages
from airshower.runtime.folders import simulated_file
from airshower.runtime.log import progress

VERSION = 2  # raise when the simulation's physics changes: files made by an older one are then left alone


class SimulatedCta:
    """`data=cta_simulated`: gammas and protons made on first use; inference and iotest run over the validation file."""

    kind = IactImages.kind

    @dataclass
    class Config(IactConfig):
        """`data.*`."""

        events: int = number(4000, low=1)
        validation_events: int = number(1000, low=1)
        seed: int = number(1, low=0)
        simulation: SimulationConfig = section(SimulationConfig)

    def __init__(self, config: Config, seed: int):
        self.config = config

    def open(self) -> Splits:
        """Simulates what is not in the cache yet and opens it."""
        config = self.config

        def simulate(name: str, events: int, seed: int) -> IactImages:
            return IactImages(config, str(self.file(name, events, seed)))

        return Splits.simulated(simulate, config.events, config.validation_events, config.seed)

    def file(self, name: str, events: int, seed: int) -> Path:
        """The DL1 file of these events, simulated if it is not there."""
        simulation = self.config.simulation
        array = simulation.build_array()
        made_from = {"version": VERSION, "events": events, "seed": seed, **asdict(simulation), "array": digest(array)}
        path, text = simulated_file("cta_simulated", f"{name}_{events}", made_from, ".dl1.h5")
        if not path.exists():
            cameras = [kind.camera for kind in array.kinds]
            with Dl1Writer(
                path, array.telescopes(), cameras, simulation.runs(), {"airshower_simulation": text}
            ) as writer:
                made = simulate_events(simulation, seed, events)
                for number, event in enumerate(progress(made, f"simulating {name} events", events, "events/s"), 1):
                    writer.append(OBS_IDS[event.primary], number, event.shower, event.images, event.thrown)
        return path
