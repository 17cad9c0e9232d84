"""Tables of HDF5 files, with h5py.

PyTables, which wrote them, is not used: on opening a file it executes the Python pickles among its attributes, takes
five times as long with many tables, and is not thread-safe.
"""

import contextlib
import errno
import functools
import math
import os
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from airshower.data.handles import HANDLES, Stamp, stamp_of
from airshower.detectors.cta.keys import KEYS
from airshower.errors import DataError

MOST_NODES = 512  # tables of all files that are open at once: each keeps a chunk, of some 0.3 MB in DL1 files
NEAR = 4  # rows whose span is at most this many times their number are read at once
MOST_CHUNK = 2**28  # bytes that are decompressed at once
TOO_MANY = "can't be opened, too many files are open; raise their limit (ulimit -n)"
BLOSC_CHUNK = 3  # index of the chunk size in bytes among the parameters of the Blosc filter
# units that ctapipe writes, in m, m2, rad, TeV, g/cm2
UNITS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3, "km": 1e3, "m2": 1.0, "cm2": 1e-4, "mm2": 1e-6, "rad": 1.0, "TeV": 1.0}
UNITS |= {"deg": np.pi / 180, "GeV": 1e-3, "MeV": 1e-6, "g / cm2": 1.0, "g.cm-2": 1.0, "g cm-2": 1.0}

_lock = HANDLES.lock  # training and validation data are read in parallel threads
_recent: OrderedDict[tuple["_Open", str], None] = OrderedDict()  # nodes of all open files, those used last at the end


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """Convert HDF5's errors for a damaged file to a `DataError` that begins with `where`."""
    try:
        yield
    except (OSError, RuntimeError, LookupError, TypeError, ValueError, MemoryError, OverflowError) as error:
        message = " ".join(str(error).split()) or type(error).__name__
        if _too_many_files(error):
            raise DataError(f"{where}: {TOO_MANY}") from None
        raise DataError(f"{where}: can't be read, the file is damaged ({message})") from None


