"""Which projections (wire planes) the events of a product have, where each lies, and how those of two products join."""

import h5py
import numpy as np

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.detectors.lartpc.larcv_tables import open_table, outside, overlap, rows_at
from airshower.errors import DataError

GEOMETRY = ("number_of_voxels", "image_sizes", "origin")
LARGEST_IMAGE = 2**31  # pixels
_SAME_SIZE = 1e-6  # relative difference of pixel sizes that rounding explains
_WHOLE = 1e-3  # of a pixel: as much may an origin be off the other image's grid


class Planes:
    """The projections of every event of a product, joined by projection id, whatever their order in the file.

    Attributes: `ids` int64 [planes], ascending; `filled` bool [events], False for an event without projections; `meta`
    [events, planes], records of `image_meta`, and `extents` [events, planes], records of `first` and `N` in the table
    below, both in the order of `ids`; `order` int64 [events, planes], the position of each in the file's order.
    Events without projections have those of the first event that has some.

    Raises `DataError` for an event whose projections are not those of the others, contradict between the tables, are
    there twice or differ in number of pixels. `table` is the name of the projections' table.
    """

    def __init__(self, group: h5py.Group, table: str, where: str, extents: np.ndarray, dimension: int):
        self.where, self.filled = where, extents["N"] != 0
        meta_columns = larcv3.image_meta(dimension)
        below = open_table(group, table, where, larcv3.ID_EXTENTS)
        meta = open_table(group, "image_meta", where, meta_columns)
        rows = self._rows(extents, len(below), len(meta))
        self.count = rows.shape[1]
        below, meta = rows_at(below, larcv3.ID_EXTENTS, rows), rows_at(meta, meta_columns, rows)
        self._check_ids(below, meta)
        self.order = np.argsort(below["ID"].astype(np.int64), axis=1, kind="stable")
        self.extents, self.meta = (np.take_along_axis(records, self.order, 1) for records in (below, meta))
        self.permuted = (self.order != np.arange(self.count)).any(1)
        self.ids = self.extents["ID"][0].astype(np.int64)
        self._check_same()

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

    def _rows(self, extents: np.ndarray, length: int, metas: int) -> np.ndarray:
        """Rows of every event's projections in their tables, in the order of the file, int64 [events, planes]."""
        filled = np.flatnonzero(self.filled)
        numbers, events = np.unique(extents["N"][filled], return_counts=True)
        count = int(numbers[events.argmax()]) if len(numbers) else 0
        for entry in filled[extents["N"][filled] != count][:1]:
            raise DataError(f"{self.where}, entry {entry}: has {extents['N'][entry]} planes, others have {count}")
        for entry in np.flatnonzero(outside(extents, length) & self.filled)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table of {length} projections")
        if metas != length:
            raise DataError(f"{self.where}: image_meta has {metas} rows, {length} are needed")
        entry = overlap(extents["first"].astype(np.int64), extents["N"].astype(np.int64))
        if entry is not None:
            raise DataError(f"{self.where}, entry {entry}: has projections of another event, the file is damaged")
        first = extents["first"][np.where(self.filled, np.arange(len(extents)), filled[0] if count else 0)]
        return first.astype(np.int64)[:, None] + np.arange(count)

    def _check_ids(self, below: np.ndarray, meta: np.ndarray) -> None:
        """The ids of a projection in both tables agree, its geometry is valid, and no event has an id twice."""
        ids, others = below["ID"].astype(np.int64), meta["projection_id"].astype(np.int64)
        for entry, position in np.argwhere(ids != others)[:1]:
            raise DataError(
                f"{self.where}, entry {entry}: its projection {position} is plane {ids[entry, position]} by its "
                f"extents, but plane {others[entry, position]} by its image_meta"
            )
        ordered = np.sort(ids, axis=1)
        for entry, position in np.argwhere(ordered[:, 1:] == ordered[:, :-1])[:1]:
            raise DataError(f"{self.where}, entry {entry}: has plane {ordered[entry, position]} twice")
        number = meta["number_of_voxels"].astype(np.float64)
        valid = (meta["valid"] != 0) & (number > 0).all(2) & (number.prod(2) <= LARGEST_IMAGE)
        for entry, position in np.argwhere(~valid)[:1]:
            raise DataError(
                f"{self.where}, entry {entry}, plane {ids[entry, position]}: its image_meta "
                f"({described(meta[entry, position])}) is not that of an image"
            )

    def _check_same(self) -> None:
        """All events have the same planes, of the same numbers of pixels."""
        ids, sizes = self.extents["ID"].astype(np.int64), self.meta["number_of_voxels"]
        for entry in np.flatnonzero((ids != self.ids).any(1))[:1]:
            raise DataError(
                f"{self.where}, entry {entry}: has planes {_listed(ids[entry])}, others have {_listed(self.ids)}"
            )
        for entry in np.flatnonzero((sizes != sizes[:1]).any((1, 2)))[:1]:
            raise DataError(f"{self.where}, entry {entry}: its images are not of the size of the first event's")


def described(record: np.ndarray) -> str:
    """Numbers of pixels, extent and origin of a record of `image_meta`, in words."""
    number, size, origin = (record[name].tolist() for name in GEOMETRY)
    extent = " x ".join(f"{value:g}" for value in size)
    return f"{' x '.join(map(str, number))} pixels, {extent} from {', '.join(f'{value:g}' for value in origin)}"


def _listed(ids: np.ndarray) -> str:
    return ", ".join(map(str, ids.tolist()))
