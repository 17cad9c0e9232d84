"""Simulated showers: written as DL1 files into the cache folder, read like any other file."""

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from airshower.config.fields import number, section
from airshower.data.source import Selection, Splits
from airshower.detectors.cta.dl1_format import ThrownRun
from airshower.detectors.cta.dl1_writer import Dl1Writer
from airshower.detectors.cta.simulation import SimulationConfig, simulate_event
from airshower.detectors.cta.simulation.telescopes import ALTITUDE
from airshower.detectors.cta.source import IactConfig, IactImages
from airshower.runtime.folders import cache_folder
from airshower.runtime.log import progress

VERSION = 1  # raise when the simulation's physics changes: files made by an older one are then left alone
OBSERVATIONS = {"gamma": 1, "proton": 2}  # obs_id of each primary


class SimulatedCta:
    """`data=cta_simulated`: gammas and protons made on first use; inference and iotest run over the validation file."""

    kind = IactImages.kind

    @dataclass
    class Config(IactConfig):
        """`data.*`."""

        events: int = number(2000, low=1)
        validation_events: int = number(500, low=1)
        seed: int = number(1, low=0)
        simulation: SimulationConfig = section(SimulationConfig)

    def __init__(self, config: Config, seed: int):
        self.config = config

    def open(self) -> Splits:
        """Simulates what is not in the cache yet and opens it."""
        config = self.config
        train, validation = (
            IactImages(config, str(self.file(name, events, seed)))
            for name, events, seed in (
                ("train", config.events, 2 * config.seed),
                ("validation", config.validation_events, 2 * config.seed + 1),
            )
        )
        held_out = Selection(validation, np.arange(len(validation)))
        return Splits(Selection(train, np.arange(len(train))), held_out, held_out)

    def file(self, name: str, events: int, seed: int) -> Path:
        """The DL1 file of these events, simulated if it is not there."""
        simulation = self.config.simulation
        made_from = {"version": VERSION, "events": events, "seed": seed, **asdict(simulation)}
        text = json.dumps(made_from, sort_keys=True)
        key = hashlib.sha256(text.encode()).hexdigest()[:16]
        path = cache_folder() / "cta_simulated" / f"{name}_{events}_{key}.dl1.h5"
        if not path.exists():
            array = simulation.array()
            cameras = [kind.camera for kind in array.kinds]
            runs = {obs_id: _thrown(simulation, name) for name, obs_id in OBSERVATIONS.items()}
            with Dl1Writer(path, array.telescopes(), cameras, runs, {"airshower_simulation": text}) as writer:
                for entry in progress(range(events), f"simulating {name} events"):
                    event = simulate_event(simulation, seed, entry)
                    writer.append(OBSERVATIONS[event.primary], entry + 1, event.shower, event.images, event.thrown)
        return path


def _thrown(config: SimulationConfig, primary: str) -> ThrownRun:
    """What was thrown to get events of one primary."""
    proton = primary == "proton"
    factor, offset = (config.proton_energy_factor, 0.0) if proton else (1.0, config.gamma_offset)
    pointing = 90.0 - config.zenith, config.azimuth
    return ThrownRun(
        pointing=pointing,
        source=(pointing[0] + offset, pointing[1]),
        view_cone=config.proton_cone if proton else config.gamma_cone,
        energy_range=(factor * config.energy_min, factor * config.energy_max),
        spectral_index=config.proton_index if proton else config.gamma_index,
        scatter_radius=config.proton_radius if proton else config.gamma_radius,
        altitude=ALTITUDE,
    )
