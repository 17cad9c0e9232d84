"""Reads files of points: what belongs to events at once, the points of some events when they are wanted."""

import hashlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airshower.data.containers import spans
from airshower.data.handles import HANDLES
from airshower.data.index import FileIndex, Indexed
from airshower.data.index_table import Entry
from airshower.data.points import header as names
from airshower.data.points.header import Header, angle, dataset, group, length
from airshower.data.points.parquet import open_points
from airshower.data.quantity import Quantity
from airshower.data.truth import CLASS, DIRECTION, POSITION, Column
from airshower.errors import DataError
from airshower.runtime.hdf5_input import reading

VERSION = 2  # raise when entries of the index change
GAP = 4096  # points between two events that are read and left out, as this is faster than reading twice
ZENITH = (np.pi / 2, 0.0)  # rad


class PointFile:
    """A file of points of the index; it is opened when points are read. `entry` has a value for each event in memory,
    `counts` int64 [events] are numbers of points."""

    def __init__(self, indexed: Indexed):
        self.path = indexed.path
        self.stamp = indexed.stamp
        self.entry = indexed.entry
        self.header = Header.of_text(str(indexed.entry["header"]))
        self.counts = indexed.entry["counts"]
        self.first = np.cumsum(self.counts) - self.counts
        self.digest = str(indexed.entry["digest"])

    def __len__(self) -> int:
        return len(self.counts)

    def columns(self, group: str) -> dict[str, np.ndarray]:
        """The columns [events, ...] of the group `truth` or `events`, those of truth that are known."""
        known = self.header.known if group == names.TRUTH else self.header.events
        return {name: self.entry[f"{group}/{name}"] for name in known}

    def read(self, events: np.ndarray, features: Sequence[Quantity]) -> tuple[np.ndarray, np.ndarray]:
        """Positions in m or deg, float32 [points, axes], and scaled features, float32 [points, features], of `events`
        [n] in ascending order; an event may come several times. Raises `DataError` naming dataset and event."""
        parts = []
        with HANDLES.using(self.path, self.stamp, _OpenFile) as file:
            for run in self._runs(events):
                parts.append(self._run(file, run, features))
        empty = np.zeros((0, len(self.header.axes)), np.float32), np.zeros((0, len(features)), np.float32)
        position, scaled = zip(empty, *parts, strict=True)
        return np.concatenate(position), np.concatenate(scaled)

    def _runs(self, events: np.ndarray) -> list[np.ndarray]:
        """Events that are near each other in the file."""
        gaps = self.first[events[1:]] - (self.first + self.counts)[events[:-1]]
        return np.split(events, np.flatnonzero(gaps > GAP) + 1) if len(events) else []

    def _run(self, file: "_OpenFile", run: np.ndarray, features: Sequence[Quantity]) -> tuple[np.ndarray, np.ndarray]:
        begin = int(self.first[run[0]])
        end = int(self.first[run[-1]] + self.counts[run[-1]])
        rows = spans(self.first[run] - begin, self.counts[run])
        event = np.repeat(run, self.counts[run])
        position = self._values(file, names.POSITION_OF_POINTS, begin, end)[rows]
        position = (position * float(self.entry["size"])).astype(np.float32)
        self._check(names.POSITION_OF_POINTS, position, position, event)
        scaled = np.empty((len(rows), len(features)), np.float32)
        for column, quantity in enumerate(features):
            values = self._values(file, quantity.name, begin, end)[rows]
            scaled[:, column] = values if quantity.name in self.header.scaled else quantity.scaled(values)
            self._check(quantity.name, scaled[:, column], values, event)
        return position, scaled

    def _values(self, file: "_OpenFile", name: str, begin: int, end: int) -> np.ndarray:
        with reading(f"{self.path}: {names.POINTS}/{name}"):
            return file[name][begin:end]

    def _check(self, name: str, read: np.ndarray, stored: np.ndarray, event: np.ndarray) -> None:
        finite = np.isfinite(read) if read.ndim == 1 else np.isfinite(read).all(1)
        for row in np.flatnonzero(~finite)[:1]:
            where = f"{self.path}: {names.POINTS}/{name}"
            raise DataError(f"{where}: is {stored[row].tolist()} in event {event[row]}, which is no finite input")


