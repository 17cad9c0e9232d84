"""The folder of a run: its lock, its config and its provenance."""

import contextlib
import json
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airshower.config import record
from airshower.config.record import Resolved
from airshower.errors import DataError, UserError
from airshower.runtime import folders
from airshower.runtime.lock import Lock
from airshower.runtime.log import logger
from airshower.runtime.ranks import Ranks

OWNED = {
    "checkpoints": ("step_*.ckpt", "best.ckpt"),
    "metrics": ("train.csv", "validation.csv", "training_set.csv", "ranks.csv"),
    "tensorboard": ("*/events.out.tfevents.*",),
    "figures": ("training.png", "validation_event_*.png"),
    "predictions": ("config.yaml", "provenance.json", "metrics.json", "events.csv", "predictions.*", "generated.*"),
    "iotest": ("config.yaml", "provenance.json", "report.json"),
    "inspect": ("config.yaml", "provenance.json", "report.json", "index.html", "figures/*.png"),
    "profiles": ("timers.csv", "step_times.png", "trace.json"),
}
"""A run's folders, and the files in each that are deleted if it is a link to a folder elsewhere."""


@contextlib.contextmanager
def claimed(ranks: Ranks, folder: Path, config: Resolved, overwrite: bool) -> Iterator[Lock]:
    """Lock `folder` for this run: a new one, one of the same config, or one emptied with `overwrite`. The master holds
    the lock. Collective.

    Raises `UserError` if it has a run of another config, another process works in it, or it can't be written, and
    `DataError` if its record is damaged.
    """
    lock = Lock(folder / "run.lock")

    def take() -> None:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            lock.acquire()
            _take(folder, config, overwrite)
        except OSError as error:
            raise UserError(f"{folder}: can't be written ({error}); choose another output_dir") from None

    try:
        ranks.from_master(take)
        yield lock
    finally:
        lock.release()


def write_provenance(folder: Path, overrides: list[str], about: dict[str, Any]) -> None:
    """Append the provenance of this run to `provenance.json`: command line, versions, revision, machine. Raises
    `DataError` if the existing file is damaged."""
    path = folder / "provenance.json"
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "overrides": overrides,
        "python": sys.version.split()[0],
        "packages": record.packages(),
        "revision": _revision(),
        "host": platform.node(),
        "machine": platform.platform(),
        **about,
    }
    folders.write_whole(path, json.dumps([*_provenance(path), entry], indent=1) + "\n")


def _take(folder: Path, config: Resolved, overwrite: bool) -> None:
    recorded = folder / "config.yaml"
    _check_links(folder)
    holds_run = recorded.exists() or any((folder / "checkpoints").glob("*.ckpt"))
    if overwrite and holds_run:  # a folder without a run is not emptied
        for name in OWNED:
            _clear(folder / name)
        for name in ("config.yaml", "provenance.json", "process.log"):
            (folder / name).unlink(missing_ok=True)
    elif recorded.exists():
        before = record.unsealed(recorded)
        changed = config.changes(before)
        if changed and config.is_outdated(before):
            raise UserError(
                f"{folder}: holds a run of an older version, which can't be resumed; choose another run.id "
                "(mode.weights_location=FOLDER takes its weights), or run.overwrite=true to delete what is there"
            )
        if changed:
            raise UserError(
                f"{folder}: holds a run with another config ({'; '.join(changed)}); "
                f"choose another {config.place}, or run.overwrite=true to delete what is there"
            )
        _provenance(folder / "provenance.json")
    folders.write_whole(recorded, record.sealed(config.text))


def _check_links(folder: Path) -> None:
    for path in (folder / name for name in OWNED):
        if path.is_symlink() and not path.exists():
            raise UserError(
                f"{path}: is a link to {path.readlink()}, which does not exist; make it, or remove the link"
            )


def _clear(path: Path) -> None:
    """Delete a run's subfolder; for a link to another folder, such as a scratch disk, only the run's files in it."""
    if path.is_symlink():
        old = sorted({file for pattern in OWNED[path.name] for file in path.glob(pattern)})
        for file in old:
            file.unlink()
        if old:
            logger.info("%s is a link to %s: deleted the run's %d files there", path, path.resolve(), len(old))
    elif path.exists():
        shutil.rmtree(path)


def _provenance(path: Path) -> list[dict[str, Any]]:
    try:
        entries = json.loads(path.read_text(encoding="utf-8")) if path.exists() else []
    except ValueError as error:
        raise DataError(f"{path}: is damaged ({error}); move it away, the run goes on without it") from None
    if not isinstance(entries, list):
        raise DataError(f"{path}: is damaged (it is no list); move it away, the run goes on without it")
    return entries


def _revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
