"""The interface of segmentation's heads for properties of whole events."""

from typing import Protocol

import numpy as np
from torch import Tensor

from airshower.data.batch import Batch
from airshower.errors import DataError
from airshower.writers.figures import Figure

NEUTRINO = 2  # class of its pixels


class Head(Protocol):
    """An additional loss on an additional output of the network.

    Attributes: `channels` of the output; `units` of its columns in a table of events; `needs`, the truth it is trained
    on and its name in files; `headline`, metrics printed on the console, with short names.
    """

    channels: int
    units: dict[str, str]
    needs: tuple[str, str]
    headline: dict[str, str]

    def target(self, batch: Batch) -> Tensor | None:
        """Truth of a batch's events, on its device; None if the files have no truth."""
        ...

    def weights(self, target: Tensor) -> Tensor:
        """The loss terms' weights of these events, float64 [terms]."""
        ...

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The terms' totals and weights, both [terms]."""
        ...

    def count(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Metric counters, which add up over batches and ranks."""
        ...

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters; empty without counters of this head."""
        ...

    def predictions(self, logits: Tensor, target: Tensor | None) -> dict[str, np.ndarray]:
        """Columns of a table of events."""
        ...

    def summary(self, counters: dict[str, Tensor]) -> dict[str, list]:
        """Values of the counters to store in addition to the metrics."""
        ...

    def figures(self, counters: dict[str, Tensor], events: dict[str, np.ndarray]) -> dict[str, Figure]:
        """Figures, from summed counters and the table of events."""
        ...


def missing_truth(name: str, needs: tuple[str, str]) -> DataError:
    """The error for a head whose truth is not in the files."""
    return DataError(f"task.{name}.weight: is not 0, but the files do not hold {needs[1]}; use task.{name}.weight=0")
