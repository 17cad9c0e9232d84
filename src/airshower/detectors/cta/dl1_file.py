"""Reading DL1 files (HDF5) of ctapipe, data models v4 to v7, and of lstchain: the index once, then rows of images.

What a file has decides, not who wrote it: lstchain keeps truth and pointing among the image parameters, older ctapipe
the pointing in the monitoring.
"""

import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.detectors.cta.dl1_hdf5 import Hdf5, reading
from airshower.detectors.cta.dl1_index import TRIGGER, read_index, refuse_repeated, triggered_telescopes
from airshower.detectors.cta.dl1_instrument import LAYOUT, read_runs, read_subarray
from airshower.detectors.cta.dl1_parameters import ImageParameters
from airshower.detectors.cta.dl1_pointing import telescope_pointing
from airshower.detectors.cta.image_file import ImageFile, where, without_bad_pixels
from airshower.detectors.cta.keys import KEYS, find, named
from airshower.errors import DataError

VERSION = "CTA PRODUCT DATA MODEL VERSION"
VERSIONS = (4, 7)  # of the data model, first and last that are read
IMAGES = ("/dl1/event/telescope/images", "/dl1/event/telescope/image")  # ctapipe, lstchain
SHOWERS = "/simulation/event/subarray/shower"
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


class Dl1File(ImageFile):
    """A DL1 file, its index read and checked.

    Attributes are those of `ImageFile`, `runs` (list of `SimulatedRun`) and `simulated`, whether there is `truth`.

    Raises `DataError` for what is not DL1, of another version, without images, damaged, or contradicts itself.
    """

    zero_bad_pixels = False

    def __init__(self, path: str | Path):
        self.path = Path(path)
        self.file = Hdf5(self.path)
        with reading(str(self.path)):
            group = _check(self.file)
            self.subarray = read_subarray(self.file)
            index = read_index(self.file, group, self.subarray)
            self.events, self.images, self._tables = index.events, index.images, index.tables
            self._parameters = ImageParameters(
                self.file, index.parameter_tables, index.parameter_row, self.images.telescope, self.subarray
            )
            self.parameter_names, self.has_parameters = self._parameters.names, index.parameter_row >= 0
            self.truth = self._truth()
            self.runs = read_runs(self.file)
            if self.runs and self.truth is None:
                raise DataError(f"{self.path}: has simulated runs but not what was simulated, {SHOWERS}")
            self.has_clean = all("image_mask" in self.file.names(table) for table in self._tables)
            self._check_pixels()
        self.simulated = self.truth is not None

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """Whether a file is DL1, of whatever version."""
        return file.attribute("/", VERSION) is not None or LAYOUT in file

    def find_parameter(self, name: str) -> str | None:
        """See `ImageParameters.find`."""
        return self._parameters.find(name)

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """See `ImageParameters`."""
        with reading(f"{self.path}: image parameters"):
            return self._parameters(names)

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Charge (p.e.) and peak time (ns) f4 [images, pixels], and bool [images, pixels] of the pixels that cleaning
        kept (None: not in the file), for some images (rows of the index) of one camera, in this order.

        Raises `DataError` naming telescope and event of an image that is damaged or, unless `zero_bad_pixels`, has a
        pixel that is not finite.
        """
        charge, time, clean, good = self._read(np.asarray(images, np.int64))
        if good.all():
            return charge, time, clean
        return without_bad_pixels(self, np.asarray(images), charge, time, clean, ~good)

    def bad_pixels(self, images: np.ndarray) -> np.ndarray:
        """See `ImageFile`."""
        return ~self._read(np.asarray(images, np.int64))[-1]

    def where(self, image: int) -> str:
        """File, telescope and event of an image, for messages."""
        return where(self, image)

    def triggered(self) -> np.ndarray:
        """Which telescopes triggered, bool [events, telescopes]; where the file does not say, those with images."""
        if TRIGGER in self.file:
            return triggered_telescopes(self.file, self.subarray)
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
                tel_id = int(self.subarray.ids[telescope])
                pointing[images] = telescope_pointing(self.file, tel_id, self.events, self.images.event[images])
            if {"alt_tel", "az_tel"} <= set(self.parameter_names):
                columns = self._parameters.quantities(["alt_tel", "az_tel"])
                pointing = np.where(np.isnan(pointing), np.stack([columns["alt_tel"], columns["az_tel"]], 1), pointing)
        return pointing

    @cached_property
    def id_types(self) -> dict[str, np.dtype]:
        """The types that the file has of `KEYS`."""
        types = {name: self.file.dtype(self._tables[0])[name] for name in KEYS}
        return types | ({name: self.file.dtype(TRIGGER)[name] for name in KEYS[:2]} if TRIGGER in self.file else {})

    @cached_property
    def digest(self) -> str:
        """A hash of the index and of some images, which tells files apart without reading all of them."""
        digest = hashlib.sha256(str(self.path.stat().st_size).encode())
        for array in (self.events.obs_id, self.events.event_id, self.images.event, self.images.telescope):
            digest.update(np.ascontiguousarray(array).tobytes())
        for number in np.unique(np.linspace(0, len(self._tables) - 1, 8).astype(int)):
            path = self._tables[number]
            with reading(f"{self.path}: {path}"):
                digest.update(self.file.rows(path, np.array([0]))["image"].tobytes())
        return digest.hexdigest()

    def _by_table(self, images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """Each table and which of `images` are in it."""
        tables = self.images.table[images]
        for number in np.unique(tables):
            yield int(number), np.flatnonzero(tables == number)

    def _read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        """As stored, and which pixels are finite."""
        camera = self.subarray.camera[self.images.telescope[images]]
        pixels = len(self.subarray.cameras[camera[0] if len(camera) else 0].x)
        charge, time = np.empty((2, len(images), pixels), np.float32)
        clean = np.empty((len(images), pixels), bool) if self.has_clean else None
        for number, at in self._by_table(images):
            table = self._tables[number]
            with reading(f"{self.path}: {table}"):
                at, rows = self._rows(number, images, at)
                charge[at], time[at] = (self._decoded(table, name, rows) for name in ("image", "peak_time"))
                if clean is not None:
                    clean[at] = rows["image_mask"]
        return charge, time, clean, np.isfinite(charge) & np.isfinite(time)

    def _rows(self, number: int, images: np.ndarray, at: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The rows of a table for images[at] in the order of the table, and `at` in this order."""
        for sought in (False, True):
            order = at[np.argsort(self.images.row[images[at]], kind="stable")]
            chosen = images[order]
            rows, event = self.file.rows(self._tables[number], self.images.row[chosen]), self.images.event[chosen]
            same = (rows["obs_id"] == self.events.obs_id[event]) & (rows["event_id"] == self.events.event_id[event])
            same &= rows["tel_id"] == self.subarray.ids[self.images.telescope[chosen]]
            if same.all() or sought:
                break
            self._find_rows(number)
        return order, rows

    def _find_rows(self, number: int) -> None:
        """Corrects the index of a table whose rows are in another order than the keys that the index was made of."""
        table = self._tables[number]
        images = np.flatnonzero(self.images.table == number)
        wanted = np.column_stack(
            [self.events.keys[self.images.event[images]], self.subarray.ids[self.images.telescope[images]]]
        )
        stored = self.file.keys(table)
        refuse_repeated(self.file, stored, table)
        rows = find(wanted, stored)
        for key in wanted[rows < 0][:1]:
            raise DataError(f"{self.path}: {named(key)} has image parameters but is not in {table}")
        self.images.row[images] = rows

    def _check_pixels(self) -> None:
        """Whether the images of all tables have the pixels of their telescopes' cameras."""
        pairs = np.stack([self.images.table, self.images.telescope], 1)
        for image in np.unique(pairs, axis=0, return_index=True)[1].tolist():
            number, telescope = pairs[image]
            pixels, table = len(self.subarray.cameras[self.subarray.camera[telescope]].x), self._tables[number]
            kind = self.file.dtype(table)
            for name in ("image", "peak_time", *(("image_mask",) if self.has_clean else ())):
                if name not in self.file.names(table):
                    raise DataError(f"{self.path}: {table} has no {name}")
                if kind[name].shape != (pixels,):
                    shape = " x ".join(map(str, kind[name].shape)) or "a single number"
                    raise DataError(f"{self.where(image)}: {name} is {shape}, its camera has {pixels} pixels")
                if kind[name].base.kind not in "fiub":
                    raise DataError(f"{self.where(image)}: {name} is {kind[name].base}, numbers are due")

    def _truth(self) -> dict[str, np.ndarray] | None:
        if SHOWERS in self.file:
            return self._truth_of_showers()
        if not {"mc_energy", "mc_type"} <= set(self.parameter_names):
            return None
        for image in np.flatnonzero(~self.has_parameters)[:1]:
            raise DataError(f"{self.where(image)}: the image has no parameters, which have the truth")
        truth = {name: np.full(len(self.events), np.nan) for name in TRUTH_COLUMNS}
        for name, (_, column) in TRUTH_COLUMNS.items():
            if column in self.parameter_names:
                values = self._parameters.quantities([column])[column]
                truth[name][self.images.event] = values
                for image in np.flatnonzero(~_same(truth[name][self.images.event], values))[:1]:
                    raise DataError(f"{self.where(image)}: its {column} is not that of the event's other images")
        return truth

    def _truth_of_showers(self) -> dict[str, np.ndarray]:
        keys = self.file.keys(SHOWERS, KEYS[:2])
        refuse_repeated(self.file, keys, SHOWERS)
        row = find(self.events.keys, keys)
        for key in self.events.keys[row < 0][:1]:
            raise DataError(f"{self.path}: {named(key)} is not in {SHOWERS}")
        names, truth = self.file.names(SHOWERS), {}
        for name, (column, _) in TRUTH_COLUMNS.items():
            truth[name] = (
                self.file.quantity(SHOWERS, column)[row] if column in names else np.full(len(self.events), np.nan)
            )
        return truth

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


def _same(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (values == others) | (np.isnan(values) & np.isnan(others))


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
