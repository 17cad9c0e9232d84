"""mode=inference of generators: generation of the events of the task's plan by all ranks."""

import contextlib
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from airshower.config.schema import InferenceConfig
from airshower.data.batch import Batch
from airshower.data.splits import Splits
from airshower.modes.evaluate import Evaluation, evaluate
from airshower.modes.job import Job
from airshower.runtime import seeds
from airshower.runtime.device import free_memory
from airshower.runtime.log import logger, progress_bar
from airshower.tasks.task import GenerationReport, GenerationTask, Plan


def generate(
    job: Job[InferenceConfig],
    task: GenerationTask,
    network: Any,
    splits: Splits,
    folder: Path,
    provenance: dict[str, str],
) -> tuple[dict[str, float], list[Path]]:
    """Write the events of the task's plan, and their comparison with those of `splits.test`, into `folder`. Returns the
    network's metrics for `splits.test`, and on the master the figures. Collective."""
    report = task.report(splits, folder, provenance)
    with report if job.ranks.master else contextlib.nullcontext(), progress_bar() as bar:
        measured = _measure(job, task, network, splits, bar) if task.measures else Evaluation({}, {})
        _generate(job, task, network, task.plan(splits), report, bar)
    return measured.metrics, report.finish(measured.metrics) if job.ranks.master else []


def _measure(
    job: Job[InferenceConfig], task: GenerationTask, network: Any, splits: Splits, bar: Progress
) -> Evaluation:
    """The network's losses over `splits.test`."""
    source = splits.test.source
    entries = splits.test.entries
    line = bar.add_task("measuring", total=len(entries), note="")

    def advance(batch: Batch, *_: object) -> None:
        bar.update(line, advance=sum(job.ranks.gather(len(batch))))

    size = job.settings.run.minibatch_size
    return evaluate(job, task, network, source, entries, size, on_batch=advance, measure=task.measure)


def _generate(
    job: Job[InferenceConfig],
    task: GenerationTask,
    network: Any,
    plan: Plan,
    report: GenerationReport,
    bar: Progress,
) -> None:
    """Add the planned events to the master's report in the order of their numbers. Collective: all ranks share each
    batch evenly, and an event depends only on its number."""
    ranks = job.ranks
    events = plan.events
    done = 0
    begun = time.perf_counter()
    network.eval()
    with torch.no_grad(), job.precision.autocast(), seeds.set_aside(job.device):
        size = _at_once(job, task, network, events)
        sampler = network.sampler(size)
        line = bar.add_task("generating", total=events, note="")

        def progress(share: float) -> None:
            so_far = min(events, done + share * size * ranks.size)
            bar.update(line, completed=int(so_far), note=f"{so_far / (time.perf_counter() - begun):.4g} events/s")

        for first in range(0, events, size * ranks.size):
            start = first + ranks.rank * size
            numbers = np.arange(start, max(start, min(start + size, events)))
            generated = plan.generated(network, sampler, numbers, progress)
            for part in ranks.gather(report.pack(generated)):
                report.add(part)
            done = min(events, first + size * ranks.size)
            progress(0.0)
    seconds = time.perf_counter() - begun
    logger.info("generated %d events, %d at once: %.1f s, %.4g events/s", events, size, seconds, events / seconds)


def _at_once(job: Job[InferenceConfig], task: GenerationTask, network: Any, events: int) -> int:
    """The number of events that each rank generates at a time, the same on all: `task.generate.at_once`, or the
    network's best number, or a fraction of a minibatch; reduced so that all batches have nearly the same size."""
    ranks = job.ranks
    memory = free_memory(job.device)
    most = task.events_at_once or network.at_once(memory) or -(-job.settings.run.minibatch_size // ranks.size)
    most = min(ranks.exchange(most))
    each = -(-events // ranks.size)
    batches = -(-each // most)
    return -(-each // batches)
