"""What the engine asks of a task."""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sized
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, Self

import numpy as np
from torch import Tensor, nn

from airshower.data.batch import Batch
from airshower.data.event_table import EventTable
from airshower.data.spec import Spec
from airshower.data.splits import Selection, Splits
from airshower.data.truth import Column
from airshower.networks.network import Network, Start
from airshower.tasks.balance import UncertaintyBalance
from airshower.tasks.loss_terms import LossTerms
from airshower.writers.figures import Figure

OverRanks = Callable[[Tensor], Tensor]  # sums a tensor over ranks


@dataclass(frozen=True)
class Phase:
    """One optimizer update in a step: the module that it trains and the function (module, sample, totals) -> (loss
    terms, outputs) that it minimises. The function is given the module as all ranks train it.

    `balance` makes of these terms those that are minimised; what it learns is whole on each rank and no part of the
    module. `rate_scale` gives from the step's totals what the learning rate is multiplied by. It is made in each
    `every`-th step. `betas` are Adam's where they are not the usual ones. With `average` above 0, or else with
    `mode.optimizer.average`, validation and predictions use a mean of the module's weights over the steps, in which
    older ones fade by this factor a step (Polyak & Juditsky 1992).
    """

    name: str
    module: nn.Module
    loss: Callable[[nn.Module, Any, Tensor], tuple[LossTerms, Any]]
    balance: UncertaintyBalance | None = None
    rate_scale: Callable[[Tensor], float] | None = None
    every: int = 1
    betas: tuple[float, float] | None = None
    average: float = 0.0


