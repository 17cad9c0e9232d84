"""Reading DL1 files (HDF5) of ctapipe, data models v4 to v7, and of lstchain: the index once, then rows of images.

What a file has decides, not who wrote it: lstchain keeps truth and pointing among the image parameters, older ctapipe
the pointing in the monitoring.
"""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.detectors.cta.dl1_hdf5 import Hdf5, reading
from airshower.detectors.cta.dl1_instrument import LAYOUT, read_runs, read_subarray
from airshower.detectors.cta.image_file import SHOWER_EVENT, Events, ImageFile, ImageIndex, where
from airshower.errors import DataError

VERSION = "CTA PRODUCT DATA MODEL VERSION"
VERSIONS = (4, 7)  # of the data model, first and last that are read
IMAGES = ("/dl1/event/telescope/images", "/dl1/event/telescope/image")  # ctapipe, lstchain
PARAMETERS = "/dl1/event/telescope/parameters"
TRIGGER = "/dl1/event/subarray/trigger"
SHOWERS = "/simulation/event/subarray/shower"
POINTING = "/configuration/telescope/pointing"
MONITORED = ("/dl0/monitoring/telescope/pointing", "/dl1/monitoring/telescope/pointing")
KEYS = ["obs_id", "event_id", "tel_id"]
# of `image_file.TRUTH`: ctapipe's column of the shower table, lstchain's among the parameters
TRUTH_COLUMNS = {
    "energy": ("true_energy", "mc_energy"),
    "alt": ("true_alt", "mc_alt"),
    "az": ("true_az", "mc_az"),
    "core_x": ("true_core_x", "mc_core_x"),
    "core_y": ("true_core_y", "mc_core_y"),
    "h_first_interaction": ("true_h_first_int", "mc_h_first_int"),
    "x_max": ("true_x_max", "mc_x_max"),
    "primary": ("true_shower_primary_id", "mc_type"),
}


@dataclass(frozen=True, eq=False)
class _ImageTable:
    """A table of images, the path of their parameters, and the row there of each image: -1 for none, None: the same."""

    path: str
    parameters: str | None
    parameter_row: np.ndarray | None

    def parameter_rows(self, rows: np.ndarray) -> np.ndarray:
        return rows if self.parameter_row is None else self.parameter_row[rows]


