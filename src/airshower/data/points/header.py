"""What a file of points says of its columns, without the columns: see docs/point_files.md."""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import h5py
import numpy as np

from airshower.data.quantity import Quantity
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column
from airshower.data.units import UNITS
from airshower.errors import DataError

FORMAT, VERSION = "airshower points", 1
POINTS, TRUTH, EVENTS, FRAME, ARRAY = "points", "truth", "events", "frame", "array"
"""Groups of a file."""
COUNTS, POSITION_OF_POINTS = "counts", "position"
"""Datasets of the group `points` that are no features."""
SHOWER = "shower"
"""The column of events that tells which of them are of one shower."""
KINDS = (CLASS, NUMBER, DIRECTION, POSITION)
ANGLES = {"rad": 1.0, "deg": np.pi / 180}
AXES = ("x", "y", "z")
MOST_IDS = 3
HELP = "docs/point_files.md has the format"


@dataclass(frozen=True)
class Header:
    """`axes` of points; `features` and those of these that are `scaled` already; `columns` of truth and those of these
    that are `known`; names of columns of `events` and those of these that are `ids`; the `unit` of positions as they
    are read, m on the ground and deg on the sky."""

    axes: tuple[str, ...]
    features: tuple[Quantity, ...]
    scaled: tuple[str, ...]
    columns: tuple[Column, ...]
    known: tuple[str, ...]
    events: tuple[str, ...]
    ids: tuple[str, ...]
    unit: str

    @classmethod
    def of_file(cls, file: h5py.File, path: Path) -> Self:
        """Raises `DataError` naming file and dataset."""
        check_format(file, path)
        points = group(file, POINTS, path)
        features = [name for name in points if name not in (COUNTS, POSITION_OF_POINTS)]
        truth = group(file, TRUTH, path) if TRUTH in file else {}
        events = tuple(group(file, EVENTS, path)) if EVENTS in file else ()
        position = dataset(points, POSITION_OF_POINTS, path, 2)
        axes = texts(position.attrs.get("axes", AXES[: position.shape[1]]))
        if not len(axes) == position.shape[1] in (2, 3):
            raise DataError(
                f"{path}: {POINTS}/position: has {position.shape[1]} columns, axes={','.join(axes)}; 2 or 3 are due"
            )
        ids = texts(file[EVENTS].attrs.get("ids", ())) if events else ()
        for name in ids:
            if name not in events or len(ids) > MOST_IDS:
                raise DataError(f"{path}: {EVENTS}: ids={','.join(ids)}: name at most {MOST_IDS} columns of {EVENTS}")
        return cls(
            axes,
            tuple(_quantity(dataset(points, name, path, 1), name, path) for name in features),
            tuple(name for name in features if points[name].attrs.get("scaled", False)),
            tuple(_column(dataset(truth, name, path), name, path) for name in truth),
            tuple(name for name in truth if len(truth[name])),
            events,
            ids,
            place(unit(position, "m"), f"{path}: {POINTS}/position")[0],
        )

    @property
    def text(self) -> str:
        """As JSON."""
        return json.dumps(dataclasses.asdict(self))

    @classmethod
    def of_text(cls, text: str) -> Self:
        """Inverse of `text`."""
        values = json.loads(text)
        parts = {"features": Quantity, "columns": Column}
        unit = values.pop("unit")
        return cls(
            **{
                name: tuple(_made(parts[name], item) if name in parts else item for item in items)
                for name, items in values.items()
            },
            unit=unit,
        )


def is_points(path: Path) -> bool:
    """True if an HDF5 file is of this format, by its content."""
    try:
        with h5py.File(path, "r") as file:
            return _text(file.attrs.get("format")) == FORMAT
    except (OSError, RuntimeError, KeyError, TypeError, ValueError):
        return False


def check_format(file: h5py.File, path: Path) -> None:
    """Raise `DataError` for another format, or a newer version."""
    if _text(file.attrs.get("format")) != FORMAT:
        raise DataError(f"{path}: is HDF5 but no file of points; {HELP}")
    if file.attrs.get("version") != VERSION:
        raise DataError(f"{path}: is of version {file.attrs.get('version')} of the format, version {VERSION} is read")


def group(parent: h5py.Group, name: str, path: Path) -> h5py.Group:
    """A group of a file. Raises `DataError` if there is none."""
    found = parent.get(name)
    if not isinstance(found, h5py.Group) or found.file != parent.file:
        raise DataError(f"{path}: has no group {name}; {HELP}")
    return found


def dataset(parent: h5py.Group, name: str, path: Path, dimensions: int | None = None) -> h5py.Dataset:
    """A dataset of numbers in a group, all of whose rows are on disk. Raises `DataError` naming it."""
    where = f"{path}: {parent.name.strip('/')}/{name}"
    found = parent.get(name)
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{where}: is {'missing' if found is None else 'no dataset'}; {HELP}")
    if found.dtype.kind not in "fiub":
        raise DataError(f"{where}: is of type {found.dtype}, numbers are due")
    if not found.ndim or (dimensions and found.ndim != dimensions):
        raise DataError(f"{where}: has {found.ndim} dimensions, {dimensions or 'at least 1'} are due")
    _check_stored(found, parent, where)
    return found


