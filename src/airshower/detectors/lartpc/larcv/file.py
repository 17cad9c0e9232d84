"""Reading larcv3 files with h5py: the index once, then one slice per product and event.

Faults that larcv ignores silently are errors here: extents outside their table, inconsistent tables, voxel ids outside
their image, values that are not finite. Each raises a `DataError` naming file, product and entry.
"""

from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from airshower.data.handles import HANDLES, Stamp, stamp_of
from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.detectors.lartpc.larcv.clusters import ClusterTable
from airshower.detectors.lartpc.larcv.images import ImageTable
from airshower.detectors.lartpc.larcv.particles import ParticleTable
from airshower.detectors.lartpc.larcv.tables import names_of, open_group, open_table, rows_of
from airshower.detectors.lartpc.larcv.voxels import VoxelTable
from airshower.errors import DataError
from airshower.runtime.hdf5_input import open_hdf5, reading

LARGEST_ID = 2**63 - 1


def is_larcv(path: Path) -> bool:
    """Whether a file is one of larcv3, by its content."""
    try:
        with h5py.File(path, "r") as file:
            return "Data" in file and larcv3.EVENT_IDS in file
    except (OSError, RuntimeError, KeyError):  # also of damaged files, which are no more than that here
        return False


class LarcvFile:
    """An open larcv3 file: its number of events, their ids, its `groups` in /Data and tables of its products; `stamp`
    tells whether it changes.

    Lengths of tables are compared with each other and with the stored data before tables are read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = open_hdf5(self.path, "larcv3")
        self.stamp = stamp_of(self.path)
        with reading(str(self.path)):
            if "Data" not in self.file or larcv3.EVENT_IDS not in self.file:
                raise DataError(f"{self.path}: is HDF5 but not larcv3 (it has no /Data and /Events/event_id)")
            self.events = open_table(self.file, larcv3.EVENT_IDS, str(self.path), larcv3.EVENT_ID)
            self.groups = list(open_group(self.file, "Data", str(self.path)))
            self.products = sorted(name for name in map(larcv3.product_name, self.groups) if name)
        if not len(self.events):
            raise DataError(f"{self.path}: has no events")

    def __len__(self) -> int:
        return len(self.events)

    @cached_property
    def event_ids(self) -> np.ndarray:
        """Run, subrun and event of every event, records of type `larcv_format.EVENT_ID`."""
        with reading(str(self.path)):
            rows = rows_of(self.events, larcv3.EVENT_ID)
        ids = np.empty(len(rows), larcv3.EVENT_ID)
        for name in names_of(larcv3.EVENT_ID):
            for entry in np.flatnonzero(rows[name] > LARGEST_ID)[:1]:
                raise DataError(f"{self.path}, entry {entry}: its {name} {rows[name][entry]} is above {LARGEST_ID}")
            ids[name] = rows[name]
        return ids

    def images(self, producer: str, dimension: int = 2) -> ImageTable:
        """The sparse images of `producer`."""
        return ImageTable.of_group(*self._group(f"sparse{dimension}d", producer), len(self), dimension)

    def clusters(self, producer: str, dimension: int = 2) -> ClusterTable:
        """The clusters of `producer`."""
        return ClusterTable(*self._group(f"cluster{dimension}d", producer), len(self), dimension)

    def particles(self, producer: str) -> ParticleTable:
        """The particles of `producer`."""
        return ParticleTable(*self._group("particle", producer), len(self))

    def has(self, kind: str, producer: str) -> bool:
        """True if the file has this product."""
        return (kind, producer) in self.products

    def close(self) -> None:
        """Close the file; tables taken from it can no longer read."""
        self.file.close()

    def _group(self, kind: str, producer: str) -> tuple[str, h5py.Group]:
        if not self.has(kind, producer):
            names = ", ".join("_".join(name) for name in self.products) or "none"
            raise DataError(f"{self.path}: has no product {kind}_{producer}; it has: {names}")
        where = f"{self.path}: {kind}_{producer}"
        with reading(where):
            return where, open_group(self.file, larcv3.group_name(kind, producer), where)


class StoredVoxels:
    """The voxels of a product of a file, which is open as long as not too many others are read (`data.handles`)."""

    def __init__(self, path: Path, stamp: Stamp, kind: str, producer: str):
        self.path = path
        self.stamp = stamp
        self.name = f"{larcv3.group_name(kind, producer)}/voxels"

    def read(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """See `VoxelTable`. Raises `DataError` for a file that has changed."""
        with HANDLES.using(self.path, self.stamp, _OpenFile) as file:
            return file.voxels(self.name).read(first, count)


class _OpenFile:
    """An open file with its tables of voxels."""

    def __init__(self, path: Path):
        self.file = open_hdf5(path, "larcv3")
        self.tables: dict[str, VoxelTable] = {}

    def voxels(self, name: str) -> VoxelTable:
        if name not in self.tables:
            self.tables[name] = VoxelTable(self.file[name])
        return self.tables[name]

    def close(self) -> None:
        self.file.close()