class Hdf5:
    """The tables of a file by their paths in it. The file is closed after reads of many others, and opened again for
    the next read; given its `stamp`, it is not opened before that, and must have this stamp then.

    The length of a table is compared with its stored data before it is read, so that a wrong length does not use up the
    memory. Raises `DataError` for a file that does not exist, is not HDF5 or is truncated; and for a table that is a
    group, a broken link, or longer than its stored data.
    """

    def __init__(self, path: Path, stamp: Stamp | None = None):
        self.path = path
        self._types: dict[str, np.dtype] = {}
        self._attributes: dict[tuple[str, str], Any] = {}
        self._shapes: dict[str, tuple[int, ...]] = {}  # of tables whose length was compared with the stored data
        with _lock, reading(str(path)):
            self.close()  # the file at this path may have been replaced
            if stamp is None:
                _check(path)
            self.stamp = stamp or stamp_of(path)
            if stamp is None:
                self._file()

    def __contains__(self, node: str) -> bool:
        with _lock:
            return self._lookup(node) is not None

    def tables(self, group: str) -> list[str]:
        """Names of the tables in a group that have rows. Raises `DataError` if it has anything else."""
        with _lock:
            return [name for name in sorted(self._group(group)) if self.length(f"{group}/{name}")]

    def groups(self, group: str) -> list[str]:
        """Names of the groups in a group."""
        with _lock:
            nodes = self._group(group)
            return sorted(name for name, node in nodes.items() if isinstance(node, h5py.Group))

    def length(self, table: str) -> int:
        """Number of rows."""
        return self.shape(table)[0]

    def shape(self, array: str) -> tuple[int, ...]:
        """Sizes of an array."""
        with _lock:
            if array not in self._shapes:
                self._table(array)
            return self._shapes[array]

    def dtype(self, table: str) -> np.dtype:
        """Names and types of a table's columns; booleans are u1. Raises `DataError` if it has no columns."""
        with _lock:
            if table not in self._types:
                kind = _dtype(self._table(table).id.get_type())
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
            node = self._table(table)
            kind = self.dtype(table)
            columns = np.dtype([(name, kind[name]) for name in names])
            if columns.hasobject or not self.length(table):
                return node.fields(list(names))[:]
            return _read(node, columns, 0, self.length(table))

    def numbers(self, table: str, name: str, rows: np.ndarray | None = None) -> np.ndarray:
        """A column of numbers, of `rows` if these were read. Raises `DataError` for other types."""
        values = (self.columns(table, [name]) if rows is None else rows)[name]
        if values.dtype.kind not in "fiub" or values.ndim != 1:
            what = "text" if values.dtype.kind in "SUO" else str(self.dtype(table)[name])
            raise DataError(f"{self.path}: {table}: {name} is {what}, numbers are due")
        return values

    def keys(self, table: str, names: Sequence[str] = KEYS, rows: np.ndarray | None = None) -> np.ndarray:
        """Columns of whole numbers, int64 [rows, columns], of `rows` if these were read."""
        columns = self.columns(table, names) if rows is None else rows
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
            if last >= (length := self.length(table)):
                raise ValueError(f"has {length} rows, row {last} is needed")
            if last - first < NEAR * len(rows):
                kind = _dtype(node.id.get_type())
                simple = kind.names and not kind.hasobject
                near = _read(node, kind, first, last + 1) if simple else node[first : last + 1]
                return near[rows - first]
            different, again = np.unique(rows, return_inverse=True)
            return node[different][again]

    def attribute(self, node: str, name: str) -> Any:
        """An attribute of a table or group; None if it does not exist."""
        key = node, name
        with _lock:
            if key not in self._attributes:
                value = self._node(node).attrs.get(name)
                self._attributes[key] = value.decode() if isinstance(value, bytes) else value
            return self._attributes[key]

    def field_attribute(self, table: str, column: str, name: str) -> Any:
        """ctapipe's metadata of a column (unit, scale of stored integers, ...); None without."""
        return self.attribute(table, f"CTAFIELD_{self.names(table).index(column)}_{name}")

    def unit(self, table: str, column: str) -> str:
        """The unit of a column without blanks around it and signs of powers; empty if it has none."""
        unit = self.field_attribute(table, column, "UNIT")
        return str(unit or "").replace("**", "").replace("^", "").strip()

    def quantity(self, table: str, column: str, rows: np.ndarray | None = None) -> np.ndarray:
        """A column as f8 in m, m2, rad, TeV, g/cm2, without a unit as it is stored, of `rows` if these were read."""
        values = self.numbers(table, column, rows)
        unit = self.unit(table, column)
        if unit and unit not in UNITS:
            raise DataError(f"{self.path}: {table}: {column} is in {unit}, which is no unit known here")
        return values * UNITS.get(unit, 1.0)

    def close(self) -> None:
        """Close the file; reading opens it again."""
        HANDLES.close(self.path)

    def _group(self, name: str) -> h5py.Group:
        node = self._node(name)
        if not isinstance(node, h5py.Group):
            raise DataError(f"{self.path}: {name} is a table, a group of tables is due")
        return node

    def _table(self, name: str) -> h5py.Dataset:
        node = self._node(name)
        if name not in self._shapes:
            if not isinstance(node, h5py.Dataset):
                raise DataError(f"{self.path}: {name} is a group, a table is due")
            check_extent(node, f"{self.path}: {name}")
            self._shapes[name] = node.shape
        return node

    def _node(self, name: str) -> Any:
        node = self._lookup(name)
        if node is None:
            raise DataError(f"{self.path}: has no {name}")
        return node

    def _lookup(self, name: str) -> Any:
        """See `lookup`."""
        return self._file().node(name)

    def _file(self) -> "_Open":
        return HANDLES.get(self.path, self.stamp, _opened)