def texts(values: Any) -> tuple[str, ...]:
    """An attribute that is a list of texts, or one text."""
    return tuple(map(_text, np.atleast_1d(np.asarray(values, object))))


def unit(node: h5py.Dataset, default: str = "") -> str:
    """The attribute `unit` of a dataset."""
    return _text(node.attrs.get("unit", default))


def length(unit: str, where: str) -> float:
    """Metres of a unit. Raises `DataError` for one that is no length."""
    kind, size = UNITS.get(unit, ("", 1.0))
    if kind != "length":
        lengths = ", ".join(name for name, (measured, _) in UNITS.items() if measured == "length")
        raise DataError(f"{where}: its unit is '{unit}'; positions are in one of {lengths}")
    return size


def place(unit: str, where: str) -> tuple[str, float]:
    """The unit that positions of points are read in, m or deg, and how much of it a unit is. Raises `DataError` for
    what is neither a length nor an angle."""
    if unit in ANGLES:
        return "deg", ANGLES[unit] / ANGLES["deg"]
    return "m", length(unit, where)


def angle(unit: str, where: str) -> float:
    """Radians of a unit. Raises `DataError` for one that is no angle."""
    if unit not in ANGLES:
        raise DataError(f"{where}: its unit is '{unit}'; directions are in one of {', '.join(ANGLES)}")
    return ANGLES[unit]


def _quantity(node: h5py.Dataset, name: str, path: Path) -> Quantity:
    attributes = node.attrs
    width = float(attributes.get("width", 1.0))
    if not (np.isfinite(width) and width > 0):
        raise DataError(f"{path}: {POINTS}/{name}: its attribute width is {width}, a positive number is due")
    return Quantity(
        name,
        unit(node),
        float(attributes.get("middle", 0.0)),
        width,
        logarithmic=bool(attributes.get("logarithmic", False)),
        names=texts(attributes.get("names", ())),
        **{key: float(attributes.get(key, 0.0)) for key in ("floor", "period", "step")},
    )


def _column(node: h5py.Dataset, name: str, path: Path) -> Column:
    where = f"{path}: {TRUTH}/{name}"
    attributes = node.attrs
    kind = _text(attributes.get("kind", NUMBER))
    if kind not in KINDS:
        raise DataError(f"{where}: its attribute kind is '{kind}', it must be one of {', '.join(KINDS)}")
    sizes = {DIRECTION: (2,), POSITION: (2, 3)}.get(kind)
    if node.ndim != (1 if sizes is None else 2) or (sizes and node.shape[1] not in sizes):
        due = f"[events, {' or '.join(map(str, sizes))}]" if sizes else "[events]"
        raise DataError(f"{where}: is an array {list(node.shape)}, a {kind} is {due}")
    classes = texts(attributes.get("classes", ()))
    if kind == CLASS and not classes:
        raise DataError(f"{where}: has no attribute classes, the names of 0, 1, ...")
    endings = {DIRECTION: ("alt", "az"), POSITION: AXES[: node.shape[-1]]}.get(kind, ())
    parts = texts(attributes.get("parts", [f"{name}_{ending}" for ending in endings]))
    if len(parts) != len(endings):
        raise DataError(f"{where}: its attribute parts names {len(parts)} numbers, a {kind} has {len(endings)}")
    given = unit(node)
    if kind == DIRECTION:
        angle(given, where)
        given = "rad"
    elif kind == POSITION:
        length(given, where)
        given = "m"
    return Column(name, kind, given, classes, parts, bool(attributes.get("whole_sky", False)))


def _check_stored(node: h5py.Dataset, parent: h5py.Group, where: str) -> None:
    """Raise `DataError` for rows that are not in this file: HDF5 would give zeros."""
    if node.file != parent.file or node.is_virtual or node.external:
        raise DataError(f"{where}: has its rows in other files")
    if node.chunks:
        wanted = int(np.prod([-(-size // chunk) for size, chunk in zip(node.shape, node.chunks, strict=True)]))
        complete = node.id.get_num_chunks() >= wanted
    else:
        complete = node.id.get_storage_size() >= node.size * node.dtype.itemsize
    if not complete:
        raise DataError(f"{where}: claims {len(node)} rows, of which not all are on disk; the file is damaged")


def _text(value: Any) -> str:
    return value.decode(errors="replace") if isinstance(value, bytes) else str(value)


def _made(kind: type, values: dict[str, Any]) -> Any:
    """A dataclass whose lists are tuples."""
    return kind(**{key: tuple(value) if isinstance(value, list) else value for key, value in values.items()})
