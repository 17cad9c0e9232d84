"""The cache folder, and files that are written atomically."""

import contextlib
import errno
import hashlib
import json
import os
import platform
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

from airshower.errors import UserError
from airshower.runtime.processes import is_running, namespace, started

ABANDONED = 86_400.0
"""Seconds without a change after which another host's partial file is taken for a dead process's."""

NO_LINKS = (errno.EPERM, errno.EOPNOTSUPP, errno.ENOSYS)
"""Errors of file systems without hard links."""

_PARTIAL = re.compile(r"\.(?P<pid>\d{1,9})(-(?P<start>\d{1,18})-(?P<namespace>\d{1,18}))?\.partial$")
_written: set[Path] = set()
"""What this process writes; removed if a signal ends it."""


def cache_folder() -> Path:
    """`AIRSHOWER_CACHE`, or `airshower` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache). Raises
    `UserError` if it needs a home folder and there is none."""
    chosen = os.environ.get("AIRSHOWER_CACHE")
    base = os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "airshower"
    except RuntimeError:
        raise UserError(
            "AIRSHOWER_CACHE: give a folder for simulated and cached files; this user has no home"
        ) from None


def partial(path: Path) -> Path:
    """A temporary name for `path` in the same folder, unique to this process. Temporary files of dead processes in the
    folder are removed."""
    sweep(path.parent)
    pid = os.getpid()
    process = f"{platform.node()}.{pid}-{started(pid)}-{namespace()}"
    name = path.with_name(f".{path.name}.{process}.partial")
    _written.add(name)
    return name


def sweep(folder: Path) -> None:
    """Remove the partial files of dead processes in a folder, and those of other hosts that are unchanged for a day."""
    for path in folder.glob(".*.partial"):
        with contextlib.suppress(OSError):  # another process was faster, or the folder is another user's
            if _is_abandoned(path):
                path.unlink()


def sweep_cache() -> None:
    """`sweep` the folders of the cache."""
    for folder in cache_folder().glob("*/"):
        sweep(folder)


def remove_partials() -> None:
    """Remove the partial files of this process."""
    for path in _written:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which atomically replaces `path` at the end of the context. `path` is the old or the new file
    even after a loss of power."""
    temporary = partial(path)
    try:
        with open(temporary, "w+b") as handle:
            yield handle
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)


def write_whole(path: Path, text: str) -> None:
    """Write a text file, see `whole`."""
    with whole(path) as handle:
        handle.write(text.encode())


def move_to_new(finished: Path, path: Path) -> None:
    """Move a finished file to `path` in the same folder. A file that is already there is kept, for it may be open."""
    try:
        os.link(finished, path)
    except FileExistsError:
        pass
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
        if not path.exists():
            os.replace(finished, path)
    finally:
        finished.unlink(missing_ok=True)


def simulated_file(folder: str, stem: str, made_from: dict[str, Any], suffix: str) -> tuple[Path, str]:
    """The cache file for simulated events, and `made_from` as text. The name has a hash of this text, so other
    parameters give another file."""
    text = json.dumps(made_from, sort_keys=True)
    key = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache_folder() / folder / f"{stem}_{key}{suffix}", text


def _is_abandoned(path: Path) -> bool:
    match = _PARTIAL.search(path.name)
    if match and path.name[: match.start()].endswith(f".{platform.node()}") and _is_here(match["namespace"]):
        return not is_running(int(match["pid"]), int(match["start"] or 0))
    return time.time() - path.stat().st_mtime > ABANDONED


def _is_here(recorded: str | None) -> bool:
    return recorded is None or int(recorded) == namespace()
