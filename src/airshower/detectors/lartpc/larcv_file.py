"""Reading larcv3 files with h5py: the index once, then one slice per product and event.

Nothing that larcv passes over in silence is passed over here: tables that point outside each other, voxel ids outside
their image, values that are not finite. Each such fault is a `DataError` that names file, product and entry.
"""

import contextlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (lets HDF5 read blosc, zstd and the like)
import numpy as np
from isal import isal_zlib

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.detectors.lartpc.voxels import VoxelTable
from airshower.errors import DataError

INFLATE_ERROR: Any = isal_zlib.error  # by isal's types no class


class LarcvFile:
    """An open larcv3 file: its number of events, their ids, and tables of its products."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = _open(self.path)
        with reading(str(self.path)):
            if "Data" not in self.file or larcv3.EVENT_IDS not in self.file:
                raise DataError(f"{self.path}: is HDF5 but not larcv3 (it has no /Data and /Events/event_id)")
            self.event_ids = _table(self.file, larcv3.EVENT_IDS, str(self.path), "run", "subrun", "event")[:]
            self.products = sorted(name for name in map(larcv3.product_name, self.file["Data"]) if name)
        if not len(self.event_ids):
            raise DataError(f"{self.path}: has no events")

    def __len__(self) -> int:
        return len(self.event_ids)

    def images(self, producer: str, dimension: int = 2) -> "ImageTable":
        """The sparse images of `producer`."""
        return ImageTable(self, *self._group(f"sparse{dimension}d", producer))

    def clusters(self, producer: str, dimension: int = 2) -> "ClusterTable":
        """The clusters of `producer`."""
        return ClusterTable(self, *self._group(f"cluster{dimension}d", producer))

    def particles(self, producer: str) -> "ParticleTable":
        """The particles of `producer`."""
        return ParticleTable(self, *self._group("particle", producer))

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
        with reading(f"{self.path}: {kind}_{producer}"):
            return f"{kind}_{producer}", self.file[larcv3.group_name(kind, producer)]


@dataclass(frozen=True)
class RawImages:
    """One event's images: `ids` (u8) and `values` (f4) of all planes in a row, `counts` of them per plane."""

    ids: np.ndarray
    values: np.ndarray
    counts: np.ndarray


