"""Tables in HDF5 files as PyTables makes them and ctapipe reads them, written with h5py.

PyTables looks for attributes of its own on groups and tables, takes strings of fixed length, and stores truth values as
bit fields; those of h5py it takes for enumerations.
"""

from collections.abc import Mapping
from typing import Any

import h5py
import hdf5plugin
import numpy as np

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
    """The group of that path, made with all above it if it isn't there."""
    for name in path.strip("/").split("/"):
        if name not in parent:
            set_attributes(parent.create_group(name), {"CLASS": "GROUP", "TITLE": "", "VERSION": "1.0"})
        parent = parent[name]
    return parent


class Table:
    """A table that grows, at a path in a file."""

    def __init__(self, file: h5py.File, path: str, row: np.dtype, attributes: Mapping[str, Any], title: str = ""):
        group, _, name = path.rpartition("/")
        properties = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        properties.set_chunk((max(CHUNK // row.itemsize, SMALLEST_CHUNK),))
        compression = hdf5plugin.Blosc(cname="zstd", clevel=1, shuffle=hdf5plugin.Blosc.SHUFFLE)
        properties.set_filter(compression.filter_id, h5py.h5z.FLAG_OPTIONAL, compression.filter_options)
        properties.set_fletcher32()
        self._type = _file_type(row)
        space = h5py.h5s.create_simple((0,), (h5py.h5s.UNLIMITED,))
        self._data = h5py.h5d.create(make_group(file, group).id, name.encode(), self._type, space, properties)
        self.row, self.rows, node = row, 0, h5py.Dataset(self._data)
        fields = {f"FIELD_{i}_NAME": field for i, field in enumerate(row.names)}
        set_attributes(node, {"CLASS": "TABLE", "VERSION": "2.7", "TITLE": title, **fields, **attributes})
        self._count = new_attribute(node, "NROWS", np.array(0))

    def append(self, rows: np.ndarray) -> None:
        """Add rows of the table's type."""
        if not len(rows):
            return
        block = np.ascontiguousarray(rows, self.row)
        self._data.set_extent((self.rows + len(block),))
        place = self._data.get_space()
        place.select_hyperslab((self.rows,), (len(block),))
        self._data.write(h5py.h5s.create_simple((len(block),)), place, block.view(f"V{self.row.itemsize}"), self._type)
        self.rows += len(block)
        self._count.write(np.array(self.rows))


def _file_type(row: np.dtype) -> h5py.h5t.TypeID:
    kind = h5py.h5t.create(h5py.h5t.COMPOUND, row.itemsize)
    for name in row.names:
        field, offset = row.fields[name][:2]
        base, shape = field.subdtype or (field, ())
        part = h5py.h5t.NATIVE_B8 if base.kind == "b" else h5py.h5t.py_create(base)
        kind.insert(name.encode(), offset, h5py.h5t.array_create(part, shape) if shape else part)
    return kind
