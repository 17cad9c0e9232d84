"""Clusters of voxels in a larcv3 file, of which the first in each plane is read."""

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.detectors.lartpc.larcv.planes import Planes
from airshower.detectors.lartpc.larcv.tables import extents_of, open_table, outside, overlap, rows_at
from airshower.detectors.lartpc.larcv.voxels import VoxelTable
from airshower.errors import DataError
from airshower.runtime.hdf5_input import reading

_BLOCK = 2**20  # voxels read at once


class ClusterTable:
    """Clusters of voxels of one producer, planes in ascending order of their projection id.

    Attributes: `planes`, the projections of an event and their positions; `shapes` [planes, dimension] pixels per
    axis (wire, time).
    """

    def __init__(self, where: str, group: h5py.Group, events: int, dimension: int):
        self.where = where
        with reading(self.where):
            extents = extents_of(group, events, where)
            self.planes, below = Planes.of_group(group, "projection_extents", self.where, extents, dimension)
            clusters = open_table(group, "cluster_extents", self.where, larcv3.ID_EXTENTS)
            self.voxels = VoxelTable(open_table(group, "voxels", self.where, larcv3.VOXEL))
            self.shapes = self.planes.shapes
            self.entries, self.first, self.counts = self._index(clusters, below)

    def first_centres(self) -> np.ndarray:
        """Middle of the cluster of lowest id of every event and plane, float32 [events, planes, 2 axes], in pixels from
        the image's corner; NaN where there is none."""
        centres = np.full((*self.planes.order.shape, 2), np.nan, np.float32)
        for block in np.unique(self.first // _BLOCK):
            some = np.flatnonzero(self.first // _BLOCK == block)
            chosen = self.entries[some]
            centres[tuple(chosen.T)] = self._centres(chosen, self.first[some], self.counts[some])
        return centres

    def _index(self, clusters: h5py.Dataset, projections: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Event and plane [clusters, 2] of clusters of lowest id that have voxels, first voxels and their numbers."""
        for entry, plane in np.argwhere(outside(projections, len(clusters)))[:1]:
            raise DataError(f"{self._plane(entry, plane)}: points outside the table of {len(clusters)} clusters")
        count = np.where(self.planes.filled[:, None], projections["N"].astype(np.int64), 0)
        entries = np.argwhere(count)
        count = count[tuple(entries.T)]
        begin = np.cumsum(count) - count
        projection = np.repeat(np.arange(len(entries)), count)
        first = projections["first"][tuple(entries.T)].astype(np.int64)
        spans = rows_at(clusters, larcv3.ID_EXTENTS, np.repeat(first - begin, count) + np.arange(count.sum()))
        order = np.lexsort((spans["ID"], projection))
        lowest = spans[order[begin]]
        entries = entries[lowest["N"] != 0]
        lowest = lowest[lowest["N"] != 0]
        for entry, plane in entries[outside(lowest, len(self.voxels))][:1]:
            raise DataError(f"{self._plane(entry, plane)}: points outside the table of {len(self.voxels)} voxels")
        first = lowest["first"].astype(np.int64)
        count = lowest["N"].astype(np.int64)
        for entry, plane in entries[count > self.shapes.prod(1)[entries[:, 1]]][:1]:
            raise DataError(f"{self._plane(entry, plane)}: a cluster has more voxels than the image pixels")
        position = overlap(first, count)
        for entry, plane in [] if position is None else [entries[position]]:
            raise DataError(f"{self._plane(entry, plane)}: has voxels of another cluster, the file is damaged")
        return entries, first, count

    def _centres(self, chosen: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Middles [clusters, 2 axes] of clusters of these events and planes [clusters, 2] at these rows of voxels."""
        start = int(first.min())
        stop = int((first + count).max())
        with reading(self.where):
            ids, _ = self.voxels.read(start, stop - start)
        begins = count.cumsum() - count  # of each cluster among its own voxels and those of the others
        cluster = np.repeat(np.arange(len(count)), count)
        ids = ids[np.repeat(first - start - begins, count) + np.arange(count.sum())]
        shape = self.shapes[chosen[cluster, 1]]
        for entry, plane in chosen[cluster[ids >= shape.prod(1)]][:1]:
            raise DataError(f"{self._plane(entry, plane)}: a voxel lies outside its image, the file is damaged")
        order = np.lexsort((ids, cluster))
        twice = (ids[order][1:] == ids[order][:-1]) & (cluster[1:] == cluster[:-1])
        for entry, plane in chosen[cluster[1:][twice]][:1]:
            raise DataError(f"{self._plane(entry, plane)}: a cluster has a voxel twice, the file is damaged")
        ids = ids.astype(np.int64)
        pixels = np.stack([ids // shape[:, 1], ids % shape[:, 1]], 1) + 0.5
        return np.add.reduceat(pixels, begins) / count[:, None]

    def _plane(self, entry: int, plane: int) -> str:
        return f"{self.where}, entry {entry}, plane {self.planes.ids[plane]}"
