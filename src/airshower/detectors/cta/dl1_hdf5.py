"""Tables of HDF5 files, with h5py.

Not with PyTables, which wrote them: opening a file there runs the Python pickles among its attributes, takes five times
as long where there are many tables, and is for one thread at a time.
"""

import contextlib
import errno
import math
import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from airshower.detectors.cta.keys import KEYS
from airshower.errors import DataError

MOST_OPEN = 64  # files at once: a production has thousands, a process may open about 1000
NEAR = 4  # rows that are at most this many times further apart than they are many come in one read
MOST_CHUNK = 2**28  # bytes that are decompressed at once
TOO_MANY = "can't be opened, too many files are open; raise their limit (ulimit -n)"
BLOSC_CHUNK = 3  # of the parameters that the Blosc filter keeps, the bytes of a chunk
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
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError, OverflowError) as error:
        said = " ".join(str(error).split()) or type(error).__name__
        if _too_many_files(error):
            raise DataError(f"{where}: {TOO_MANY}") from None
        raise DataError(f"{where}: can't be read, the file is damaged ({said})") from None


class Hdf5:
    """The tables of a file by their paths in it. The file is closed when many others were read since, and opened again.

    A table is compared with what the file holds of it before any of it is read, so that no wrong length takes all
    memory. Raises `DataError` if there is no such file, or it is not HDF5 or truncated; and for a table that is a
    group, a link to nothing, or longer than what is stored.
    """

    def __init__(self, path: Path):
        self.path = path
        self._types: dict[str, np.dtype] = {}
        self._attributes: dict[tuple[str, str], Any] = {}
        self._checked: set[str] = set()  # tables whose length was compared with what is stored
        with _lock, reading(str(path)):
            self.close()  # another file may have been at this path
            _check(path)
            self._file()

    def __contains__(self, node: str) -> bool:
        with _lock:
            return self._lookup(node) is not None

    def tables(self, group: str) -> list[str]:
        """Names of the tables in a group that have rows. Raises `DataError` if anything else is in it."""
        with _lock:
            return [name for name in sorted(self._group(group)) if self._table(f"{group}/{name}").shape[0]]

    def groups(self, group: str) -> list[str]:
        """Names of the groups in a group."""
        with _lock:
            nodes = self._group(group)
            return sorted(name for name, node in nodes.items() if isinstance(node, h5py.Group))

    def length(self, table: str) -> int:
        """Number of rows."""
        with _lock:
            return self._table(table).shape[0]

    def shape(self, array: str) -> tuple[int, ...]:
        """Sizes of an array."""
        with _lock:
            return self._table(array).shape

    def dtype(self, table: str) -> np.dtype:
        """Names and types of a table's columns; truth values are u1. Raises `DataError` if it has no columns."""
        with _lock:
            if table not in self._types:
                kind = self._table(table).dtype
                if not kind.names:
                    raise DataError(f"{self.path}: {table} is an array, a table with columns is due")
                self._types[table] = kind
            return self._types[table]

    def names(self, table: str) -> tuple[str, ...]:
        """Names of a table's columns."""
        return self.dtype(table).names or ()

    def values(self, array: str) -> np.ndarray:
        """All of an array, or all columns of all rows of a table."""
        with _lock:
            return self._table(array)[:]

    def columns(self, table: str, names: Sequence[str]) -> np.ndarray:
        """These columns of all rows, a structured array."""
        with _lock:
            for name in names:
                if name not in self.names(table):
                    raise DataError(f"{self.path}: {table} has no column {name}")
            return self._table(table).fields(list(names))[:]

    def numbers(self, table: str, name: str) -> np.ndarray:
        """A column of numbers. Raises `DataError` if it is of anything else."""
        values = self.columns(table, [name])[name]
        if values.dtype.kind not in "fiub" or values.ndim != 1:
            what = "text" if values.dtype.kind in "SUO" else str(self.dtype(table)[name])
            raise DataError(f"{self.path}: {table}: {name} is {what}, numbers are due")
        return values

    def keys(self, table: str, names: Sequence[str] = KEYS) -> np.ndarray:
        """Columns of whole numbers, int64 [rows, columns]."""
        columns = self.columns(table, names)
        for name in names:
            kind = columns.dtype[name]
            if kind.kind not in "iu" or kind.shape:
                raise DataError(f"{self.path}: {table}: {name} is {kind}, whole numbers are due")
            if kind == np.uint64 and (columns[name] > np.iinfo(np.int64).max).any():
                raise DataError(f"{self.path}: {table}: {name} is above 2^63 - 1, the largest that is read")
        return np.stack([columns[name].astype(np.int64) for name in names], 1)

    def rows(self, table: str, rows: np.ndarray) -> np.ndarray:
        """All columns of some rows in ascending order, each at most once."""
        with _lock:
            node = self._table(table)
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

    def unit(self, table: str, column: str) -> str:
        """The unit of a column without blanks around it and signs of powers; empty if it has none."""
        unit = self.field_attribute(table, column, "UNIT")
        return str(unit or "").replace("**", "").replace("^", "").strip()

    def quantity(self, table: str, column: str) -> np.ndarray:
        """A column as f8 in m, m2, rad, TeV, g/cm2; without a unit as it is stored."""
        values, unit = self.numbers(table, column), self.unit(table, column)
        if unit and unit not in UNITS:
            raise DataError(f"{self.path}: {table}: {column} is in {unit}, which is no unit known here")
        return values * UNITS.get(unit, 1.0)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        with _lock:
            if file := _open.pop(self.path, None):
                file[0].close()

    def _group(self, name: str) -> h5py.Group:
        node = self._node(name)
        if not isinstance(node, h5py.Group):
            raise DataError(f"{self.path}: {name} is a table, a group of tables is due")
        return node

    def _table(self, name: str) -> h5py.Dataset:
        node = self._node(name)
        if name not in self._checked:
            if not isinstance(node, h5py.Dataset):
                raise DataError(f"{self.path}: {name} is a group, a table is due")
            check_extent(node, f"{self.path}: {name}")
            self._checked.add(name)
        return node

    def _node(self, name: str) -> Any:
        node = self._lookup(name)
        if node is None:
            raise DataError(f"{self.path}: has no {name}")
        return node

    def _lookup(self, name: str) -> Any:
        """See `lookup`."""
        file, nodes = self._file()
        if name not in nodes:
            node = lookup(file, name)
            if node is None:
                return None
            nodes[name] = node
        return nodes[name]

    def _file(self) -> tuple[h5py.File, dict[str, Any]]:
        if self.path not in _open:
            _open[self.path] = _opened(self.path), {}
            while len(_open) > MOST_OPEN:
                _open.popitem(last=False)[1][0].close()
        _open.move_to_end(self.path)
        return _open[self.path]