def read_columns(path: Path) -> tuple[Column, ...]:
    """The columns of truth of a file."""
    with open_points(path) as file, reading(str(path)):
        return Header.of_file(file, path).columns


def point_index() -> FileIndex:
    """The index of files of points."""
    return FileIndex(f"points version {VERSION}", lambda path, entry, _: {} if entry else read_entry(path))


def read_entry(path: Path) -> Entry:
    """What a file says of its events, without points: `header`, `counts`, columns as `truth/NAME` and `events/NAME`,
    `axis` and `origin` of the frame of each event, `sensors`, `centre`, the `size` of the unit of points in m or deg.
    Raises `DataError` naming the file and the dataset."""
    with open_points(path) as file, reading(str(path)):
        header = Header.of_file(file, path)
        counts = _counts(file, header, path)
        truth = {name: _truth(file, column, len(counts), path)
                 for name, column in ((c.name, c) for c in header.columns) if name in header.known}  # fmt: skip
        events = {name: _events(file, name, name in header.ids, len(counts), path) for name in header.events}
        entry: dict[str, np.ndarray] = {f"{names.TRUTH}/{name}": values for name, values in truth.items()}
        entry |= {f"{names.EVENTS}/{name}": values for name, values in events.items()}
        entry |= {"counts": counts, "header": np.array(header.text), **_array(file, header, path)}
        centre = entry["centre"] if header.unit == "m" else np.zeros_like(entry["centre"])
        entry |= _frame(file, header, centre, len(counts), path)
        position = file[names.POINTS][names.POSITION_OF_POINTS]
        where = f"{path}: {names.POINTS}/{names.POSITION_OF_POINTS}"
        entry["size"] = np.array(names.place(names.unit(position, "m"), where)[1])
        size = file.id.get_filesize()
    content = hashlib.sha256(str(size).encode())
    for name in sorted(entry):
        content.update(name.encode() + np.ascontiguousarray(entry[name]).tobytes())
    return {**entry, "digest": np.array(content.hexdigest())}


def _counts(file: h5py.File, header: Header, path: Path) -> np.ndarray:
    points = group(file, names.POINTS, path)
    counts = dataset(points, names.COUNTS, path, 1)[:]
    where = f"{path}: {names.POINTS}/{names.COUNTS}"
    if not len(counts):
        raise DataError(f"{where}: has no events")
    if counts.dtype.kind not in "iu" or (counts < 0).any():
        raise DataError(f"{where}: has values that are no numbers of points; whole numbers from 0 on are due")
    counts = counts.astype(np.int64)
    for name in (names.POSITION_OF_POINTS, *(feature.name for feature in header.features)):
        rows = len(points[name])
        if rows != counts.sum():
            raise DataError(f"{path}: {names.POINTS}/{name}: has {rows} rows, counts add up to {counts.sum()} points")
    return counts


def _of_events(file: h5py.File, node: str, events: int, path: Path) -> np.ndarray:
    parent, name = node.split("/", 1)
    values = _native(dataset(group(file, parent, path), name, path)[:])
    if len(values) != events:
        raise DataError(f"{path}: {node}: has {len(values)} rows, there are {events} events")
    return values


def _truth(file: h5py.File, column: Column, events: int, path: Path) -> np.ndarray:
    """A column of truth in its unit."""
    node = f"{names.TRUTH}/{column.name}"
    values = _of_events(file, node, events, path)
    if column.kind == CLASS:
        if values.dtype.kind not in "iu" or (values >= len(column.classes)).any():
            raise DataError(f"{path}: {node}: has values that are no rows of its classes {', '.join(column.classes)}")
        return np.maximum(values.astype(np.int64), -1)
    values = values if values.dtype.kind == "f" else values.astype(np.float64)
    unit = names.unit(file[node])
    to_unit = {DIRECTION: angle, POSITION: length}.get(column.kind)
    factor = to_unit(unit, node) if to_unit else 1.0
    return values if factor == 1.0 else values * factor


def _events(file: h5py.File, name: str, whole: bool, events: int, path: Path) -> np.ndarray:
    """A column of events; ids and showers are whole numbers."""
    node = f"{names.EVENTS}/{name}"
    values = _of_events(file, node, events, path)
    if values.ndim != 1:
        raise DataError(f"{path}: {node}: has {values.ndim} dimensions, 1 is due")
    if whole or name == names.SHOWER:
        if values.dtype.kind not in "iub":
            raise DataError(f"{path}: {node}: is of type {values.dtype}, whole numbers are due")
        return values.astype(np.int64)
    return values