class Dl1File(ImageFile):
    """A DL1 file, its index read and checked.

    Attributes: `subarray`, `events`, `images` (`ImageIndex`), `runs` (list of `SimulatedRun`), `parameter_names`,
    `has_clean` (whether the pixels that cleaning kept are marked), `simulated`, and `truth`: f8 [events] by the names
    of `TRUTH_COLUMNS`, in TeV, rad, m and g/cm2, NaN where a file lacks one; None for observations.

    Raises `DataError` for what is not DL1, of another version, without images, or damaged.
    """

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = Hdf5(self.path)
        with reading(str(self.path)):
            group = _check(self.file)
            self.subarray = read_subarray(self.file)
            tables, keys = zip(*(_image_table(self.file, group, name) for name in self.file.tables(group)), strict=True)
            self._tables: tuple[_ImageTable, ...] = tables
            self.parameter_names = self._parameter_names()
            self.events = self._events(np.concatenate(keys))
            self.images = self._index(keys)
            self.truth = self._truth()
            self.runs = read_runs(self.file)
            self.has_clean = all("image_mask" in self.file.names(table.path) for table in self._tables)
        self.simulated = self.truth is not None

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """Whether a file is DL1, of whatever version."""
        return file.attribute("/", VERSION) is not None or LAYOUT in file

    def find_parameter(self, name: str) -> str | None:
        """What this file calls a parameter: hillas_intensity may be camera_frame_hillas_intensity or intensity."""
        plain = name.removeprefix("camera_frame_").removeprefix("hillas_")
        spelled = (name, f"hillas_{plain}", f"camera_frame_hillas_{plain}", f"camera_frame_{plain}", plain)
        return next((candidate for candidate in spelled if candidate in self.parameter_names), None)

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """Some of `parameter_names`, f8 [images] each as stored (no change of units), NaN for an image without."""
        columns = {name: np.full(len(self.images), np.nan) for name in names}
        for number, images in self._by_table(np.arange(len(self.images))):
            table = self._tables[number]
            if names and table.parameters:
                with reading(f"{self.path}: {table.parameters}"):
                    stored = self.file.columns(table.parameters, names)
                at = table.parameter_rows(self.images.row[images])
                for name in names:
                    columns[name][images] = np.where(at < 0, np.nan, stored[name][at])
        return columns

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Charge (p.e.) and peak time (ns) f4 [images, pixels], and bool [images, pixels] of the pixels that cleaning
        kept (None: not in the file), for some images (rows of the index) of one camera, in this order.

        Raises `DataError` naming telescope and event of an image that is damaged or has a pixel that is not finite.
        """
        images = np.asarray(images, np.int64)
        camera = self.subarray.camera[self.images.telescope[images]]
        pixels = len(self.subarray.cameras[camera[0] if len(camera) else 0].x)
        charge, time = np.empty((2, len(images), pixels), np.float32)
        clean = np.empty((len(images), pixels), bool) if self.has_clean else None
        for number, at in self._by_table(images):
            at = at[np.argsort(self.images.row[images[at]], kind="stable")]
            table = self._tables[number]
            with reading(f"{self.path}: {table.path}"):
                rows = self.file.rows(table.path, self.images.row[images[at]])
                self._check_rows(images[at], rows, pixels)
                charge[at], time[at] = (self._decoded(table.path, name, rows) for name in ("image", "peak_time"))
                if clean is not None:
                    clean[at] = rows["image_mask"]
        for name, values in (("charge", charge), ("peak time", time)):
            for image in images[~np.isfinite(values).all(1)][:1]:
                raise DataError(f"{self.where(image)}: the {name} of a pixel is not a finite number")
        return charge, time, clean

    def where(self, image: int) -> str:
        """File, telescope and event of an image, for messages."""
        return where(self, image)

    def triggered(self) -> np.ndarray:
        """Which telescopes triggered, bool [events, telescopes]; where the file does not say, those with images."""
        if TRIGGER in self.file:
            return self._mask()
        mask = np.zeros((len(self.events), len(self.subarray.ids)), bool)
        mask[self.images.event, self.images.telescope] = True
        return mask

    @cached_property
    def pointing(self) -> np.ndarray:
        """Altitude and azimuth in rad of each image's telescope, f8 [images, 2]; NaN where the file has none."""
        pointing = np.full((len(self.images), 2), np.nan)
        with reading(f"{self.path}: pointing"):
            for telescope in np.unique(self.images.telescope):
                images = np.flatnonzero(self.images.telescope == telescope)
                events = self.images.event[images]
                name = f"tel_{self.subarray.ids[telescope]:03d}"
                if f"{POINTING}/{name}" in self.file:
                    pointing[images] = self._fixed_pointing(f"{POINTING}/{name}", events)
                for group in MONITORED:
                    if f"{group}/{name}" in self.file and np.isnan(pointing[images]).any():
                        pointing[images] = self._monitored_pointing(f"{group}/{name}", events)
        if {"alt_tel", "az_tel"} <= set(self.parameter_names):
            columns = self.parameters(["alt_tel", "az_tel"])
            pointing = np.where(np.isnan(pointing), np.stack([columns["alt_tel"], columns["az_tel"]], 1), pointing)
        return pointing

    @cached_property
    def digest(self) -> str:
        """A hash of the index and of some images, which tells files apart without reading all of them."""
        digest = hashlib.sha256(str(self.path.stat().st_size).encode())
        for array in (self.events.obs_id, self.events.event_id, self.images.event, self.images.telescope):
            digest.update(np.ascontiguousarray(array).tobytes())
        for number in np.unique(np.linspace(0, len(self._tables) - 1, 8).astype(int)):
            path = self._tables[number].path
            with reading(f"{self.path}: {path}"):
                digest.update(self.file.rows(path, np.array([0]))["image"].tobytes())
        return digest.hexdigest()

    def _by_table(self, images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each table and which of `images` are in it."""
        tables = self.images.table[images]
        for number in np.unique(tables):
            yield int(number), np.flatnonzero(tables == number)

    def _parameter_names(self) -> tuple[str, ...]:
        """Numbers that every image has."""
        paths = [table.parameters for table in self._tables if table.parameters]
        if len(paths) < len(self._tables):
            return ()
        types = [self.file.dtype(path) for path in paths]
        return tuple(
            name
            for name in self.file.names(paths[0])
            if all(
                name in (kind.names or ()) and kind[name].shape == () and kind[name].kind in "fiub" for kind in types
            )
        )

    def _events(self, keys: np.ndarray) -> Events:
        if TRIGGER not in self.file:  # lstchain's observations: the events are those that have images
            pairs, triggered = np.unique(np.stack([keys["obs_id"], keys["event_id"]], 1), axis=0, return_counts=True)
            unknown = np.full(len(pairs), np.nan)
            obs_id, event_id = pairs.T.copy()
            return Events(obs_id, event_id, np.full(len(pairs), SHOWER_EVENT), triggered, unknown)
        names = self.file.names(TRIGGER)
        rows = self.file.columns(TRIGGER, [*KEYS[:2], *(name for name in ("event_type", "time") if name in names)])
        event_type = rows["event_type"] if "event_type" in names else np.full(len(rows), SHOWER_EVENT)
        time = _seconds(rows["time"]) if "time" in names else np.full(len(rows), np.nan)
        obs_id, event_id = (rows[key].astype(np.int64) for key in KEYS[:2])
        first = find((obs_id, event_id), (obs_id, event_id))
        for row in np.flatnonzero(first != np.arange(len(rows)))[:1]:
            raise DataError(f"{self.path}: event {event_id[row]} of observation {obs_id[row]} is in {TRIGGER} twice")
        return Events(obs_id, event_id, event_type.astype(np.int64), self._mask().sum(1), time)

    def _mask(self) -> np.ndarray:
        """The trigger table's telescopes as bool [events, telescopes]: files have such a mask, or lists of ids."""
        stored = self.file.columns(TRIGGER, ["tels_with_trigger"])["tels_with_trigger"]
        telescopes = len(self.subarray.ids)
        if stored.dtype.itemsize > 1:
            return (stored[:, None, :] == self.subarray.ids[None, :, None]).any(2)
        if stored.shape[1:] != (telescopes,):
            raise DataError(
                f"{self.path}: {TRIGGER} is about {stored.shape[1]} telescopes, the subarray has {telescopes}"
            )
        return stored.astype(bool)

    def _telescope_rows(self, ids: np.ndarray) -> np.ndarray:
        rows = self.subarray.rows(ids)
        for missing in ids[rows < 0][:1]:
            raise DataError(f"{self.path}: telescope {missing} has images but is not in the subarray's layout")
        return rows

    def _index(self, keys: tuple[np.ndarray, ...]) -> ImageIndex:
        parts = []
        for number, (table, own) in enumerate(zip(self._tables, keys, strict=True)):
            event = find((own["obs_id"], own["event_id"]), (self.events.obs_id, self.events.event_id))
            for row in np.flatnonzero(event < 0)[:1]:
                missing = f"event {own['event_id'][row]} of observation {own['obs_id'][row]}"
                raise DataError(f"{self.path}: {table.path}: {missing} is not in {TRIGGER}")
            rows = np.arange(len(event))
            parts.append((event, self._telescope_rows(own["tel_id"]), np.full_like(rows, number), rows))
        return ImageIndex(*(np.concatenate(column) for column in zip(*parts, strict=True)))

    def _truth(self) -> dict[str, np.ndarray] | None:
        events, truth = len(self.events), {}
        if SHOWERS in self.file:
            rows = self.file.columns(SHOWERS, KEYS[:2])
            at = find((self.events.obs_id, self.events.event_id), (rows["obs_id"], rows["event_id"]))
            for event in np.flatnonzero(at < 0)[:1]:
                missing = f"event {self.events.event_id[event]} of observation {self.events.obs_id[event]}"
                raise DataError(f"{self.path}: {missing} is not in {SHOWERS}")
            for name, (column, _) in TRUTH_COLUMNS.items():
                there = column in self.file.names(SHOWERS)
                truth[name] = self.file.quantity(SHOWERS, column)[at] if there else np.full(events, np.nan)
            return truth
        if not {"mc_energy", "mc_type"} <= set(self.parameter_names):
            return None
        there = {name: column for name, (_, column) in TRUTH_COLUMNS.items() if column in self.parameter_names}
        columns = self.parameters(list(there.values()))
        truth = {name: np.full(events, np.nan) for name in TRUTH_COLUMNS}
        for name, column in there.items():
            truth[name][self.images.event] = columns[column]
        return truth

    def _fixed_pointing(self, path: str, events: np.ndarray) -> np.ndarray:
        rows = self.file.columns(path, ["obs_id"])["obs_id"]
        at = find((self.events.obs_id[events], np.zeros_like(events)), (rows, np.zeros(len(rows), np.int64)))
        return np.where(at[:, None] < 0, np.nan, _alt_az(self.file, path)[at])

    def _monitored_pointing(self, path: str, events: np.ndarray) -> np.ndarray:
        time = _seconds(self.file.columns(path, ["time"])["time"])
        alt, az = _alt_az(self.file, path).T
        order, wanted = np.argsort(time), self.events.time[events]
        return np.stack([np.interp(wanted, time[order], np.unwrap(angle[order])) for angle in (alt, az)], 1)

    def _check_rows(self, images: np.ndarray, rows: np.ndarray, pixels: int) -> None:
        """Whether these rows of a table are those of the index and have the camera's pixels."""
        event = self.images.event[images]
        same = (rows["obs_id"] == self.events.obs_id[event]) & (rows["event_id"] == self.events.event_id[event])
        for image in images[~same][:1]:
            raise DataError(f"{self.where(image)}: its parameters are not in the order of its images")
        for name in ("image", "peak_time"):
            if rows[name].shape[1:] != (pixels,):
                shape = " x ".join(map(str, rows[name].shape[1:]))
                raise DataError(f"{self.where(images[0])}: {name} is {shape}, its camera has {pixels} pixels")

    def _decoded(self, path: str, column: str, rows: np.ndarray) -> np.ndarray:
        """Values of a column that may be stored as scaled integers, of which ctapipe keeps the last three unsigned (or
        the first two and the last signed) for -inf, nan and inf; what was out of their range is at its edge here."""
        stored, scale = rows[column], self.file.field_attribute(path, column, "TRANSFORM_SCALE")
        if scale is None:
            return stored
        limits = np.iinfo(stored.dtype)
        low, high, nan = (limits.min + 2, limits.max - 1, limits.min + 1)
        if stored.dtype.kind == "u":
            low, high, nan = 0, limits.max - 3, limits.max - 1
        edge = stored == (limits.max - 2 if stored.dtype.kind == "u" else limits.min)
        values = np.where(edge, low, np.minimum(stored, high)).astype(np.float32)
        values = (values - float(self.file.field_attribute(path, column, "TRANSFORM_OFFSET") or 0)) / float(scale)
        return np.where(stored == nan, np.float32(np.nan), values)


def find(wanted: tuple[np.ndarray, np.ndarray], among: tuple[np.ndarray, np.ndarray]) -> np.ndarray:
    """Rows of pairs (obs_id, event_id) among others, int64; -1 where there is none."""
    ranks = [
        np.unique(np.concatenate(columns).astype(np.int64), return_inverse=True)[1]
        for columns in zip(among, wanted, strict=True)
    ]
    key = ranks[0] * (ranks[1].max(initial=0) + 1) + ranks[1]
    there, sought = key[: len(among[0])], key[len(among[0]) :]
    if not len(there):
        return np.full(len(sought), -1)
    order = np.argsort(there, kind="stable")
    rows = order[np.searchsorted(there[order], sought).clip(max=len(order) - 1)]
    return np.where(there[rows] == sought, rows, -1)


def _check(file: Hdf5) -> str:
    """The group of the image tables of a file that is DL1 of a version read here."""
    version = str(file.attribute("/", VERSION) or "")
    group = next((group for group in IMAGES if group in file), None)
    if not version and (group is None or LAYOUT not in file):
        raise DataError(f"{file.path}: is HDF5 but not DL1 of ctapipe or lstchain")
    major = version.lstrip("v").split(".")[0]
    if version and not (major.isdigit() and VERSIONS[0] <= int(major) <= VERSIONS[1]):
        raise DataError(
            f"{file.path}: is of ctapipe's data model {version}, v{VERSIONS[0]} to v{VERSIONS[1]} are read; make it "
            "again with a ctapipe that writes one of these"
        )
    if group is None or not file.tables(group):
        raise DataError(f"{file.path}: has no images; write them with ctapipe-process --write-images")
    if LAYOUT not in file:
        raise DataError(f"{file.path}: has no {LAYOUT}, the telescopes' positions and cameras")
    return group


def _image_table(file: Hdf5, group: str, name: str) -> tuple[_ImageTable, np.ndarray]:
    """A table of images and its keys [images].

    ctapipe and lstchain write parameters side by side with the images. Tables of the same length are taken to be so,
    since it is quicker to read the keys there; each image is checked when it is read."""
    path, parameters = f"{group}/{name}", f"{PARAMETERS}/{name}"
    for column in ("image", "peak_time"):
        if column not in file.names(path):
            raise DataError(f"{file.path}: {path} has no {column}")
    if parameters not in file or not file.length(parameters):
        return _ImageTable(path, None, None), file.columns(path, KEYS)
    if file.length(parameters) == file.length(path):
        return _ImageTable(path, parameters, None), file.columns(parameters, KEYS)
    own, other = file.columns(path, KEYS), file.columns(parameters, KEYS)
    rows = find((own["obs_id"], own["event_id"]), (other["obs_id"], other["event_id"]))
    return _ImageTable(path, parameters, rows), own


def _alt_az(file: Hdf5, path: str) -> np.ndarray:
    """Altitude and azimuth in rad, f8 [rows, 2], of a table whose columns end in these words."""
    names = file.names(path)
    columns = (next(name for name in names if name.endswith(word)) for word in ("altitude", "azimuth"))
    return np.stack([file.quantity(path, name) for name in columns], 1)


def _seconds(time: np.ndarray) -> np.ndarray:
    """f8 [rows]: v7 has seconds and quarters of nanoseconds [rows, 2], before it was modified julian days."""
    return time[:, 0] + time[:, 1] / 4e9 if time.ndim == 2 else time * 86400.0
