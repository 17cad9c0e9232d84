"""Wire images and their labels, event by event, from a larcv3 file or its columnar copy."""

import contextlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from airshower.data.handles import HANDLES, Stamp, check_unchanged, stamp_of
from airshower.data.index import FileIndex
from airshower.data.index_table import OPTIONAL, Entry
from airshower.detectors.lartpc.larcv.entry import KIND, Products, common_shape, read_entry, unpack_images
from airshower.detectors.lartpc.larcv.file import LarcvFile, StoredVoxels
from airshower.detectors.lartpc.larcv.images import ImageTable, RawImages
from airshower.errors import DataError

CLASSES = ("background", "cosmic", "neutrino")
VERSION = 1  # raise when entries of the index change


@dataclass(frozen=True)
class WireEvent:
    """The non-empty pixels of one event, all planes in a row: time tick (row) and wire (column) int32, charge f4,
    class u1 (None without truth), and the number of pixels in each plane."""

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

    def read_several(self, entries: Sequence[int]) -> list[WireEvent]:
        """Some events, in this order."""
        ...


class WireFile:
    """A larcv3 file of wire images, its index read and checked; itself the native reader, on h5py.

    Planes of all products are joined by projection id and come in ascending order of it. Labels and vertices are
    shifted by the offset in `image_meta` relative to the wires; labels that leave a part of the wires' image uncovered
    are refused. Wires and labels share their voxel ids in SBND's files: where they do (compared event by event), ids
    are decoded once. Where they do not, the pixels are the union of both.

    Attributes: `plane_ids`, projection ids of the planes; `shape` (ticks, wires); `event_ids` int64 [events, 3];
    `digest` of the index. With an `entry` of the file and the `stamp` that it had then, it is opened when events are
    read.
    """

    def __init__(self, path: str | Path, products: Products, stamp: Stamp | None = None, entry: Entry | None = None):
        self.path = Path(path)
        self.products = products
        if stamp is None or entry is None:
            HANDLES.close(self.path)  # the file at this path may have been replaced
            with contextlib.closing(LarcvFile(self.path)) as file:
                stamp, entry = file.stamp, read_entry(file, products)
        HANDLES.close_with(self, self.path)
        self.stamp = stamp
        self.entry = entry
        self.images = self._table("image", products.image)
        self.labels = self._table("label", products.label) if products.label else None
        self.plane_ids = tuple(self.images.planes.ids.tolist())
        self.shape = common_shape(self.images)
        self.event_ids = entry["event_ids"]
        self.digest = str(entry["digest"])

    def __len__(self) -> int:
        return len(self.event_ids)

    def has(self, kind: str, producer: str) -> bool:
        """True if the file has this product."""
        return bool((self.entry["group"] == f"{kind}_{producer}_group").any())

    def close(self) -> None:
        """Close the file; reading opens it again."""
        HANDLES.close(self.path)

    @property
    def planes(self) -> int:
        """Number of planes."""
        return len(self.plane_ids)

    def read(self, entry: int) -> WireEvent:
        """One event; see `WireReader.read`."""
        return self.read_several([entry])[0]

    def read_several(self, entries: Sequence[int]) -> list[WireEvent]:
        """Some events: first their wires, then their labels, since those of neighbours lie beside each other."""
        images = [self.images.read(entry) for entry in entries]
        if self.labels is None:
            return [self.joined(entry, wires, None) for entry, wires in zip(entries, images, strict=True)]
        labels = [
            self.labels.read(entry, None if self.entry["moved"][entry] else wires)
            for entry, wires in zip(entries, images, strict=True)
        ]
        return list(map(self.joined, entries, images, labels))

    def joined(self, entry: int, images: RawImages, labels: RawImages | None) -> WireEvent:
        """The wires of an event, and its labels where they lie on them."""
        classes = None
        if labels is not None and self.labels is not None:
            if self.entry["moved"][entry]:
                labels = self._moved(entry, labels)
            if not images.same_pixels(labels):
                images, labels = _union(images, labels)
            classes = as_classes(labels.values, self.labels.where, entry)
        row, column = row_and_column(images.ids, self.shape[0])
        return WireEvent(row, column, images.values, classes, images.counts)

    def neutrinos(self) -> np.ndarray | None:
        """The neutrino of every event, see `ParticleTable.neutrinos`; None if the file has no particles."""
        producer = self.products.particle
        if not producer or not self.has("particle", producer):
            return None
        with self._opened() as file:
            return file.particles(producer).neutrinos()

    def vertices(self) -> np.ndarray | None:
        """Row and column of the neutrino's vertex, float32 [events, planes, 2], NaN where there is none or it lies
        outside the wires' image: the middle of the pixels that SBND's files mark in cluster2d_sbndneutrino. None if the
        file has no such product."""
        producer = self.products.particle
        if not producer or not self.has("cluster2d", producer):
            return None
        with self._opened() as file:
            clusters = file.clusters(producer)
            if not clusters.planes.count:
                return np.full((len(self), self.planes, 2), np.nan, np.float32)
            shift = clusters.planes.shift(self.images.planes)
            centres = clusters.first_centres() + shift.astype(np.float32)
        outside = (centres < 0) | (centres >= self.images.shapes)
        centres[outside.any(2)] = np.nan
        return centres[:, :, ::-1]

    @contextlib.contextmanager
    def _opened(self) -> Iterator[LarcvFile]:
        """The file with all its tables, for a context."""
        check_unchanged(self.path, self.stamp)
        with contextlib.closing(LarcvFile(self.path)) as file:
            yield file

    def _table(self, name: str, producer: str) -> ImageTable:
        voxels = StoredVoxels(self.path, self.stamp, KIND, producer)
        return unpack_images(self.entry, name, f"{self.path}: {KIND}_{producer}", voxels)

    def _moved(self, entry: int, labels: RawImages) -> RawImages:
        """Labels on the pixels of the wires' images; those outside are left out."""
        assert self.labels is not None
        (wires, ticks), ends = self.images.shapes[0], np.cumsum(labels.counts)
        ids = []
        values = []
        counts = []
        for plane, (end, count) in enumerate(zip(ends, labels.counts, strict=True)):
            span = slice(end - count, end)
            wire, tick = np.divmod(labels.ids[span].astype(np.int64), self.labels.shapes[plane, 1])
            wire = wire + self.entry["shift"][entry, plane, 0]
            tick = tick + self.entry["shift"][entry, plane, 1]
            inside = (wire >= 0) & (wire < wires) & (tick >= 0) & (tick < ticks)
            ids.append((wire * ticks + tick)[inside].astype(np.uint64))
            values.append(labels.values[span][inside])
            counts.append(len(ids[-1]))
        return RawImages(np.concatenate(ids), np.concatenate(values), np.array(counts))


