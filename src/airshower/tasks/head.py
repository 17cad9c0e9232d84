"""What segmentation asks of a head that finds something of a whole event."""

from typing import Protocol

import numpy as np
from torch import Tensor

from airshower.data.batch import Batch
from airshower.errors import DataError
from airshower.writers.figures import Figure

NEUTRINO = 2  # class of its pixels


class Head(Protocol):
    """One more loss on one more output of the network.

    Attributes: `channels` of the output; `needs`, the truth it is trained on and what of a file holds it; `headline`,
    metrics worth a line on the console and their short names.
    """

    channels: int
    needs: tuple[str, str]
    headline: dict[str, str]

    def target(self, batch: Batch) -> Tensor | None:
        """Truth of a batch's events, on its device; None where the files do not tell."""
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
        """Named values from summed counters; nothing where they are not of this head."""
        ...

    def predictions(self, logits: Tensor, target: Tensor | None) -> dict[str, np.ndarray]:
        """Columns of a table of events."""
        ...

    def summary(self, counters: dict[str, Tensor]) -> dict[str, list]:
        """What of the counters is worth keeping beside the metrics."""
        ...

    def figures(self, counters: dict[str, Tensor], events: dict[str, np.ndarray]) -> dict[str, Figure]:
        """Pictures, from summed counters and the table of events."""
        ...


def missing_truth(name: str, needs: tuple[str, str]) -> DataError:
    """The error for a head whose truth is not in the files."""
    return DataError(f"task.{name}.weight: is not 0, but the files do not hold {needs[1]}; use task.{name}.weight=0")
