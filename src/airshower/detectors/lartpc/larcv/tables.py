"""Tables of larcv3 files, checked before they are read: types of columns, and that all rows are stored.

HDF5 returns zeros for rows that were not written, and converts -1 to 0 in unsigned types. Here each of
these is a `DataError`; `runtime.hdf5_input.reading` converts what h5py raises.
"""

from itertools import pairwise

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.errors import DataError

_KINDS = {"i": "integers", "u": "integers", "b": "integers", "f": "numbers", "S": "text", "O": "text"}
_BLOCK = 2**18  # rows read at once
LARGEST_CHUNK = 2**28  # bytes; larcv's have less than a million
_FITS = {"integers": ("integers",), "numbers": ("numbers", "integers"), "text": ("text",)}


def open_group(parent: h5py.Group, name: str, where: str) -> h5py.Group:
    """A group in a group. Raises `DataError` if there is none of this name, or it is not a group."""
    group = parent.get(name)
    if not isinstance(group, h5py.Group):
        raise DataError(f"{where}: {name} is {'missing' if group is None else 'no group'}, the file is damaged")
    return group


def open_table(group: h5py.Group, name: str, where: str, columns: np.dtype) -> h5py.Dataset:
    """A table in a group, with these columns and all rows stored; it is not read.

    Types may differ in width, sign and byte order. Raises `DataError` for anything else.
    """
    if name not in group:
        raise DataError(f"{where}: its table {name} is missing, the file is damaged")
    table = group[name]
    if not isinstance(table, h5py.Dataset) or table.ndim != 1:
        raise DataError(f"{where}: {name} is no table")
    where = f"{where}: its table {name}"
    missing = [column for column in names_of(columns) if column not in names_of(table.dtype)]
    if missing:
        raise DataError(f"{where} has no column {', '.join(missing)}")
    if _overlaps(table.dtype):
        raise DataError(f"{where} has columns that overlap, the file is damaged")
    check_columns(table.dtype, columns, where)
    _check_allocated(table, where)
    return table


def extents_of(group: h5py.Group, events: int, where: str) -> np.ndarray:
    """The extents of a product's events, of which there must be as many as the file has."""
    table = open_table(group, "extents", where, larcv3.EXTENTS)
    if len(table) != events:
        raise DataError(f"{where}: has {len(table)} events, the file has {events}")
    return rows_of(table, larcv3.EXTENTS)


def check_columns(stored: np.dtype, wanted: np.dtype, where: str) -> None:
    """Raise `DataError` for the first column of both whose kind differs, such as text instead of numbers."""
    for name in names_of(wanted):
        if name not in names_of(stored):
            continue
        have = stored[name]
        need = wanted[name]
        if have.shape != need.shape or _kind(have) not in _FITS.get(_kind(need), (_kind(need),)):
            raise DataError(f"{where} has {_kind(have)} in its column {name}, {_kind(need)} are needed")


def rows_of(table: h5py.Dataset, columns: np.dtype, rows: slice = slice(None)) -> np.ndarray:
    """These columns of rows of a table, in the types that the file has. Raises `OSError` if they are not stored:
    HDF5 would return zeros."""
    start, stop, _ = rows.indices(len(table))
    size = table.chunks[0] if table.chunks else 0
    for chunk in range(start // size * size, stop, size) if size else ():
        table.id.read_direct_chunk((chunk,))  # raises OSError where the index of chunks does not lead to it
    return table.fields(list(names_of(columns)))[rows]


def rows_at(table: h5py.Dataset, columns: np.dtype, rows: np.ndarray) -> np.ndarray:
    """These columns of rows in any order, of the shape of `rows`; blocks of the table without them are not read."""
    wanted = rows.reshape(-1)
    order = np.argsort(wanted, kind="stable")
    blocks = np.split(order, np.flatnonzero(np.diff(wanted[order] // _BLOCK)) + 1)
    records = np.empty(len(wanted), rows_of(table, columns, slice(0)).dtype)
    for some in blocks if len(wanted) else ():
        first, last = int(wanted[some[0]]), int(wanted[some[-1]])
        records[some] = rows_of(table, columns, slice(first, last + 1))[wanted[some] - first]
    return records.reshape(rows.shape)


def names_of(dtype: np.dtype) -> tuple[str, ...]:
    """Names of the columns of a table of this type."""
    return dtype.names or ()


def outside(extents: np.ndarray, length: int) -> np.ndarray:
    """True for extents outside a table of `length` rows; first + N is not computed, as it could overflow."""
    first = extents["first"]
    count = extents["N"]
    room = length - np.minimum(first, length).astype(np.int64)
    return (first < 0) | (first > length) | (count < 0) | (count > room)


def overlap(first: np.ndarray, count: np.ndarray) -> int | None:
    """The position of the first extent (in ascending order of rows) that shares rows with another one, or None."""
    filled = np.flatnonzero(count)
    filled = filled[np.argsort(first[filled], kind="stable")]
    ends = first[filled] + count[filled]
    shared = np.flatnonzero(ends[:-1] > first[filled][1:])
    return int(filled[shared[0] + 1]) if len(shared) else None


def _kind(dtype: np.dtype) -> str:
    if dtype.subdtype:
        return f"{dtype.shape} {_kind(dtype.base)}"
    if dtype.fields:
        return f"records of {', '.join(names_of(dtype))}"
    if dtype.kind == "O" and not h5py.check_string_dtype(dtype):
        return "other values"
    return _KINDS.get(dtype.kind, "other values")


def _overlaps(dtype: np.dtype) -> bool:
    """True if columns overlap, as in h5py for floats of unusual form; reading those crashes the process."""
    fields = (dtype.fields or {}).values()
    spans = sorted((offset, offset + kind.itemsize) for kind, offset, *_ in fields)
    inner = (kind for kind, *_ in fields if kind.fields)
    return any(one[1] > other[0] for one, other in pairwise(spans)) or any(map(_overlaps, inner))


def _check_allocated(table: h5py.Dataset, where: str) -> None:
    """Raise `DataError` for a table with more rows than are stored: chunks are counted, as they may be compressed."""
    properties = table.id.get_create_plist()
    layout = properties.get_layout()
    size = table.id.get_storage_size()
    if layout == h5py.h5d.VIRTUAL or (layout == h5py.h5d.CONTIGUOUS and properties.get_external_count()):
        raise DataError(f"{where} has its rows in other files, which is not larcv3")
    rows = size // table.id.get_type().get_size()
    if layout == h5py.h5d.CHUNKED:
        rows = table.id.get_num_chunks() * table.chunks[0]
        if table.chunks[0] * table.dtype.itemsize > LARGEST_CHUNK:
            raise DataError(f"{where} is stored in chunks of {table.chunks[0]} rows, which are too large to read")
    if len(table) > rows or size > table.file.id.get_filesize():
        raise DataError(f"{where} claims {len(table)} rows, of which {rows} are on disk; the file is damaged")
