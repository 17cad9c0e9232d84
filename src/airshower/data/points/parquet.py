"""Files of points as Parquet: a row for each event, lists for its points. See docs/point_files.md.

Columns have the names of the datasets of the HDF5 file, such as points/charge. The key `airshower` of the schema's
metadata has as JSON what HDF5 has as attributes: `format`, `version`, `attributes` by name of a column or group, and in
`array` the sensors and the centre.
"""

import contextlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airshower.data.points import header as names
from airshower.errors import DataError, UserError
from airshower.runtime.folders import whole
from airshower.runtime.hdf5_input import open_hdf5, reading
from airshower.runtime.packages import imported

MAGIC = b"PAR1"
METADATA = b"airshower"
SUFFIX = ".parquet"
GROUPS = (names.POINTS, names.TRUTH, names.EVENTS, names.FRAME)
END = 8  # bytes: the length of the footer, and the magic


def open_points(path: Path) -> h5py.File:
    """A file of points, open: a Parquet file as HDF5 in memory, which has all of it. Raises `DataError` for a file that
    can't be read, and `UserError` for Parquet without pyarrow."""
    return _in_memory(path) if _begins_as_parquet(path) else open_hdf5(path, "points")


def is_points(path: Path) -> bool:
    """True if a file is of this format, by its content; needs no pyarrow."""
    if not _begins_as_parquet(path):
        return names.is_points(path)
    with contextlib.suppress(OSError), path.open("rb") as file:
        size = file.seek(-END, io.SEEK_END)
        length = int.from_bytes(file.read(4), "little")
        if file.read() == MAGIC and length <= size:
            file.seek(size - length)
            return json.dumps(names.FORMAT).encode() in file.read(length).replace(b"\\", b"")
    return False


class ParquetPoints(contextlib.ExitStack):
    """Writes events as Parquet, some at a time, to `path`; a context manager. `attributes` are those of columns and
    groups, `array` arrays by name. An existing file is replaced at the end. Raises `UserError` without pyarrow."""

    def __init__(self, path: Path, attributes: Mapping[str, Mapping[str, Any]], array: Mapping[str, np.ndarray]):
        super().__init__()
        self.arrow, self.parquet = imported("pyarrow"), imported("pyarrow.parquet")
        self.path = path
        self.attributes = attributes
        header = {"format": names.FORMAT, "version": names.VERSION, "attributes": attributes}
        header["array"] = {name: values.tolist() for name, values in array.items()}
        self.metadata = {METADATA: json.dumps(header).encode()}
        self.writer: Any = None

    def append(self, columns: Mapping[str, np.ndarray]) -> None:
        """Add events: columns by name of the HDF5 dataset, of points all points of the events one after the other."""
        rows = len(columns[f"{names.POINTS}/{names.COUNTS}"])
        arrays = dict(self._arrays(columns))
        for name in self.attributes:
            if name.startswith(f"{names.TRUTH}/") and name not in arrays:  # it is not known of these events
                parts = len(self.attributes[name].get("parts", ()))
                kind = self.arrow.list_(self.arrow.float64(), parts) if parts else self.arrow.float64()
                arrays[name] = self.arrow.nulls(rows, kind)
        units = {name: {"unit": str(self.attributes.get(name, {}).get("unit", ""))} for name in arrays}
        fields = [self.arrow.field(name, array.type, metadata=units[name]) for name, array in arrays.items()]
        schema = self.arrow.schema(fields, metadata=self.metadata)
        if self.writer is None:
            try:
                self.path.parent.mkdir(parents=True, exist_ok=True)
                handle = self.enter_context(whole(self.path))
            except OSError as error:
                raise UserError(f"{self.path}: can't be written ({error.strerror})") from None
            self.writer = self.enter_context(self.parquet.ParquetWriter(handle, schema, write_page_checksum=True))
        self.writer.write_table(self.arrow.Table.from_arrays(list(arrays.values()), schema=schema))

    def _arrays(self, columns: Mapping[str, np.ndarray]) -> Any:
        counts = columns[f"{names.POINTS}/{names.COUNTS}"]
        offsets = self.arrow.array(np.cumsum([0, *counts]), self.arrow.int64())
        for name, values in columns.items():
            if name == f"{names.POINTS}/{names.COUNTS}":
                continue
            array = self.arrow.array(np.ascontiguousarray(values).reshape(-1))
            if values.ndim == 2:
                array = self.arrow.FixedSizeListArray.from_arrays(array, values.shape[1])
            if name.startswith(f"{names.POINTS}/"):
                array = self.arrow.LargeListArray.from_arrays(offsets, array)
            yield name, array