def lookup(file: h5py.File, path: str) -> Any:
    """A node, links followed; None where there is none. Raises `DataError` for a link to nothing, and where anything
    but a group is in place of a group."""
    if (node := file.get(path)) is not None:
        return node
    node, at = file, ""
    for name in path.strip("/").split("/"):
        if not isinstance(node, h5py.Group):
            raise DataError(f"{file.filename}: {at} is a table, a group of tables is due")
        if not node.id.links.exists(name.encode()):
            return None
        node, at = node.get(name), f"{at}/{name}"
        if node is None:
            raise DataError(f"{file.filename}: {at} is damaged, or a link to what is not there")
    return node


def check_extent(table: h5py.Dataset, where: str) -> None:
    """Raise `DataError` unless a table is as long as what is stored of it."""
    shape, chunks = table.shape, table.chunks
    if not shape:
        raise DataError(f"{where}: is a single value, a table is due")
    if chunks is None:
        size = math.prod(shape) * table.id.get_type().get_size()
        if size > table.id.get_storage_size():
            raise DataError(f"{where}: claims {shape[0]} rows, more than the file holds; it is damaged")
        return
    due = math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    stored = table.id.get_num_chunks()
    if due != stored:
        raise DataError(f"{where}: claims {shape[0]} rows, for which {due} chunks are due; the file has {stored}")
    size = math.prod(chunks) * table.id.get_type().get_size()
    properties = table.id.get_create_plist()
    for index in range(properties.get_nfilters()):
        kind, _, values, _ = properties.get_filter(index)
        if kind == hdf5plugin.Blosc.filter_id and len(values) > BLOSC_CHUNK and values[BLOSC_CHUNK] != size:
            raise DataError(
                f"{where}: its chunks are of {size} bytes, compressed were {values[BLOSC_CHUNK]}; it is damaged"
            )
    if size > MOST_CHUNK and stored:
        raise DataError(f"{where}: a chunk has {size} bytes, at most {MOST_CHUNK} are read at once; repack the file")


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
        return h5py.File(path, "r")
    except OSError as error:
        said = " ".join(str(error).split())
        if _too_many_files(error):
            raise DataError(f"{path}: {TOO_MANY}") from None
        if "truncated" in said:
            raise DataError(f"{path}: is truncated; copy or make it again") from None
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file") from None
        raise DataError(f"{path}: can't be opened ({said})") from None


def _too_many_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and (error.errno in (errno.EMFILE, errno.ENFILE) or "Too many open" in str(error))
