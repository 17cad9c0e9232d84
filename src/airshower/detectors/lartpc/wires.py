"""Wire images and their labels, event by event, from a larcv3 file or its columnar copy."""

import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv_file import LarcvFile
from airshower.detectors.lartpc.larcv_images import ImageTable, RawImages
from airshower.detectors.lartpc.larcv_tables import reading
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

    Planes of all products are joined by projection id and come in ascending order of it. Labels and vertices are put
    where `image_meta` says relative to the wires; labels that leave a part of the wires' image uncovered are refused.
    Wires and labels share their voxel ids in SBND's files: where they do (compared event by event), ids are decoded
    once. Where they do not, the pixels are the union of both.

    Attributes: `plane_ids`, projection ids of the planes; `shape` (ticks, wires); `event_ids` int64 [events, 3];
    `digest` of the index.
    """

    def __init__(self, path: str | Path, products: Products):
        self.file, self.products = LarcvFile(path), products
        self.path = self.file.path
        self.images = self.file.images(products.image)
        self.labels = self.file.images(products.label) if products.label else None
        self.plane_ids = tuple(self.images.planes.ids.tolist())
        self.shape = _common_shape(self.images)
        if self.labels is not None:
            self._join_labels(self.labels)
        ids = self.file.event_ids
        self.event_ids = np.stack([ids["run"], ids["subrun"], ids["event"]], 1)
        self.digest = _index_digest(self.path, self.event_ids, self.images, products)

    def __len__(self) -> int:
        return len(self.file)

    @property
    def planes(self) -> int:
        """Number of planes."""
        return len(self.plane_ids)

    def read(self, entry: int) -> WireEvent:
        """One event; see `WireReader.read`."""
        images = self.images.read(entry)
        if self.labels is None:
            return self.joined(entry, images, None)
        return self.joined(entry, images, self.labels.read(entry, None if self.moved[entry] else images))

    def joined(self, entry: int, images: RawImages, labels: RawImages | None) -> WireEvent:
        """The wires of an event, and its labels where they lie on them."""
        classes = None
        if labels is not None and self.labels is not None:
            if self.moved[entry]:
                labels = self._moved(entry, labels)
            if not images.same_pixels(labels):
                images, labels = _union(images, labels)
            classes = as_classes(labels.values, self.labels.where, entry)
        row, column = row_and_column(images.ids, self.shape[0])
        return WireEvent(row, column, images.values, classes, images.counts)

    def neutrinos(self) -> np.ndarray | None:
        """The neutrino of every event, see `ParticleTable.neutrinos`; None if the file has no particles."""
        if not self.products.particle or not self.file.has("particle", self.products.particle):
            return None
        return self.file.particles(self.products.particle).neutrinos()

    def vertices(self) -> np.ndarray | None:
        """Row and column of the neutrino's vertex, float32 [events, planes, 2], NaN where there is none or it lies
        outside the wires' image: the middle of the pixels that SBND's files mark in cluster2d_sbndneutrino. None if the
        file has no such product."""
        if not self.products.particle or not self.file.has("cluster2d", self.products.particle):
            return None
        clusters = self.file.clusters(self.products.particle)
        if not clusters.planes.count:
            return np.full((len(self), self.planes, 2), np.nan, np.float32)
        shift = clusters.planes.shift(self.images.planes)
        centres = clusters.first_centres() + shift.astype(np.float32)
        outside = (centres < 0) | (centres >= self.images.shapes)
        centres[outside.any(2)] = np.nan
        return centres[:, :, ::-1]

    def _join_labels(self, table: ImageTable) -> None:
        """Which events have labels on images other than the wires', and by how many pixels each is shifted."""
        images, labels = self.images.planes, table.planes
        for entry in np.flatnonzero(images.filled != labels.filled)[:1]:
            have, lack = (images, labels) if images.filled[entry] else (labels, images)
            raise DataError(f"{lack.where}, entry {entry}: has no images, but {have.name} has")
        self.shift = labels.shift(images)
        other_size = (table.shapes != self.images.shapes).any()
        self.moved = self.shift.any((1, 2)) | other_size

    def _moved(self, entry: int, labels: RawImages) -> RawImages:
        """Labels on the pixels of the wires' images; those outside are left out."""
        assert self.labels is not None
        (wires, ticks), ends = self.images.shapes[0], np.cumsum(labels.counts)
        ids, values, counts = [], [], []
        for plane, (end, count) in enumerate(zip(ends, labels.counts, strict=True)):
            span = slice(end - count, end)
            wire, tick = np.divmod(labels.ids[span].astype(np.int64), self.labels.shapes[plane, 1])
            wire, tick = wire + self.shift[entry, plane, 0], tick + self.shift[entry, plane, 1]
            inside = (wire >= 0) & (wire < wires) & (tick >= 0) & (tick < ticks)
            ids.append((wire * ticks + tick)[inside].astype(np.uint64))
            values.append(labels.values[span][inside])
            counts.append(len(ids[-1]))
        return RawImages(np.concatenate(ids), np.concatenate(values), np.array(counts))


def row_and_column(ids: np.ndarray, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Time tick and wire (int32) of voxel ids."""
    ids = ids.astype(np.uint32)
    column = ids // np.uint32(ticks)
    return (ids - column * np.uint32(ticks)).view(np.int32), column.view(np.int32)


def _common_shape(images: ImageTable) -> tuple[int, int]:
    """(ticks, wires) of all planes; planes of unequal size can't share one network and are refused."""
    if (images.shapes != images.shapes[0]).any():
        sizes = ", ".join(" x ".join(map(str, shape)) for shape in images.shapes)
        raise DataError(f"{images.where}: its planes differ in size ({sizes}); they must be equal")
    wires, ticks = (int(n) for n in images.shapes[0])
    return ticks, wires


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
