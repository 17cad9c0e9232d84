"""Evaluation of a network on events, without training."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.data.batch import Batch
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.engine.step import add_counters
from airshower.modes.job import Job
from airshower.runtime import seeds
from airshower.tasks.task import OverRanks, Task
from airshower.writers.figures import Figure


@dataclass
class Evaluation:
    """Metrics, the counters they are computed from, and displays of a few events."""

    metrics: dict[str, float]
    counters: dict[str, Tensor]
    displays: list[tuple[int, Figure]] = field(default_factory=list)


@dataclass
class RegularEvaluation:
    """A repeated evaluation of the same entries during training: at each `interval`-th step (0: never) from step
    `first` on, and at the last one. `name` is the name of its table; `done` is the step of the newest evaluation, -1
    before the first."""

    name: str
    source: Source
    entries: np.ndarray
    interval: int
    first: int = 0
    displays: int = 0
    done: int = -1
    newest: Evaluation | None = None

    def due(self, step: int, last: int) -> bool:
        """True if an evaluation is due after step `step` of a training that ends with step `last`."""
        if not self.interval or self.done == step or step < self.first:
            return False
        return step % self.interval == 0 or step == last

    def at(self, step: int) -> Evaluation | None:
        """The evaluation that this process made after step `step`."""
        return self.newest if self.done == step else None


def evaluate(
    job: Job,
    task: Task,
    network: nn.Module,
    source: Source,
    entries: np.ndarray,
    minibatch_size: int,
    displays: int = 0,
    title: str = "",
    on_batch: Callable[[Batch, Any, Any], None] | None = None,
    measure: Callable[[Any, Any, OverRanks], tuple[Any, dict[str, Tensor]]] | None = None,
) -> Evaluation:
    """Metrics over `entries`, each read once, in order, by one of the ranks; `displays` of the master's drawn, under
    `title`; `on_batch` is called with (batch, sample, outputs) of each minibatch. `measure` replaces
    `task.evaluate`. Collective.

    The network's mode (train or eval) and the state of the random generators are restored. Each evaluation draws the
    same random numbers.
    """
    plan = EntryPlan(entries, minibatch_size, OrderConfig("serial"))
    dealer = Dealer(plan, minibatch_size, job.ranks)
    displays = displays if job.ranks.master else 0
    result = Evaluation({}, {})
    measure = measure or task.evaluate
    training = network.training
    network.eval()
    steps = plan.steps_per_epoch
    threads = job.settings.framework.reading_threads
    with torch.no_grad(), seeds.set_aside(job.device), Feeder(source, dealer, steps, threads) as feeder:
        torch.manual_seed(0)
        for _, batches in feeder:
            for batch in batches:
                sample = task.prepare(batch.to(job.device))
                with job.precision.autocast():
                    outputs, counters = measure(network, sample, job.ranks.sum)
                add_counters(result.counters, counters)
                for index, entry in enumerate(batch.entries[: max(0, displays - len(result.displays))]):
                    shown = task.display(sample, outputs, index, f"{title} {entry}")
                    if shown is None:
                        displays = 0
                        break
                    result.displays.append((int(entry), shown))
                if on_batch:
                    on_batch(batch, sample, outputs)
    network.train(training)
    result.counters = job.ranks.sum_all(result.counters)
    result.metrics = task.metrics(result.counters)
    return result
