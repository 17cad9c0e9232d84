"""Which projections (wire planes) the events of a product have, where each lies, and how those of two products join."""

import h5py
import numpy as np

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.detectors.lartpc.larcv_tables import open_table, outside, overlap, rows_of
from airshower.errors import DataError

GEOMETRY = ("number_of_voxels", "image_sizes", "origin")
LARGEST_IMAGE = 2**31  # pixels
_SAME_SIZE = 1e-6  # relative difference of pixel sizes that rounding explains
_WHOLE = 1e-3  # of a pixel: as much may an origin be off the other image's grid


class Planes:
    """The projections of every event, joined by projection id, whatever their order in the file.

    Attributes: `ids` int64 [planes], ascending; `filled` bool [events], False for an event without projections; `rows`
    int64 [events, planes] of the table of projections and `meta` [events, planes], records of `image_meta`, both in
    the order of `ids`; `order` int64 [events, planes], the position of each in the file's order. Events without
    projections have rows 0, and the meta of the first event that has some.

    Raises `DataError` for an event whose projections are not those of the others, contradict between the tables, are
    there twice or differ in number of pixels.
    """

    def __init__(self, where: str, extents: np.ndarray, ids: np.ndarray, meta: np.ndarray):
        self.where, self.filled = where, extents["N"] != 0
        self.count = usual_count(extents)
        self._check_extents(extents, len(ids), len(meta))
        filled = np.flatnonzero(self.filled)
        rows = np.zeros((len(extents), self.count), np.int64)
        rows[filled] = extents["first"][filled, None].astype(np.int64) + np.arange(self.count)
        self._check_ids(rows, ids, meta)
        numbers = ids.astype(np.int64)[rows]
        self.order = np.where(self.filled[:, None], np.argsort(numbers, axis=1, kind="stable"), np.arange(self.count))
        self.rows = np.take_along_axis(rows, self.order, 1)
        self.ids = np.take_along_axis(numbers, self.order, 1)[filled[:1]].reshape(-1)
        self.permuted = (self.order != np.arange(self.count)).any(1)
        shown = self.rows.copy()
        shown[~self.filled] = self.rows[filled[:1]] if len(filled) else 0
        self.meta = meta[shown]
        self._check_same(np.take_along_axis(numbers, self.order, 1))

    @property
    def name(self) -> str:
        """The product's name."""
        return self.where.rpartition(": ")[2]

    @property
    def shapes(self) -> np.ndarray:
        """Pixels per axis (wire, time) of each plane, int64 [planes, axes]."""
        return self.meta["number_of_voxels"][0].astype(np.int64)

    def shift(self, images: "Planes") -> np.ndarray:
        """Pixels from the corner of each image of `images` to that of the same plane's image here.

        Returns int64 [events, planes, axes], 0 for an event without projections here.
        Raises `DataError` where planes differ, or an image here does not cover that of `images` pixel by pixel: what
        lies outside of it is not known, which is not the same as empty.
        """
        shift = np.zeros((len(self.filled), images.count, images.shapes.shape[1]), np.int64)
        if not self.filled.any():
            return shift
        if not np.array_equal(self.ids, images.ids):
            raise DataError(
                f"{self.where}: has planes {_listed(self.ids)}, but {images.name} has {_listed(images.ids)}"
            )
        (number, size, origin), (wanted, extent, corner) = (
            [planes.meta[name].astype(np.float64) for name in GEOMETRY] for planes in (self, images)
        )
        differ = ((number != wanted) | (size != extent) | (origin != corner)).any(2) & self.filled[:, None]
        with np.errstate(divide="ignore", invalid="ignore"):
            pixel = extent / wanted
            offset = (origin - corner) / pixel
            whole = np.rint(offset)
            fits = {
                "has pixels of another size than": np.abs(size / number / pixel - 1.0) < _SAME_SIZE,
                "lies fractions of a pixel beside": np.abs(offset - whole) < _WHOLE,
                "does not cover": (whole <= 0) & (whole + number >= wanted),
            }
        for fault, right in fits.items():
            for entry, plane in np.argwhere(differ & ~right.all(2))[:1]:
                raise DataError(
                    f"{self.where}, entry {entry}, plane {self.ids[plane]}: its image "
                    f"({described(self.meta[entry, plane])}) {fault} that of {images.name} "
                    f"({described(images.meta[entry, plane])})"
                )
        shift[differ] = whole[differ].astype(np.int64)
        return shift

    def _check_extents(self, extents: np.ndarray, rows: int, metas: int) -> None:
        for entry in np.flatnonzero((extents["N"] != self.count) & self.filled)[:1]:
            raise DataError(f"{self.where}, entry {entry}: has {extents['N'][entry]} planes, others have {self.count}")
        for entry in np.flatnonzero(outside(extents, rows) & self.filled)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table of {rows} projections")
        if metas != rows:
            raise DataError(f"{self.where}: image_meta has {metas} rows, {rows} are needed")
        first, count = extents["first"].astype(np.int64), extents["N"].astype(np.int64)
        entry = overlap(first, count)
        if entry is not None:
            raise DataError(f"{self.where}, entry {entry}: has projections of another event, the file is damaged")

    def _check_ids(self, rows: np.ndarray, ids: np.ndarray, meta: np.ndarray) -> None:
        """The ids of a projection in both tables agree, its geometry is valid, and no event has an id twice."""
        ids, others = ids.astype(np.int64), meta["projection_id"].astype(np.int64)
        for entry, place in np.argwhere((ids[rows] != others[rows]) & self.filled[:, None])[:1]:
            row = rows[entry, place]
            raise DataError(
                f"{self.where}, entry {entry}: its projection {place} is plane {ids[row]} by its extents, but plane "
                f"{others[row]} by its image_meta"
            )
        ordered = np.sort(ids[rows], axis=1)
        for entry, place in np.argwhere((ordered[:, 1:] == ordered[:, :-1]) & self.filled[:, None])[:1]:
            raise DataError(f"{self.where}, entry {entry}: has plane {ordered[entry, place]} twice")
        number = meta["number_of_voxels"][rows].astype(np.float64)
        valid = (meta["valid"][rows] != 0) & (number > 0).all(2) & (number.prod(2) <= LARGEST_IMAGE)
        for entry, place in np.argwhere(~valid & self.filled[:, None])[:1]:
            record = meta[rows[entry, place]]
            raise DataError(
                f"{self.where}, entry {entry}, plane {ids[rows[entry, place]]}: its image_meta "
                f"({described(record)}) is not that of an image"
            )

    def _check_same(self, numbers: np.ndarray) -> None:
        """All events have the same planes, of the same numbers of pixels."""
        for entry in np.flatnonzero((numbers != self.ids).any(1) & self.filled)[:1]:
            raise DataError(f"{self.where}, entry {entry}: has planes {_listed(numbers[entry])}, others have "
                            f"{_listed(self.ids)}")  # fmt: skip
        sizes = self.meta["number_of_voxels"].reshape(len(self.filled), -1)
        for entry in np.flatnonzero((sizes != sizes[:1]).any(1))[:1]:
            raise DataError(f"{self.where}, entry {entry}: its images are not of the size of the first event's")


