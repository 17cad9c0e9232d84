"""Scaling: several ranks on one machine."""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from benchmarks.common import HALVINGS, ROOT, command, repeat_events


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--events", type=int, default=200)
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--network", default="a21")
    parser.add_argument("--downsample", type=int, default=2)
    parser.add_argument("--steps", type=int, default=12)


def run(arguments: argparse.Namespace) -> None:
    """Weak scaling: one event a rank and step, one thread a rank; efficiency is images/s over N times that of one.

    Then what the plan, the agreement to stop and the sum of the metrics cost in a step.
    """
    step = {}
    with tempfile.TemporaryDirectory() as folder:
        file = repeat_events(arguments.file, Path(folder) / "repeated.h5", arguments.events)
        common = [f"network={arguments.network}", "data=lartpc", f"data.file={file}", "run.distributed=true"]
        depth = min(6, HALVINGS - arguments.downsample)
        common += [f"data.downsample={arguments.downsample}", f"network.depth={depth}"]
        common += ["framework.intra_op_parallelism_threads=1", "run.compute_mode=auto"]
        base: dict[str, float] = {}
        for ranks in arguments.ranks:
            for mode in ("iotest", "train"):
                output = Path(folder) / f"{mode}_{ranks}"
                options = [f"mode={mode}", f"output_dir={output}", f"run.minibatch_size={ranks}"]
                options += ["run.iterations=100"] if mode == "iotest" else [f"run.iterations={arguments.steps}"]
                launch(ranks, [str(ROOT / "bin" / "exec.py"), *common, *options])
                rate = iotest_rate(output) if mode == "iotest" else training_rate(output)
                step[ranks] = ranks / rate
                first = base.setdefault(mode, rate / ranks)
                print(f"{mode} {ranks} ranks: {rate:.2f} images/s, efficiency {rate / ranks / first:.2f}", flush=True)
    for ranks in arguments.ranks:
        said = launch(ranks, command(coordinate, {"entries": 1_000_000, "repeat": 2000}))
        costs = json.loads(said.strip().splitlines()[-1])
        cells = [f"{name} {1e6 * cost:.0f} us ({100 * cost / step[ranks]:.4f} %)" for name, cost in costs.items()]
        print(f"{ranks} ranks, of a step of {step[ranks]:.2f} s:  " + "   ".join(cells), flush=True)


def launch(ranks: int, command: list[str]) -> str:
    """What `mpirun -n ranks python command` prints, each rank with one thread."""
    mpirun = Path(sys.executable).with_name("mpirun")
    environment = {
        **os.environ, "OMP_NUM_THREADS": "1", "OMPI_ALLOW_RUN_AS_ROOT": "1", "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe", "PRTE_MCA_hwloc_default_binding_policy": "none",
    }  # fmt: skip
    line = [str(mpirun) if mpirun.exists() else "mpirun", "-n", str(ranks), sys.executable, *command]
    done = subprocess.run(line, env=environment, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{' '.join(line)}:\n{done.stderr}")
    return done.stdout


def iotest_rate(output: Path) -> float:
    """Images/s of a finished iotest."""
    return json.loads((output / "iotest" / "report.json").read_text())["images_per_second"]


def training_rate(output: Path) -> float:
    """The median images/s of the steps of a finished training."""
    rows = (output / "metrics" / "train.csv").read_text().splitlines()
    column = rows[0].split(",").index("images_per_second")
    rates = sorted(float(row.split(",")[column]) for row in rows[4:])  # the first steps warm up
    return rates[len(rates) // 2]


def coordinate(entries: int, repeat: int) -> dict | None:
    """Seconds that each act of coordination takes, run on every rank by mpirun."""
    import numpy as np
    import torch

    from airshower.data.plan import Dealer, EntryPlan
    from airshower.runtime import mpi

    here = mpi.connect(True, 600.0)
    here.start_torch(torch.device("cpu"))
    torch.set_num_threads(1)
    dealer = Dealer(EntryPlan(np.arange(entries), here.size), here.size, here)
    counters = {"confusion": torch.zeros(3, 3, 3), "sum": torch.zeros(3, 5), "count": torch.zeros(3, 5)}
    acts = {
        "plan": dealer.hand,
        "stop": lambda: here.any(False),
        "metrics": lambda: here.sum_all(counters),
        "normaliser": lambda: here.sum(torch.zeros(3, 3, dtype=torch.float64)),
    }
    costs = {}
    for name, act in acts.items():
        act()
        here.barrier()
        start = time.perf_counter()
        for _ in range(repeat):
            act()
        costs[name] = (time.perf_counter() - start) / repeat
    here.close()
    return costs if here.master else None
