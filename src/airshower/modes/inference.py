"""mode=inference: predictions of a network for the test events, or generated events, with metrics."""

import contextlib
import time
from pathlib import Path
from typing import Any, cast

from torch import nn

from airshower.config.schema import InferenceConfig
from airshower.data.batch import Batch
from airshower.data.splits import Selection, Splits
from airshower.engine import checkpoint
from airshower.errors import UserError
from airshower.modes.evaluate import evaluate
from airshower.modes.generate import generate
from airshower.modes.job import Job
from airshower.runtime import run_folder
from airshower.runtime.log import logger, progress_bar
from airshower.tasks.task import GenerationTask, PredictionTask, Task
from airshower.writers import figures

SPLITS = ("test",)
"""What is opened before the run starts."""


def run(job: Job[InferenceConfig]) -> int:
    """Predict every event from `mode.start_index` on, or generate events like them; returns 0. Collective: the master
    writes the predictions of all ranks in the order of the events."""
    mode = job.settings.mode
    selection = job.splits.test
    folder = job.folder / "predictions"
    ranks = job.ranks
    location = mode.weights_location or job.settings.run.folder or str(job.folder)
    path, state = ranks.from_master(lambda: checkpoint.find_and_load(location))
    task = job.build_task()
    if "outputs" in state:
        task.keep(state["outputs"])
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
        splits = job.splits.tested_on(Selection(selection.source, entries))
        if isinstance(task, GenerationTask):
            metrics, paths = generate(job, task, network, splits, folder, about)
        else:
            metrics, paths = _predict(job, cast(PredictionTask, task), network, splits, folder, about)
        if ranks.master:
            _log(folder, metrics, task, paths)
        ranks.barrier(patient=True)  # metrics and figures of many events may take the master longer than the timeout
    return 0


def _predict(
    job: Job[InferenceConfig],
    task: PredictionTask,
    network: nn.Module,
    splits: Splits,
    folder: Path,
    provenance: dict[str, str],
) -> tuple[dict[str, float], list[Path]]:
    """Write predictions, metrics and figures of the events of `splits.test` into `folder`; returns the metrics, and on
    the master the figures. Collective."""
    mode = job.settings.mode
    ranks = job.ranks
    source = splits.test.source
    entries = splits.test.entries
    report = task.report(splits, folder, provenance, mode.scores)
    with report if ranks.master else contextlib.nullcontext(), progress_bar() as bar:
        line = bar.add_task("inference", total=len(entries), note="")
        begun = time.perf_counter()
        read = 0

        def add(batch: Batch, sample: Any, outputs: Any) -> None:
            nonlocal read
            for events, packed in ranks.gather((len(batch), report.pack(batch, sample, outputs))):
                report.add(packed)
                read += events
            bar.update(line, completed=read, note=f"{read / (time.perf_counter() - begun):.2f} img/s")

        size = job.settings.run.minibatch_size
        result = evaluate(job, task, network, source, entries, size, mode.displays, "event", add)
    paths: list[Path] = []
    if ranks.master:
        paths = report.finish(entries, result.metrics, result.counters)
        for entry, figure in result.displays:
            paths.append(figures.save(figure, folder / "figures" / f"event_{entry}.png"))
    return result.metrics, paths


def _log(folder: Path, metrics: dict[str, float], task: Task, paths: list[Path]) -> None:
    for name, value in metrics.items():
        if name in task.headline or name.startswith("Average/"):
            logger.info("  %-34s %.5f", name, value)
    logger.info("predictions and metrics.json: %s", folder)
    logger.info("figures: %s", ", ".join(str(path.relative_to(folder)) for path in paths))
