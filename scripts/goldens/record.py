"""Records: made by a process of the sources that are recorded, kept as JSON."""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from datetime import UTC, datetime
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

from goldens.cases import DONE, Case, cases

from airshower.errors import DataError, UserError
from airshower.runtime.log import logger, progress

FORMAT = 1
ROOT = Path(__file__).resolve().parents[2]
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
Record = dict[str, Any]


def make(source: Path, only: str) -> Record:
    """What the sources of a checkout compute, case by case; of those whose names fit the pattern `only`."""
    wanted = chosen(source, only)
    if not wanted:
        raise UserError(f"--only {only}: no case has such a name; --list prints them")
    results = {case.name: {"skipped": why} for case in wanted if (why := skipped(case))}
    names = [case.name for case in wanted if case.name not in results]
    computed, machine = _compute(source, names)
    results |= computed
    return {
        "format": FORMAT,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "revision": _revision(source),
        "machine": machine,
        "cases": {case.name: results[case.name] for case in wanted},
    }


def chosen(source: Path, only: str) -> list[Case]:
    """The cases of a checkout whose names fit a pattern."""
    return [case for case in cases(source) if fits(case.name, only)]


def fits(name: str, only: str) -> bool:
    """True if the pattern (*, ?) fits a part of the name."""
    return fnmatch(name, f"*{only}*")


def skipped(case: Case) -> str:
    """Why a case can't be run here; empty if it can."""
    missing = [path for file in case.files if not (path := samples() / file).exists()]
    return case.skipped or (f"{missing[0].name} is not in {missing[0].parent.name}/ of the samples" if missing else "")


def samples() -> Path:
    """The folder of sample files."""
    return Path(os.environ.get("AIRSHOWER_SAMPLE_DATA") or ROOT.parent / "shared" / "data")


def read(path: Path) -> Record:
    """A record from its file. Raises `DataError`."""
    try:
        record = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: can't be read ({error})") from None
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise DataError(f"{path}: is no record of scripts/golden (format {FORMAT})")
    return record


def _compute(source: Path, names: list[str]) -> tuple[dict[str, Any], dict[str, str]]:
    """Results by case, and the machine. Simulated files are made anew, so nothing depends on what is in a cache."""
    with tempfile.TemporaryDirectory(prefix="golden_") as name:
        folder = Path(name)
        environment = os.environ | dict.fromkeys(THREADS, "1")
        environment |= {
            "PYTHONPATH": f"{source / 'src'}{os.pathsep}{ROOT / 'scripts'}",
            "AIRSHOWER_CACHE": str(folder / "cache"),
            "AIRSHOWER_SAMPLE_DATA": str(samples().resolve()),
        }
        command = [sys.executable, "-m", "goldens.worker", str(source), str(folder), *names]
        worker = subprocess.Popen(command, cwd=folder, env=environment, stdout=subprocess.PIPE, text=True)
        for number, done in enumerate(progress(_done(worker), "computing", total=len(names)), 1):
            logger.info("%d/%d %s", number, len(names), done)
        if worker.wait():
            raise UserError(f"{source}: its process ended with exit code {worker.returncode}")
        results = json.loads((folder / "results.json").read_text())
        return results["cases"], results["machine"]


def _done(worker: subprocess.Popen) -> Iterator[str]:
    assert worker.stdout is not None
    for line in worker.stdout:
        if line.startswith(DONE):
            yield line.removeprefix(DONE).rstrip()


def _revision(source: Path) -> str:
    command = ["git", "-C", str(source), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip() or "unknown"
