"""mode=iotest: how fast events are read, and what they hold. No network is built."""

import json
import time

import numpy as np
import torch

from airshower.config import record
from airshower.data.batch import Batch
from airshower.data.feeder import Feeder
from airshower.data.plan import EntryPlan
from airshower.errors import UserError
from airshower.modes.job import Job
from airshower.runtime.device import synchronize
from airshower.runtime.log import logger, progress_bar


def run(job: Job) -> int:
    """Read `run.iterations` minibatches as training would, and report; returns 0."""
    folder, run_config = job.folder / "iotest", job.settings.run
    selection, task = job.splits.train, job.build_task()
    size, skip = run_config.minibatch_size, job.settings.mode.start_index
    if skip >= len(selection.entries):
        raise UserError(f"mode.start_index={skip}: there are {len(selection.entries)} events")
    plan = EntryPlan(selection.entries[skip:], size, job.order, job.settings.framework.seed)
    waits, products, images, nbytes = [], Products(), 0, 0
    start = time.perf_counter()
    with Feeder(selection.source, plan, size, job.ranks.share, run_config.iterations) as feeder, progress_bar() as bar:
        line = bar.add_task("reading", total=run_config.iterations, note="")
        for _, batches in feeder:
            for batch in batches:
                sample = task.prepare(batch.to(job.device))
                synchronize(job.device)
                images, nbytes = images + len(batch), nbytes + batch.nbytes
                products.add(batch, {"image": sample.image, "label": sample.label})
            now = time.perf_counter()
            waits.append(now - start - sum(waits))
            bar.update(line, advance=1, note=f"{images / (now - start):.1f} img/s")
    report = {
        "images": images,
        "images_per_second": images / sum(waits) if waits else 0.0,
        "megabytes_per_second": nbytes / 1e6 / sum(waits) if waits else 0.0,
        "seconds_per_batch": {"p50": _quantile(waits, 0.5), "p95": _quantile(waits, 0.95)},
        "products": products.report(),
    }
    record.claim(folder, job.config, overwrite=True)
    record.write_provenance(folder, job.overrides, {"ranks": job.ranks.size})
    (folder / "report.json").write_text(json.dumps(report, indent=1) + "\n")
    _log(report)
    logger.info("report: %s", folder / "report.json")
    return 0


class Products:
    """Shape, smallest, mean and largest value of each product over all batches."""

    def __init__(self) -> None:
        self.seen: dict[str, dict] = {}

    def add(self, batch: Batch, dense: dict[str, torch.Tensor]) -> None:
        """Count one batch: its non-empty pixels and its dense images."""
        sparse = {"voxel value": batch.images.value, "voxel label": batch.images.label}
        for name, values in {**sparse, **dense}.items():
            if values is None or not len(values):
                continue
            values = torch.as_tensor(values)
            entry = self.seen.setdefault(name, {"shape": [], "low": np.inf, "high": -np.inf, "sum": 0.0, "count": 0})
            entry["shape"] = list(values.shape)
            entry["low"], entry["high"] = (
                min(entry["low"], float(values.min())),
                max(entry["high"], float(values.max())),
            )
            entry["sum"] += float(values.sum(dtype=torch.float64))
            entry["count"] += values.numel()

    def report(self) -> dict[str, dict]:
        """Per product: shape of the last batch, min, mean, max."""
        return {
            name: {"shape": e["shape"], "min": e["low"], "mean": e["sum"] / e["count"], "max": e["high"]}
            for name, e in self.seen.items()
        }


def _quantile(values: list[float], q: float) -> float:
    return float(np.quantile(values, q)) if values else 0.0


def _log(report: dict) -> None:
    wait = report["seconds_per_batch"]
    logger.info(
        "%d images: %.1f images/s, %.1f MB/s, %.1f ms a batch (p95 %.1f ms)", report["images"],
        report["images_per_second"], report["megabytes_per_second"], 1e3 * wait["p50"], 1e3 * wait["p95"],
    )  # fmt: skip
    for name, values in report["products"].items():
        shape = " x ".join(map(str, values["shape"]))
        logger.info(
            "  %-12s %-20s min %g  mean %.4g  max %g", name, shape, values["min"], values["mean"], values["max"]
        )
