"""Simulated wire images: written as larcv3 files into the cache folder, read like any other file."""

from dataclasses import asdict, dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np

from airshower.config.fields import number, section
from airshower.data.containers import SparseImages
from airshower.data.simulated import SimulatedConfig, SimulatedData, SimulatedFile
from airshower.data.truth import Column
from airshower.detectors.lartpc.larcv.format import UNSET_PARTICLE
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.simulation import LartpcSimulation, SimulatedEvent, simulate_event
from airshower.detectors.lartpc.source import COLUMNS, SBND_PIXEL, LartpcConfig, LartpcEvents
from airshower.geometry.wire_planes import Geometry
from airshower.runtime.log import progress

VERSION = 3  # raise when the simulation's physics changes: files made by an older one are then left alone


class SimulatedLartpc(SimulatedData[LartpcEvents]):
    """`data=lartpc_simulated`: events made on first use."""

    @dataclass
    class Config(LartpcConfig, SimulatedConfig):
        """`data.*`."""

        events: int = number(1000, low=1)
        validation_events: int = number(100, low=1)
        test_events: int = number(200, low=1, free=True)
        simulation: LartpcSimulation = section(LartpcSimulation)

    containers = MappingProxyType({"images": SparseImages})

    @classmethod
    def columns(cls, config: Config) -> tuple[Column, ...]:
        """See `Data`."""
        return COLUMNS

    def source(self, name: str, events: int, seed: int) -> LartpcEvents:
        """See `SimulatedData.source`."""
        return LartpcEvents(self.config, self.file(name, events, seed), self._pixel_size())

    def entries(self, source: LartpcEvents) -> np.ndarray:
        """See `LartpcEvents`."""
        return source.selected

    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        """See `SimulatedData.files`: one in larcv3."""
        producers = {key: getattr(self.config, f"{key}_producer") for key in ("image", "label", "particle")}
        made_from = {"version": VERSION, "events": events, "seed": seed, **producers, **asdict(self.config.simulation)}

        def write(path: Path, text: str) -> None:
            with LarcvWriter(path, {"airshower_simulation": text}) as writer:
                for entry in progress(range(events), f"simulating {name} events"):
                    event = simulate_event(self.config.simulation, seed, entry)
                    self._append(writer, (1, seed, entry), event)

        return {"": SimulatedFile("lartpc_simulated", f"{name}_{events}", ".h5", made_from, write)}

    def _pixel_size(self) -> tuple[float, float]:
        """Pixel size in cm along rows and columns: the images cover the same area as SBND's with other pixels."""
        full = Geometry().full_size
        size = self.config.simulation.image_size
        return SBND_PIXEL[0] * full[1] / size[1], SBND_PIXEL[1] * full[0] / size[0]

    def _append(self, writer: LarcvWriter, event_id: tuple[int, int, int], event: SimulatedEvent) -> None:
        config = self.config
        meta = ImageMeta.unit(self.config.simulation.image_size)
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