class _Open:
    """An open file with its nodes, whose look-up is slow."""

    def __init__(self, file: h5py.File):
        self.file = file
        self.nodes: dict[str, Any] = {}

    def node(self, name: str) -> Any:
        """See `lookup`."""
        if (node := self.nodes.get(name)) is None:
            if (node := lookup(self.file, name)) is None:
                return None
            self.nodes[name] = node
            _recent[self, name] = None
            if len(_recent) > MOST_NODES:
                (file, oldest), _ = _recent.popitem(last=False)
                del file.nodes[oldest]
        _recent.move_to_end((self, name))
        return node

    def close(self) -> None:
        """Close the file and its nodes."""
        for name in self.nodes:
            del _recent[self, name]
        self.nodes.clear()
        self.file.id.close()


def _read(node: h5py.Dataset, columns: np.dtype, start: int, stop: int) -> np.ndarray:
    """These columns of some rows; what h5py does beside that takes longer than small reads."""
    rows = np.empty(stop - start, columns)
    space = node.id.get_space()
    space.select_hyperslab((start,), (stop - start,))
    node.id.read(h5py.h5s.create_simple(rows.shape), space, rows, _memory_type(columns))
    return rows


@functools.lru_cache(256)
def _memory_type(columns: np.dtype) -> h5py.h5t.TypeID:
    return h5py.h5t.py_create(columns)


@functools.lru_cache(256)
def _decoded(encoded: bytes) -> np.dtype:
    return h5py.h5t.decode(encoded).dtype


def _dtype(kind: h5py.h5t.TypeID) -> np.dtype:
    """The type as numpy's. The tables of telescopes have few different ones, and those with many columns are slow to
    convert."""
    return _decoded(kind.encode())


def lookup(file: h5py.File, path: str) -> Any:
    """A node, following links; None if it does not exist. Raises `DataError` for a broken link, and if a parent is not
    a group."""
    with contextlib.suppress(KeyError):
        if isinstance(found := h5py.h5o.open(file.id, path.encode()), h5py.h5d.DatasetID):
            return h5py.Dataset(found)
    if (node := file.get(path)) is not None:
        return node
    node = file
    at = ""
    for name in path.strip("/").split("/"):
        if not isinstance(node, h5py.Group):
            raise DataError(f"{file.filename}: {at} is a table, a group of tables is due")
        if not node.id.links.exists(name.encode()):
            return None
        node = node.get(name)
        at = f"{at}/{name}"
        if node is None:
            raise DataError(f"{file.filename}: {at} is damaged, or a link to what is not there")
    return node


def check_extent(table: h5py.Dataset, where: str) -> None:
    """Raise `DataError` unless the length of a table is that of its stored data."""
    shape = table.shape
    if not shape:
        raise DataError(f"{where}: is a single value, a table is due")
    row = table.id.get_type().get_size()
    properties = table.id.get_create_plist()
    if properties.get_layout() != h5py.h5d.CHUNKED:
        if math.prod(shape) * row > table.id.get_storage_size():
            raise DataError(f"{where}: claims {shape[0]} rows, more than the file holds; it is damaged")
        return
    chunks = properties.get_chunk()
    due = math.prod(-(-size // chunk) for size, chunk in zip(shape, chunks, strict=True))
    stored = table.id.get_num_chunks()
    if due != stored:
        raise DataError(f"{where}: claims {shape[0]} rows, for which {due} chunks are due; the file has {stored}")
    size = math.prod(chunks) * row
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


def _opened(path: Path) -> _Open:
    try:
        return _Open(h5py.File(path, "r"))
    except OSError as error:
        message = " ".join(str(error).split())
        if _too_many_files(error):
            raise DataError(f"{path}: {TOO_MANY}") from None
        if "truncated" in message:
            raise DataError(f"{path}: is truncated; copy or make it again") from None
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file") from None
        raise DataError(f"{path}: can't be opened ({message})") from None


def _too_many_files(error: BaseException) -> bool:
    return isinstance(error, OSError) and (error.errno in (errno.EMFILE, errno.ENFILE) or "Too many open" in str(error))
