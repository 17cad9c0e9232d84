"""Simulated wire images: written as larcv3 files into the cache folder, read like any other file."""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from airshower.config.fields import number, section
from airshower.data.source import Splits
from airshower.detectors.lartpc.larcv_format import UNSET_PARTICLE
from airshower.detectors.lartpc.larcv_writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.simulation import SimulatedEvent, SimulationConfig, simulate_event
from airshower.detectors.lartpc.simulation.geometry import Geometry
from airshower.detectors.lartpc.source import SBND_PIXEL, WireConfig, WireImages
from airshower.runtime.folders import simulated_file
from airshower.runtime.log import progress

VERSION = 2  # raise when the simulation's physics changes: files made by an older one are then left alone


class SimulatedLartpc:
    """`data=lartpc_simulated`: events made on first use; inference and iotest run over the validation file."""

    kind = WireImages.kind

    @dataclass
    class Config(WireConfig):
        """`data.*`."""

        events: int = number(200, low=1)
        validation_events: int = number(40, low=1)
        seed: int = number(1, low=0)
        simulation: SimulationConfig = section(SimulationConfig)

    def __init__(self, config: Config, seed: int):
        self.config = config

    def open(self) -> Splits:
        """Simulates what is not in the cache yet and opens it."""
        config = self.config

        def simulate(name: str, events: int, seed: int) -> WireImages:
            return WireImages(config, str(self.file(name, events, seed)), self._pixel_size())

        return Splits.simulated(simulate, config.events, config.validation_events, config.seed)

    def file(self, name: str, events: int, seed: int) -> Path:
        """The larcv3 file of these events, simulated if it is not there."""
        producers = {key: getattr(self.config, f"{key}_producer") for key in ("image", "label", "particle")}
        made_from = {"version": VERSION, "events": events, "seed": seed, **producers, **asdict(self.config.simulation)}
        path, text = simulated_file("lartpc_simulated", f"{name}_{events}", made_from, ".h5")
        if not path.exists():
            with LarcvWriter(path, {"airshower_simulation": text}) as writer:
                for entry in progress(range(events), f"simulating {name} events"):
                    event = simulate_event(self.config.simulation, seed, entry)
                    self._append(writer, (1, seed, entry), event)
        return path

    def _pixel_size(self) -> tuple[float, float]:
        """cm along rows and columns: the images show what SBND's do with other pixels."""
        full, made = Geometry().full_size, self.config.simulation.image_size
        return SBND_PIXEL[0] * full[1] / made[1], SBND_PIXEL[1] * full[0] / made[0]

    def _append(self, writer: LarcvWriter, event_id: tuple[int, int, int], event: SimulatedEvent) -> None:
        config, meta = self.config, ImageMeta.unit(self.config.simulation.image_size)
        wires = [(meta, Voxels(plane.ids, plane.values)) for plane in event.planes]
        labels = [(meta, Voxels(plane.ids, plane.labels.astype(np.float32))) for plane in event.planes]
        writer.append(
            event_id,
            {config.image_producer: wires, config.label_producer: labels},
            {config.particle_producer: [(meta, [_vertex(meta, pixel)]) for pixel in event.vertex]},
            # larcv returns the event before's particles for an event that has none: such an event gets an unset one
            {config.particle_producer: event.particles if len(event.particles) else UNSET_PARTICLE[None]},
        )


def _vertex(meta: ImageMeta, pixel: np.ndarray) -> Voxels:
    """The 3 x 3 pixels around the neutrino's vertex, as SBND's files mark it; none for a vertex outside."""
    wires, ticks = meta.number_of_voxels
    wire, tick = (int(c) + np.arange(-1, 2) for c in pixel)
    inside = ((wire[:, None] >= 0) & (wire[:, None] < wires)) & ((tick >= 0) & (tick < ticks))
    ids = (wire[:, None] * ticks + tick)[inside & (min(pixel) >= 0)]
    return Voxels(ids.astype(np.uint64), np.ones(len(ids), np.float32))
