"""Views of a batch's events: for the training of generators, and for comparisons with reference events."""

from abc import ABC, abstractmethod

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.event_table import EventTable
from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.spec import ComparedImagesSpec, Spec, TableSpec
from airshower.data.splits import Selection
from airshower.networks.layers.levels import bits_per_dimension, dequantise, quantise

LEVELS = 256  # of each channel in comparisons of images
EXAMPLES = 32  # images for the fit of a network before the first step


class View(ABC):
    """The events in the container `name` of a source's batches. They are compared by their `quantities`; dequantisation
    takes `draws` random numbers for each."""

    quantities: tuple[Quantity, ...]
    draws = 0

    def __init__(self, name: str):
        self.name = name

    def recorded(self, batch: Batch) -> Tensor:
        """Recorded events, scaled, float32 [n, ...]."""
        return batch[self.name].values

    def dequantised(self, recorded: Tensor, shares: Tensor) -> Tensor:
        """Dequantised values: recorded values plus `shares` [n, `draws`] of a step; unchanged if steps are
        irrelevant."""
        return recorded

    def shares(self, recorded: Tensor) -> Tensor:
        """Random fractions of a step for `dequantised`, from torch's random numbers."""
        return recorded.new_empty(len(recorded), 0)

    @abstractmethod
    def examples(self, selection: Selection) -> tuple[Tensor, Tensor]:
        """Events for the fit of a network before the first step, and their conditions; the same on all ranks."""

    @abstractmethod
    def table(self, events: Tensor) -> Records:
        """The quantities of events, recorded or generated, rounded and wrapped as in files."""

    def parts(self, events: Tensor) -> EventTable | None:
        """What events are made of, such as hits, with the row of the event; None where they have no parts."""
        return None

    def bits(self, nats: float) -> dict[str, float]:
        """A mean log-likelihood in bits per dimension, keyed by metric; empty if densities depend on units."""
        return {}


class TableView(View):
    """Events as rows of a table.

    Files have discrete values, which have no density, so they are dequantised uniformly (Theis et al. 2016, section
    3.1).
    """

    def __init__(self, spec: Spec, name: str):
        super().__init__(name)
        table: TableSpec = spec[name]
        self.quantities = table.quantities
        self.draws = len(self.quantities)

    def dequantised(self, recorded: Tensor, shares: Tensor) -> Tensor:
        """See `View`."""
        columns = []
        for column, share, q in zip(
            recorded.double().unbind(1), shares.double().unbind(1), self.quantities, strict=True
        ):
            values = column * q.width + q.middle
            by = q.step * (share - 0.5)
            values = (values.exp() + by).log() if q.logarithmic else values + by
            columns.append((values - q.middle) / q.width)
        return torch.stack(columns, 1).to(recorded.dtype)

    def shares(self, recorded: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """See `View`; float64, from `generator` if there is one."""
        drawn = [
            torch.rand(len(recorded), generator=generator, dtype=torch.float64, device=recorded.device)
            for _ in range(self.draws)
        ]
        return torch.stack(drawn, 1)

    def examples(self, selection: Selection) -> tuple[Tensor, Tensor]:
        """See `View`: all events, dequantised."""
        tables = (selection.source.scaled(name, selection.entries) for name in (self.name, "conditions"))
        scaled, conditions = map(torch.from_numpy, tables)
        return self.dequantised(scaled, self.shares(scaled, torch.Generator().manual_seed(0))), conditions

    def table(self, events: Tensor) -> Records:
        """See `View`."""
        return Records.of_scaled(self.quantities, events.float().cpu().numpy())


class ImageView(View):
    """Events as images of charge, or of charge and time. They are compared by summaries of their hits, see
    `ComparedImagesSpec.summaries`."""

    def __init__(self, spec: Spec, name: str):
        super().__init__(name)
        self.spec: ComparedImagesSpec = spec[name]
        self.quantities = self.spec.summary_quantities

    def examples(self, selection: Selection) -> tuple[Tensor, Tensor]:
        """See `View`: a few images, spread over the files."""
        apart = max(1, len(selection.entries) // EXAMPLES)
        batch = selection.source.read(selection.entries[::apart][:EXAMPLES])
        return torch.from_numpy(batch[self.name].values), torch.from_numpy(batch["conditions"].values)

    def table(self, events: Tensor) -> Records:
        """See `View`."""
        return self.summary(self.levels(events))

    def bits(self, nats: float) -> dict[str, float]:
        """See `View`: per cell with a PMT, and per cell."""
        live, whole = bits_per_dimension(torch.tensor([nats]), self.spec)
        return {"bits_per_dimension": float(live), "bits_per_dimension_of_all_cells": float(whole)}

    def levels(self, images: Tensor) -> np.ndarray:
        """Live cells of images in `LEVELS`, uint8 [n, channels, PMTs], so that recorded and generated images are
        compared alike."""
        return self.spec.live_cells(quantise(images.float().cpu(), LEVELS).to(torch.uint8).numpy())

    def hits(self, levels: np.ndarray) -> TankHits:
        """The hits of live cells in levels, in detector units."""
        return self.spec.cell_hits(dequantise(torch.from_numpy(levels), LEVELS).numpy())

    def summary(self, levels: np.ndarray) -> Records:
        """The quantities of live cells in levels."""
        return self.spec.summaries(self.hits(levels), len(levels))

    def parts(self, events: Tensor) -> EventTable:
        """See `View`: hits."""
        hits = self.hits(self.levels(events))._asdict()
        columns = {name: values for name, values in hits.items() if values is not None}
        return EventTable(columns, {"charge": "p.e.", "time": "ns"})

    def dead_cells(self, images: Tensor) -> np.ndarray:
        """The number of cells without a PMT that are not 0, of each image [n]."""
        dead = torch.from_numpy(self.spec.dead).to(images.device)
        return (images != 0).any(1)[:, dead].sum(1).cpu().numpy()
