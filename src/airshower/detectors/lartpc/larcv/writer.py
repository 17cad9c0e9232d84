"""Writing larcv3 files with h5py, so that larcv opens them.

Each rule here follows from the behaviour of larcv 3.5.1: it can't open files of the newest HDF5 versions (hence
`libver="earliest"`), it returns the event before for an event that has no projections (hence every event has a row per
projection, with no voxels if need be), it reads an unknown group in `/Data` as if it were the first event (hence
nothing else is written there; provenance goes into attributes of the root), and it reads large chunks slowly.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.runtime.hdf5_output import Hdf5Output

VOXEL_CHUNK = 10_000  # with shuffle: a third smaller and 1.3-1.6 times faster to read than larcv's own 1000


@dataclass(frozen=True)
class ImageMeta:
    """One projection: pixels per axis, their extent and origin in the file's units; axis 0 is the wire, 1 the time.

    Its projection id is its position among those of its event if none is given.
    """

    number_of_voxels: tuple[int, ...]
    image_sizes: tuple[float, ...]
    origin: tuple[float, ...]
    projection_id: int | None = None

    @classmethod
    def unit(cls, number_of_voxels: Sequence[int]) -> "ImageMeta":
        """Pixels of unit size from the origin, as SBND's files have."""
        counts = tuple(int(n) for n in number_of_voxels)
        return cls(counts, tuple(float(n) for n in counts), (0.0,) * len(counts))

    def id_at(self, position: int) -> int:
        """The projection id of the event's projection at this position."""
        return position if self.projection_id is None else self.projection_id


@dataclass(frozen=True)
class Voxels:
    """The non-empty pixels of one projection: `ids` ascending (u8), `values` (f4)."""

    ids: np.ndarray
    values: np.ndarray


class _Table:
    """A one-dimensional dataset that grows; rows are buffered and written in blocks."""

    def __init__(self, group: h5py.Group, name: str, dtype: np.dtype, chunk: int, shuffle: bool = False):
        self.dataset = group.create_dataset(
            name, (0,), dtype, maxshape=(None,), chunks=(chunk,), compression="gzip", compression_opts=1,
            shuffle=shuffle,
        )  # fmt: skip
        self.rows = []
        self.buffered = 0
        self.written = 0

    @property
    def length(self) -> int:
        return self.written + self.buffered

    def append(self, rows: np.ndarray) -> None:
        self.rows.append(rows)
        self.buffered += len(rows)
        if self.buffered >= 100_000:
            self.flush()

    def flush(self) -> None:
        if not self.buffered:
            return
        # numpy packs padded records when it concatenates them, and copies what lies between the columns: fill zeros
        block: np.ndarray = np.zeros(self.buffered, self.dataset.dtype)
        start = 0
        for rows in self.rows:
            for name in block.dtype.names or ():
                block[name][start : start + len(rows)] = rows[name]
            start += len(rows)
        self.dataset.resize((self.length,))
        self.dataset[self.written :] = block
        self.written = self.length
        self.rows = []
        self.buffered = 0