def wire_index(products: Products, wanted: Sequence[str] = ()) -> FileIndex:
    """The index of files with these products. Optional are `neutrinos` and `vertices`, see `WireFile`."""

    def read(path: Path, entry: Entry, names: Sequence[str]) -> Entry:
        file = WireFile(path, products, stamp_of(path), entry) if entry else WireFile(path, products)
        optional = {"neutrinos": file.neutrinos, "vertices": file.vertices}
        columns = {OPTIONAL + name: optional[name]() for name in names}
        base = {} if entry else file.entry
        return {**base, **{name: values for name, values in columns.items() if values is not None}}

    return FileIndex(f"larcv version {VERSION} of {products}", read, wanted)


def row_and_column(ids: np.ndarray, ticks: int) -> tuple[np.ndarray, np.ndarray]:
    """Time tick and wire (int32) of voxel ids."""
    ids = ids.astype(np.uint32)
    column = ids // np.uint32(ticks)
    return (ids - column * np.uint32(ticks)).view(np.int32), column.view(np.int32)


def as_classes(values: np.ndarray, where: str, entry: int) -> np.ndarray:
    """Label values (f4) as classes u1; raises `DataError` for one that is not background, cosmic or neutrino."""
    with np.errstate(invalid="ignore"):
        label = values.astype(np.uint8)
    wrong = (label != values) | (label >= len(CLASSES))
    if wrong.any():
        raise DataError(f"{where}, entry {entry}: label {values[wrong][0]:g} is none of 0, 1, 2 ({', '.join(CLASSES)})")
    return label


def _union(images: RawImages, truth: RawImages) -> tuple[RawImages, RawImages]:
    """Both sets of pixels on the union of their ids, zero where one has none."""
    ids = []
    values = []
    labels = []
    counts = []
    ends = zip(np.cumsum(images.counts), np.cumsum(truth.counts), strict=True)
    begin_a = begin_b = 0
    for end_a, end_b in ends:
        ids_a = images.ids[begin_a:end_a]
        ids_b = truth.ids[begin_b:end_b]
        both = np.union1d(ids_a, ids_b)
        value = np.zeros(len(both), np.float32)
        label = np.zeros(len(both), np.float32)
        value[np.searchsorted(both, ids_a)] = images.values[begin_a:end_a]
        label[np.searchsorted(both, ids_b)] = truth.values[begin_b:end_b]
        begin_a = end_a
        begin_b = end_b
        ids.append(both)
        values.append(value)
        labels.append(label)
        counts.append(len(both))
    ids = np.concatenate(ids)
    counts = np.array(counts)
    return RawImages(ids, np.concatenate(values), counts), RawImages(ids, np.concatenate(labels), counts)
