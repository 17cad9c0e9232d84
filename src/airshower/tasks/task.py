"""What the engine asks of a task."""

from collections.abc import Callable, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from torch import Tensor, nn

from airshower.data.source import Selection, Splits
from airshower.tasks.balance import UncertaintyBalance
from airshower.tasks.loss_terms import LossTerms
from airshower.writers.figures import Figure


@dataclass(frozen=True)
class Phase:
    """One optimizer's turn in a step: the module that it trains and the function (module, sample, totals) -> (loss
    terms, outputs) that it minimises. The function is given the module as all ranks train it.

    `balance` makes of these terms those that are minimised; what it learns is whole on each rank and no part of the
    module. `rate_scale` gives from the step's totals what the learning rate is multiplied by. The phase has its turn in
    each `every`-th step. `betas` are Adam's where they are not the usual ones. With `average` above 0, validation and
    predictions use a mean of the module's weights over the steps, in which older ones fade by this factor a step
    (Polyak & Juditsky 1992).
    """

    name: str
    module: nn.Module
    loss: Callable[[nn.Module, Any, Tensor], tuple[LossTerms, Any]]
    balance: UncertaintyBalance | None = None
    rate_scale: Callable[[Tensor], float] | None = None
    every: int = 1
    betas: tuple[float, float] | None = None
    average: float = 0.0


class Task(Protocol):
    """A learning task.

    `prepare` may reuse its buffers: a sample is valid until the next call. `totals` are counts of a sample that the
    loss needs summed over the whole step; `normaliser` gives the loss terms' weights from them, or None if those
    depend on the network's outputs. Metric counters are tensors that add up over batches and ranks.

    Attributes: `reads`, the kind of data; `outputs`, what is asked of the network, by name, with the number of
    channels; `headline`, the metrics worth a line on the console and their short names; `score`, the metric that the
    best checkpoint has most of; `plan`, the events that inference is to generate, None for tasks that predict.
    """

    reads: str
    outputs: dict[str, int]
    headline: dict[str, str]
    score: str
    plan: Any

    def check(self, source: Any, /) -> None:
        """Raise `DataError` where a source's files do not hold the truth that training needs. Needs no batch."""
        ...

    def fit(self, selection: Selection, network: Any, /) -> None:
        """Take from the entries to be trained on what the loss, or the network, needs to know of them all; before the
        first step. Raises `DataError` where nothing can be learned from them."""
        ...

    def prepare(self, batch: Any, /) -> Any:
        """What the network and the loss work on, from a batch on the device."""
        ...

    def products(self, batch: Any, sample: Any, /) -> dict[str, Any]:
        """What iotest describes by shape and range: arrays or tensors by name, as read and as prepared; None or empty
        where there is nothing."""
        ...

    def phases(self, network: Any, /) -> list[Phase]:
        """The optimizers' turns in one step."""
        ...

    def totals(self, sample: Any, /) -> Tensor:
        """Counts that the loss needs of the whole step."""
        ...

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """The weights of the loss terms over the whole step, where the labels alone give them."""
        ...

    def evaluate(
        self, network: Any, sample: Any, over_ranks: Callable[[Tensor], Tensor], /
    ) -> tuple[Any, dict[str, Tensor]]:
        """The network's outputs and the metric counters of one sample, none where there is no truth; `over_ranks` sums
        a tensor over ranks. Collective."""
        ...

    def count(self, sample: Any, outputs: Any, terms: LossTerms, /) -> dict[str, Tensor]:
        """Metric counters of one sample."""
        ...

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters."""
        ...

    def display(self, sample: Any, outputs: Any, index: int, title: str, /) -> "Figure | None":
        """A picture of event `index` of the sample and what the network makes of it; None where there are no more."""
        ...

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool, /) -> "Report":
        """What inference over `splits.whole` writes: predictions in the detector's format, metrics and figures, into
        `folder`."""
        ...


class Report(AbstractContextManager, Protocol):
    """Takes the predictions of one inference batch by batch; a context manager around all of them, which opens the
    file. Every rank packs, one adds."""

    def pack(self, batch: Any, sample: Any, outputs: Any, /) -> Sized:
        """What is to be written of one batch, as long as it has events, small enough to be sent to another process. Of
        generated events, `batch` and `sample` are None."""
        ...

    def add(self, packed: Any, /) -> None:
        """Write packed events."""
        ...

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """Write metrics and figures over all events; returns the figures."""
        ...