class LarcvWriter(Hdf5Output):
    """Writes one larcv3 file, event by event; see `Hdf5Output`."""

    def __init__(self, path: str | Path, provenance: Mapping[str, str] | None = None):
        super().__init__(path, libver="earliest")
        self.file.attrs.update(provenance or {})
        self.events = _Table(self.file.create_group("Events"), "event_id", larcv3.EVENT_ID, 100)
        self.tables: dict[tuple[str, str], dict[str, _Table]] = {}
        self.projections: dict[tuple[str, str], int] = {}

    def append(
        self,
        event_id: tuple[int, int, int],
        sparse: Mapping[str, Sequence[tuple[ImageMeta, Voxels]]],
        clusters: Mapping[str, Sequence[tuple[ImageMeta, Sequence[Voxels]]]] | None = None,
        particles: Mapping[str, np.ndarray] | None = None,
    ) -> None:
        """Add one event: sparse images and clusters per producer and projection, and particle records."""
        products = {("sparse", name) for name in sparse} | {("cluster", name) for name in clusters or {}}
        products |= {("particle", name) for name in particles or {}}
        if self.events.length and products != set(self.tables):
            raise ValueError(f"{self.path}: every event must have the same products")
        with self.writing():
            self.events.append(np.array([tuple(event_id)], larcv3.EVENT_ID))
            for name, images in sparse.items():
                self._append_sparse(name, images)
            for name, images in (clusters or {}).items():
                self._append_clusters(name, images)
            for name, records in (particles or {}).items():
                self._append_particles(name, records)

    def _append_sparse(self, producer: str, images: Sequence[tuple[ImageMeta, Voxels]]) -> None:
        tables = self._product("sparse", producer, images, "voxel_extents")
        self._extend(tables["extents"], tables["voxel_extents"], len(images))
        self._append_meta(tables["image_meta"], [meta for meta, _ in images])
        for index, (meta, voxels) in enumerate(images):
            self._append_voxels(tables["voxel_extents"], tables["voxels"], meta.id_at(index), meta, voxels)

    def _append_clusters(self, producer: str, images: Sequence[tuple[ImageMeta, Sequence[Voxels]]]) -> None:
        tables = self._product("cluster", producer, images, "projection_extents", "cluster_extents")
        self._extend(tables["extents"], tables["projection_extents"], len(images))
        self._append_meta(tables["image_meta"], [meta for meta, _ in images])
        for index, (meta, clusters) in enumerate(images):
            first = tables["cluster_extents"].length
            tables["projection_extents"].append(
                np.array([(first, len(clusters), meta.id_at(index))], larcv3.ID_EXTENTS)
            )
            for cluster, voxels in enumerate(clusters):
                self._append_voxels(tables["cluster_extents"], tables["voxels"], cluster, meta, voxels)

    def _append_particles(self, producer: str, records: np.ndarray) -> None:
        if ("particle", producer) not in self.tables:
            group = self.file.create_group(larcv3.group_name("particle", producer))
            self.tables["particle", producer] = {
                "extents": _Table(group, "extents", larcv3.EXTENTS, 100),
                "particles": _Table(group, "particles", larcv3.PARTICLE, 500),
            }
        tables = self.tables["particle", producer]
        self._extend(tables["extents"], tables["particles"], len(records))
        tables["particles"].append(np.asarray(records, larcv3.PARTICLE))

    def _product(self, kind: str, producer: str, images: Sequence[tuple], *extents: str) -> dict[str, _Table]:
        if not images or self.projections.setdefault((kind, producer), len(images)) != len(images):
            raise ValueError(f"{self.path}: every event must have as many projections as the first")
        if (kind, producer) not in self.tables:
            dimension = len(images[0][0].number_of_voxels)
            group = self.file.create_group(larcv3.group_name(f"{kind}{dimension}d", producer))
            types = {"extents": larcv3.EXTENTS, "image_meta": larcv3.image_meta(dimension)}
            types |= dict.fromkeys(extents, larcv3.ID_EXTENTS)
            tables = {name: _Table(group, name, dtype, larcv3.CHUNKS[name]) for name, dtype in types.items()}
            tables["voxels"] = _Table(group, "voxels", larcv3.VOXEL, VOXEL_CHUNK, shuffle=True)
            self.tables[kind, producer] = tables
        return self.tables[kind, producer]

    @staticmethod
    def _extend(extents: _Table, rows: _Table, count: int) -> None:
        extents.append(np.array([(rows.length, count)], larcv3.EXTENTS))

    @staticmethod
    def _append_meta(table: _Table, metas: Sequence[ImageMeta]) -> None:
        rows = [
            (1, meta.id_at(i), meta.image_sizes, meta.number_of_voxels, meta.origin) for i, meta in enumerate(metas)
        ]
        table.append(np.array(rows, larcv3.image_meta(len(metas[0].number_of_voxels))))

    @staticmethod
    def _append_voxels(extents: _Table, table: _Table, index: int, meta: ImageMeta, voxels: Voxels) -> None:
        ids = np.asarray(voxels.ids, np.uint64)
        if len(ids) and (ids[-1] >= np.prod(meta.number_of_voxels) or (ids[1:] <= ids[:-1]).any()):
            raise ValueError("voxel ids must ascend and lie in the image: larcv does not check, and finds wrong pixels")
        rows = np.empty(len(ids), larcv3.VOXEL)
        rows["id"], rows["value"] = ids, voxels.values
        extents.append(np.array([(table.length, len(rows), index)], larcv3.ID_EXTENTS))
        table.append(rows)

    def _finish(self) -> None:
        for table in [self.events, *(table for tables in self.tables.values() for table in tables.values())]:
            table.flush()
