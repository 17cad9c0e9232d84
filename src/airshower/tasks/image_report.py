"""What an inference of a generator of images leaves beside what is said of all generators: hits, and their figures."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from airshower.data.source import Selection
from airshower.data.table import Table
from airshower.data.tank_summary import charge_centroid, lateral_profile, residual_profile, summaries
from airshower.data.tanks import TankBatch, TankHits
from airshower.errors import TrainingError
from airshower.tasks.generation_report import Generated, GenerationReport, PackedEvents
from airshower.tasks.judgement.judge import Events
from airshower.writers import image_figures as drawing
from airshower.writers.figures import save

READ = 256  # images at a time
EDGES = np.arange(0.0, 160.0, 10.0)  # m, of profiles
SHOWN = 4  # events on the array


@dataclass(frozen=True, eq=False)
class PackedImages(PackedEvents):
    """With their `hits`, and how many cells without a PMT were not 0 in each image [m]."""

    hits: TankHits
    dead_cells: np.ndarray


class ImageReport(GenerationReport):
    """See `GenerationReport`. The detector's file and `generated.npz` have hits. The numbers that are judged are made
    of them, for real images as for generated ones."""

    def pack(self, batch: TankBatch, sample: Any, outputs: Generated) -> PackedImages:
        """Raises `TrainingError` for images that are not numbers."""
        images, entry = outputs.events, outputs.entry.cpu().numpy()
        if bad := (~images.isfinite().flatten(1).all(1)).nonzero()[:, 0].tolist():
            raise TrainingError(
                f"generated images are not numbers in {len(bad)} of {len(images)} events, first for entry "
                f"{entry[bad[0]]}: these weights are of no use; train with a lower mode.optimizer.learning_rate"
            )
        hits = self.view.hits(images)
        events = Events(summaries(hits, len(images), self.source.spec), self._conditions(outputs))
        return PackedImages(events, entry, hits, self.view.dead_cells(images))

    def add(self, packed: PackedImages) -> None:
        """Write and keep a batch's events."""
        if len(packed):
            self.batches.append(packed)
            conditions = {quantity.name: values for quantity, values in packed.events.conditions.columns()}
            self.writer.append(conditions, packed.hits, len(packed))

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`."""
        dead = np.concatenate([batch.dead_cells for batch in self.batches])
        drawn = super().finish(entries, metrics | {"dead_cells_not_0": float(dead.mean())}, counters)
        made = joined([(batch.hits, len(batch)) for batch in self.batches])
        return drawn + self._draw(self._read(Selection(self.source, entries)), (made, len(dead)))

    def _stored(self) -> dict[str, np.ndarray]:
        """Of `generated.npz`: the hits of all images in a row, each with its event's place."""
        hits = joined([(batch.hits, len(batch)) for batch in self.batches])
        return {f"hit_{name}": column for name, column in hits._asdict().items() if column is not None}

    def _real(self, selection: Selection, conditional: bool) -> Events:
        """Of a random part where there are many: hits have to be read."""
        chosen = np.random.default_rng(0).permutation(selection.entries)[: self.options.most]
        selection = replace(selection, entries=np.sort(chosen))
        hits, events = self._read(selection)
        conditions = selection.source.scalars(selection.entries)[1]
        spec = selection.source.spec
        asked = Table.of_scaled(spec.conditions, conditions) if conditional else Table((), conditions[:, :0])
        return Events(summaries(hits, events, spec), asked)

    def _read(self, selection: Selection) -> tuple[TankHits, int]:
        """The hits of images, made as of generated ones, and how many events there are."""
        import torch

        pieces = np.array_split(selection.entries, -(-len(selection.entries) // READ) or 1)
        images = (torch.from_numpy(selection.source.read(piece).images) for piece in pieces)
        return joined([(self.view.hits(of_piece), len(of_piece)) for of_piece in images]), len(selection.entries)

    def _draw(self, real: tuple[TankHits, int], made: tuple[TankHits, int]) -> list[Path]:
        spec, samples = self.source.spec, (real, made)
        pmts = len(spec.position)
        shares = [np.bincount(hits.grid_id - 1, minlength=pmts) / max(events, 1) for hits, events in samples]
        cores = [charge_centroid(hits, events, spec) for hits, events in samples]
        around = list(zip((hits for hits, _ in samples), cores, strict=True))
        profiles = [lateral_profile(hits, core, EDGES, spec) for hits, core in around]
        first = [[_of_event(hits, event) for event in range(min(SHOWN, events))] for hits, events in samples]
        figures = {
            "hit_probability": drawing.hit_probability(spec.position, *shares),
            "lateral_profile": drawing.lateral_figure(EDGES, *profiles),
            "events": drawing.events_on_array(spec.position, *first),
        }
        timed = len(spec.channels) > 1
        if timed:
            residuals = [residual_profile(hits, core, EDGES, spec) for hits, core in around]
            figures["time_residuals"] = drawing.residual_figure(EDGES, *residuals)
        folder = self.folder / "figures"
        drawn = [save(figure, folder / f"{name}.png") for name, figure in figures.items()]
        if timed and all(events for _, events in samples):
            drawn.append(drawing.arrival_animation(spec.position, first[0][0], first[1][0], folder / "arrival.gif"))
        return drawn


def joined(parts: list[tuple[TankHits, int]]) -> TankHits:
    """The hits of several batches of so many events as those of one."""
    starts = np.cumsum([0, *(events for _, events in parts)])
    moved = [hits._replace(event=hits.event + start) for (hits, _), start in zip(parts, starts, strict=False)]
    columns = zip(*moved, strict=True)
    return TankHits(*(None if column[0] is None else np.concatenate(column) for column in columns))


def _of_event(hits: TankHits, event: int) -> TankHits:
    rows = hits.event == event
    return TankHits(*(None if column is None else column[rows] for column in hits))
