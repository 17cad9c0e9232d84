"""Running a network over events without training it."""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.data.batch import EventBatch
from airshower.data.feeder import Feeder
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.engine.step import add_counters
from airshower.modes.job import Job
from airshower.runtime import seeds
from airshower.tasks.task import Task
from airshower.writers.figures import Figure


@dataclass
class Evaluation:
    """Metrics, the counters behind them, and a few events to look at."""

    metrics: dict[str, float]
    counters: dict[str, Tensor]
    displays: list[tuple[int, Figure]] = field(default_factory=list)


def evaluate(
    job: Job,
    task: Task,
    network: nn.Module,
    source: Source,
    entries: np.ndarray,
    minibatch_size: int,
    displays: int,
    title: str,
    on_batch: Callable[[EventBatch, Any, Any], None] | None = None,
) -> Evaluation:
    """Metrics over `entries`, each read once, in order, by one of the ranks; `displays` of the master's drawn, under
    `title`; `on_batch` sees (batch, sample, outputs) of each minibatch. Collective.

    Leaves the network in the mode (train or eval) that it had, and the random numbers where they were: what is drawn
    here is the same in each evaluation.
    """
    plan = EntryPlan(entries, minibatch_size, "serial")
    dealer = Dealer(plan, minibatch_size, job.ranks)
    displays = displays if job.ranks.master else 0
    result = Evaluation({}, {})
    training = network.training
    network.eval()
    with torch.no_grad(), seeds.set_aside(job.device), Feeder(source, dealer, plan.steps_per_epoch) as feeder:
        torch.manual_seed(0)
        for _, batches in feeder:
            for batch in batches:
                sample = task.prepare(batch.to(job.device))
                with job.precision.autocast():
                    outputs, counters = task.evaluate(network, sample, job.ranks.sum)
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
