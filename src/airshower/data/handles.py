"""Open files, of which there are only so many at once, and what tells that a file has changed."""

import contextlib
import resource
import threading
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

from airshower.errors import DataError

MOST_OPEN = 128  # files at once, unless the system's limit is lower: each DL1 file takes some MB
SHARE = 4  # of the files that the system lets a process open, this fraction is for data
Stamp = tuple[int, int]
"""Size in bytes and time of change in ns; a file with another stamp is another file."""


def stamp_of(path: Path) -> Stamp:
    """The stamp of a file. Raises `OSError` if there is none."""
    status = path.stat()
    return status.st_size, status.st_mtime_ns


def check_unchanged(path: Path, stamp: Stamp) -> None:
    """Raise `DataError` if a file is not the one that had this stamp."""
    try:
        check_same(path, stamp_of(path), stamp)
    except OSError as error:
        raise DataError(f"{path}: can't be read any more ({error.strerror})") from None


def check_same(path: Path, stamp: Stamp, before: Stamp) -> None:
    """Raise `DataError` if a file's stamp is not the one `before`."""
    if stamp != before:
        raise DataError(f"{path}: has changed since it was opened; start again")


class Handle(Protocol):
    """An open file."""

    def close(self) -> None:
        """Close it."""
        ...


HandleT = TypeVar("HandleT", bound=Handle)


@dataclass
class _Slot:
    """An open file, its stamp, and how many contexts use it."""

    handle: Handle
    stamp: Stamp
    users: int = 0


class Handles:
    """Open files by their paths. Those that were used longest ago are closed where there are too many.

    A file is closed only by a thread that holds `lock`, and never while another is `using` it.
    """

    def __init__(self, most: int):
        self.most = most
        self.lock = threading.RLock()
        self._open: OrderedDict[Path, _Slot] = OrderedDict()

    def get(self, path: Path, stamp: Stamp, opened: Callable[[Path], HandleT]) -> HandleT:
        """The file of this path and stamp, opened by `opened` if it is not. It stays open as long as the caller holds
        `lock`. Raises `DataError` if the file has another stamp by now."""
        return self._slot(path, stamp, opened).handle  # type: ignore[return-value]  # a path has one kind of handle

    @contextlib.contextmanager
    def using(self, path: Path, stamp: Stamp, opened: Callable[[Path], HandleT]) -> Iterator[HandleT]:
        """The same for a context in which other threads may open files."""
        with self.lock:
            slot = self._slot(path, stamp, opened)
            slot.users += 1
        try:
            yield slot.handle  # type: ignore[misc]
        finally:
            with self.lock:
                slot.users -= 1
                if self._open.get(path) is not slot:
                    _close(slot)

    def close(self, path: Path) -> None:
        """Close the file of a path, if it is open; what uses it may go on."""
        with self.lock:
            if slot := self._open.pop(path, None):
                _close(slot)

    def close_with(self, owner: object, path: Path) -> None:
        """Close the file of a path when its `owner` is gone."""
        weakref.finalize(owner, self._discard, path).atexit = False

    def _discard(self, path: Path) -> None:
        """As `close`, but never waits, as this may be called in the middle of anything."""
        if self.lock.acquire(blocking=False):
            try:
                self.close(path)
            finally:
                self.lock.release()

    def _slot(self, path: Path, stamp: Stamp, opened: Callable[[Path], Handle]) -> _Slot:
        slot = self._open.get(path)
        if slot is None or slot.stamp != stamp:
            self.close(path)
            check_unchanged(path, stamp)
            slot = self._open[path] = _Slot(opened(path), stamp)
            self._close_oldest()
        self._open.move_to_end(path)
        return slot

    def _close_oldest(self) -> None:
        idle = (path for path, slot in list(self._open.items())[:-1] if not slot.users)
        while len(self._open) > self._allowed() and (path := next(idle, None)):
            self.close(path)

    def _allowed(self) -> int:
        """`most`, or fewer if the system's limit of open files is low."""
        limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return self.most if limit == resource.RLIM_INFINITY else max(1, min(self.most, limit // SHARE))


def _close(slot: _Slot) -> None:
    if not slot.users:
        slot.handle.close()


HANDLES = Handles(MOST_OPEN)
"""The open files of this process."""
