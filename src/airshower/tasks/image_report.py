"""What an inference of a generator of images leaves beside what is said of all generators: hits, and their figures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from airshower.data.source import Selection
from airshower.data.table import Table
from airshower.data.tank_summary import charge_centroid, lateral_profile, residual_profile
from airshower.data.tanks import Quantity, TankHits
from airshower.networks.images import LEVELS, ImageView
from airshower.runtime.log import progress
from airshower.tasks.generation_report import Generated, GenerationReport, PackedEvents, refuse
from airshower.tasks.judgement.sample import Events
from airshower.writers import image_figures as drawing
from airshower.writers.figures import Figure, save
from airshower.writers.generation_figures import histograms

READ = 256  # images at a time
EDGES = np.arange(0.0, 160.0, 10.0)  # m, of profiles
SHOWN, ON_ARRAY = 6, 4  # images, and those also shown on the array
BIN_LEVELS = 5  # in a bin of hits' charges and times


@dataclass(frozen=True, eq=False)
class PackedImages(PackedEvents):
    """With how many cells without a PMT were not 0 in each image [m]."""

    dead_cells: np.ndarray


class ImageReport(GenerationReport):
    """See `GenerationReport`. The detector's file and `generated.npz` have hits. The numbers that are judged are made
    of them, for real images as for generated ones."""

    view: ImageView
    batches: list[PackedImages]

    def pack(self, _batch: None, _sample: None, outputs: Generated) -> PackedImages:
        """Raises `TrainingError` for images that are not numbers."""
        images, entry = outputs.events, outputs.entry.cpu().numpy()
        refuse("images are not numbers", ~images.isfinite().flatten(1).all(1).cpu().numpy(), entry)
        return PackedImages(self._events(images, self._conditions(outputs)), entry, self.view.dead_cells(images))

    def add(self, packed: PackedImages) -> None:
        """Write and keep a batch's events."""
        if len(packed):
            self.batches.append(packed)
            conditions = {quantity.name: values for quantity, values in packed.events.conditions.columns()}
            self.writer.append(conditions, self.view.hits(packed.events.levels), len(packed))

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`."""
        dead = np.concatenate([batch.dead_cells for batch in self.batches])
        return super().finish(entries, metrics | {"dead_cells_not_0": float(dead.mean())}, counters)

    def _events(self, images: Tensor, conditions: Table) -> Events:
        levels = self.view.levels(images)
        spec = self.source.spec
        return Events(self.view.summary(levels), conditions, levels, spec.tank[spec.pmt[~spec.dead]])

    def _stored(self, made: Events) -> dict[str, np.ndarray]:
        """Of `generated.npz`: the hits of all images in a row, each with its event's place."""
        columns = self._hits(made)._asdict().items()
        return {f"hit_{name}": column for name, column in columns if column is not None}

    def _real(self, selection: Selection, conditional: bool) -> Events:
        """Of a random part where there are many: hits have to be read."""
        chosen = np.random.default_rng(0).permutation(selection.entries)[: self.options.most]
        parts = progress(_pieces(np.sort(chosen)), f"reading {len(chosen)} real images, {READ} at a time")
        return Events.joined([self._read(Selection(selection.source, part), conditional) for part in parts])

    def _read(self, selection: Selection, conditional: bool) -> Events:
        batch = selection.source.read(selection.entries)
        return self._events(torch.from_numpy(batch.images), self._asked(batch.conditions, conditional))

    def _hits(self, events: Events) -> TankHits:
        return joined([(self.view.hits(part), len(part)) for part in _pieces(events.levels)])

    def _draw(self, real: Events, made: PackedEvents) -> list[Path]:
        """Of all events, and of the first few with the real ones of their entries."""
        rows = np.sort(np.unique(made.entry, return_index=True)[1])[:SHOWN]
        pairs = self._read(Selection(self.source, made.entry[rows]), True), made.events.rows(rows)
        drawn = self._profiles(real, made.events) | self._images(*pairs)
        folder = self.folder / "figures"
        paths = [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]
        if len(self.source.spec.channels) > 1:
            first = (self._hits(events.rows(np.arange(1))) for events in pairs)
            paths.append(drawing.arrival_animation(self.source.spec.position, *first, path=folder / "arrival.gif"))
        return paths

    def _profiles(self, *samples: Events) -> dict[str, Figure]:
        spec, found = self.source.spec, [self._hits(events) for events in samples]
        cores = [charge_centroid(hits, len(events), spec) for hits, events in zip(found, samples, strict=True)]
        around, pmts = list(zip(found, cores, strict=True)), len(spec.position)
        shares = [np.bincount(hits.grid_id - 1, minlength=pmts) / len(core) for hits, core in around]
        laterals = [lateral_profile(hits, core, EDGES, spec) for hits, core in around]
        figures = {
            "hit_probability": drawing.hit_probability(spec.position, *shares),
            "lateral_profile": drawing.lateral_figure(EDGES, *laterals),
        }
        if all(len(hits.event) for hits in found):
            ends = (np.arange(0, LEVELS, BIN_LEVELS) + 0.5) / (LEVELS - 1)
            tables = [Table(spec.channels, np.stack(hits.values[: len(spec.channels)], 1)) for hits in found]
            bins = [channel.physical(ends) for channel in spec.channels]
            figures["hit_values"] = histograms(*tables, bins=bins, name="hits")
        if len(spec.channels) > 1:
            residuals = [residual_profile(hits, core, EDGES, spec) for hits, core in around]
            figures["time_residuals"] = drawing.residual_figure(EDGES, *residuals)
        return figures

    def _images(self, *pairs: Events) -> dict[str, Figure]:
        spec, found = self.source.spec, [self._hits(events) for events in pairs]
        images = [spec.images(hits, len(events)) for hits, events in zip(found, pairs, strict=True)]
        titles = [_titles(events.conditions) for events in pairs]
        first = [[hits.rows(hits.event == event) for event in range(min(ON_ARRAY, len(pairs[0])))] for hits in found]
        return {
            "images": drawing.image_grid(spec.channels, spec.dead, *images, titles=titles),
            "events": drawing.events_on_array(spec.position, *first),
        }


def joined(parts: list[tuple[TankHits, int]]) -> TankHits:
    """The hits of several batches of so many events as those of one."""
    starts = np.cumsum([0, *(events for _, events in parts)])
    moved = [hits._replace(event=hits.event + start) for (hits, _), start in zip(parts, starts, strict=False)]
    return TankHits.joined(moved)


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    """So many of them that images of a piece are not too many at once."""
    return np.array_split(rows, -(-len(rows) // READ) or 1)


def _titles(conditions: Table) -> list[str]:
    """What was asked for, a line for each quantity."""
    shown = [[_said(quantity, value) for value in values] for quantity, values in conditions.columns()]
    return ["\n".join(lines) for lines in zip(*shown, strict=True)]


def _said(quantity: Quantity, value: float) -> str:
    if quantity.names:
        return quantity.names[round(value)]
    return f"{quantity.name.split('.')[-1]} {value:.3g} {quantity.unit}"
