"""Tables in HDF5 files as PyTables makes them and ctapipe reads them, written with h5py.

PyTables needs its own attributes on groups and tables and strings of fixed length. It stores booleans as bit fields and
reads those of h5py as enumerations.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import hdf5plugin
import numpy as np

from airshower.errors import DataError

CHUNK = 2**18  # bytes of a table that are compressed at once, about
SMALLEST_CHUNK = 8  # rows


def set_attributes(node: h5py.Group | h5py.Dataset, attributes: Mapping[str, Any]) -> None:
    """New attributes of any type; strings of fixed length."""
    for name, value in attributes.items():
        if isinstance(value, str):
            encoded = value.encode()
            new_attribute(node, name, np.array(encoded, h5py.string_dtype("utf-8", max(len(encoded), 1))))
        else:
            new_attribute(node, name, np.asarray(value))


def new_attribute(node: h5py.Group | h5py.Dataset, name: str, value: np.ndarray) -> h5py.h5a.AttrID:
    """One attribute. Files have thousands: h5py makes each under another name first, which takes twice as long."""
    kind = h5py.h5t.py_create(value.dtype, logical=True)
    space = h5py.h5s.create_simple(value.shape) if value.shape else h5py.h5s.create(h5py.h5s.SCALAR)
    attribute = h5py.h5a.create(node.id, name.encode(), kind, space)
    attribute.write(value)
    return attribute


def make_group(parent: h5py.Group, path: str) -> h5py.Group:
    """The group at a path, created with its parents if needed."""
    for name in path.strip("/").split("/"):
        if name not in parent:
            set_attributes(parent.create_group(name), {"CLASS": "GROUP", "TITLE": "", "VERSION": "1.0"})
        parent = parent[name]
    return parent


class Table:
    """A table that grows, at a path in a file."""

    def __init__(self, file: h5py.File, path: str, row: np.dtype, attributes: Mapping[str, Any], title: str = ""):
        self.row = row
        self.rows = 0
        self._type = _file_type(row)
        node = _empty(file, path, self._type)
        self._data = node.id
        fields = {f"FIELD_{i}_NAME": field for i, field in enumerate(row.names or ())}
        set_attributes(node, {"CLASS": "TABLE", "VERSION": "2.7", "TITLE": title, **fields, **attributes})
        self._count = new_attribute(node, "NROWS", np.array(0))

    def append(self, rows: np.ndarray) -> None:
        """Add rows of the table's type."""
        if len(rows):
            block = np.ascontiguousarray(rows, self.row)
            _append(self._data, self.rows, block.view(f"V{self.row.itemsize}"), self._type)
            self.rows += len(block)
            self._count.write(np.array(self.rows))


def append_table(file: h5py.File, table: h5py.Dataset, path: str) -> None:
    """Add the rows of another file's table, byte for byte, to the one at `path`, which is made with all its attributes
    if it isn't there. Where types differ, columns are matched by their names; raises `DataError` for whole numbers that
    do not fit."""
    if path not in file:
        _copy_attributes(table, _empty(file, path, table.id.get_type()))
    if len(table):
        target = file[path]
        _check_fit(table, target.dtype)
        kind = target.id.get_type()
        first = len(target)
        rows = np.zeros(len(table), f"V{kind.get_size()}")
        table.id.read(h5py.h5s.ALL, h5py.h5s.ALL, rows, kind)
        _append(target.id, first, rows, kind)
        target.attrs["NROWS"] = np.int64(first + len(rows))


def _check_fit(table: h5py.Dataset, kind: np.dtype) -> None:
    """Raise `DataError` for numbers that do not fit: HDF5 would clip them to the range of the type."""
    for name in set(table.dtype.names or ()) & set(kind.names or ()):
        source = table.dtype[name].base
        target = kind[name].base
        if source.kind in "iu" and target.kind in "iu" and not np.can_cast(source, target):
            values = table.fields(name)[:]
            if (values.astype(target) != values).any() or ((values < 0) != (values.astype(target) < 0)).any():
                raise DataError(f"{table.file.filename}: {table.name}: {name} has numbers that do not fit {target}")


def _copy_attributes(source: h5py.Dataset, target: h5py.Dataset) -> None:
    """Byte for byte: PyTables unpickles what is ASCII, not what is UTF-8, and h5py reads both the same."""
    for name in map(str.encode, source.attrs):
        attribute = h5py.h5a.open(source.id, name)
        kind = attribute.get_type()
        space = attribute.get_space()
        copy = h5py.h5a.create(target.id, name, kind, space)
        if space.get_simple_extent_type() != h5py.h5s.NULL:
            value = np.zeros(attribute.shape, f"V{kind.get_size()}")
            attribute.read(value, kind)
            copy.write(value, kind)


def _empty(file: h5py.File, path: str, kind: h5py.h5t.TypeID) -> h5py.Dataset:
    group, _, name = path.rpartition("/")
    properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
    properties.set_chunk((max(CHUNK // kind.get_size(), SMALLEST_CHUNK),))
    compression = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)
    properties.set_filter(compression.filter_id, h5py.h5z.FLAG_OPTIONAL, compression.filter_options)
    properties.set_fletcher32()
    space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
    return h5py.Dataset(h5py.h5d.create(make_group(file, group).id, name.encode(), kind, space, properties))


def _append(data: h5py.h5d.DatasetID, first: int, rows: np.ndarray, kind: h5py.h5t.TypeID) -> None:
    data.set_extent((first + len(rows),))
    space = data.get_space()
    space.select_hyperslab((first,), (len(rows),))
    data.write(h5py.h5s.create_simple((len(rows),)), space, rows, kind)


def _file_type(row: np.dtype) -> h5py.h5t.TypeID:
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, row.itemsize)
    fields = {str(name): field for name, field in (row.fields or {}).items()}
    for name in row.names or ():
        field, offset = fields[name][:2]
        base, shape = field.subdtype or (field, ())
        part = h5py.h5t.NATIVE_B8 if base.kind == "b" else h5py.h5t.py_create(base)
        kind.insert(name.encode(), offset, h5py.h5t.array_create(part, shape) if shape else part)
    return kind
