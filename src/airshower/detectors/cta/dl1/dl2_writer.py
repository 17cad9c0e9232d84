"""Predictions as DL2 files of ctapipe, with the tables of the DL1 files that its tools need.

ctapipe joins tables row by row, so there is a row for every event (or telescope that triggered) of these files. Rows
without a prediction have NaN and are marked as not valid.
"""

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import h5py
import numpy as np

from airshower.detectors.cta.dl1 import columns as dl1
from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.hdf5 import check_extent, lookup, reading
from airshower.detectors.cta.dl1.pytables import append_table, make_group
from airshower.detectors.cta.foreign.tables_file import TablesFile
from airshower.detectors.cta.image_file import ImageFile
from airshower.detectors.cta.keys import KEYS, first_repeated, named
from airshower.errors import DataError

ImagesOf = Callable[[np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]]

PREDICTED = {"classification": ("prediction",), "energy": ("energy",), "geometry": ("alt", "az", "core_x", "core_y")}
"""What a group of DL2 tables is made of; valid where all that is predicted of it is there."""
ANGLES = ("alt", "az")
INSTRUMENT = ("/configuration/instrument/", "/simulation/service/atmosphere_density_profile")  # the same in all files
COPIED = (
    "/configuration", "/simulation/service/atmosphere_density_profile", "/simulation/service/shower_distribution",
    "/simulation/event/subarray/shower", "/simulation/event/telescope/impact", "/dl1/event/subarray/trigger",
    "/dl1/event/telescope/trigger", "/dl0/monitoring/telescope/pointing", "/dl1/monitoring/telescope/pointing",
    "/dl1/monitoring/subarray/pointing",
)  # fmt: skip
HISTOGRAM = "hist_id"  # of a distribution of showers, a key beside that of the run


