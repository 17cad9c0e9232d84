"""Tables of DL1 files, with h5py.

Not with PyTables, which wrote them: opening a file there runs the Python pickles among its attributes, takes five times
as long where there are many tables, and is for one thread at a time.
"""

import contextlib
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (lets HDF5 read blosc)
import numpy as np

from airshower.errors import DataError

MOST_OPEN = 64  # files at once: a production has thousands, a process may open about 1000
NEAR = 4  # rows that are at most this many times further apart than they are many come in one read
# units that ctapipe writes, in m, m2, rad, TeV, g/cm2
UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "km": 1e3, "m2": 1.0, "cm2": 1e-4, "mm2": 1e-6, "rad": 1.0, "TeV": 1.0}
UNITS |= {"deg": np.pi / 180, "GeV": 1e-3, "MeV": 1e-6, "g / cm2": 1.0, "g.cm-2": 1.0, "g cm-2": 1.0}

_lock = threading.RLock()  # readers of training and validation data are threads beside each other
_open: OrderedDict[Path, tuple[h5py.File, dict[str, Any]]] = OrderedDict()  # with the nodes in use, slow to look up


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """What HDF5 says of a damaged file as a `DataError` that begins with `where`."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        raise DataError(f"{where}: can't be read, the file is damaged ({said})") from None


class Hdf5:
    """The tables of a file by their paths in it. The file is closed when many others were read since, and opened again.

    Raises `DataError` if there is no such file, or it is not HDF5 or truncated.
    """

    def __init__(self, path: Path):
        self.path = path
        self._types: dict[str, np.dtype] = {}
        self._attributes: dict[tuple[str, str], Any] = {}
        with _lock:
            self.close()  # another file may have been at this path
            _check(path)
            self._file()

    def __contains__(self, node: str) -> bool:
        with _lock:
            return node in self._file()[0]

    def tables(self, group: str) -> list[str]:
        """Names of the tables in a group that have rows."""
        with _lock:
            nodes = self._node(group)
            return sorted(name for name, node in nodes.items() if isinstance(node, h5py.Dataset) and node.shape[0])

    def groups(self, group: str) -> list[str]:
        """Names of the groups in a group."""
        with _lock:
            nodes = self._node(group)
            return sorted(name for name, node in nodes.items() if isinstance(node, h5py.Group))

    def length(self, table: str) -> int:
        """Number of rows."""
        with _lock:
            return len(self._node(table))

    def shape(self, array: str) -> tuple[int, ...]:
        """Sizes of an array."""
        with _lock:
            return self._node(array).shape

    def dtype(self, table: str) -> np.dtype:
        """Names and types of a table's columns; truth values are u1."""
        with _lock:
            if table not in self._types:
                self._types[table] = self._node(table).dtype
            return self._types[table]

    def names(self, table: str) -> tuple[str, ...]:
        """Names of a table's columns."""
        return self.dtype(table).names or ()

    def values(self, array: str) -> np.ndarray:
        """All of an array, or all columns of all rows of a table."""
        with _lock:
            return self._node(array)[:]

    def columns(self, table: str, names: list[str]) -> np.ndarray:
        """These columns of all rows, a structured array."""
        with _lock:
            return self._node(table).fields(names)[:]

    def rows(self, table: str, rows: np.ndarray) -> np.ndarray:
        """All columns of some rows in ascending order, each at most once."""
        with _lock:
            node = self._node(table)
            first, last = int(rows[0]), int(rows[-1])
            if last >= len(node):
                raise ValueError(f"has {len(node)} rows, row {last} is needed")
            if last - first < NEAR * len(rows):
                return node[first : last + 1][rows - first]
            different, again = np.unique(rows, return_inverse=True)
            return node[different][again]

    def attribute(self, node: str, name: str) -> Any:
        """An attribute of a table or group, None if it has no such."""
        key = node, name
        with _lock:
            if key not in self._attributes:
                value = self._node(node).attrs.get(name)
                self._attributes[key] = value.decode() if isinstance(value, bytes) else value
            return self._attributes[key]

    def field_attribute(self, table: str, column: str, name: str) -> Any:
        """What ctapipe notes about a column (unit, scale of stored integers, ...), None if nothing."""
        return self.attribute(table, f"CTAFIELD_{self.names(table).index(column)}_{name}")

    def quantity(self, table: str, column: str) -> np.ndarray:
        """A column as f8 in m, m2, rad, TeV, g/cm2; without a unit as it is stored."""
        unit = self.field_attribute(table, column, "UNIT")
        plain = str(unit or "").replace("**", "").replace("^", "").strip()
        if plain and plain not in UNITS:
            raise DataError(f"{self.path}: {table}: {column} is in {unit}, which is no unit known here")
        return self.columns(table, [column])[column] * UNITS.get(plain, 1.0)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with _lock:
            if file := _open.pop(self.path, None):
                file[0].close()

    def _node(self, name: str) -> Any:
        file, nodes = self._file()
        if name not in nodes:
            nodes[name] = file[name]
        return nodes[name]

    def _file(self) -> tuple[h5py.File, dict[str, Any]]:
        if self.path not in _open:
            _open[self.path] = _opened(self.path), {}
            while len(_open) > MOST_OPEN:
                _open.popitem(last=False)[1][0].close()
        _open.move_to_end(self.path)
        return _open[self.path]


def _check(path: Path) -> None:
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a directory, a file is needed; name the files in it by a pattern such as '*.h5'")
    if not os.access(path, os.R_OK):
        raise DataError(f"{path}: there is no permission to read it")
    if path.stat().st_size == 0:
        raise DataError(f"{path}: is empty")


def _opened(path: Path) -> h5py.File:
    try:
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file")
        return h5py.File(path, "r")
    except OSError as error:
        said = " ".join(str(error).split())
        reason = "is truncated; copy or make it again" if "truncated" in said else f"can't be opened ({said})"
        raise DataError(f"{path}: {reason}") from None
