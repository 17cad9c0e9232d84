"""Several runs from one command: hydra's -m, in one process and as jobs of submitit."""

import importlib.util
import subprocess
import sys
from pathlib import Path

import pytest

from tests.command import TINY_TRAIN, airshower

ROOT = Path(__file__).parents[2]
TRAIN = (*TINY_TRAIN, "run.iterations=1", "mode.validation_iteration=0")
RUNS = Path("output") / "torch" / "uresnet"


def test_a_sweep_in_one_process_leaves_a_folder_of_each_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    outcome = airshower("-m", *TRAIN, "run.id=a,b")
    assert outcome.code == 0, outcome.err
    assert {path.name for path in (tmp_path / RUNS).iterdir()} == {"a", "b"}
    (sweep,) = (tmp_path / "output" / "sweeps").iterdir()
    assert [path.name for path in sweep.iterdir()] == ["multirun.yaml"]


@pytest.mark.full
def test_a_sweep_of_jobs_runs_each_and_shows_the_error_of_one(tmp_path: Path) -> None:
    if importlib.util.find_spec("submitit") is None:
        pytest.skip("hydra-submitit-launcher is not here: pip install 'airshower[sweep]'")
    sweep = ("-m", "hydra/launcher=submitit_local", "run.minibatch_size=2,0", "run.id=size_${run.minibatch_size}")
    overrides = [item for item in TRAIN if not item.startswith("run.minibatch_size")]
    command = [sys.executable, str(ROOT / "bin" / "exec.py"), *sweep, *overrides]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 1
    assert "airshower: run.minibatch_size=0: must be at" in done.stderr
    assert [path.name for path in (tmp_path / RUNS).iterdir()] == ["size_2"]
    assert (tmp_path / RUNS / "size_2" / "checkpoints" / "step_00000001.ckpt").exists()
