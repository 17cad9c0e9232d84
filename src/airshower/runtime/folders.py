"""Where files that can be made again are kept, and files that are whole or not there."""

import contextlib
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

_PARTIAL = re.compile(r"\.(?P<pid>\d{1,9})(-(?P<start>\d{1,18})-(?P<namespace>\d{1,18}))?\.partial$")
_written: set[Path] = set()
"""What this process writes; removed if a signal ends it."""


def cache_folder() -> Path:
    """`AIRSHOWER_CACHE`, or `airshower` in the user's cache folder (`XDG_CACHE_HOME`, else ~/.cache). Raises
    `UserError` where these need a home folder and there is none."""
    chosen, base = os.environ.get("AIRSHOWER_CACHE"), os.environ.get("XDG_CACHE_HOME")
    try:
        if chosen:
            return Path(chosen).expanduser()
        return (Path(base) if base else Path.home() / ".cache") / "airshower"
    except RuntimeError:
        raise UserError(
            "AIRSHOWER_CACHE: give a folder for simulated and cached files; this user has no home"
        ) from None


def partial(path: Path) -> Path:
    """A name beside `path`, of this process alone, to write to before the file is whole. What processes that are dead
    left of theirs in that folder is removed."""
    sweep(path.parent)
    pid = os.getpid()
    own = f"{platform.node()}.{pid}-{started(pid)}-{namespace()}"
    name = path.with_name(f".{path.name}.{own}.partial")
    _written.add(name)
    return name


def sweep(folder: Path) -> None:
    """Remove the partial files of dead processes in a folder, and other hosts' that nobody has written to for a day."""
    for path in folder.glob(".*.partial"):
        with contextlib.suppress(OSError):  # another process was faster, or the folder is another user's
            if _is_abandoned(path):
                path.unlink()


def sweep_cache() -> None:
    """`sweep` the folders of the cache."""
    for folder in cache_folder().glob("*/"):
        sweep(folder)


def remove_partials() -> None:
    """Remove what this process has begun to write."""
    for path in _written:
        with contextlib.suppress(OSError):
            path.unlink(missing_ok=True)


@contextlib.contextmanager
def whole(path: Path) -> Iterator[BinaryIO]:
    """A file to write to, which becomes `path` at the end of the context: the old or the new one is there whatever
    happens, a loss of power included."""
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


def simulated_file(folder: str, stem: str, made_from: dict[str, Any], suffix: str) -> tuple[Path, str]:
    """Where simulated events lie in the cache, and `made_from` as text, of which the name has a hash: events made from
    anything else have another file."""
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
