"""mode=inference: what a network makes of a whole file, or generates; in the detector's format, with metrics."""

import contextlib
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

from torch import nn

from airshower.config.schema import InferenceConfig
from airshower.data.batch import EventBatch
from airshower.data.source import Selection
from airshower.engine import checkpoint
from airshower.errors import UserError
from airshower.modes.evaluate import Evaluation, evaluate
from airshower.modes.generate import generate
from airshower.modes.job import Job
from airshower.networks.generator import EventGenerator
from airshower.runtime import run_folder
from airshower.runtime.log import logger, progress_bar
from airshower.tasks.generation import Generation
from airshower.tasks.task import Task
from airshower.writers import figures


def run(job: Job[InferenceConfig]) -> int:
    """Predict every event from `mode.start_index` on; returns 0. Collective: the master writes what all ranks predict,
    in the order of the events."""
    mode, selection, folder, ranks = job.settings.mode, job.splits.whole, job.folder / "predictions", job.ranks
    path, state = ranks.from_master(lambda: checkpoint.find_and_load(mode.weights_location or str(job.folder)))
    task = job.build_task()
    network = job.build_network(task.outputs)
    checkpoint.load_weights(network, state, path)
    entries = selection.entries[mode.start_index :]
    if not len(entries):
        raise UserError(f"mode.start_index={mode.start_index}: there are {len(selection.entries)} events")
    about = {"checkpoint": str(path), "step": str(state["step"]), "data": selection.source.digest}
    with run_folder.claimed(ranks, folder, job.config, job.settings.run.overwrite):
        if ranks.master:
            run_folder.write_provenance(folder, job.overrides, {**about, "ranks": ranks.size})
        logger.info("%d events with the weights of %s (step %d)", len(entries), path, state["step"])
        _predict(job, task, network, Selection(selection.source, entries), about)
        ranks.barrier(patient=True)  # metrics and figures of many events take the master longer than an answer may
    return 0


def _predict(
    job: Job[InferenceConfig], task: Task, network: nn.Module, selection: Selection, about: dict[str, str]
) -> None:
    """Write predictions, metrics and figures of the selection's events."""
    mode, folder, ranks, entries = job.settings.mode, job.folder / "predictions", job.ranks, selection.entries
    report = task.report(replace(job.splits, whole=selection), folder, about, mode.scores)
    generates = isinstance(task, Generation)
    with report if ranks.master else contextlib.nullcontext(), progress_bar() as bar:
        line, begun, read = bar.add_task("inference", total=len(entries), note=""), time.perf_counter(), 0

        def add(batch: EventBatch, sample: Any, outputs: Any) -> None:
            nonlocal read
            part = None if generates else report.pack(batch, sample, outputs)
            for events, packed in ranks.gather((len(batch), part)):
                if packed is not None:
                    report.add(packed)
                read += events
            bar.update(line, completed=read, note=f"{read / (time.perf_counter() - begun):.2f} img/s")

        size = job.settings.run.minibatch_size
        result = Evaluation({}, {})
        if not generates or task.measures:
            result = evaluate(job, task, network, selection.source, entries, size, mode.displays, "event", add)
        if isinstance(task, Generation) and isinstance(network, EventGenerator):
            generate(job, task, network, report, bar)
    if ranks.master:
        made = report.finish(entries, result.metrics, result.counters)
        for entry, figure in result.displays:
            made.append(figures.save(figure, folder / "figures" / f"event_{entry}.png"))
        _log(folder, result.metrics, task.headline, made)


def _log(folder: Path, metrics: dict[str, float], headline: dict[str, str], made: list[Path]) -> None:
    for name, value in metrics.items():
        if name in headline or name.startswith("Average/"):
            logger.info("  %-34s %.5f", name, value)
    logger.info("predictions and metrics.json: %s", folder)
    logger.info("figures: %s", ", ".join(str(path.relative_to(folder)) for path in made))
