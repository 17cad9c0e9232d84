"""Reading larcv3 files with h5py: the index once, then one slice per product and event.

Nothing that larcv passes over in silence is passed over here: tables that point outside each other, voxel ids outside
their image, values that are not finite. Each such fault is a `DataError` that names file, product and entry.
"""

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.errors import DataError


class LarcvFile:
    """An open larcv3 file: its number of events, their ids, and tables of its products."""

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = _open(self.path)
        if "Data" not in self.file or larcv3.EVENT_IDS not in self.file:
            raise DataError(f"{self.path}: is HDF5 but not larcv3 (it has no /Data and /Events/event_id)")
        self.event_ids = _rows(self.file[larcv3.EVENT_IDS], self.path, ("run", "subrun", "event"))
        if not len(self.event_ids):
            raise DataError(f"{self.path}: has no events")
        self.products = sorted(name for name in map(larcv3.product_name, self.file["Data"]) if name)

    def __len__(self) -> int:
        return len(self.event_ids)

    def images(self, producer: str, dimension: int = 2) -> "ImageTable":
        """The sparse images of `producer`."""
        return ImageTable(self, *self._group(f"sparse{dimension}d", producer))

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
        tables = {key: _table(group, key, self.where) for key in ("extents", "voxel_extents", "image_meta", "voxels")}
        extents = _rows(tables["extents"], self.where, ("first", "N"))
        voxel_extents = _rows(tables["voxel_extents"], self.where, ("first", "N"))
        meta = _rows(tables["image_meta"], self.where, ("number_of_voxels",))
        self.voxels = tables["voxels"]
        if len(extents) != len(file):
            raise DataError(f"{self.where}: has {len(extents)} events, the file has {len(file)}")
        self.first, self.counts, projections = self._index(extents, voxel_extents)
        self.meta = meta[projections[0]] if len(projections) else meta[:0]
        self.shapes = np.asarray(self.meta["number_of_voxels"], np.int64)
        self._check_geometry(meta, projections)

    def read(self, entry: int) -> RawImages:
        """All planes of one event, checked: ids inside the images, values finite."""
        counts = self.counts[entry]
        first, total = int(self.first[entry]), int(counts.sum())
        try:
            rows = np.empty(total, larcv3.VOXEL)
            if total:
                self.voxels.read_direct(rows, np.s_[first : first + total])
        except OSError as error:
            raise DataError(f"{self.where}, entry {entry}: can't be read, the file is damaged ({error})") from None
        ids, values = rows["id"], np.ascontiguousarray(rows["value"])
        self._check_values(entry, ids, values, counts)
        return RawImages(ids, values, counts)

    def _index(self, extents: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """First voxel and voxel counts per event, and the row of each event's projections (events without any: none).

        An event's voxels must be one contiguous run: larcv reads them so whatever `first` says.
        """
        planes = int(extents["N"].max())
        if planes == 0:
            raise DataError(f"{self.where}: no event has an image")
        empty = extents["N"] == 0
        for entry in np.flatnonzero((extents["N"] != planes) & ~empty)[:1]:
            raise DataError(f"{self.where}, entry {entry}: has {extents['N'][entry]} planes, others have {planes}")
        for entry in np.flatnonzero(extents["first"] + extents["N"] > len(rows))[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table voxel_extents of {len(rows)} rows")
        projections = np.where(empty[:, None], 0, extents["first"][:, None].astype(np.int64) + np.arange(planes))
        first = rows["first"][projections].astype(np.int64)
        counts = np.where(empty[:, None], 0, rows["N"][projections].astype(np.int64))
        ends = first + counts
        for entry in np.flatnonzero((ends > len(self.voxels)).any(1) & ~empty)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the voxel table of {len(self.voxels)} rows")
        apart = ((ends[:, :-1] != first[:, 1:]) & (counts[:, 1:] > 0)).any(1) & ~empty
        for entry in np.flatnonzero(apart)[:1]:
            raise DataError(f"{self.where}, entry {entry}: the voxels of its planes are not in one run of the table")
        return first[:, 0], counts, projections[~empty]

    def _check_geometry(self, meta: np.ndarray, projections: np.ndarray) -> None:
        if projections.size and projections.max() >= len(meta):
            raise DataError(f"{self.where}: image_meta has {len(meta)} rows, {projections.max() + 1} are needed")
        differ = (meta["number_of_voxels"][projections] != self.shapes).any((1, 2))
        for row in np.flatnonzero(differ)[:1]:
            raise DataError(f"{self.where}, entry {row}: its images are not of the size of the first event's")

    def _check_values(self, entry: int, ids: np.ndarray, values: np.ndarray, counts: np.ndarray) -> None:
        pixels, start = self.shapes.prod(1), 0
        for plane, count in enumerate(counts):
            largest = int(ids[start : start + count].max(initial=0))
            if largest >= pixels[plane]:
                raise DataError(
                    f"{self.where}, entry {entry}, plane {plane}: voxel id {largest} lies outside the image of "
                    f"{' x '.join(map(str, self.shapes[plane]))} pixels"
                )
            start += count
        if not np.isfinite(values).all():
            raise DataError(f"{self.where}, entry {entry}: a pixel's value is not a finite number")


class ParticleTable:
    """True particles of one producer, read by event as records of type `larcv_format.PARTICLE`."""

    def __init__(self, file: LarcvFile, name: str, group: h5py.Group):
        self.where = f"{file.path}: {name}"
        self.records = _table(group, "particles", self.where)
        self.extents = _rows(_table(group, "extents", self.where), self.where, ("first", "N"))
        if len(self.extents) != len(file):
            raise DataError(f"{self.where}: has {len(self.extents)} events, the file has {len(file)}")
        outside = self.extents["first"] + self.extents["N"] > len(self.records)
        for entry in np.flatnonzero(outside)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table of {len(self.records)} particles")

    def read(self, entry: int) -> np.ndarray:
        """The particles of one event."""
        first, count = (int(self.extents[name][entry]) for name in ("first", "N"))
        return self.records[first : first + count]

    def first(self) -> np.ndarray:
        """The first particle of every event (where a file has neutrinos, the neutrino), unset where there is none."""
        records = np.full(len(self.extents), larcv3.UNSET_PARTICLE, larcv3.PARTICLE)
        filled = self.extents["N"] > 0
        if filled.any():
            records[filled] = self.records[:][self.extents["first"][filled].astype(np.int64)]
        return records


def _open(path: Path) -> h5py.File:
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    if path.is_dir():
        raise DataError(f"{path}: is a directory, a larcv3 file is needed")
    try:
        if path.stat().st_size == 0:
            raise DataError(f"{path}: is empty")
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file")
        return h5py.File(path, "r")
    except OSError as error:
        reason = "is truncated" if "truncated" in str(error) else f"can't be opened ({error})"
        raise DataError(f"{path}: {reason}") from None


def _table(group: h5py.Group, name: str, where: str) -> h5py.Dataset:
    if name not in group:
        raise DataError(f"{where}: its table {name} is missing, the file is damaged")
    return group[name]


def _rows(dataset: h5py.Dataset, where: str | Path, fields: tuple[str, ...]) -> np.ndarray:
    try:
        rows = dataset[:]
    except OSError as error:
        raise DataError(f"{where}: table {dataset.name} can't be read, the file is damaged ({error})") from None
    missing = [name for name in fields if name not in (rows.dtype.names or ())]
    if missing:
        raise DataError(f"{where}: table {dataset.name} has no column {', '.join(missing)}")
    return rows
