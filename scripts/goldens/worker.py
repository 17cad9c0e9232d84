"""The process that runs cases one after the other: `python -m goldens.worker SOURCE FOLDER NAME...`.

It prints a line `done: NAME` after each case; FOLDER/results.json has machine and results.
"""

import json
import os
import shutil
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any

from goldens import collect
from goldens.cases import DONE, FITTED, SAMPLES, Case, cases
from goldens.machine import machine
from goldens.run import run

MPIRUN = {
    "OMPI_ALLOW_RUN_AS_ROOT": "1",
    "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
    "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
    "PRTE_MCA_hwloc_default_binding_policy": "none",
}
STILL = (
    "run.iterations=1",
    "mode.validation_iteration=0",
    "mode.summary_iteration=2",
    "mode.optimizer.learning_rate=1e-60",
)
"""For a checkpoint with the initial weights: a step of this length is zero in float32."""


def main(source: Path, folder: Path, names: list[str]) -> None:
    """Run the cases of these names, and write FOLDER/results.json."""
    by_name = {case.name: case for case in cases(source)}
    results: dict[str, dict[str, Any]] = {}
    for name in names:
        begun = seconds()
        try:
            results[name] = {"parts": record(source, by_name[name], folder / "run")}
        except Exception as error:  # the other cases are recorded nevertheless
            traceback.print_exc()
            results[name] = {"failed": f"{type(error).__name__}: {error}"}
        results[name]["seconds"] = round(seconds() - begun, 2)
        shutil.rmtree(folder / "run", ignore_errors=True)
        print(f"{DONE}{name}", flush=True)
    (folder / "results.json").write_text(json.dumps({"machine": machine(), "cases": results}))


def seconds() -> float:
    """CPU time of this process and those that it started and waited for."""
    return sum(os.times()[:4])


def record(source: Path, case: Case, folder: Path) -> dict[str, collect.Part]:
    """What a case computes, with its runs in `folder`. Raises `RuntimeError` for a run that fails."""
    samples = f"{os.environ['AIRSHOWER_SAMPLE_DATA']}/"
    train = [key.replace(SAMPLES, samples) for key in case.commands["train"]]
    predict = [key.replace(SAMPLES, samples) for key in case.commands["inference"]]
    output = f"output_dir={folder / 'run'}"
    still = [key for key in STILL if FITTED not in train or not key.startswith("run.iterations=")]
    execute(source, folder / "initial_notes", *train, *still, f"output_dir={folder / 'initial'}")
    parts = {"command": case.commands, **collect.initial(folder / "initial")}
    if case.stop:
        execute(source, folder / "notes", *train, f"run.iterations={case.stop}", output)
    execute(source, folder / "notes", *train, output, ranks=case.ranks)
    parts |= collect.trained(folder / "run", folder / "notes")
    weights = max((folder / "run" / "checkpoints").glob("step_*.ckpt"))
    execute(source, folder / "prediction_notes", *predict, f"mode.weights_location={weights}", output)
    parts["predictions"] = collect.predicted(folder / "run" / "predictions")
    return parts


def execute(source: Path, notes: Path, *overrides: str, ranks: int = 1) -> None:
    """A command line of airshower; of several ranks, in processes of their own. Raises `RuntimeError` if it fails."""
    if ranks == 1:
        failed = run(source, notes, *overrides)
    else:
        mpirun = Path(sys.executable).parent / "mpirun"
        command = [str(mpirun) if mpirun.exists() else "mpirun", "-n", str(ranks), sys.executable, "-m", "goldens.run"]
        command += [str(source), str(notes), *overrides, "run.distributed=true"]
        done = subprocess.run(command, env=os.environ | MPIRUN, capture_output=True, text=True, check=False)
        failed = done.stderr or f"exit code {done.returncode}" if done.returncode else ""
    if failed:
        raise RuntimeError(failed.strip().splitlines()[-1])


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3:])
