"""mode=inference: a trained network over a whole file; predictions in the detector's format, metrics and figures."""

from typing import Any

from airshower.config import record
from airshower.data.batch import Batch
from airshower.engine import checkpoint
from airshower.errors import UserError
from airshower.modes.evaluate import evaluate
from airshower.modes.job import Job
from airshower.runtime.log import logger, progress_bar
from airshower.writers import figures


def run(job: Job) -> int:
    """Predict every event from `mode.start_index` on; returns 0."""
    mode, selection, folder = job.settings.mode, job.splits.whole, job.folder / "predictions"
    path = checkpoint.find(mode.weights_location or str(job.folder))
    state = checkpoint.load(path)
    task, network = job.build_task(), job.build_network()
    checkpoint.load_weights(network, state, path)
    entries = selection.entries[mode.start_index :]
    if not len(entries):
        raise UserError(f"mode.start_index={mode.start_index}: there are {len(selection.entries)} events")
    record.claim(folder, job.config, job.settings.run.overwrite)
    about = {"checkpoint": str(path), "step": str(state["step"]), "data": selection.source.digest}
    record.write_provenance(folder, job.overrides, about)
    logger.info("%d events with the weights of %s (step %d)", len(entries), path, state["step"])
    size = job.settings.run.minibatch_size
    with task.report(selection.source, folder, about, mode.scores) as report, progress_bar() as bar:
        line = bar.add_task("inference", total=len(entries), note="")

        def add(batch: Batch, sample: Any, outputs: Any) -> None:
            report.add(batch, sample, outputs)
            bar.advance(line, len(batch))

        result = evaluate(job, task, network, selection.source, entries, size, mode.displays, "event", add)
    made = report.finish(entries, result.metrics, result.counters)
    for entry, figure in result.displays:
        made.append(figures.save(figure, folder / "figures" / f"event_{entry}.png"))
    for name, value in result.metrics.items():
        if name == "loss" or name.startswith("Average/"):
            logger.info("  %-34s %.5f", name, value)
    logger.info("predictions, metrics.json and events.csv: %s", folder)
    logger.info("figures: %s", ", ".join(str(path.relative_to(folder)) for path in made))
    return 0
