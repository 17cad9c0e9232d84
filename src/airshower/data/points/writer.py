"""Writes events that have points as a file of points, see docs/point_files.md."""

import hashlib
from pathlib import Path
from typing import Any

import numpy as np

from airshower.data.files import FileSource
from airshower.data.points import header as names
from airshower.data.points.parquet import SUFFIX, ParquetPoints
from airshower.data.points.predictions import appended
from airshower.data.quantity import Quantity
from airshower.data.source import Source
from airshower.data.spec import PointsSpec, Spec, TableSpec
from airshower.data.truth import Column
from airshower.errors import UserError
from airshower.runtime.hdf5_output import Hdf5Output

AT_ONCE = 256  # events that are in memory
CHUNKS = {names.POINTS: 8192}  # rows of a chunk, of other groups:
CHUNK = 4096


def write_points(source: Source, entries: np.ndarray, path: Path) -> None:
    """Write the events of these entries: points, truth, frame, ids, showers, and their tables as columns of events.

    The ending .parquet asks for Parquet, any other for HDF5. Features are written as networks take them, so that what
    is read back is the same to the bit. Raises `UserError` for a source without points, and where pyarrow is missing.
    """
    container = points_of(source.spec, "to_points")
    if not len(entries):
        raise UserError("to_points: there are no events to write")
    parts = (_columns(source, container, part) for part in np.split(entries, range(AT_ONCE, len(entries), AT_ONCE)))
    if path.suffix == SUFFIX:
        with ParquetPoints(path, _attributes(source, source.spec[container]), _array(source.spec[container])) as output:
            for columns in parts:
                output.append(columns)
        return
    with Hdf5Output(path) as output:
        file = output.file
        with output.writing():
            file.attrs.update({"format": names.FORMAT, "version": names.VERSION})
            for group in (names.POINTS, names.TRUTH, names.EVENTS):
                file.create_group(group, track_order=True)
            for columns in parts:
                for name, values in columns.items():
                    appended(file, name, values, CHUNKS.get(name.partition("/")[0], CHUNK))
            _describe(file, source, source.spec[container])


def points_of(spec: Spec, what: str) -> str:
    """The name of the container of points. Raises `UserError` saying `what` needs them if there is none."""
    for name, part in spec.inputs.items():
        if isinstance(part, PointsSpec):
            return name
    raise UserError(
        f"{what}: these events have no points but {', '.join(spec.inputs)}; where data can have points, name their "
        "features, as in airshower.open(file, features=['charge', 'time'])"
    )


def _columns(source: Source, container: str, entries: np.ndarray) -> dict[str, np.ndarray]:
    """Rows of datasets by name, of some entries."""
    batch = source.read(entries)
    spec = source.spec
    points = batch[container]
    columns = {f"{names.POINTS}/counts": points.counts, f"{names.POINTS}/position": points.position}
    for quantity, values in zip(spec[container].features, points.features.T, strict=True):
        columns[f"{names.POINTS}/{quantity.name}"] = values
    for name in ("axis", "origin"):
        values = getattr(batch.frame, name, None)
        columns |= {} if values is None else {f"{names.FRAME}/{name}": values}
    columns |= {f"{names.TRUTH}/{name}": values for name, values in source.truth(entries).items()}
    events = dict(zip(spec.ids, batch.event_ids.T, strict=False))
    for name, part in spec.inputs.items():
        if isinstance(part, TableSpec):
            events |= part.physical(batch[name].values)
    if isinstance(source, FileSource):
        events[names.SHOWER] = _numbered(np.asarray(source.showers)[entries])
    return columns | {f"{names.EVENTS}/{name}": values for name, values in events.items()}


def _describe(file: Any, source: Source, spec: PointsSpec) -> None:
    """The attributes of datasets, and the array."""
    for column in source.spec.truth:
        path = f"{names.TRUTH}/{column.name}"
        if path not in file:  # it is not known of these events; the file says what would be
            file.create_dataset(path, (0, len(column.parts)) if column.parts else (0,), float)
    for name, values in _array(spec).items():
        file[f"{names.ARRAY}/{name}"] = values
    for name, attributes in _attributes(source, spec).items():
        if name in file:
            file[name].attrs.update(attributes)


def _array(spec: PointsSpec) -> dict[str, np.ndarray]:
    """The places of sensors, and their middle."""
    return {"sensors": spec.sensors, "centre": spec.centre}


def _attributes(source: Source, spec: PointsSpec) -> dict[str, dict[str, Any]]:
    """Attributes by name of a dataset or group; of the frame also those of what these events may not have."""
    attributes = {
        f"{names.POINTS}/{feature.name}": {"scaled": True, **_of_quantity(feature)} for feature in spec.features
    }
    attributes[f"{names.POINTS}/{names.POSITION_OF_POINTS}"] = {"unit": spec.unit, "axes": list(spec.axes)}
    attributes |= {f"{names.TRUTH}/{column.name}": _of_column(column) for column in source.spec.truth}
    for table in source.spec.inputs.values():
        for quantity in table.quantities if isinstance(table, TableSpec) else ():
            attributes[f"{names.EVENTS}/{quantity.name}"] = {"unit": quantity.unit}
    attributes[names.EVENTS] = {"ids": list(source.spec.ids)}
    attributes |= {f"{names.ARRAY}/{name}": {"unit": spec.unit} for name in _array(spec)}
    return attributes | {f"{names.FRAME}/{name}": {"unit": unit} for name, unit in (("axis", "rad"), ("origin", "m"))}


def _of_quantity(quantity: Quantity) -> dict[str, Any]:
    """Its attributes."""
    keys = ("unit", "middle", "width", "logarithmic", "floor", "period", "step")
    return {key: getattr(quantity, key) for key in keys} | ({"names": list(quantity.names)} if quantity.names else {})


def _of_column(column: Column) -> dict[str, Any]:
    lists = {key: list(getattr(column, key)) for key in ("classes", "parts") if getattr(column, key)}
    whole = {"whole_sky": True} if column.whole_sky else {}
    return {"kind": column.kind, "unit": column.unit, **lists, **whole}


def _numbered(showers: np.ndarray) -> np.ndarray:
    """A number for each key of a shower, int64 [n]: the same for equal keys, also in other files."""
    keys, which = np.unique(showers, return_inverse=True)
    numbers = [int.from_bytes(hashlib.sha256(key.tobytes()).digest()[:8], "little", signed=True) for key in keys]
    return np.array(numbers, np.int64)[which.reshape(-1)]