def read_planes(
    group: h5py.Group, table: str, where: str, extents: np.ndarray, dimension: int
) -> tuple[Planes, np.ndarray]:
    """The planes of a product and the extents (first, N, ID) of its projections, which lie in this table."""
    names = {table: larcv3.ID_EXTENTS, "image_meta": larcv3.image_meta(dimension)}
    tables = {name: open_table(group, name, where, columns) for name, columns in names.items()}
    planes = usual_count(extents)
    for name, rows in tables.items():
        if planes and len(rows) > planes * len(extents):
            raise DataError(
                f"{where}: its table {name} has {len(rows)} rows, more than {len(extents)} events of {planes} planes "
                "need"
            )
    chosen = slice(None) if planes else slice(0)
    extents_below, meta = (rows_of(tables[name], columns, chosen) for name, columns in names.items())
    return Planes(where, extents, extents_below["ID"], meta), extents_below


def usual_count(extents: np.ndarray) -> int:
    """The number of projections that most events have, 0 if no event has any."""
    numbers, events = np.unique(extents["N"][extents["N"] != 0], return_counts=True)
    return int(numbers[events.argmax()]) if len(numbers) else 0


def described(record: np.ndarray) -> str:
    """Numbers of pixels, extent and origin of a record of `image_meta`, in words."""
    number, size, origin = (record[name].tolist() for name in GEOMETRY)
    extent = " x ".join(f"{value:g}" for value in size)
    return f"{' x '.join(map(str, number))} pixels, {extent} from {', '.join(f'{value:g}' for value in origin)}"


def _listed(ids: np.ndarray) -> str:
    return ", ".join(map(str, ids.tolist()))