class Task(ABC):
    """A learning task, see `for_network`.

    `prepare` may reuse its buffers: a sample is valid until the next call. `totals` are counts of a sample that the
    loss needs summed over the whole step; `normaliser` gives the loss terms' weights from them, or None if those
    depend on the network's outputs. Metric counters are tensors that add up over batches and ranks.

    Attributes: `name`, by which networks say that they can be trained for it; `outputs`, the network's outputs by name,
    with the number of channels; `headline`, the metrics for a line on the console and their short names; `score`, the
    metric that the best checkpoint has most of.
    """

    Config: type
    name: str
    outputs: dict[str, int]
    headline: dict[str, str]
    score: str

    @abstractmethod
    def __init__(self, config: Any, spec: Spec, view: Any, /):
        """`config` is a `Config`; `view` is what the task takes of the network's class, see `for_network`."""

    @classmethod
    def for_network(cls, config: Any, spec: Spec, network: type[Network]) -> Self:
        """The task with this config for networks of this class and a source of this spec: by default it is built with
        the network's view of batches."""
        return cls(config, spec, network.view(spec))

    @classmethod
    def check_columns(cls, config: Any, columns: tuple[Column, ...]) -> None:
        """Raise `UserError` where data with these columns of truth can't be trained on with this config."""

    @classmethod
    def check_starts(cls, config: Any, columns: tuple[Column, ...], starts: Mapping[str, Start]) -> None:
        """Raise `UserError` where an output of a network that `starts` as a fit would be compared with something else
        with this config."""

    def check(self, source: Any, /) -> None:
        """Raise `DataError` where a source's files do not hold the truth that training needs. Needs no batch."""

    def keep(self, outputs: list[str]) -> None:
        """Leave out outputs that a trained network does not have."""

    def fit(self, selection: Selection, network: Any, /) -> None:
        """Take from the entries to be trained on what the loss, or the network, needs to know of them all; before the
        first step. Raises `DataError` where nothing can be learned from them."""

    @abstractmethod
    def prepare(self, batch: Batch, /) -> Any:
        """What the network and the loss work on, from a batch on the device."""

    def products(self, batch: Batch, sample: Any, /) -> dict[str, Any]:
        """Arrays or tensors by name that iotest describes by shape and range; None or empty where there is nothing.
        `batch` is as it was read, in arrays."""
        return {}

    @abstractmethod
    def phases(self, network: Any, /) -> list[Phase]:
        """The optimizers' updates in one step."""

    @abstractmethod
    def totals(self, sample: Any, /) -> Tensor:
        """Counts that the loss needs of the whole step."""

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """The weights of the loss terms over the whole step, where the labels alone give them."""
        return totals

    @abstractmethod
    def evaluate(self, network: Any, sample: Any, over_ranks: OverRanks, /) -> tuple[Any, dict[str, Tensor]]:
        """The network's outputs and the metric counters of one sample, none where there is no truth; `over_ranks` sums
        a tensor over ranks. Collective."""

    @abstractmethod
    def count(self, sample: Any, outputs: Any, terms: LossTerms, /) -> dict[str, Tensor]:
        """Metric counters of one sample."""

    @abstractmethod
    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters."""

    def display(self, sample: Any, outputs: Any, index: int, title: str, /) -> "Figure | None":
        """A picture of event `index` of the sample and its predictions; None where there are no more."""
        return None


class PredictionTask(Task):
    """A task whose networks predict something of each event; inference writes predictions."""

    @abstractmethod
    def predicted(self, batch: Batch, sample: Any, outputs: Any, spec: Spec, /) -> EventTable:
        """What the network's outputs say of a batch's events, beside their ids and, where it is known, the truth;
        `batch` is as it was read from a source of this spec."""

    @abstractmethod
    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool, /) -> "Report":
        """Writes the outputs of inference over `splits.test`: predictions in the detector's format, metrics and
        figures, into `folder`."""


class GenerationTask(Task):
    """A task whose networks generate events; inference writes those of the plan.

    With `measures` the network is evaluated on the events of `splits.test` first. `events_at_once` is how many each
    rank is asked to generate at a time; 0: as many as are best.
    """

    measures: bool = True
    events_at_once: int = 0

    @abstractmethod
    def table(self, generated: Any, /) -> EventTable:
        """Generated events of a plan in their units, with their conditions."""

    @abstractmethod
    def plan_of(self, events: int, seed: int, conditions: np.ndarray, /) -> "Plan":
        """So many events with these scaled conditions [n, quantities], in turn."""

    @abstractmethod
    def plan(self, splits: Splits, /) -> "Plan":
        """The events that inference generates."""

    @abstractmethod
    def measure(self, network: Any, sample: Any, over_ranks: OverRanks, /) -> tuple[None, dict[str, Tensor]]:
        """The metric counters of one sample without generating events. Collective."""

    @abstractmethod
    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], /) -> "GenerationReport":
        """Writes generated events into `folder`, and compares them with reference events, those of `splits.test`."""


class Plan(Protocol):
    """The events that are generated; `events` is their number."""

    events: int

    def generated(self, network: Any, sampler: Any, numbers: np.ndarray, progress: Callable[[float], None], /) -> Any:
        """The events of these numbers, by a `sampler` of the network; each follows from its number alone. `progress` is
        called with the share that is done."""
        ...


class GenerationReport(AbstractContextManager, Protocol):
    """Takes generated events batch by batch; a context manager around all of them. Every rank packs, one adds."""

    def pack(self, generated: Any, /) -> Sized:
        """What is to be written of these events, small enough to be sent to another process."""
        ...

    def add(self, packed: Any, /) -> None:
        """Write packed events."""
        ...

    def finish(self, metrics: dict[str, float], /) -> list[Path]:
        """Write metrics and figures over all events; returns the figures."""
        ...


class Report(AbstractContextManager, Protocol):
    """Takes the predictions of one inference batch by batch; a context manager around all of them, which opens the
    file. Every rank packs, one adds."""

    def pack(self, batch: Any, sample: Any, outputs: Any, /) -> Sized:
        """What is to be written of one batch, as long as it has events, small enough to be sent to another process."""
        ...

    def add(self, packed: Any, /) -> None:
        """Write packed events."""
        ...

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """Write metrics and figures over all events; returns the figures."""
        ...
