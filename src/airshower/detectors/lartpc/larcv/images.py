"""Sparse images of a larcv3 file: the index in memory, voxels read by event and checked."""

from dataclasses import dataclass
from typing import Protocol, Self

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.detectors.lartpc.larcv.planes import Planes
from airshower.detectors.lartpc.larcv.tables import extents_of, open_table, outside, overlap
from airshower.detectors.lartpc.larcv.voxels import VoxelTable
from airshower.errors import DataError
from airshower.runtime.hdf5_input import reading


class Voxels(Protocol):
    """A table of voxels."""

    def read(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (u8) and values (f4) of `count` rows from `first` on."""
        ...


@dataclass(frozen=True)
class RawImages:
    """One event's images: `ids` (u8) and `values` (f4) of all planes in a row, `counts` of them per plane."""

    ids: np.ndarray
    values: np.ndarray
    counts: np.ndarray

    def same_pixels(self, other: Self) -> bool:
        """True if both have the same voxels in the same planes."""
        return np.array_equal(self.counts, other.counts) and (
            self.ids is other.ids or np.array_equal(self.ids, other.ids)
        )

    def reordered(self, order: np.ndarray) -> Self:
        """The planes in another order: the position of each one among those here."""
        ends = np.cumsum(self.counts)
        spans = [slice(ends[i] - self.counts[i], ends[i]) for i in order]
        ids, values = (np.concatenate([column[span] for span in spans]) for column in (self.ids, self.values))
        return type(self)(ids, values, self.counts[order])


class ImageTable:
    """Sparse images of one producer, planes in ascending order of their projection id.

    Attributes: `planes`, the images of an event and their positions; `first` voxel of each event [events], `counts`
    [events, planes] of voxels; `shapes` [planes, dimension] pixels per axis (wire, time).
    """

    def __init__(self, planes: Planes, first: np.ndarray, counts: np.ndarray, voxels: Voxels):
        self.where = planes.where
        self.planes = planes
        self.shapes = planes.shapes
        self.first = first
        self.counts = counts
        self.voxels = voxels

    @classmethod
    def of_group(cls, where: str, group: h5py.Group, events: int, dimension: int) -> Self:
        """The images of a product's group."""
        with reading(where):
            extents = extents_of(group, events, where)
            planes, below = Planes.of_group(group, "voxel_extents", where, extents, dimension)
            voxels = VoxelTable(open_table(group, "voxels", where, larcv3.VOXEL))
        if not planes.count:
            raise DataError(f"{where}: no event has an image")
        return cls(planes, *_index(planes, below, len(voxels)), voxels)

    def read(self, entry: int, like: RawImages | None = None) -> RawImages:
        """All planes of one event, checked: each voxel once and inside its image, values finite.

        If the ids equal those of `like`, checked images of the same sizes, its arrays of ids are returned.
        """
        stored = RawImages(*self._voxels(entry), self.counts[entry])
        if self.planes.permuted[entry]:
            order = self.planes.order[entry]
            stored = RawImages(stored.ids, stored.values, self.counts[entry][np.argsort(order)]).reordered(order)
        if like is not None and stored.same_pixels(like):
            self._check_values(entry, stored.values)
            return RawImages(like.ids, stored.values, like.counts)
        self.check(entry, stored)
        return stored

    def check(self, entry: int, images: RawImages) -> None:
        """Raise `DataError` for voxels of an event that lie outside their image, are there twice or are not finite."""
        self._check_ids(entry, images.ids)
        self._check_values(entry, images.values)

    def _voxels(self, entry: int) -> tuple[np.ndarray, np.ndarray]:
        with reading(f"{self.where}, entry {entry}"):
            return self.voxels.read(int(self.first[entry]), int(self.counts[entry].sum()))

    def _check_ids(self, entry: int, ids: np.ndarray) -> None:
        ends = np.cumsum(self.counts[entry])
        falls = np.flatnonzero(ids[1:] <= ids[:-1]) + 1
        ascending = np.isin(falls, ends).all()  # within each plane, as larcv writes them
        for plane, (count, end) in enumerate(zip(self.counts[entry], ends, strict=True)):
            voxels = ids[end - count : end] if ascending else np.sort(ids[end - count : end])
            if count and voxels[-1] >= self.shapes[plane].prod():
                raise DataError(
                    f"{self._plane(entry, plane)}: voxel id {voxels[-1]} lies outside the image of "
                    f"{' x '.join(map(str, self.shapes[plane]))} pixels"
                )
            for twice in () if ascending else voxels[1:][voxels[1:] == voxels[:-1]][:1]:
                raise DataError(f"{self._plane(entry, plane)}: has voxel {twice} twice, the file is damaged")

    def _check_values(self, entry: int, values: np.ndarray) -> None:
        for wrong in np.flatnonzero(~np.isfinite(values))[:1]:
            plane = int(np.searchsorted(np.cumsum(self.counts[entry]), wrong, side="right"))
            raise DataError(f"{self._plane(entry, plane)}: a pixel's value is not a finite number")

    def _plane(self, entry: int, plane: int) -> str:
        return f"{self.where}, entry {entry}, plane {self.planes.ids[plane]}"


def _index(planes: Planes, below: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """First voxel of each event [events], and voxel counts [events, planes], of their extents in a table of this
    length.

    An event's voxels must be one contiguous run in the order of its projections: larcv reads them so and
    ignores `first`.
    """
    where = planes.where

    def plane_of(entry: int, plane: int) -> str:
        return f"{where}, entry {entry}, plane {planes.ids[plane]}"

    for entry, plane in np.argwhere(outside(below, length))[:1]:
        raise DataError(f"{plane_of(entry, plane)}: points outside the voxel table of {length} rows")
    counts = np.where(planes.filled[:, None], below["N"].astype(np.int64), 0)
    for entry, plane in np.argwhere(counts > planes.shapes.prod(1))[:1]:
        raise DataError(f"{plane_of(entry, plane)}: has {counts[entry, plane]} voxels, more than pixels")
    in_file = np.argsort(planes.order, axis=1)
    first = np.take_along_axis(below["first"].astype(np.int64), in_file, 1)
    count = np.take_along_axis(counts, in_file, 1)
    apart = ((first + count)[:, :-1] != first[:, 1:]) & (count[:, 1:] > 0)
    for entry in np.flatnonzero(apart.any(1) & planes.filled)[:1]:
        raise DataError(f"{where}, entry {entry}: the voxels of its planes are not in one run of the table")
    first = np.where(planes.filled, first[:, 0], 0)
    entry = overlap(first, count.sum(1))
    if entry is not None:
        raise DataError(f"{where}, entry {entry}: has voxels of another event, the file is damaged")
    return first, counts