def _begins_as_parquet(path: Path) -> bool:
    try:
        with path.open("rb") as file:
            return file.read(len(MAGIC)) == MAGIC
    except OSError:
        return False


def _in_memory(path: Path) -> h5py.File:
    """The datasets and attributes that the HDF5 file of these points would have."""
    parquet = imported("pyarrow.parquet")
    with reading(str(path), "can't be read, the file is damaged or incomplete"):
        table = parquet.read_table(path, page_checksum_verification=True, partitioning=None)
        text = (table.schema.metadata or {}).get(METADATA)
        header = {} if text is None else json.loads(text)
    if header.get("format") != names.FORMAT:
        raise DataError(f"{path}: is Parquet but no file of points; {names.HELP}")
    file = h5py.File(io.BytesIO(), "w", track_order=True)
    with reading(str(path), "has columns or metadata that can't be read"):
        file.attrs.update({"format": names.FORMAT, "version": header.get("version")})
        for name in table.column_names:
            group, _, rest = name.partition("/")
            if group in GROUPS and rest:
                column = table.column(name).combine_chunks()
                column = column.combine_chunks() if hasattr(column, "chunks") else column
                _add(file, path, name, column)
        for name, values in header.get("array", {}).items():
            file[f"{names.ARRAY}/{name}"] = np.array(values, float).reshape(_shape(name, values, file))
        for name, attributes in header.get("attributes", {}).items():
            if name in file:
                file[name].attrs.update(attributes)
    return file


def _shape(name: str, values: list[Any], file: h5py.File) -> tuple[int, ...]:
    """Of sensors [sensors, axes], of which there may be none."""
    position = f"{names.POINTS}/{names.POSITION_OF_POINTS}"
    return (-1,) if name == "centre" else (len(values), file[position].shape[-1] if position in file else 2)


def _add(file: h5py.File, path: Path, name: str, column: Any) -> None:
    """A column as a dataset: of points also their counts, which all columns of points have in common."""
    where = f"{path}: {name}"
    if column.null_count == len(column) > 0 and name.startswith(f"{names.TRUTH}/"):
        file[name] = np.zeros((0, *_size(column)))  # not known of these events
        return
    if not name.startswith(f"{names.POINTS}/"):
        file[name] = _dense(column, where)
        return
    if not hasattr(column, "offsets") or column.null_count:
        raise DataError(f"{where}: should be a list of numbers for each event, is {column.type}")
    counts = np.diff(column.offsets.to_numpy())
    own = f"{names.POINTS}/{names.COUNTS}"
    if own not in file:
        file[own] = counts
    elif not np.array_equal(file[own][:], counts):
        event = int(np.flatnonzero(file[own][:] != counts)[0])
        raise DataError(f"{where}: has {counts[event]} points in event {event}, another column {file[own][event]}")
    file[name] = _dense(column.flatten(), where)


def _size(column: Any) -> tuple[int, ...]:
    return (column.type.list_size,) if hasattr(column.type, "list_size") else ()


def _dense(column: Any, where: str) -> np.ndarray:
    """The numbers of a column [rows], or of lists of equal lengths [rows, length]."""
    if column.null_count and column.type not in _floats():
        raise DataError(f"{where}: has rows without a value; NaN stands for what is not known, -1 for no class")
    if not hasattr(column.type, "value_type"):
        return column.to_numpy(zero_copy_only=False)
    rows = len(column)
    if not _size(column) and len(set(np.diff(column.offsets.to_numpy()).tolist())) > 1:
        raise DataError(f"{where}: has lists of different lengths")
    values = _dense(column.flatten(), where)
    return values.reshape(rows, len(values) // rows if rows else (*_size(column), 2)[0])


def _floats() -> tuple[Any, ...]:
    arrow = imported("pyarrow")
    return arrow.float16(), arrow.float32(), arrow.float64()