def _array(file: h5py.File, header: Header, path: Path) -> dict[str, np.ndarray]:
    """The places of sensors, f8 [sensors, axes], and the middle of the array, f8 [axes]: that of the sensors, or 0,
    where the file does not say."""
    axes = len(header.axes)
    read: dict[str, np.ndarray] = {}
    for name, dimensions in (("sensors", 2), ("centre", 1)):
        if f"{names.ARRAY}/{name}" not in file:
            continue
        node = dataset(file[names.ARRAY], name, path, dimensions)
        where = f"{path}: {names.ARRAY}/{name}"
        unit, factor = names.place(names.unit(node, header.unit), where)
        if unit != header.unit:
            raise DataError(f"{where}: its unit is not one of {header.unit}, which positions of points are in")
        read[name] = node[:].astype(np.float64) * factor
        if node.shape[-1] != axes or not np.isfinite(read[name]).all():
            raise DataError(f"{where}: should be {axes} finite numbers for each place, one for each axis of points")
    sensors = read.get("sensors", np.zeros((0, axes)))
    middle = sensors.mean(0) if len(sensors) else np.zeros(axes)
    return {"sensors": sensors, "centre": read.get("centre", middle)}


def _frame(file: h5py.File, header: Header, centre: np.ndarray, events: int, path: Path) -> dict[str, np.ndarray]:
    """What directions and positions are relative to, float32 [events, 2] or [events, 2 or 3]: the zenith and the centre
    where the file does not say; no axis where it has a frame without one."""
    positions = {column.name: len(column.parts) for column in header.columns if column.kind == POSITION}
    frame: dict[str, np.ndarray] = {"axis": np.array(ZENITH)} if names.FRAME not in file else {}
    frame["origin"] = centre[: next(iter(positions.values()), 2)]
    for name in ("axis", "origin"):
        if f"{names.FRAME}/{name}" in file:
            node = dataset(file[names.FRAME], name, path)
            where = f"{path}: {names.FRAME}/{name}"
            factor = angle(names.unit(node, "rad"), where) if name == "axis" else length(names.unit(node, "m"), where)
            frame[name] = node[:] if factor == 1.0 else node[:] * factor
        if name in frame:
            sizes = (2,) if name == "axis" else (2, 3)
            frame[name] = _each(frame[name], sizes, events, f"{path}: {names.FRAME}/{name}")
    origin = frame["origin"].shape[1]
    for name, size in positions.items():
        if size != origin:
            raise DataError(f"{path}: {names.TRUTH}/{name}: has {size} coordinates, {names.FRAME}/origin has {origin}")
    for column in header.columns:
        if column.kind == DIRECTION and not column.whole_sky and "axis" not in frame:
            raise DataError(
                f"{path}: {names.TRUTH}/{column.name}: give the axis of the frame, or the attribute whole_sky=True"
            )
    return frame


def _each(values: np.ndarray, sizes: tuple[int, ...], events: int, where: str) -> np.ndarray:
    if values.ndim not in (1, 2) or values.shape[-1] not in sizes or (values.ndim == 2 and len(values) != events):
        due = " or ".join(map(str, sizes))
        raise DataError(f"{where}: is an array {list(values.shape)}; [{due}] or [{events}, {due}] is due")
    if not np.isfinite(values).all():
        raise DataError(f"{where}: has values that are not finite")
    values = values.astype(np.float32)
    return np.tile(values, (events, 1)) if values.ndim == 1 else values


def _native(values: np.ndarray) -> Any:
    return values.astype(values.dtype.newbyteorder("="), copy=False)


class _OpenFile:
    """An open file with its datasets of points: HDF5 keeps the chunks that were read last of a dataset that is open."""

    def __init__(self, path: Path):
        self.file = open_points(path)
        self.datasets: dict[str, h5py.Dataset] = {}

    def __getitem__(self, name: str) -> h5py.Dataset:
        if name not in self.datasets:
            self.datasets[name] = self.file[names.POINTS][name]
        return self.datasets[name]

    def close(self) -> None:
        """Close the file."""
        self.file.close()
