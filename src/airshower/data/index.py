"""An index of many files, which is made once.

What opening a file needs is read from it once and kept in the cache folder: one table (`index_table`) for each data set
and kind of index. A file's entry is valid as long as the file has the same path, size and time of change. Entries that
are not there, or not valid any more, are taken from the tables of other data sets, else made: by all ranks together. A
cache folder that can't be read or written costs time alone.
"""

import contextlib
import hashlib
import itertools
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from airshower.data.handles import Stamp, stamp_of
from airshower.data.index_table import ABSENT, DAMAGED, OPTIONAL, Entry, Table
from airshower.errors import UserError
from airshower.runtime import folders
from airshower.runtime.log import logger, progress
from airshower.runtime.ranks import Ranks

FORMAT = 1  # raise when the layout of tables changes
KEPT = 32  # tables of a kind in the cache folder, those used last
ROUND = 256  # files whose entries ranks make before they exchange them
FEW = 1  # files at most for which no table is written: opening them is fast


class Indexed(NamedTuple):
    """A file whose index was read: its stamp, and its entry."""

    path: Path
    stamp: Stamp
    entry: Entry


class _Read(NamedTuple):
    """An entry, and when it was read, in ns."""

    at: int
    entry: Entry


class FileIndex:
    """The entries of files of one kind. `kind` names what decides about their content: the format with its version, and
    keys of the config.

    `read(path, entry, names)` returns arrays of a file by name, each of a type of its own that is the same in all
    files, and with as many dimensions: all that opening needs if `entry` is empty, and the optional arrays of these
    `names`, as far as the file has them. It raises `DataError` for a file that can't be read. `wanted` are the names of
    optional arrays that all files shall have.
    """

    def __init__(self, kind: str, read: Callable[[Path, Entry, Sequence[str]], Entry], wanted: Iterable[str] = ()):
        self.kind = kind
        self.read = read
        self.wanted = tuple(dict.fromkeys(wanted))
        self._tables: dict[tuple[Path, ...], Table] = {}
        self._given: dict[Path, Path] = {}  # paths as users gave them, for messages, by absolute paths
        self._lock = threading.Lock()

    def open(self, paths: Sequence[Path], wanted: Iterable[str] = ()) -> list[Indexed]:
        """The entries of files, from now on also with these `wanted` arrays."""
        with self._lock:
            self.wanted = tuple(dict.fromkeys([*self.wanted, *wanted]))
            self.prepare(paths, Ranks())
            table = self._tables[tuple(path.absolute() for path in paths)]
        stamps = [(size, changed) for size, changed in table.stamps.tolist()]
        return [Indexed(path, stamp, table[file]) for file, (path, stamp) in enumerate(zip(paths, stamps, strict=True))]

    def prepare(self, paths: Sequence[Path], ranks: Ranks) -> None:
        """Make the entries that are missing, each rank a share of them if all have the same files. Collective."""
        self._given |= {path.absolute(): path for path in paths}
        paths = [path.absolute() for path in paths]
        stamps = {path: stamp for path in paths if (stamp := _stamp(path))}
        found = self._found(paths, stamps)
        lacking = [path for path in paths if path not in found or self._names(found[path].entry)]
        unread = set(lacking)
        states = ranks.exchange(_key(repr((path, stamps.get(path), path in unread)) for path in paths))
        made = dict(self._made(lacking, found, ranks if len(set(states)) == 1 else Ranks()))
        if not made and tuple(paths) in self._tables:
            return
        _add(found, made)
        table = self._tables[tuple(paths)] = Table.joined(
            paths,
            np.array([stamps.get(path, (0, 0)) for path in paths], np.int64),
            np.array([found[path].at for path in paths], np.int64),
            [found[path].entry for path in paths],
        )
        if len(paths) > FEW and ranks.local_rank == 0:
            self._write(table)

    def _found(self, paths: Sequence[Path], stamps: Mapping[Path, Stamp]) -> dict[Path, _Read]:
        """The valid entries of these files: of this process, of their own table, then of those of other data sets."""
        found: dict[Path, _Read] = {}
        for find, settled in ((self._remembered, False), (self._own, True)):
            if table := find(paths, stamps):
                entries = _entries(table, stamps, settled)
                if self._is_complete(paths, entries):
                    self._tables[tuple(paths)] = table
                    return entries
                _add(found, entries)
        for archive in self._archives() if len(paths) > FEW else ():
            missing = {path: stamp for path, stamp in stamps.items() if path not in found}
            if not missing:
                break
            if table := self._read(archive, missing):
                _add(found, _entries(table, missing))
        return found

    def _remembered(self, paths: Sequence[Path], _: Mapping[Path, Stamp]) -> Table | None:
        return self._tables.pop(tuple(paths), None)

    def _own(self, paths: Sequence[Path], stamps: Mapping[Path, Stamp]) -> Table | None:
        """The table of this data set, without columns that nobody wants if none has to be added."""
        archive = self._path(paths)
        if len(paths) <= FEW or archive is None:
            return None
        table = self._read(archive, stamps, self.wanted)
        if table is None or table.paths != list(paths):
            return None
        return table if self._is_complete(paths, _entries(table, stamps)) else self._read(archive, stamps)

    def _is_complete(self, paths: Sequence[Path], found: Mapping[Path, _Read]) -> bool:
        return all(path in found and not self._names(found[path].entry) for path in paths)

    def _read(self, archive: Path, stamps: Mapping[Path, Stamp], wanted: Sequence[str] | None = None) -> Table | None:
        """A table that has some of these files; None if it has none or is damaged."""
        try:
            if not stamps.keys() & set(Table.read_paths(archive)):
                return None
            table = Table.read(archive, wanted)
        except (FileNotFoundError, NotADirectoryError, PermissionError):
            return None
        except DAMAGED as error:
            logger.warning("%s: is damaged (%s); it is made again", archive, " ".join(str(error).split()))
            with contextlib.suppress(OSError):
                archive.unlink()
            return None
        with contextlib.suppress(OSError):  # those used last are kept
            os.utime(archive)
        return table

    def _made(self, lacking: Sequence[Path], found: Mapping[Path, _Read], ranks: Ranks) -> Iterator[tuple[Path, _Read]]:
        """What was read of files; each rank reads a share, and all have all."""
        about = "indexing files" + f" on {ranks.size} ranks" * (ranks.size > 1)
        share = lacking[ranks.rank :: ranks.size]
        rest = iter(progress(share, about, rate="files/s") if len(share) > FEW else share)
        each = -(-ROUND // ranks.size)
        for _ in range(0, len(lacking), each * ranks.size):
            part = [self._entry(path, found) for path in itertools.islice(rest, each)]
            ranks.barrier(patient=True)
            yield from itertools.chain.from_iterable(ranks.exchange(part))
        next(rest, None)  # ends the progress bar

    def _entry(self, path: Path, found: Mapping[Path, _Read]) -> tuple[Path, _Read]:
        at = time.time_ns()
        entry = found[path].entry if path in found else {}
        names = self._names(entry)
        read = self.read(self._given[path], entry, names)
        absent = {ABSENT + name: np.array(True) for name in names if OPTIONAL + name not in read}
        return path, _Read(at, {**read, **absent})

    def _names(self, entry: Entry) -> list[str]:
        """Names of the wanted arrays that an entry lacks."""
        return [name for name in self.wanted if OPTIONAL + name not in entry and ABSENT + name not in entry]

    def _write(self, table: Table) -> None:
        archive = self._path(table.paths)
        if archive is None:
            return
        try:
            archive.parent.mkdir(parents=True, exist_ok=True)
            with folders.whole(archive) as handle:
                table.write(handle)
            for path in self._archives()[KEPT:]:
                path.unlink(missing_ok=True)
        except OSError as error:
            logger.warning(
                "%s: the index of %d files can't be kept (%s), so each start reads them all; set AIRSHOWER_CACHE to "
                "another folder", archive.parent, len(table), error.strerror or error,
            )  # fmt: skip

    def _archives(self) -> list[Path]:
        """The tables of this kind, those used last first."""
        folder = _folder()
        if folder is None:
            return []
        with contextlib.suppress(OSError):
            return sorted(folder.glob(f"{self._prefix}*.npz"), key=_used, reverse=True)
        return []

    def _path(self, paths: Sequence[Path]) -> Path | None:
        folder = _folder()
        return folder and folder / f"{self._prefix}{_key(map(str, paths))}.npz"

    @property
    def _prefix(self) -> str:
        return f"{self.kind.partition(' ')[0]}_{_key([str(FORMAT), self.kind])}_"


def _entries(table: Table, stamps: Mapping[Path, Stamp], settled: bool = True) -> dict[Path, _Read]:
    return {path: _Read(int(table.read_at[file]), table[file]) for path, file in table.valid(stamps, settled)}


def _add(found: dict[Path, _Read], others: Mapping[Path, _Read]) -> None:
    """Add other entries, and the arrays of other entries of the same files."""
    for path, read in others.items():
        found[path] = _Read(read.at, {**found[path].entry, **read.entry} if path in found else read.entry)


def _folder() -> Path | None:
    """The folder of tables; None where the user has none."""
    with contextlib.suppress(UserError):
        return folders.cache_folder() / "index"
    return None


def _stamp(path: Path) -> Stamp | None:
    with contextlib.suppress(OSError):
        return stamp_of(path)
    return None


def _used(path: Path) -> int:
    with contextlib.suppress(OSError):
        return path.stat().st_mtime_ns
    return 0


def _key(texts: Iterable[str]) -> str:
    return hashlib.sha256("\0".join(texts).encode(errors="surrogateescape")).hexdigest()[:16]
