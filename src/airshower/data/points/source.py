"""`data=points`: files of ragged points with named columns, of any detector. See docs/point_files.md."""

import dataclasses
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np

from airshower.config.fields import number
from airshower.data.batch import Batch
from airshower.data.containers import Points, spans
from airshower.data.cuts import check_names, parse_cuts, passing
from airshower.data.files import FileData, FilesConfig, FileSource, Paths, matching_files
from airshower.data.index import FileIndex
from airshower.data.order import OrderConfig
from airshower.data.points import header as names
from airshower.data.points.file import PointFile, point_index, read_columns
from airshower.data.points.header import Header
from airshower.data.points.parquet import is_points
from airshower.data.points.predictions import PointPredictions
from airshower.data.quantity import Quantity
from airshower.data.source import Contents
from airshower.data.spec import PointsSpec, Spec
from airshower.data.truth import Column, Columns, Frame, Truth
from airshower.errors import DataError, UserError

UNNUMBERED = ("file", "event")
"""Ids of events of files that have none."""


@dataclass
class PointsConfig(OrderConfig):
    """`data.*` of files of points."""

    features: list[str] = field(default_factory=list)
    cuts: str = ""


class PointEvents(FileSource):
    """Events of one or more files of points that pass the cuts. In memory is what belongs to events, not to points."""

    def __init__(self, config: PointsConfig, paths: Sequence[Path], index: FileIndex | None = None):
        self.config = config
        self.files = [PointFile(indexed) for indexed in (index or point_index()).open(paths)]
        self.header = _common(self.files)
        self.features = _chosen(self.header, config.features, self.files[0].path)
        counts = [len(file) for file in self.files]
        file = np.repeat(np.arange(len(counts)), counts)
        row = np.concatenate(list(map(np.arange, counts)))
        self._truth = self._joined(names.TRUTH, self.header.known)
        columns = self._joined(names.EVENTS, self.header.events)
        kept = self._kept(columns)
        self._file, self._row = file[kept], row[kept]
        self._counts = self._entries("counts")[kept]
        self._truth = {name: values[kept] for name, values in self._truth.items()}
        self._frame = {name: self._entries(name)[kept] for name in ("axis", "origin") if name in self.files[0].entry}
        ids = [columns[name] for name in self.header.ids] if self.header.ids else [file, row]
        ids += [np.zeros(len(file), np.int64)] * (names.MOST_IDS - len(ids))
        self.event_ids = np.stack(ids, 1)[kept]
        self._shower = np.concatenate(list(map(_showers, self.files)))[kept]
        entry = self.files[0].entry
        points = PointsSpec(
            self.header.axes, self.header.unit, self.features, entry["centre"].copy(), entry["sensors"].copy()
        )
        known = frozenset(self.header.known)
        self.spec = Spec({"points": points}, self.header.columns, known, self.header.ids or UNNUMBERED)
        self.digest = hashlib.sha256(" ".join(file.digest for file in self.files).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self._row)

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`: the container `points`. Raises `DataError` naming file, dataset and event."""
        entries = np.asarray(entries, np.int64)
        counts = self._counts[entries]
        first = np.cumsum(counts) - counts
        position = np.empty((counts.sum(), len(self.header.axes)), np.float32)
        features = np.empty((counts.sum(), len(self.features)), np.float32)
        order = np.lexsort((self._row[entries], self._file[entries]))
        for place in np.unique(self._file[entries]):
            of_file = order[self._file[entries[order]] == place]
            rows = spans(first[of_file], counts[of_file])
            position[rows], features[rows] = self.files[place].read(self._row[entries[of_file]], self.features)
        frame = Frame(*(self._frame[name][entries] if name in self._frame else None for name in ("axis", "origin")))
        points = Points(position, features, counts)
        return Batch({"points": points}, entries, self.event_ids[entries], Truth(self.truth, entries), frame)

    @property
    def showers(self) -> np.ndarray:
        """See `FileSource`: int64 [entries]."""
        return self._shower

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """See `Source`: columns of the group `truth`."""
        return {name: self._truth[name][entries] for name in self.spec.wanted(names)}

    def file_ends(self) -> np.ndarray:
        """See `Source`."""
        return np.searchsorted(self._file, np.arange(len(self.files)), side="right")

    def contents(self) -> Contents:
        """See `Source`."""
        return Contents(tuple(file.path for file in self.files), sum(map(len, self.files)), self._removed)

    def event_writer(self, path: Path, provenance: dict[str, str]) -> PointPredictions:
        """See `Source`: an HDF5 file with the ids and the predictions of events."""
        return PointPredictions(path, self.spec, self.event_ids, provenance)

    def _entries(self, name: str) -> np.ndarray:
        return np.concatenate([file.entry[name] for file in self.files])

    def _joined(self, group: str, wanted: Sequence[str]) -> Columns:
        return {name: np.concatenate([file.columns(group)[name] for file in self.files]) for name in wanted}

    def _kept(self, columns: Columns) -> np.ndarray:
        """Events that pass the cuts, bool [events]; these are on columns of events, `points`, the number of points, and
        numbers of the truth with the prefix `true_`."""
        cuts = parse_cuts(self.config.cuts)
        able = {**columns, names.POINTS: self._entries("counts")}
        for column in self.header.columns:
            if column.name in self._truth:
                values = self._truth[column.name].reshape(len(able[names.POINTS]), -1).T
                able |= {f"true_{part}": part_values
                         for part, part_values in zip(column.parts or (column.name,), values, strict=True)}  # fmt: skip
        check_names(cuts, set(able), sorted(able))
        tests = {cut.text: cut.keeps(able) for cut in cuts}
        kept, self._removed = passing(tests, len(able[names.POINTS]), len(self.files))
        return kept


class PointData(FileData[PointEvents]):
    """`data=points`: files of points with named columns."""

    @dataclass
    class Config(PointsConfig, FilesConfig):
        """`data.*`."""

        validation_fraction: float = number(0.1, low=0.0, high=0.9)

    containers = MappingProxyType({"points": Points})

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """See `Data`."""
        return is_points(path)

    @classmethod
    def columns(cls, config: Config) -> tuple[Column, ...]:
        """See `Data`: those of the first file, which says what its truth is."""
        return read_columns(matching_files(config.file, config.data_directory)[0])

    def source(self, paths: Paths) -> PointEvents:
        """See `FileData.source`."""
        return PointEvents(self.config, paths["file"], self.index)

    def build_index(self) -> FileIndex:
        """See `FileData`."""
        return point_index()

    def check_alike(self, source: PointEvents, aux: PointEvents) -> None:
        """They must have the same features and the same truth."""
        if difference := _difference(source.header, aux.header):
            raise UserError(f"data.aux_file: its files and those of data.file have other {difference}")


def _common(files: Sequence[PointFile]) -> Header:
    """The header of all files: columns of truth and of events are those that all of them have. Raises `DataError` for
    files of other points."""
    first = files[0]
    for file in files[1:]:
        difference = _difference(first.header, file.header)
        for name in ("sensors", "centre"):
            if not np.array_equal(file.entry[name], first.entry[name]):
                difference = difference or name
        if ("axis" in file.entry) != ("axis" in first.entry):
            difference = difference or "frames"
        if difference:
            raise DataError(f"{file.path}: has other {difference} than {first.path}; read them apart")
    known, events = (
        tuple(name for name in getattr(first.header, of) if all(name in getattr(f.header, of) for f in files))
        for of in ("known", "events")
    )
    return dataclasses.replace(first.header, scaled=(), known=known, events=events)


def _difference(one: Header, other: Header) -> str:
    """What is not the same in two headers, in a word."""
    named = ("axes", "axes"), ("unit", "units of positions")
    for name, what in (*named, ("features", "features"), ("columns", "columns of truth"), ("ids", "ids")):
        if getattr(one, name) != getattr(other, name):
            return what
    return ""


def _chosen(header: Header, wanted: Sequence[str], path: Path) -> tuple[Quantity, ...]:
    """The features of these names, in this order; all if none is named."""
    able = {quantity.name: quantity for quantity in header.features}
    for name in wanted:
        if name not in able:
            raise UserError(
                f"data.features=[{','.join(wanted)}]: {path} has no {name}; it has {', '.join(able) or 'none'}; "
                "name others (data.features follows network.features)"
            )
    return tuple(able[name] for name in wanted or able)


def _showers(file: PointFile) -> np.ndarray:
    """The number of each event's shower, int64 [events]; without it each event is a shower."""
    if names.SHOWER in file.header.events:
        return file.columns(names.EVENTS)[names.SHOWER]
    content = int.from_bytes(hashlib.sha256(file.digest.encode()).digest()[:8], "little", signed=True)
    return np.int64(content >> 1) + np.arange(len(file))
