"""Clusters of voxels in a larcv3 file, of which the first in each plane is read."""

from typing import TYPE_CHECKING

import h5py
import numpy as np

from airshower.detectors.lartpc import larcv_format as larcv3
from airshower.detectors.lartpc.larcv_planes import read_planes
from airshower.detectors.lartpc.larcv_tables import open_table, outside, overlap, reading, rows_of
from airshower.detectors.lartpc.voxels import VoxelTable
from airshower.errors import DataError

if TYPE_CHECKING:
    from airshower.detectors.lartpc.larcv_file import LarcvFile

_BLOCK = 2**20  # voxels read at once


class ClusterTable:
    """Clusters of voxels of one producer, planes in ascending order of their projection id.

    Attributes: `planes`, which projections an event has and where they lie; `shapes` [planes, dimension] pixels per
    axis (wire, time).
    """

    def __init__(self, file: "LarcvFile", name: str, group: h5py.Group, dimension: int):
        self.where = f"{file.path}: {name}"
        with reading(self.where):
            extents = file.extents(group, self.where)
            self.planes, self.projections = read_planes(group, "projection_extents", self.where, extents, dimension)
            clusters = open_table(group, "cluster_extents", self.where, larcv3.ID_EXTENTS)
            self.voxels = VoxelTable(open_table(group, "voxels", self.where, larcv3.VOXEL))
            if len(clusters) > self.projections["N"].sum(dtype=np.uint64) and self.planes.count:
                raise DataError(f"{self.where}: its table cluster_extents has more rows than its planes have clusters")
            self.clusters = rows_of(clusters, larcv3.ID_EXTENTS, slice(None) if self.planes.count else slice(0))
        for rows, below in ((self.projections, len(self.clusters)), (self.clusters, len(self.voxels))):
            first, count = rows["first"].astype(np.int64), rows["N"].astype(np.int64)
            if (outside(rows, below) & (rows["N"] != 0)).any() or overlap(first, count) is not None:
                raise DataError(f"{self.where}: one of its tables points outside another, the file is damaged")
        self.shapes = self.planes.shapes

    def first_centres(self) -> np.ndarray:
        """Middle of the cluster of lowest id of every event and plane, float32 [events, planes, 2 axes], in pixels from
        the image's corner; NaN where there is none."""
        centres = np.full((*self.planes.rows.shape, 2), np.nan, np.float32)
        chosen = np.argwhere(self.planes.filled[:, None] & (self.projections["N"][self.planes.rows] > 0))
        spans = self.clusters[self._lowest(self.planes.rows[chosen[:, 0], chosen[:, 1]])]
        chosen, spans = chosen[spans["N"] > 0], spans[spans["N"] > 0]
        first, count = spans["first"].astype(np.int64), spans["N"].astype(np.int64)
        for entry, plane in chosen[count > self.shapes.prod(1)[chosen[:, 1]]][:1]:
            raise DataError(f"{self._plane(entry, plane)}: a cluster has more voxels than the image pixels")
        for block in np.unique(first // _BLOCK):
            some = np.flatnonzero(first // _BLOCK == block)
            centres[tuple(chosen[some].T)] = self._centres(chosen[some], first[some], count[some])
        return centres

    def _lowest(self, rows: np.ndarray) -> np.ndarray:
        """The row of the cluster of lowest id of each of these projections, which have at least one."""
        first = self.projections["first"][rows].astype(np.int64)
        several = np.flatnonzero(self.projections["N"][rows] > 1)
        for index in several:
            ids = self.clusters["ID"][first[index] :][: self.projections["N"][rows[index]]]
            first[index] += ids.argmin()
        return first

    def _centres(self, chosen: np.ndarray, first: np.ndarray, count: np.ndarray) -> np.ndarray:
        """Middles [clusters, 2 axes] of clusters of these events and planes [clusters, 2] at these rows of voxels."""
        start, stop = int(first.min()), int((first + count).max())
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
