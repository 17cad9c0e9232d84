"""Additional output of inference for generators of images: hits, and their figures."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.splits import Selection
from airshower.runtime.log import progress
from airshower.tasks.generation.judgement.sample import Events
from airshower.tasks.generation.plan import Generated
from airshower.tasks.generation.report import GenerationReport, PackedEvents, refuse
from airshower.tasks.generation.views import LEVELS, ImageView
from airshower.writers import image_figures as drawing
from airshower.writers.figures import Figure, save
from airshower.writers.generation_figures import histograms

READ = 256  # images at a time
EDGES = np.arange(0.0, 160.0, 10.0)  # m, of profiles
SHOWN, ON_ARRAY = 6, 4  # images, and those also shown on the array
BIN_LEVELS = 5  # levels in a bin of hits' charges and times


@dataclass(frozen=True, eq=False)
class PackedImages(PackedEvents):
    """With the number of cells without a PMT that are not 0 in each image [m]."""

    dead_cells: np.ndarray


class ImageReport(GenerationReport):
    """See `GenerationReport`. The detector's file and `generated.npz` have hits. Events are compared by summaries of
    their hits, for reference and generated images alike."""

    view: ImageView
    batches: list[PackedImages]

    def pack(self, generated: Generated) -> PackedImages:
        """See `GenerationReport`. Raises `TrainingError` for images that are not numbers."""
        images = generated.events
        entry = generated.entry.cpu().numpy()
        refuse("images are not numbers", ~images.isfinite().flatten(1).all(1).cpu().numpy(), entry)
        return PackedImages(self._events(images, self._conditions(generated)), entry, self.view.dead_cells(images))

    def add(self, packed: PackedImages) -> None:
        """Write a batch's events, and keep them."""
        if len(packed):
            self.batches.append(packed)
            conditions = {quantity.name: values for quantity, values in packed.events.conditions.columns()}
            self.writer.append(conditions, self.view.hits(packed.events.levels), len(packed))

    def finish(self, metrics: dict[str, float]) -> list[Path]:
        """See `GenerationReport`."""
        dead = np.concatenate([batch.dead_cells for batch in self.batches])
        return super().finish(metrics | {"dead_cells_not_0": float(dead.mean())})

    def _events(self, images: Tensor, conditions: Records) -> Events:
        levels = self.view.levels(images)
        spec = self.view.spec
        return Events(self.view.summary(levels), conditions, levels, spec.tank[spec.pmt[~spec.dead]])

    def _stored(self, events: Events) -> dict[str, np.ndarray]:
        """See `GenerationReport`: the hits of all images one after the other, each with the row of its event."""
        columns = self._hits(events)._asdict().items()
        return {f"hit_{name}": column for name, column in columns if column is not None}

    def _events_of(self, selection: Selection, conditional: bool) -> Events:
        """See `GenerationReport`: a random subset if there are many, as hits have to be read."""
        chosen = np.random.default_rng(0).permutation(selection.entries)[: self.options.most]
        parts = progress(_pieces(np.sort(chosen)), f"reading {len(chosen)} images, {READ} at a time")
        return Events.joined([self._read(Selection(selection.source, part), conditional) for part in parts])

    def _read(self, selection: Selection, conditional: bool) -> Events:
        batch = selection.source.read(selection.entries)
        images = torch.from_numpy(batch[self.view.name].values)
        return self._events(images, self._conditions_table(batch["conditions"].values, conditional))

    def _hits(self, events: Events) -> TankHits:
        return joined([(self.view.hits(part), len(part)) for part in _pieces(events.levels)])

    def _draw(self, reference: Events, generated: PackedEvents) -> list[Path]:
        """Figures of all events, and of the first few with the reference events of their entries."""
        rows = np.sort(np.unique(generated.entry, return_index=True)[1])[:SHOWN]
        pairs = self._read(Selection(self.source, generated.entry[rows]), True), generated.events.rows(rows)
        drawn = self._profiles(reference, generated.events) | self._images(*pairs)
        folder = self.folder / "figures"
        paths = [save(figure, folder / f"{name}.png") for name, figure in drawn.items()]
        if len(self.view.spec.channels) > 1:
            first = (self._hits(events.rows(np.arange(1))) for events in pairs)
            paths.append(drawing.arrival_animation(self.view.spec.position, *first, path=folder / "arrival.gif"))
        return paths

    def _profiles(self, *samples: Events) -> dict[str, Figure]:
        spec = self.view.spec
        hits_of = [self._hits(events) for events in samples]
        cores = [spec.centres(hits, len(events)) for hits, events in zip(hits_of, samples, strict=True)]
        around = list(zip(hits_of, cores, strict=True))
        pmts = len(spec.position)
        shares = [np.bincount(hits.grid_id - 1, minlength=pmts) / len(core) for hits, core in around]
        laterals = [spec.lateral_profile(hits, core, EDGES) for hits, core in around]
        figures = {
            "hit_probability": drawing.hit_probability(spec.position, *shares),
            "lateral_profile": drawing.lateral_figure(EDGES, *laterals),
        }
        if all(len(hits.event) for hits in hits_of):
            ends = (np.arange(0, LEVELS, BIN_LEVELS) + 0.5) / (LEVELS - 1)
            tables = [Records(spec.channels, np.stack(hits.values[: len(spec.channels)], 1)) for hits in hits_of]
            bins = [channel.physical(ends) for channel in spec.channels]
            figures["hit_values"] = histograms(*tables, bins=bins, name="hits")
        if len(spec.channels) > 1:
            residuals = [spec.residual_profile(hits, core, EDGES) for hits, core in around]
            figures["time_residuals"] = drawing.residual_figure(EDGES, *residuals)
        return figures

    def _images(self, *pairs: Events) -> dict[str, Figure]:
        spec = self.view.spec
        hits_of = [self._hits(events) for events in pairs]
        images = [spec.images(hits, len(events)) for hits, events in zip(hits_of, pairs, strict=True)]
        titles = [_titles(events.conditions) for events in pairs]
        first = [[hits.rows(hits.event == event) for event in range(min(ON_ARRAY, len(pairs[0])))] for hits in hits_of]
        return {
            "images": drawing.image_grid(spec.channels, spec.dead, *images, titles=titles),
            "events": drawing.events_on_array(spec.position, *first),
        }


def joined(parts: list[tuple[TankHits, int]]) -> TankHits:
    """The hits of several batches, given with their numbers of events, as those of one batch."""
    starts = np.cumsum([0, *(events for _, events in parts)])
    moved = [hits._replace(event=hits.event + start) for (hits, _), start in zip(parts, starts, strict=False)]
    return TankHits.joined(moved)


def _pieces(rows: np.ndarray) -> list[np.ndarray]:
    """Parts of at most `READ` rows."""
    return np.array_split(rows, -(-len(rows) // READ) or 1)


def _titles(conditions: Records) -> list[str]:
    """The conditions of each event, a line for each quantity."""
    shown = [[_text(quantity, value) for value in values] for quantity, values in conditions.columns()]
    return ["\n".join(lines) for lines in zip(*shown, strict=True)]


def _text(quantity: Quantity, value: float) -> str:
    if quantity.names:
        return quantity.names[round(value)]
    return f"{quantity.name.split('.')[-1]} {value:.3g} {quantity.unit}"
