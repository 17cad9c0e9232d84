"""Reading larcv3 files with h5py: the index once, then one slice per product and event.

Nothing that larcv passes over in silence is passed over here: tables that point outside each other or contradict one
another, voxel ids outside their image, values that are not finite. Each such fault is a `DataError` that names file,
product and entry.
"""

from functools import cached_property
from pathlib import Path

import h5py
import numpy as np

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.detectors.lartpc.larcv_clusters import ClusterTable
from airshower.detectors.lartpc.larcv_images import ImageTable
from airshower.detectors.lartpc.larcv_particles import ParticleTable
from airshower.detectors.lartpc.larcv_tables import names_of, open_group, open_hdf5, open_table, reading, rows_of
from airshower.errors import DataError

LARGEST_ID = 2**63 - 1


class LarcvFile:
    """An open larcv3 file: its number of events, their ids, and tables of its products.

    Lengths of tables are compared with each other and with what is on disk before anything of them is read.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = open_hdf5(self.path)
        with reading(str(self.path)):
            if "Data" not in self.file or larcv3.EVENT_IDS not in self.file:
                raise DataError(f"{self.path}: is HDF5 but not larcv3 (it has no /Data and /Events/event_id)")
            self.events = open_table(self.file, larcv3.EVENT_IDS, str(self.path), larcv3.EVENT_ID)
            groups = open_group(self.file, "Data", str(self.path))
            self.products = sorted(name for name in map(larcv3.product_name, groups) if name)
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
        return ImageTable(*self._group(f"sparse{dimension}d", producer), len(self), dimension)

    def clusters(self, producer: str, dimension: int = 2) -> ClusterTable:
        """The clusters of `producer`."""
        return ClusterTable(*self._group(f"cluster{dimension}d", producer), len(self), dimension)

    def particles(self, producer: str) -> ParticleTable:
        """The particles of `producer`."""
        return ParticleTable(*self._group("particle", producer), len(self))

    def has(self, kind: str, producer: str) -> bool:
        """Whether the file holds this product."""
        return (kind, producer) in self.products

    def close(self) -> None:
        """Close the file; tables taken from it can no longer read."""
        self.file.close()

    def _group(self, kind: str, producer: str) -> tuple[str, h5py.Group]:
        if not self.has(kind, producer):
            there = ", ".join("_".join(name) for name in self.products) or "none"
            raise DataError(f"{self.path}: has no product {kind}_{producer}; it has: {there}")
        where = f"{self.path}: {kind}_{producer}"
        with reading(where):
            return where, open_group(self.file, larcv3.group_name(kind, producer), where)