class ShowerPredictionWriter(contextlib.ExitStack):
    """Writes the predictions for entries of `files`, at the end; `images_of` returns for the images of entries the rows
    of entries, of files and of a file's index; in mono an entry is an image.

    The output is one file, unless the DL1 files repeat an observation or differ in telescopes, data model or types of
    ids: ctapipe would not merge these, so there is also `predictions_2.dl2.h5` and so on. Files in other formats have
    no DL2 file, as they lack tables that ctapipe needs.
    """

    def __init__(
        self, path: Path, files: Sequence[ImageFile], mode: str, images_of: ImagesOf, provenance: Mapping[str, str]
    ):
        super().__init__()
        self.images_of = images_of
        self.predicted = [_Predicted(file, mode) for file in files]
        stem, end = path.name.split(".", 1)
        self.paths = []
        self.groups = []
        for number, group in enumerate(_groups(files)):
            self.paths.append(path.with_name(f"{stem}_{number + 1}.{end}") if number else path)
            self.groups.append([self.predicted[index] for index in group])
        self.provenance = {f"airshower_{name}": value for name, value in provenance.items()}

    def __enter__(self) -> "ShowerPredictionWriter":
        for path, group in zip(self.paths, self.groups, strict=True):
            self.enter_context(_Dl2File(path, group, self.provenance))
        return self

    def append(self, entries: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """Add the predictions for some entries: any of `prediction` (0 to 1), `energy` (TeV), `alt`, `az` (rad),
        `core_x`, `core_y` (m), f8 [entries] each."""
        values = {name: np.degrees(column) if name in ANGLES else column for name, column in columns.items()}
        row, file, image = self.images_of(entries)
        for number in np.unique(file):
            chosen = file == number
            self.predicted[number].set(image[chosen], {name: column[row[chosen]] for name, column in values.items()})


class _Predicted:
    """The predictions for one DL1 file: f8 [events], or in mono [images], NaN without a prediction."""

    def __init__(self, file: ImageFile, mode: str):
        self.file = file
        self.stereo = mode == "stereo"
        self.columns: dict[str, np.ndarray] = {}
        self.used = np.zeros(len(file.images), bool)

    def set(self, images: np.ndarray, values: dict[str, np.ndarray]) -> None:
        """Values [images] of these rows of the file's index."""
        self.used[images] = True
        places, count = (self.file.images.event, len(self.file.events)) if self.stereo else (None, len(self.used))
        for name, column in values.items():
            kept = self.columns.setdefault(name, np.full(count, np.nan))
            kept[images if places is None else places[images]] = column

    def types(self, kind: str) -> tuple[dl1.Column, ...]:
        """The columns of a table; observation, event and telescope ids have the types of the DL1 file."""
        assert isinstance(self.file, Dl1File)
        return tuple(
            dataclasses.replace(column, kind=self.file.id_types[column.name].str) if column.name in KEYS else column
            for column in (dl1.STEREO if self.stereo else dl1.MONO)[kind]
        )

    def table(self, kind: str, tel_id: int = 0) -> np.ndarray:
        """The rows of a table: of all events, or of those that a telescope triggered on."""
        events = self.file.events
        telescopes = len(self.file.subarray.ids)
        if self.stereo:
            prefix = dl1.ALGORITHM
            row = np.arange(len(events))
            image = None
        else:
            prefix = f"{dl1.ALGORITHM}_tel"
            row, image = self._images(tel_id)
        rows = np.zeros(len(row), dl1.row_type(self.types(kind), **{f"{prefix}_telescopes": (telescopes,)}))
        for name in rows.dtype.names or ():
            if rows.dtype[name].kind == "f":
                rows[name] = np.nan
        rows["obs_id"], rows["event_id"] = events.obs_id[row], events.event_id[row]
        for name in PREDICTED[kind]:
            if name in self.columns:
                column = self.columns[name]
                rows[f"{prefix}_{name}"] = column if image is None else np.where(image < 0, np.nan, column[image])
        valid = [np.isfinite(rows[f"{prefix}_{name}"]) for name in PREDICTED[kind] if name in self.columns]
        rows[f"{prefix}_is_valid"] = np.logical_and.reduce(valid) if valid else False
        if self.stereo:
            images = self.file.images
            rows[f"{prefix}_telescopes"][images.event[self.used], images.telescope[self.used]] = True
        else:
            rows["tel_id"] = tel_id
        return rows

    def _images(self, tel_id: int) -> tuple[np.ndarray, np.ndarray]:
        """Rows of the events that a telescope triggered on, and of their images in the index, -1 for none."""
        images = self.file.images
        telescope = int(np.flatnonzero(self.file.subarray.ids == tel_id)[0])
        rows = np.flatnonzero(images.telescope == telescope)
        image = np.full(len(self.file.events), -1)
        image[images.event[rows]] = rows
        assert isinstance(self.file, Dl1File)
        triggered = np.flatnonzero(self.file.triggered()[:, telescope] | (image >= 0))
        return triggered, image[triggered]


class _Dl2File(TablesFile):
    """One DL2 file with the predictions for some DL1 files."""

    def __init__(self, path: Path, parts: list[_Predicted], provenance: Mapping[str, str]):
        for part in parts:  # raises errors for damaged tables before the predictions
            with reading(str(part.file.path)), h5py.File(part.file.path, "r") as source:
                _copied(source)
        super().__init__(path, provenance)
        self.parts = parts

    def _finish(self) -> None:
        first = self.parts[0].file
        obs_ids = []
        for part in self.parts:
            with reading(str(part.file.path)), h5py.File(part.file.path, "r") as source:
                self._copy(source, part.file is first)
                about = {name: _text(value) for name, value in source.attrs.items() if name.startswith("CTA ")}
            obs_ids += np.unique(part.file.events.obs_id).tolist()
            self._predictions(part)
        data = {"CTA PRODUCT DATA LEVELS": "DL2", "CTA PRODUCT DESCRIPTION": "Reconstructed air showers"}
        self._describe({**dl1.PRODUCT, **about, **data}, obs_ids)

    def _copy(self, source: h5py.File, first: bool) -> None:
        for path, table in _copied(source):
            if first or not path.startswith(INSTRUMENT):
                append_table(self.file, table, path)

    def _predictions(self, part: _Predicted) -> None:
        kinds = [kind for kind, names in PREDICTED.items() if any(set(names) & set(p.columns) for p in self.parts)]
        for kind in kinds:
            if part.stereo:
                rows = part.table(kind)
                path = f"/dl2/event/subarray/{kind}/{dl1.ALGORITHM}"
                shapes = {f"{dl1.ALGORITHM}_telescopes": (len(part.file.subarray.ids),)}
                self._add(path, part.types(kind), rows, **shapes)
                continue
            for tel_id in part.file.subarray.ids.tolist():
                rows = part.table(kind, tel_id)
                path = f"/dl2/event/telescope/{kind}/{dl1.ALGORITHM}/tel_{tel_id:03d}"
                if len(rows):
                    self._add(path, part.types(kind), rows)
        make_group(self.file, "/dl2/event")


def _copied(source: h5py.File) -> list[tuple[str, h5py.Dataset]]:
    """The tables of a DL1 file that ctapipe needs beside predictions, by their paths, links followed. Raises
    `DataError` for a table that is longer than its stored data, or with two rows of the same key, which ctapipe would
    join twice."""
    tables = [table for path in COPIED for table in _tables(source, path, ())]
    for path, table in tables:
        check_extent(table, f"{source.filename}: {path}")
        names = [key for key in (*KEYS, HISTOGRAM) if key in table.dtype.names]
        if "event_id" in names or ("obs_id" in names and "time" not in table.dtype.names):
            columns = table.fields(names)[:]
            keys = np.stack([columns[key].astype(np.int64) for key in names], 1)
            if (row := first_repeated(keys)) is not None:
                key = keys[row].tolist()
                what = ", ".join(f"{name} {number}" for name, number in zip(names, key, strict=True))
                raise DataError(f"{source.filename}: {named(key) if 'event_id' in names else what} is in {path} twice")
    return tables


def _tables(source: h5py.File, path: str, above: tuple[h5py.Group, ...]) -> Iterator[tuple[str, h5py.Dataset]]:
    """The tables at and under a path. `above` are the groups around it."""
    node = lookup(source, path)
    if node in above:
        raise DataError(f"{source.filename}: {path} is a link to a group that it is in")
    if isinstance(node, h5py.Group):
        for name in sorted(node):
            yield from _tables(source, f"{path}/{name}", (*above, node))
    elif isinstance(node, h5py.Dataset) and node.dtype.names:
        yield path, node


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else "" if isinstance(value, h5py.Empty) else str(value)


def _groups(files: Sequence[ImageFile]) -> list[list[int]]:
    """Groups of DL1 files with the same telescopes, data model and types of ids, and without repeated observations;
    each file is in the first possible group."""
    groups: list[tuple[tuple, set[int], list[int]]] = []
    for index, file in enumerate(files):
        if not isinstance(file, Dl1File):
            continue
        version = file.file.attribute("/", "CTA PRODUCT DATA MODEL VERSION")
        types = tuple(kind.str for kind in file.id_types.values())
        alike = (version, types, tuple(file.subarray.ids.tolist()))
        observations = set(np.unique(file.events.obs_id).tolist())
        fitting = (group for group in groups if group[0] == alike and not group[1] & observations)
        if (group := next(fitting, None)) is None:
            groups.append((alike, observations, [index]))
        else:
            group[1].update(observations)
            group[2].append(index)
    return [members for _, _, members in groups]
