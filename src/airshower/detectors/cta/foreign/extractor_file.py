"""Images of ImageExtractor, which wrote HDF5 for machine learning before DL1 existed, in its three layouts.

Square images (`E0/T3`, 2017), image tables of each type of telescope beside `Event_Info` (2018), and the same beside
`Events` and `Array_Information` (also DL1-Data-Handler up to 0.9). Energies are in TeV, angles in rad, lengths in m.
Values that a layout lacks are assumed: focal lengths and, for square images, fields of view are those of CTA's designs;
cameras whose pixels are not in the file are the built-in ones; row 0 of square images is the lowest.
"""

import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from airshower.data.handles import Stamp
from airshower.data.index_table import Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.entry import pack
from airshower.detectors.cta.foreign.plain_file import PlainHdf5File, plain_index
from airshower.detectors.cta.image_file import SHOWER_EVENT, Events, ImageIndex
from airshower.detectors.cta.keys import first_repeated, named
from airshower.detectors.cta.subarray import Subarray, distinct_cameras
from airshower.errors import DataError
from airshower.geometry.camera import CameraGeometry, builtin_camera
from airshower.runtime.log import logger


class Kind(NamedTuple):
    """A kind of telescope: its type and camera, focal length in m, field of view in deg, shape of pixels."""

    type: str
    camera: str
    focal_length: float
    view: float
    shape: str = "hexagon"


KINDS = {
    "LST": Kind("LST", "LSTCam", 28.0, 4.5),
    "MSTF": Kind("MST", "FlashCam", 16.0, 7.5),
    "MSTN": Kind("MST", "NectarCam", 16.0, 7.7),
    "MSTS": Kind("MST", "SCTCam", 5.59, 7.6, "square"),
    "SST1": Kind("SST", "DigiCam", 5.6, 9.1),
    "SSTA": Kind("SST", "ASTRICam", 2.15, 9.6, "square"),
    "SSTC": Kind("SST", "CHEC", 2.283, 8.8, "square"),
}
# our names and those of the layouts, the newest first
TRUTH_COLUMNS = {
    "energy": ("mc_energy",),
    "alt": ("alt",),
    "az": ("az",),
    "core_x": ("core_x",),
    "core_y": ("core_y",),
    "h_first_interaction": ("h_first_int",),
    "x_max": ("x_max",),
    "primary": ("shower_primary_id", "particle_id", "gamma_hadron_label"),
}
OBS_ID = ("obs_id", "run_number")
EVENT_ID = ("event_id", "event_number")
CHARGE = ("charge", "image_charge")
TIME = ("peakpos", "pulse_time", "image_peak_times")
DIRECTION = "run_array_direction"  # azimuth and altitude