class ImageTable:
    """Sparse images of one producer: geometry and extents in memory, voxels read by event.

    Attributes: `counts` [events, planes] voxels; `shapes` [planes, dimension] pixels per axis (wire, time);
    `meta` the `image_meta` rows of the first event.
    """

    def __init__(self, file: LarcvFile, name: str, group: h5py.Group):
        self.where = f"{file.path}: {name}"
        with reading(self.where):
            extents = _table(group, "extents", self.where, "first", "N")[:]
            voxel_extents = _table(group, "voxel_extents", self.where, "first", "N")[:]
            meta = _table(group, "image_meta", self.where, "number_of_voxels", "image_sizes", "origin")[:]
            self.voxels = VoxelTable(_table(group, "voxels", self.where, "id", "value"))
        if len(extents) != len(file):
            raise DataError(f"{self.where}: has {len(extents)} events, the file has {len(file)}")
        self.first, self.counts, projections = self._index(extents, voxel_extents)
        if projections.max() >= len(meta):
            raise DataError(f"{self.where}: image_meta has {len(meta)} rows, {projections.max() + 1} are needed")
        filled = np.flatnonzero(extents["N"])
        self.meta = meta[projections[filled[0]]]
        self.shapes = np.asarray(self.meta["number_of_voxels"], np.int64)
        differ = (meta["number_of_voxels"][projections[filled]] != self.shapes).any((1, 2))
        for entry in filled[differ][:1]:
            raise DataError(f"{self.where}, entry {entry}: its images are not of the size of the first event's")

    def read(self, entry: int) -> RawImages:
        """All planes of one event, checked: ids inside the images, values finite."""
        counts = self.counts[entry]
        first, total = int(self.first[entry]), int(counts.sum())
        with reading(f"{self.where}, entry {entry}"):
            ids, values = self.voxels.read(first, total)
        self.check(entry, ids, values)
        return RawImages(ids, values, counts)

    def _index(self, extents: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First voxel and voxel counts per event, and the rows of its projections (of events without any: 0).

        An event's voxels must be one contiguous run: larcv reads them so whatever `first` says.
        """
        empty = extents["N"] == 0
        if empty.all():
            raise DataError(f"{self.where}: no event has an image")
        numbers, events = np.unique(extents["N"][~empty], return_counts=True)
        planes = int(numbers[events.argmax()])
        for entry in np.flatnonzero((extents["N"] != planes) & ~empty)[:1]:
            raise DataError(f"{self.where}, entry {entry}: has {extents['N'][entry]} planes, others have {planes}")
        for entry in np.flatnonzero(_outside(extents, len(rows)) & ~empty)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table voxel_extents of {len(rows)} rows")
        projections = np.where(empty[:, None], 0, extents["first"][:, None].astype(np.int64) + np.arange(planes))
        outside = _outside(rows, len(self.voxels))[projections] & ~empty[:, None]
        for entry, plane in np.argwhere(outside)[:1]:
            raise DataError(
                f"{self.where}, entry {entry}, plane {plane}: points outside the voxel table of {len(self.voxels)} rows"
            )
        first = rows["first"][projections].astype(np.int64)
        counts = np.where(empty[:, None], 0, rows["N"][projections].astype(np.int64))
        ends = first + counts
        apart = ((ends[:, :-1] != first[:, 1:]) & (counts[:, 1:] > 0)).any(1) & ~empty
        for entry in np.flatnonzero(apart)[:1]:
            raise DataError(f"{self.where}, entry {entry}: the voxels of its planes are not in one run of the table")
        return first[:, 0], counts, projections

    def check(self, entry: int, ids: np.ndarray, values: np.ndarray) -> None:
        """Raise `DataError` for voxels of an event that lie outside their image or are not finite."""
        pixels, start = self.shapes.prod(1), 0
        for plane, count in enumerate(self.counts[entry]):
            largest = int(ids[start : start + count].max(initial=0))
            if largest >= pixels[plane]:
                raise DataError(
                    f"{self.where}, entry {entry}, plane {plane}: voxel id {largest} lies outside the image of "
                    f"{' x '.join(map(str, self.shapes[plane]))} pixels"
                )
            start += count
        for wrong in np.flatnonzero(~np.isfinite(values))[:1]:
            plane = np.searchsorted(np.cumsum(self.counts[entry]), wrong, side="right")
            raise DataError(f"{self.where}, entry {entry}, plane {plane}: a pixel's value is not a finite number")


class ClusterTable:
    """Clusters of voxels of one producer, of which the first in each plane is read.

    Attributes: `shapes` [planes, dimension] pixels per axis (wire, time) of the first event.
    """

    def __init__(self, file: LarcvFile, name: str, group: h5py.Group):
        self.where = f"{file.path}: {name}"
        with reading(self.where):
            self.tables = [
                _table(group, table, self.where, "first", "N")[:]
                for table in ("extents", "projection_extents", "cluster_extents")
            ]
            meta = _table(group, "image_meta", self.where, "number_of_voxels")["number_of_voxels"]
            self.voxels = VoxelTable(_table(group, "voxels", self.where, "id", "value"))
        extents = self.tables[0]
        if len(extents) != len(file):
            raise DataError(f"{self.where}: has {len(extents)} events, the file has {len(file)}")
        for rows, below in zip(self.tables, [*self.tables[1:], self.voxels], strict=True):
            if (_outside(rows, len(below)) & (rows["N"] > 0)).any():
                raise DataError(f"{self.where}: one of its tables points outside another, the file is damaged")
        planes = int(extents["N"].max(initial=0))
        filled = np.flatnonzero(extents["N"] == planes)
        if (~np.isin(extents["N"], (0, planes))).any() or len(meta) < len(self.tables[1]):
            raise DataError(f"{self.where}: its events do not all have the same planes")
        self.shapes = np.asarray(meta[int(extents["first"][filled[0]]) :][:planes], np.int64)

    def first_centres(self) -> np.ndarray:
        """Middle of the first cluster of every event and plane, float32 [events, planes, 2 axes], in pixels from the
        image's corner; NaN where there is none."""
        extents, projections, clusters = self.tables
        planes = len(self.shapes)
        centres = np.full((len(extents), planes, 2), np.nan, np.float32)
        events = np.flatnonzero(extents["N"] == planes)
        rows = projections[(extents["first"][events].astype(np.int64)[:, None] + np.arange(planes)).reshape(-1)]
        chosen = np.flatnonzero(rows["N"] > 0)
        spans = clusters[rows["first"][chosen].astype(np.int64)]
        chosen, spans = chosen[spans["N"] > 0], spans[spans["N"] > 0]
        if not len(chosen):
            return centres
        counts, first = spans["N"].astype(np.int64), spans["first"].astype(np.int64)
        start, stop = int(first.min()), int((first + counts).max())
        with reading(self.where):
            ids, _ = self.voxels.read(start, stop - start)
        begins = counts.cumsum() - counts  # of each cluster among the pixels that are used
        own = np.repeat(first - start - begins, counts) + np.arange(counts.sum())
        shape = np.repeat(self.shapes[chosen % planes], counts, 0)
        ids = ids[own].astype(np.int64)
        if (ids >= shape.prod(1)).any():
            raise DataError(f"{self.where}: a voxel lies outside its image, the file is damaged")
        pixels = np.stack([ids // shape[:, 1], ids % shape[:, 1]], 1) + 0.5
        centres[events[chosen // planes], chosen % planes] = np.add.reduceat(pixels, begins) / counts[:, None]
        return centres


class ParticleTable:
    """True particles of one producer, read by event as records of type `larcv_format.PARTICLE`."""

    def __init__(self, file: LarcvFile, name: str, group: h5py.Group):
        self.where = f"{file.path}: {name}"
        with reading(self.where):
            self.records = _table(group, "particles", self.where, "pdg", "current_type", "energy_init")
            self.extents = _table(group, "extents", self.where, "first", "N")[:]
        if len(self.extents) != len(file):
            raise DataError(f"{self.where}: has {len(self.extents)} events, the file has {len(file)}")
        outside = _outside(self.extents, len(self.records)) & (self.extents["N"] > 0)
        for entry in np.flatnonzero(outside)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table of {len(self.records)} particles")

    def read(self, entry: int) -> np.ndarray:
        """The particles of one event."""
        first, count = (int(self.extents[name][entry]) for name in ("first", "N"))
        return self._read(slice(first, first + count), f"{self.where}, entry {entry}")

    def first(self) -> np.ndarray:
        """The first particle of every event (where a file has neutrinos, the neutrino), unset where there is none."""
        records = np.full(len(self.extents), larcv3.UNSET_PARTICLE, larcv3.PARTICLE)
        filled = self.extents["N"] > 0
        if filled.any():
            everything = self._read(slice(None), self.where)
            records[filled] = everything[self.extents["first"][filled].astype(np.int64)]
        return records

    def _read(self, rows: slice, where: str) -> np.ndarray:
        with reading(where):
            stored = self.records[rows]
        records = np.full(len(stored), larcv3.UNSET_PARTICLE, larcv3.PARTICLE)
        for name in set(larcv3.PARTICLE.names or ()) & set(stored.dtype.names):  # numpy would match columns by position
            records[name] = stored[name]
        return records


@contextlib.contextmanager
def reading(where: str) -> Iterator[None]:
    """What HDF5 says of a damaged file as a `DataError` that begins with `where`."""
    try:
        yield
    except (OSError, RuntimeError, KeyError, TypeError, ValueError, MemoryError, INFLATE_ERROR) as error:
        said = " ".join(str(error).split())
        raise DataError(f"{where}: can't be read, the file is damaged ({said})") from None


def _open(path: Path) -> h5py.File:
    try:
        if not path.exists():
            raise DataError(f"{path}: there is no such file")
        if path.is_dir():
            raise DataError(f"{path}: is a directory, a larcv3 file is needed")
        if not os.access(path, os.R_OK):
            raise DataError(f"{path}: there is no permission to read it")
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty")
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file")
        return h5py.File(path, "r")
    except OSError as error:
        said = " ".join(str(error).split())
        reason = f"is truncated ({said})" if "truncated" in said else f"can't be opened ({said})"
        raise DataError(f"{path}: {reason}") from None


def _table(group: h5py.Group, name: str, where: str, *columns: str) -> h5py.Dataset:
    if name not in group:
        raise DataError(f"{where}: its table {name} is missing, the file is damaged")
    table = group[name]
    if not isinstance(table, h5py.Dataset) or table.ndim != 1:
        raise DataError(f"{where}: {name} is no table")
    missing = [column for column in columns if column not in (table.dtype.names or ())]
    if missing:
        raise DataError(f"{where}: its table {name} has no column {', '.join(missing)}")
    if _overlaps(table.dtype):
        raise DataError(f"{where}: its table {name} has columns that overlap, the file is damaged")
    return table


def _overlaps(dtype: np.dtype) -> bool:
    """Whether columns lie on each other, as h5py has it for floats of unusual form; reading those ends the process."""
    fields = (dtype.fields or {}).values()
    spans = sorted((offset, offset + kind.itemsize) for kind, offset, *_ in fields)
    inner = (kind for kind, *_ in fields if kind.fields)
    return any(one[1] > other[0] for one, other in pairwise(spans)) or any(map(_overlaps, inner))


def _outside(extents: np.ndarray, length: int) -> np.ndarray:
    """Which extents do not lie in a table of `length` rows; adding first and N could pass the largest integer."""
    first, count = extents["first"], extents["N"]
    return (first < 0) | (first > length) | (count > length - np.minimum(first, length).astype(np.int64))
