"""Several ranks fail together: soon, with one message, and with a checkpoint to go on from."""

import os
import signal
import time
from pathlib import Path

import pytest

from tests.checkpoints import newest
from tests.command import SEVEN_TRAIN, airshower
from tests.launch import assert_gone, finish, start_worker, wait_for

pytestmark = pytest.mark.mpi

TRAIN = (*SEVEN_TRAIN, "mode.checkpoint_iteration=1")


def last_step(run: Path) -> int:
    return newest(run)["step"]


def processes(log: Path) -> list[int]:
    return [int((log / f"pid_{rank}").read_text()) for rank in range(2)]


@pytest.mark.parametrize(
    ("trouble", "says", "code"),
    [
        ("nan", "rank 1 of 2 ({host}, process {pid}): the loss is nan (entries", 3),
        ("memory", "rank 1 of 2 ({host}, process {pid}): OutOfMemoryError: CUDA out of memory", 1),
        ("sleep", "no sign of rank 1 of 2 ({host}, process {pid}): killed, out of memory, or stuck", 1),
    ],
)
def test_trouble_on_one_rank_ends_all(tmp_path: Path, trouble: str, says: str, code: int) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("run.iterations=50", "run.timeout=6", f"output_dir={run}")
    begun = time.monotonic()
    outcome = finish(start_worker(2, "application", trouble, str(log), *TRAIN, *options))
    assert outcome.code == code, outcome.err
    assert says.format(host=os.uname().nodename, pid=processes(log)[1]) in outcome.err
    assert outcome.err.count("airshower: ") == 1, outcome.err
    assert time.monotonic() - begun < 60
    assert_gone(processes(log))
    step = last_step(run)
    assert step >= 2
    assert airshower(*TRAIN, f"run.iterations={step + 1}", f"output_dir={run}").code == 0
    assert last_step(run) == step + 1


@pytest.mark.parametrize("rank", [0, 1])
def test_a_killed_rank_ends_all(tmp_path: Path, rank: int) -> None:
    run, log = tmp_path / "run", tmp_path / "log"
    job = start_worker(2, "application", "slow", str(log), *TRAIN, "run.iterations=1000", f"output_dir={run}")
    wait_for(run / "checkpoints" / "step_00000002.ckpt", job)
    os.kill(processes(log)[rank], signal.SIGKILL)
    outcome = finish(job, 60)
    assert outcome.code not in (0, 75)
    assert f"rank {rank}" in outcome.err
    assert "signal 9" in outcome.err
    assert_gone(processes(log))
    assert last_step(run) >= 2


def test_a_silent_master_ends_all(tmp_path: Path) -> None:
    """Rank 0 serves the store in which failures are told: the others must not wait for it without end."""
    run, log = tmp_path / "run", tmp_path / "log"
    options = ("run.iterations=1000", "run.timeout=4", f"output_dir={run}")
    job = start_worker(2, "application", "slow", str(log), *TRAIN, *options)
    wait_for(run / "checkpoints" / "step_00000002.ckpt", job)
    pid = processes(log)[0]
    os.kill(pid, signal.SIGSTOP)
    outcome = finish(job, 60)
    assert outcome.code == 1
    host = os.uname().nodename
    assert f"no sign of rank 0 of 2 ({host}, process {pid}): killed, out of memory, or stuck" in outcome.err
    assert_gone(processes(log))
