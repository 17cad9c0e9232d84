"""mode=iotest: the speed of reading events, and a summary of their contents. No network is built."""

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from airshower.config.schema import IotestConfig
from airshower.data.feeder import Feeder
from airshower.data.plan import Dealer, EntryPlan
from airshower.errors import UserError
from airshower.modes.job import Job
from airshower.runtime import run_folder
from airshower.runtime.device import synchronize
from airshower.runtime.folders import write_whole
from airshower.runtime.log import logger, progress_bar
from airshower.runtime.ranks import Ranks
from airshower.tasks.task import Task

SPLITS = ("test",)
"""What is opened before the run starts."""


def run(job: Job[IotestConfig]) -> int:
    """Read `run.iterations` minibatches of the test split as in training, write a report, and return 0. Collective."""
    folder = job.folder / "iotest"
    settings = job.settings
    ranks = job.ranks
    source = job.splits.test.source
    entries = job.splits.test.entries
    skip = settings.mode.start_index
    size = settings.run.minibatch_size
    if skip >= len(entries):
        raise UserError(f"mode.start_index={skip}: there are {len(entries)} events")
    plan = EntryPlan(entries[skip:], size, job.order, settings.framework.seed, source.file_ends())
    task = job.build_task()
    products = Products()
    reading = _read(job, task, Dealer(plan, size, ranks), products)
    everyone = ranks.gather((reading, products.summary))
    alone = _alone(job, task, plan) if ranks.master and ranks.size > 1 else 0.0
    ranks.barrier(patient=True)
    with run_folder.claimed(ranks, folder, job.config, overwrite=True):
        if ranks.master:
            _write(job, folder, _summary(everyone, alone))
    return 0


@dataclass(frozen=True)
class Reading:
    """What one rank read: `images`, `nbytes`, and seconds from batch to batch."""

    images: int
    nbytes: int
    seconds: list[float]

    @property
    def images_per_second(self) -> float:
        """The reading speed of this rank."""
        return self.images / sum(self.seconds) if self.seconds else 0.0


def _read(job: Job, task: Task, dealer: Dealer, products: "Products") -> Reading:
    iterations = job.settings.run.iterations
    images = 0
    nbytes = 0
    seconds = []
    start = last = time.perf_counter()
    source = job.splits.test.source
    threads = job.settings.framework.reading_threads
    with Feeder(source, dealer, iterations, threads) as feeder, progress_bar() as bar:
        line = bar.add_task("reading", total=iterations, note="")
        for _, batches in feeder:
            for batch in batches:
                sample = task.prepare(batch.to(job.device))
                synchronize(job.device)
                images = images + len(batch)
                nbytes = nbytes + batch.nbytes
                products.add(task.products(batch, sample))
            now = time.perf_counter()
            seconds.append(now - last)
            last = now
            bar.update(line, advance=1, note=f"{images / (now - start):.1f} img/s")
    return Reading(images, nbytes, seconds)


def _alone(job: Job, task: Task, plan: EntryPlan) -> float:
    """Images per second of the master while the others wait, in batches of its usual size."""
    share = -(-plan.step_size // job.ranks.size)
    alone = EntryPlan(plan.entries, share, plan.config, plan.seed, plan.file_ends)
    return _read(job, task, Dealer(alone, share, Ranks()), Products()).images_per_second


def _summary(ranks: list[tuple[Reading, dict]], alone: float) -> dict[str, Any]:
    readings = [item[0] for item in ranks]
    images = sum(item.images for item in readings)
    slowest = max(sum(item.seconds) for item in readings)
    report: dict[str, Any] = {
        "images": images,
        "images_per_second": images / slowest if slowest else 0.0,
        "megabytes_per_second": sum(item.nbytes for item in readings) / 1e6 / slowest if slowest else 0.0,
        "seconds_per_batch": {
            name: _quantile([max(batch) for batch in zip(*(r.seconds for r in readings), strict=True)], q)
            for name, q in (("p50", 0.5), ("p95", 0.95))
        },
    }
    if len(readings) > 1:
        rates = [item.images_per_second for item in readings]
        report["ranks"] = {
            "images_per_second": rates,
            "slowest": int(np.argmin(rates)),
            "images_per_second_alone": alone,
            "scaling_efficiency": report["images_per_second"] / (len(rates) * alone) if alone else 0.0,
        }
    return report | {"products": merged([item[1] for item in ranks])}


def _write(job: Job, folder: Path, report: dict[str, Any]) -> None:
    run_folder.write_provenance(folder, job.overrides, {"ranks": job.ranks.size})
    write_whole(folder / "report.json", json.dumps(report, indent=1) + "\n")
    _log(report)
    logger.info("report: %s", folder / "report.json")


class Products:
    """Shape, smallest, mean and largest value of each product over all batches."""

    def __init__(self) -> None:
        self.summary: dict[str, dict] = {}

    def add(self, products: dict[str, Any]) -> None:
        """Add the products of one batch, see `Task.products`."""
        for name, values in products.items():
            if values is None or not len(values):
                continue
            values = torch.as_tensor(values)
            shape, values = list(values.shape), values[values.isfinite()]  # pixels without light have no time
            if not len(values):
                continue
            entry = self.summary.setdefault(name, {"shape": [], "low": np.inf, "high": -np.inf, "sum": 0.0, "count": 0})
            entry["shape"] = shape
            entry["low"], entry["high"] = (
                min(entry["low"], float(values.min())),
                max(entry["high"], float(values.max())),
            )
            entry["sum"] += float(values.sum(dtype=torch.float64))
            entry["count"] += values.numel()


def merged(ranks: list[dict[str, dict]]) -> dict[str, dict]:
    """Per product over all ranks: shape of the first rank's last batch, min, mean, max."""
    report = {}
    for name in dict.fromkeys(name for summaries in ranks for name in summaries):
        parts = [summaries[name] for summaries in ranks if name in summaries]
        report[name] = {
            "shape": parts[0]["shape"],
            "min": min(part["low"] for part in parts),
            "mean": sum(part["sum"] for part in parts) / sum(part["count"] for part in parts),
            "max": max(part["high"] for part in parts),
        }
    return report


def _quantile(values: list[float], q: float) -> float:
    return float(np.quantile(values, q)) if values else 0.0


def _log(report: dict) -> None:
    wait = report["seconds_per_batch"]
    logger.info(
        "%d images: %.1f images/s, %.1f MB/s, %.1f ms a batch (p95 %.1f ms)", report["images"],
        report["images_per_second"], report["megabytes_per_second"], 1e3 * wait["p50"], 1e3 * wait["p95"],
    )  # fmt: skip
    if "ranks" in report:
        each = report["ranks"]
        logger.info(
            "%d ranks: %.1f images/s each, slowest rank %d with %.1f; alone, rank 0 reads %.1f: efficiency %.0f %%",
            len(each["images_per_second"]), np.mean(each["images_per_second"]), each["slowest"],
            min(each["images_per_second"]), each["images_per_second_alone"], 100 * each["scaling_efficiency"],
        )  # fmt: skip
    for name, values in report["products"].items():
        shape = " x ".join(map(str, values["shape"]))
        logger.info(
            "  %-12s %-20s min %g  mean %.4g  max %g", name, shape, values["min"], values["mean"], values["max"]
        )
