"""What the measurements share.

The process that starts the others imports nothing large: on Linux the peak memory of a process counts from its parent's
when it was started. And the peer's reader runs in a Python without airshower.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import nn

    from airshower.engine.step import Step
    from airshower.runtime.device import Precision
    from airshower.tasks.task import Task

ROOT = Path(__file__).resolve().parents[2]
HALVINGS = 8  # of SBND's images, 1280 x 2048


def add_machine(parser: argparse.ArgumentParser) -> None:
    """What says where networks are computed."""
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")


def command(function: Callable, what: dict) -> list[str]:
    """Arguments of a Python that prints what `function` returns, given `what`."""
    name = f"{function.__module__}.{function.__name__}"
    return [str(ROOT / "scripts" / "benchmark.py"), "_measure", name, json.dumps(what)]


def measure(function: Callable, what: dict, python: str = sys.executable) -> dict:
    """The result of one measurement in a process of its own."""
    threads = str(what.get("threads", 1))
    environment = {**os.environ, "OMP_NUM_THREADS": threads, "HDF5_USE_FILE_LOCKING": "FALSE"}
    line = [python, *command(function, what)]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or f"exit code {done.returncode}"
        raise SystemExit(f"{what}: {said.splitlines()[-1]}")
    return json.loads(done.stdout.strip().splitlines()[-1])


def timed(fetch: Callable[[], int], seconds: float) -> dict[str, float]:
    """Calls `fetch`, which says how many things it made, for so long; things per CPU second and per second."""
    fetch()
    made = 0
    wall = time.perf_counter()
    cpu = time.process_time()
    while not made or time.perf_counter() - wall < seconds:
        made += fetch()
    return {"cpu": made / (time.process_time() - cpu), "wall": made / (time.perf_counter() - wall)}


def repeat_events(source: Path, path: Path, events: int) -> Path:
    """A larcv3 file of `events` events that repeats the wires and labels of `source`, in larcv's own layout."""
    import h5py
    import numpy as np

    keep = ("sparse2d_sbndwire_group", "sparse2d_sbnd_cosmicseg_group")
    with h5py.File(source) as old, h5py.File(path, "w", libver="earliest") as new:
        ids = old["Events/event_id"][:]
        times = -(-events // len(ids))
        repeated = np.tile(ids, times)[:events]
        repeated["event"] = np.arange(events)
        new.create_dataset("Events/event_id", data=repeated, chunks=(100,), maxshape=(None,), compression=1)
        for name in keep:
            below = {"extents": "voxel_extents", "voxel_extents": "voxels"}
            for table, data in old[f"Data/{name}"].items():
                rows = np.tile(data[:], times)
                if table in below:
                    step = len(old[f"Data/{name}/{below[table]}"])
                    rows["first"] += np.repeat(np.arange(times, dtype=np.uint64) * np.uint64(step), len(data))
                rows = rows[:events] if table == "extents" else rows
                new.create_dataset(
                    f"Data/{name}/{table}",
                    data=rows,
                    dtype=data.dtype,
                    chunks=data.chunks,
                    maxshape=(None,),
                    compression=1,
                )
    return path


def network_options(name: str, most: int) -> tuple[type, dict]:
    """The class that a network's yaml names and its options, with a depth of `most` at most."""
    from omegaconf import OmegaConf

    from airshower.config.build import plain, target

    node = OmegaConf.load(ROOT / "conf" / "network" / f"{name}.yaml").network
    options = plain(node)
    options.pop("_target_")
    return target(node, "network"), {**options, "depth": min(options["depth"], most)}


def build_step(network: "nn.Module", task: "Task", precision: "Precision") -> "Step":
    """A training step with Adam, on one rank."""
    from airshower.config.schema import OptimizerConfig
    from airshower.engine.step import Step, TrainedPhase
    from airshower.runtime.ranks import Ranks
    from airshower.runtime.timers import Timers

    phases = [TrainedPhase.of(phase, network, OptimizerConfig(), Ranks()) for phase in task.phases(network)]
    return Step(task, phases, precision, Ranks(), 0.0, Timers(precision.device, enabled=False))