class ExtractorTables(PlainHdf5File):
    """See `ImageFile`. Images in a table for each type of telescope, whose row 0 is blank."""

    def __init__(self, path: Path, stamp: Stamp | None = None, entry: Entry | None = None):
        super().__init__(path, stamp, entry)
        self._tables: list[str] = self._entry["tables"].tolist()

    def _read_entry(self) -> Entry:
        file = self.file
        with reading(str(self.path)):
            self.events_table = "/Events" if "/Events" in file else "/Event_Info"
            table = "/Array_Information" if "/Array_Information" in file else "/Telescope_Info"
            ids, *places = (_column(file, table, name, f"tel_{name}") for name in ("id", "x", "y", "z"))
            order = np.argsort(ids, kind="stable")
            names = np.array([_text(name) for name in _column(file, table, "type", "tel_type")])[order]
            cameras = {name: self._camera(name) for name in dict.fromkeys(names.tolist())}
            kept = np.array([cameras[name] is not None for name in names])
            subarray = _subarray(ids[order][kept], names[kept], np.stack(places, 1)[order][kept], cameras)
            events = _events(file, [self.events_table])
            tables, index = self._index(names[kept])
            _check_rows(file, tables, index)
        triggered = np.bincount(index.event, minlength=len(events))
        entry = pack(subarray, _with_triggers(events, triggered), index, _truth(file, [self.events_table]))
        return {**entry, "pointing": self._pointing(index), "tables": np.array(tables, np.str_)}

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """True for files of one of these layouts."""
        return ("/Event_Info" in file and "/Telescope_Info" in file) or (
            "/Events" in file and "/Array_Information" in file
        )

    def _index(self, names: np.ndarray) -> tuple[list[str], ImageIndex]:
        """The table of each telescope, and the index of all images. A type's column has its telescopes ordered by
        id."""
        tables = []
        event = []
        row = []
        for telescope, name in enumerate(names):
            column = f"{name}_indices"
            places = self.file.columns(self.events_table, [column])[column].reshape(self._count, -1)
            rows = places[:, int((names[:telescope] == name).sum())].astype(np.int64)
            event.append(np.flatnonzero(rows > 0))
            row.append(rows[rows > 0])
            tables.append(self._table(name))
        return tables, plain_index(event, range(len(names)), row)

    @property
    def _count(self) -> int:
        return self.file.length(self.events_table)

    def _table(self, name: str) -> str:
        return f"/Images/{name}" if f"/Images/{name}" in self.file else f"/{name}"

    def _camera(self, name: str) -> CameraGeometry | None:
        """The camera of a type of telescopes; None if the file has no images of it or its pixels are unknown."""
        if self._table(name) not in self.file:
            return None
        kind = _kind(self.file.path, name)
        types = "/Telescope_Type_Information"
        pixels = self.file.dtype(self._table(name))[_name(self.file, self._table(name), *CHARGE)].shape
        camera = None
        if types in self.file and "pixel_positions" in self.file.names(types):
            rows = self.file.columns(types, ["type", "num_pixels", "pixel_positions"])
            row = [_text(text) for text in rows["type"]].index(name)
            camera = _of_positions(kind, rows["pixel_positions"][row], int(rows["num_pixels"][row]))
        elif kind.shape == "hexagon":
            camera = builtin_camera(kind.camera)
        if camera is None:
            logger.warning("%s: telescopes %s are left out: the file lacks their pixels", self.file.path, name)
        elif pixels != (len(camera),):
            raise DataError(f"{self.file.path}: images of {name} have {pixels[0]} pixels, its camera has {len(camera)}")
        return camera

    def _pointing(self, index: ImageIndex) -> np.ndarray:
        if {"array_pointing_alt", "array_pointing_az"} <= set(self.file.names(self.events_table)):
            names = ("array_pointing_alt", "array_pointing_az")
            columns = self.file.columns(self.events_table, list(names))
            return np.stack([columns[name][index.event] for name in names], 1).astype(np.float64)
        direction = self.file.attribute("/", DIRECTION)
        ahead = [np.nan, np.nan] if direction is None else np.asarray(direction, np.float64)[::-1]
        return np.tile(ahead, (len(index), 1))

    def _stored(self, table: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        path = self._tables[table]
        with reading(f"{self.path}: {path}"):
            stored = self.file.rows(path, rows)
        charge = stored[_name(self.file, path, *CHARGE)]
        time = next((stored[name] for name in TIME if name in (stored.dtype.names or ())), np.full_like(charge, np.nan))
        return charge, time


class ExtractorGrids(PlainHdf5File):
    """See `ImageFile`. Square images, an array [images, rows, columns, channels] for each telescope and group of
    events; channels are charge and, where there is a second, time."""

    def __init__(self, path: Path, stamp: Stamp | None = None, entry: Entry | None = None):
        super().__init__(path, stamp, entry)
        self._arrays: list[str] = self._entry["tables"].tolist()

    def _read_entry(self) -> Entry:
        file = self.file
        with reading(str(self.path)):
            groups = [name for name in file.groups("/") if re.fullmatch(r"E\d+", name)]
            tables = [f"/{name}/{part}" for name in groups for part in file.tables(f"/{name}") if "Events" in part]
            array = file.values("/Tel_Table")
            names = np.array([_text(name) for name in array["tel_type"]])
            places = np.stack([array[f"tel_{axis}"] for axis in "xyz"], 1)
            cameras = {name: self._camera(name, array["tel_id"][names == name], groups) for name in np.unique(names)}
            kept = np.array([cameras[name] is not None for name in names])
            events = _events(file, tables)
            arrays, index = self._index(tables, array["tel_id"], np.flatnonzero(kept))
            _check_rows(file, arrays, index)
        events = _with_triggers(events, np.bincount(index.event, minlength=len(events)))
        subarray = _subarray(array["tel_id"][kept], names[kept], places[kept], cameras)
        pointing = array[DIRECTION][kept][index.telescope, ::-1].astype(np.float64)
        entry = pack(subarray, events, index, _truth(file, tables))
        return {**entry, "pointing": pointing, "tables": np.array(arrays, np.str_)}

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """True for files of this layout."""
        return "/Tel_Table" in file and any(re.fullmatch(r"E\d+", name) for name in file.groups("/"))

    def _index(self, tables: list[str], ids: np.ndarray, kept: np.ndarray) -> tuple[list[str], ImageIndex]:
        """The arrays, one for each table of events and telescope, and the index."""
        arrays = []
        telescopes = []
        event = []
        row = []
        before = 0
        for table in tables:
            places = self.file.columns(table, ["tel_map"])["tel_map"]
            for telescope, column in enumerate(kept):
                rows = places[:, column].astype(np.int64)
                arrays.append(f"{table.rsplit('/', 1)[0]}/T{ids[column]}")
                telescopes.append(telescope)
                event.append(before + np.flatnonzero(rows >= 0))
                row.append(rows[rows >= 0])
            before += len(places)
        return arrays, plain_index(event, telescopes, row)

    def _camera(self, name: str, ids: np.ndarray, groups: list[str]) -> CameraGeometry | None:
        arrays = [f"/{group}/T{tel_id}" for group in groups for tel_id in ids]
        shapes = {self.file.shape(array)[1:3] for array in arrays if array in self.file}
        if not shapes:
            return None
        if len(shapes) > 1:
            raise DataError(f"{self.file.path}: images of telescopes {name} differ in size")
        rows, columns = shapes.pop()
        kind = _kind(self.file.path, name)
        pitch = 2 * kind.focal_length * np.tan(np.radians(kind.view / 2)) / max(rows, columns)
        y, x = np.indices((rows, columns)).reshape(2, -1) - (np.array([[rows], [columns]]) - 1) / 2
        return CameraGeometry(kind.camera, x * pitch, y * pitch, np.full(x.size, pitch**2), "square")

    def _stored(self, table: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with reading(f"{self.path}: {self._arrays[table]}"):
            images = self.file.rows(self._arrays[table], rows)
        images = images.reshape(len(rows), images.shape[1] * images.shape[2], -1).astype(np.float32)
        return images[..., 0], images[..., 1] if images.shape[-1] > 1 else np.full_like(images[..., 0], np.nan)


def _kind(path: Path, name: str) -> Kind:
    """The kind of a telescope type, spelled as in files: LST, LST:LSTCam, LST_LST_LSTCam."""
    camera = re.split("[:_]", name)[-1]
    kind = KINDS.get(name) or next((other for other in KINDS.values() if other.camera == camera), None)
    if kind is None:
        raise DataError(f"{path}: telescopes {name} are none known here; there are {', '.join(KINDS)}")
    return kind


def _of_positions(kind: Kind, positions: np.ndarray, pixels: int) -> CameraGeometry:
    x, y = positions[:pixels].T.astype(np.float64)
    bare = CameraGeometry(kind.camera, x, y, np.ones(pixels), kind.shape)
    cell = bare.pitch**2 * (0.75**0.5 if kind.shape == "hexagon" else 1.0)
    turn = np.degrees(bare.rotation(6)) if kind.shape == "hexagon" else 0.0
    return CameraGeometry(kind.camera, x, y, np.full(pixels, cell), kind.shape, pixel_rotation=turn)


def _subarray(
    ids: np.ndarray, names: np.ndarray, position: np.ndarray, cameras: dict[str, CameraGeometry | None]
) -> Subarray:
    kinds = [KINDS.get(name) or _kind(Path(), name) for name in names.tolist()]
    types = tuple(kind.type for kind in kinds)
    of_each = [camera for name in names.tolist() if (camera := cameras[name]) is not None]
    distinct, camera = distinct_cameras(types, of_each)
    length = np.array([kind.focal_length for kind in kinds])
    texts = tuple(names.tolist())
    return Subarray(ids.astype(np.int64), types, texts, texts, position.astype(np.float64), length, camera, distinct)


def _events(file: Hdf5, tables: list[str]) -> Events:
    columns = [
        [file.keys(table, [_name(file, table, *names)])[:, 0] for table in tables] for names in (OBS_ID, EVENT_ID)
    ]
    obs_id, event_id = map(np.concatenate, columns)
    keys = np.stack([obs_id, event_id], 1)
    if (row := first_repeated(keys)) is not None:
        raise DataError(f"{file.path}: {named(keys[row])} is there twice")
    shower = np.full(len(event_id), SHOWER_EVENT)
    return Events(obs_id, event_id, shower, np.zeros_like(shower), np.full(len(shower), np.nan))


def _check_rows(file: Hdf5, tables: list[str], index: ImageIndex) -> None:
    """Raise `DataError` for an image of an event that is missing in its table, or that two events or telescopes
    share."""
    for path in dict.fromkeys(tables):
        numbers = [number for number, table in enumerate(tables) if table == path]
        rows = np.sort(index.row[np.isin(index.table, numbers)])
        if len(rows) and rows[-1] >= file.length(path):
            raise DataError(f"{file.path}: {path} has {file.length(path)} images, an event has that of row {rows[-1]}")
        for row in rows[1:][np.diff(rows) == 0][:1]:
            raise DataError(f"{file.path}: {path}: two events or telescopes have the image of row {row}")


def _with_triggers(events: Events, triggered: np.ndarray) -> Events:
    return Events(events.obs_id, events.event_id, events.event_type, triggered, events.time)


def _truth(file: Hdf5, tables: list[str]) -> dict[str, np.ndarray]:
    common = set.intersection(*(set(file.names(table)) for table in tables))
    columns = {ours: next((name for name in names if name in common), None) for ours, names in TRUTH_COLUMNS.items()}
    return {
        ours: np.concatenate([_column(file, table, name) for table in tables]).astype(np.float64)
        for ours, name in columns.items()
        if name
    }


def _column(file: Hdf5, table: str, *names: str) -> np.ndarray:
    name = _name(file, table, *names)
    return file.columns(table, [name])[name]


def _name(file: Hdf5, table: str, *names: str) -> str:
    present = file.names(table)
    for name in names:
        if name in present:
            return name
    raise DataError(f"{file.path}: {table} has no column {' or '.join(names)}")


def _text(value: bytes | str) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
