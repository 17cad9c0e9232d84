"""Generating the events that a task plans, over all ranks."""

import time
from typing import Any

import numpy as np
import torch
from rich.progress import Progress

from airshower.modes.job import Job
from airshower.networks.generator import EventGenerator
from airshower.runtime import seeds
from airshower.runtime.device import free_memory
from airshower.runtime.log import logger
from airshower.tasks.generation import Generation


def generate(job: Job, task: Generation, network: EventGenerator, report: Any, bar: Progress) -> None:
    """Add the events of `task.plan` to the master's report in the order of their numbers. Collective: each batch is
    shared by all ranks evenly, and what an event is depends on its number alone."""
    assert task.plan is not None
    ranks, events, done, begun = job.ranks, task.plan.events, 0, time.perf_counter()
    network.eval()
    with torch.no_grad(), job.precision.autocast(), seeds.set_aside(job.device):
        size = _at_once(job, task, network, events)
        sample = network.sampler(size)
        line = bar.add_task("generating", total=events, note="")

        def tick(share: float) -> None:
            so_far = min(events, done + share * size * ranks.size)
            bar.update(line, completed=int(so_far), note=f"{so_far / (time.perf_counter() - begun):.4g} events/s")

        for first in range(0, events, size * ranks.size):
            start = first + ranks.rank * size
            numbers = np.arange(start, max(start, min(start + size, events)))
            made = task.planned(network, sample, numbers, tick)
            for part in ranks.gather(report.pack(None, None, made)):
                report.add(part)
            done = min(events, first + size * ranks.size)
            tick(0.0)
    seconds = time.perf_counter() - begun
    logger.info("generated %d events, %d at once: %.1f s, %.4g events/s", events, size, seconds, events / seconds)


def _at_once(job: Job, task: Generation, network: EventGenerator, events: int) -> int:
    """How many events each rank generates at a time, the same on all: as asked for, as the network has it best, or as
    many as a minibatch has; then such that no batch is much smaller than others."""
    ranks, memory = job.ranks, free_memory(job.device)
    most = task.config.generate.at_once or network.at_once(memory) or -(-job.settings.run.minibatch_size // ranks.size)
    most = min(ranks.exchange(most))
    each = -(-events // ranks.size)
    batches = -(-each // most)
    return -(-each // batches)
