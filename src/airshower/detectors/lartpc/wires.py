"""Wire images and their labels, event by event, from a larcv3 file or its columnar copy."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv_file import ClusterTable, ImageTable, LarcvFile, RawImages, reading
from airshower.errors import DataError

CLASSES = ("background", "cosmic", "neutrino")


@dataclass(frozen=True)
class Products:
    """Producer names in the file; an empty label or particle name means that the file has none to use."""

    image: str
    label: str
    particle: str


@dataclass(frozen=True)
class WireEvent:
    """The non-empty pixels of one event, all planes in a row: time tick (row) and wire (column) int32, charge f4,
    class u1 (None without truth), and how many belong to each plane."""

    row: np.ndarray
    column: np.ndarray
    value: np.ndarray
    label: np.ndarray | None
    counts: np.ndarray


class WireReader(Protocol):
    """Decodes the events of one file."""

    def read(self, entry: int) -> WireEvent:
        """One event. Raises `DataError` for damaged data and for labels that are no class."""
        ...


class WireFile:
    """A larcv3 file of wire images, its index read and checked; itself the native reader, on h5py.

    Wires and labels share their voxel ids in SBND's files: where they do (compared event by event), ids are decoded
    once. Where they do not, the pixels are the union of both.

    Attributes: `planes`, `shape` (ticks, wires), `meta` the planes' `image_meta`, `event_ids` int64 [events, 3],
    `digest` of the index.
    """

    def __init__(self, path: str | Path, products: Products):
        self.file, self.products = LarcvFile(path), products
        self.path = self.file.path
        self.images = self.file.images(products.image)
        self.labels = self.file.images(products.label) if products.label else None
        self.planes, self.shape = _plane_geometry(self.images)
        self.meta = self.images.meta
        if self.labels is not None:
            self._check_sizes(self.labels)
        ids = self.file.event_ids
        self.event_ids = np.stack([ids["run"], ids["subrun"], ids["event"]], 1).astype(np.int64)
        self.digest = _index_digest(self.path, self.event_ids, self.images, products)

    def __len__(self) -> int:
        return len(self.file)

    def read(self, entry: int) -> WireEvent:
        """One event; see `WireReader.read`."""
        images = self.images.read(entry)
        label = None
        if self.labels is not None:
            truth = self.labels.read(entry)
            if not np.array_equal(images.ids, truth.ids) or not np.array_equal(images.counts, truth.counts):
                images, truth = _union(images, truth)
            label = as_classes(truth.values, self.labels.where, entry)
        row, column = row_and_column(images.ids, self.shape[0])
        return WireEvent(row, column, images.values, label, images.counts)

    def neutrinos(self) -> np.ndarray | None:
        """The first particle of every event, in SBND's files the neutrino; None if the file has no particles."""
        if not self.products.particle or not self.file.has("particle", self.products.particle):
            return None
        return self.file.particles(self.products.particle).first()

    def vertices(self) -> np.ndarray | None:
        """Row and column of the neutrino's vertex, float32 [events, planes, 2], NaN where there is none: the middle of
        the pixels that SBND's files mark in cluster2d_sbndneutrino. None if the file has no such product."""
        if not self.products.particle or not self.file.has("cluster2d", self.products.particle):
            return None
        clusters = self.file.clusters(self.products.particle)
        if not len(clusters.shapes):
            return np.full((len(self), self.planes, 2), np.nan, np.float32)
        self._check_sizes(clusters)
        return clusters.first_centres()[:, :, ::-1]

    def _check_sizes(self, other: ImageTable | ClusterTable) -> None:
        if not np.array_equal(other.shapes, self.images.shapes):
            raise DataError(
                f"{other.where}: its images ({_sizes(other)}) are not of the size of those of {self.products.image} "
                f"({_sizes(self.images)})"
            )


def row_and_column(ids: np.ndarray, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Time tick and wire (int32) of voxel ids."""
    ids = ids.astype(np.uint32)
    column = ids // np.uint32(ticks)
    return (ids - column * np.uint32(ticks)).view(np.int32), column.view(np.int32)


def _plane_geometry(images: ImageTable) -> tuple[int, tuple[int, int]]:
    """Number of planes and their (ticks, wires); planes of unequal size can't share one network and are refused."""
    if (images.shapes != images.shapes[0]).any():
        raise DataError(f"{images.where}: its planes differ in size ({_sizes(images)}); they must be equal")
    wires, ticks = (int(n) for n in images.shapes[0])
    return len(images.shapes), (ticks, wires)


def as_classes(values: np.ndarray, where: str, entry: int) -> np.ndarray:
    """Label values (f4) as classes u1; raises `DataError` for one that is not background, cosmic or neutrino."""
    with np.errstate(invalid="ignore"):
        label = values.astype(np.uint8)
    wrong = (label != values) | (label >= len(CLASSES))
    if wrong.any():
        raise DataError(f"{where}, entry {entry}: label {values[wrong][0]:g} is none of 0, 1, 2 ({', '.join(CLASSES)})")
    return label


def _index_digest(path: Path, event_ids: np.ndarray, images: ImageTable, products: Products) -> str:
    """A hash of what is read: products, the file's size, event ids, extents, geometry and pieces of its voxel table.

    Reading the whole of a file of terabytes to name it would cost more than using it; 64 pieces spread over the table
    tell apart files that differ in their values only.
    """
    digest = hashlib.sha256(f"{path.stat().st_size} {products}".encode())
    for table in (event_ids, images.first, images.counts, images.shapes):
        digest.update(np.ascontiguousarray(table).tobytes())
    dataset: h5py.Dataset = images.voxels.dataset
    for start in np.unique(np.linspace(0, max(0, len(dataset) - 16), 64).astype(int)):
        with reading(images.where):
            piece = dataset[start : start + 16]
        digest.update(piece["id"].tobytes() + piece["value"].tobytes())
    return digest.hexdigest()


def _union(images: RawImages, truth: RawImages) -> tuple[RawImages, RawImages]:
    """Both sets of pixels on the union of their ids, zero where one has none."""
    ids, values, labels, counts = [], [], [], []
    ends = zip(np.cumsum(images.counts), np.cumsum(truth.counts), strict=True)
    begin_a = begin_b = 0
    for end_a, end_b in ends:
        ids_a, ids_b = images.ids[begin_a:end_a], truth.ids[begin_b:end_b]
        both = np.union1d(ids_a, ids_b)
        value, label = np.zeros(len(both), np.float32), np.zeros(len(both), np.float32)
        value[np.searchsorted(both, ids_a)] = images.values[begin_a:end_a]
        label[np.searchsorted(both, ids_b)] = truth.values[begin_b:end_b]
        begin_a, begin_b = end_a, end_b
        ids.append(both)
        values.append(value)
        labels.append(label)
        counts.append(len(both))
    ids, counts = np.concatenate(ids), np.array(counts)
    return RawImages(ids, np.concatenate(values), counts), RawImages(ids, np.concatenate(labels), counts)


def _sizes(images: ImageTable | ClusterTable) -> str:
    return ", ".join(" x ".join(map(str, shape)) for shape in images.shapes)
