"""What was read of many files, column by column: in memory, and as one file of the cache.

A file's entry is a set of named arrays. A column has the arrays of one name of all files, equal ones once: telescopes
and cameras are the same in most files. On disk a table is an npz archive without compression, whose members have
checksums (CRC-32) and are never unpickled.
"""

import contextlib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple, Self

import numpy as np

from airshower.data.handles import Stamp

Entry = Mapping[str, np.ndarray]
"""The arrays of one file by name."""

OPTIONAL, ABSENT = "+", "-"
"""First character of names of arrays that are read when they are wanted, and of those that a file does not have."""
PATHS = "paths"
SETTLED = 2_000_000_000  # ns after a change of a file until its time of change tells it from the next change
DAMAGED = (OSError, ValueError, LookupError, EOFError, TypeError, AttributeError, MemoryError, OverflowError)
DAMAGED += (zipfile.BadZipFile, zlib.error)
"""What numpy raises for an archive that is damaged."""


class Column(NamedTuple):
    """`values` of distinct arrays in a row, `shapes` int64 [arrays, dimensions] of these, and for each file the
    number of its array, int64 [files], -1 without one."""

    values: np.ndarray
    shapes: np.ndarray
    which: np.ndarray

    @classmethod
    def joined(cls, arrays: Sequence[np.ndarray | None]) -> Self:
        """The column of the arrays of files. Its type is one that all of them fit in."""
        distinct: dict[tuple, tuple[int, np.ndarray]] = {}
        which = np.full(len(arrays), -1)
        for file, array in enumerate(arrays):
            if array is not None:
                content = hashlib.blake2b(array.tobytes(), digest_size=16).digest()
                which[file] = distinct.setdefault((array.dtype, array.shape, content), (len(distinct), array))[0]
        kept = [array for _, array in distinct.values()]
        shapes = np.array([array.shape for array in kept], np.int64).reshape(len(kept), kept[0].ndim)
        return cls(np.concatenate([array.reshape(-1) for array in kept]), shapes, which)

    def arrays(self) -> list[np.ndarray]:
        """The distinct arrays, which are not to be written to. Raises `ValueError` for a column that contradicts
        itself."""
        ends = np.cumsum(self.shapes.prod(1))
        if (self.shapes < 0).any() or (ends[-1] if len(ends) else 0) != len(self.values):
            raise ValueError("a column is not of the length of its parts")
        if not ((self.which >= -1) & (self.which < len(ends))).all():
            raise ValueError("a column lacks a part")
        self.values.flags.writeable = False
        parts = zip([0, *ends.tolist()], ends.tolist(), self.shapes.tolist(), strict=False)
        return [self.values[start:end].reshape(shape) for start, end, shape in parts]


class Table:
    """Entries of files: `paths`, their `stamps` int64 [files, 2], and the time when each was read, `read_at` int64
    [files] in ns. `table[file]` are the arrays of a file."""

    def __init__(self, paths: Sequence[Path], stamps: np.ndarray, read_at: np.ndarray, columns: Mapping[str, Column]):
        self.paths = list(paths)
        self.stamps = stamps
        self.read_at = read_at
        self.columns = dict(columns)
        self._arrays = {name: column.arrays() for name, column in columns.items()}
        self._which = {name: column.which.tolist() for name, column in columns.items()}
        if any(len(which) != len(self.paths) for which in self._which.values()):
            raise ValueError("a column is of other files")

    @classmethod
    def joined(cls, paths: Sequence[Path], stamps: np.ndarray, read_at: np.ndarray, entries: Sequence[Entry]) -> Self:
        """The table of these entries."""
        names = dict.fromkeys(name for entry in entries for name in entry)
        columns = {name: Column.joined([entry.get(name) for entry in entries]) for name in names}
        return cls(paths, stamps, read_at, columns)

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, file: int) -> dict[str, np.ndarray]:
        which = ((name, numbers[file]) for name, numbers in self._which.items())
        return {name: self._arrays[name][number] for name, number in which if number >= 0}

    def valid(self, stamps: Mapping[Path, Stamp], settled: bool = True) -> Iterator[tuple[Path, int]]:
        """The files of these stamps that have an entry, and its number. With `settled`, an entry that was read just
        after a change of the file is none: another change may have the same time."""
        trusted = (np.abs(self.read_at - self.stamps[:, 1]) > SETTLED) | (not settled)
        for file, (path, stamp) in enumerate(zip(self.paths, map(tuple, self.stamps.tolist()), strict=True)):
            if trusted[file] and stamps.get(path) == stamp:
                yield path, file

    def write(self, handle: BinaryIO) -> None:
        """Write the archive."""
        paths = np.array([bytes(path) for path in self.paths])
        members = {PATHS: paths, "stamps": self.stamps, "read_at": self.read_at}
        for name, column in self.columns.items():
            members |= {f"{name}|{part}": values for part, values in column._asdict().items()}
        np.savez(handle, allow_pickle=False, **members)

    @classmethod
    def read(cls, path: Path, wanted: Sequence[str] | None) -> Self:
        """The table of an archive, of optional columns those that are `wanted` (None: all). Raises one of `DAMAGED`."""
        with _members(path) as members:
            names = [name.rpartition("|")[0] for name in members.files if name.endswith("|which")]
            columns = {
                name: Column(*(members[f"{name}|{part}"] for part in Column._fields))
                for name in names
                if wanted is None or not name.startswith(OPTIONAL) or name.removeprefix(OPTIONAL) in wanted
            }
            return cls(_paths(members), members["stamps"], members["read_at"], columns)

    @staticmethod
    def read_paths(path: Path) -> list[Path]:
        """The files of an archive's table. Raises one of `DAMAGED`."""
        with _members(path) as members:
            return _paths(members)


@contextlib.contextmanager
def _members(path: Path) -> Iterator[Any]:
    with path.open("rb") as file, np.load(file, allow_pickle=False) as members:
        yield members


def _paths(members: Mapping[str, np.ndarray]) -> list[Path]:
    return [Path(os.fsdecode(name)) for name in members[PATHS].tolist()]
