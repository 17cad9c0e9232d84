"""The projections (wire planes) of a product's events, their positions, and the join of those of two products."""

from typing import Self

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.detectors.lartpc.larcv.tables import open_table, outside, overlap, rows_at
from airshower.errors import DataError

GEOMETRY = ("number_of_voxels", "image_sizes", "origin")
LARGEST_IMAGE = 2**31  # pixels
_SAME_SIZE = 1e-6  # relative difference of pixel sizes that rounding explains
_WHOLE = 1e-3  # of a pixel: tolerance of an origin relative to the other image's grid


class Planes:
    """The projections of every event of a product, joined by projection id, whatever their order in the file.

    Attributes: `ids` int64 [planes], ascending; `filled` bool [events], False for an event without projections; `meta`
    [events, planes], records of `META`, in the order of `ids`; `order` int64 [events, planes], the position of each in
    the file's order. Events without projections have the values of the first event with projections.
    """

    def __init__(self, where: str, ids: np.ndarray, filled: np.ndarray, meta: np.ndarray, order: np.ndarray):
        self.where = where
        self.ids = ids
        self.count = len(ids)
        self.filled = filled
        self.meta = meta
        self.order = order
        self.permuted = (order != np.arange(self.count)).any(1)

    @classmethod
    def of_group(
        cls, group: h5py.Group, table: str, where: str, extents: np.ndarray, dimension: int
    ) -> tuple[Self, np.ndarray]:
        """The projections of a product, `table` being the name of their table, and their extents [events, planes]:
        records of `first` and `N` in the table below. Raises `DataError` for an event whose projections are not those
        of the others, contradict between the tables, are there twice or differ in number of pixels."""
        filled = extents["N"] != 0
        meta_columns = larcv3.image_meta(dimension)
        below_table = open_table(group, table, where, larcv3.ID_EXTENTS)
        meta_table = open_table(group, "image_meta", where, meta_columns)
        rows = _rows(where, extents, filled, len(below_table), len(meta_table))
        below = rows_at(below_table, larcv3.ID_EXTENTS, rows)
        meta = rows_at(meta_table, meta_columns, rows)
        _check_ids(where, below, meta)
        order = np.argsort(below["ID"].astype(np.int64), axis=1, kind="stable")
        below, meta = (np.take_along_axis(records, order, 1) for records in (below, meta))
        _check_same(where, below["ID"].astype(np.int64), meta["number_of_voxels"])
        kept = np.empty(meta.shape, meta_type(dimension))
        for name in GEOMETRY:
            kept[name] = meta[name]
        return cls(where, below["ID"][0].astype(np.int64), filled, kept, order), below

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
        Raises `DataError` where planes differ, or an image here does not cover that of `images` pixel by pixel: pixels
        outside of it are unknown, not empty.
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


def _rows(where: str, extents: np.ndarray, is_filled: np.ndarray, length: int, metas: int) -> np.ndarray:
    """Rows of every event's projections in their tables, in the order of the file, int64 [events, planes]."""
    filled = np.flatnonzero(is_filled)
    numbers, events = np.unique(extents["N"][filled], return_counts=True)
    count = int(numbers[events.argmax()]) if len(numbers) else 0
    for entry in filled[extents["N"][filled] != count][:1]:
        raise DataError(f"{where}, entry {entry}: has {extents['N'][entry]} planes, others have {count}")
    for entry in np.flatnonzero(outside(extents, length) & is_filled)[:1]:
        raise DataError(f"{where}, entry {entry}: points outside the table of {length} projections")
    if metas != length:
        raise DataError(f"{where}: image_meta has {metas} rows, {length} are needed")
    entry = overlap(extents["first"].astype(np.int64), extents["N"].astype(np.int64))
    if entry is not None:
        raise DataError(f"{where}, entry {entry}: has projections of another event, the file is damaged")
    first = extents["first"][np.where(is_filled, np.arange(len(extents)), filled[0] if count else 0)]
    return first.astype(np.int64)[:, None] + np.arange(count)


def _check_ids(where: str, below: np.ndarray, meta: np.ndarray) -> None:
    """The ids of a projection in both tables agree, its geometry is valid, and no event has an id twice."""
    ids = below["ID"].astype(np.int64)
    others = meta["projection_id"].astype(np.int64)
    for entry, position in np.argwhere(ids != others)[:1]:
        raise DataError(
            f"{where}, entry {entry}: its projection {position} is plane {ids[entry, position]} by its "
            f"extents, but plane {others[entry, position]} by its image_meta"
        )
    ordered = np.sort(ids, axis=1)
    for entry, position in np.argwhere(ordered[:, 1:] == ordered[:, :-1])[:1]:
        raise DataError(f"{where}, entry {entry}: has plane {ordered[entry, position]} twice")
    number = meta["number_of_voxels"].astype(np.float64)
    valid = (meta["valid"] != 0) & (number > 0).all(2) & (number.prod(2) <= LARGEST_IMAGE)
    for entry, position in np.argwhere(~valid)[:1]:
        raise DataError(
            f"{where}, entry {entry}, plane {ids[entry, position]}: its image_meta "
            f"({described(meta[entry, position])}) is not that of an image"
        )


def _check_same(where: str, ids: np.ndarray, sizes: np.ndarray) -> None:
    """All events have the same planes, of the same numbers of pixels."""
    for entry in np.flatnonzero((ids != ids[0]).any(1))[:1]:
        raise DataError(f"{where}, entry {entry}: has planes {_listed(ids[entry])}, others have {_listed(ids[0])}")
    for entry in np.flatnonzero((sizes != sizes[:1]).any((1, 2)))[:1]:
        raise DataError(f"{where}, entry {entry}: its images are not of the size of the first event's")


def meta_type(dimension: int) -> np.dtype:
    """The records of `GEOMETRY`: pixels per axis, size and origin of an image."""
    return np.dtype([(name, "i8" if name == GEOMETRY[0] else "f8", (dimension,)) for name in GEOMETRY])


def described(record: np.ndarray) -> str:
    """Numbers of pixels, extent and origin of a record of `image_meta`, in words."""
    number, size, origin = (record[name].tolist() for name in GEOMETRY)
    extent = " x ".join(f"{value:g}" for value in size)
    return f"{' x '.join(map(str, number))} pixels, {extent} from {', '.join(f'{value:g}' for value in origin)}"


def _listed(ids: np.ndarray) -> str:
    return ", ".join(map(str, ids.tolist()))
