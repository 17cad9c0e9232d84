"""Reading DL1 files (HDF5) of ctapipe, data models v4 to v7, and of lstchain: the index once, then rows of images.

The content of a file decides how it is read, not its writer: lstchain keeps truth and pointing among the image
parameters, older ctapipe the pointing in the monitoring.
"""

import dataclasses
import hashlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.data.handles import Stamp
from airshower.data.index_table import OPTIONAL, Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.dl1.index import TRIGGER, refuse_repeated, triggered_telescopes
from airshower.detectors.cta.dl1.instrument import SimulatedRun
from airshower.detectors.cta.dl1.opening import is_dl1, read_entry, unpack_runs
from airshower.detectors.cta.dl1.parameters import ImageParameters
from airshower.detectors.cta.dl1.pointing import telescope_pointing
from airshower.detectors.cta.entry import unpack_events, unpack_images, unpack_subarray, unpack_truth
from airshower.detectors.cta.image_file import ImageFile, where, without_bad_pixels
from airshower.detectors.cta.keys import KEYS, find, named
from airshower.errors import DataError


class Dl1File(ImageFile):
    """A DL1 file, its index read and checked; with an `entry` of it and the `stamp` that the file had then, it is
    opened when more is read.

    Attributes are those of `ImageFile`, `runs` and `simulated`, true with `truth`.

    Raises `DataError` for a file that is not DL1, of another version, without images, damaged, or inconsistent.
    """

    zero_bad_pixels = False

    def __init__(self, path: str | Path, stamp: Stamp | None = None, entry: Entry | None = None):
        self.path = Path(path)
        self.file = Hdf5(self.path, stamp)
        if entry is None:
            with reading(str(self.path)):
                entry = read_entry(self.file)
        self._entry = entry
        self.subarray = unpack_subarray(entry)
        self.events = unpack_events(entry)
        self.images = unpack_images(entry)
        self.truth = unpack_truth(entry)
        self.simulated = self.truth is not None
        self.has_parameters = entry["parameter_row"] >= 0
        self.has_clean = bool(entry["has_clean"])

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """True for DL1 files of any version."""
        return is_dl1(file)

    def entry(self) -> Entry:
        """See `ImageFile`."""
        return {**self._entry, "digest": np.array(self.digest)}

    def close(self) -> None:
        """See `ImageFile`."""
        self.file.close()

    @property
    def runs(self) -> list[SimulatedRun]:
        """The simulated runs; none for observations."""
        return unpack_runs(self._entry)

    @property
    def parameter_names(self) -> tuple[str, ...]:
        """See `ImageFile`."""
        return self._parameters.names

    def find_parameter(self, name: str) -> str | None:
        """See `ImageParameters.find`."""
        return self._parameters.find(name)

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """See `ImageParameters`."""
        indexed = {name: self._entry[OPTIONAL + name] for name in names if OPTIONAL + name in self._entry}
        with reading(f"{self.path}: image parameters"):
            return indexed | self._parameters([name for name in names if name not in indexed])

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
        """True for telescopes that triggered, bool [events, telescopes]; without a trigger table, those with images."""
        if TRIGGER in self.file:
            return triggered_telescopes(self.file, self.subarray)
        mask = np.zeros((len(self.events), len(self.subarray.ids)), bool)
        mask[self.images.event, self.images.telescope] = True
        return mask

    def pointing_of(self, images: np.ndarray) -> np.ndarray:
        """See `ImageFile`; what is of one telescope is read once, when an image of it is asked for."""
        pointing, known = self._pointing
        telescope = self.images.telescope[images]
        for row in np.unique(telescope[~known[telescope]]):
            of_telescope = np.flatnonzero(self.images.telescope == row)
            pointing[of_telescope] = self._telescope_pointing(int(self.subarray.ids[row]), of_telescope)
            known[row] = True
        return pointing[images]

    @cached_property
    def _pointing(self) -> tuple[np.ndarray, np.ndarray]:
        """The pointing of each image, and a mask of the telescopes of which it was read."""
        return np.full((len(self.images), 2), np.nan), np.zeros(len(self.subarray.ids), bool)

    def _telescope_pointing(self, tel_id: int, images: np.ndarray) -> np.ndarray:
        with reading(f"{self.path}: pointing"):
            pointing = telescope_pointing(self.file, tel_id, self.events, self.images.event[images])
            if np.isnan(pointing).any() and {"alt_tel", "az_tel"} <= set(self.parameter_names):
                pointing = np.where(np.isnan(pointing), self._pointing_of_parameters[images], pointing)
        return pointing

    @cached_property
    def _pointing_of_parameters(self) -> np.ndarray:
        columns = self._parameters.quantities(["alt_tel", "az_tel"])
        return np.stack([columns["alt_tel"], columns["az_tel"]], 1)

    @cached_property
    def _tables(self) -> list[str]:
        """The paths of the image tables."""
        return self._entry["table"].tolist()

    @cached_property
    def _parameters(self) -> ImageParameters:
        tables, names = (self._entry[name].tolist() for name in ("parameter_table", "parameter_name"))
        row = self._entry["parameter_row"]
        return ImageParameters(self.file, tables, tuple(names), row, self.images.telescope, self.subarray)

    @cached_property
    def id_types(self) -> dict[str, np.dtype]:
        """The file's types of `KEYS`."""
        types = {name: self.file.dtype(self._tables[0])[name] for name in KEYS}
        return types | ({name: self.file.dtype(TRIGGER)[name] for name in KEYS[:2]} if TRIGGER in self.file else {})

    @cached_property
    def digest(self) -> str:
        """A hash of the index and of some images, which identifies a file without reading all of it."""
        if "digest" in self._entry:
            return str(self._entry["digest"])
        digest = hashlib.sha256(str(self.path.stat().st_size).encode())
        for array in (self.events.obs_id, self.events.event_id, self.images.event, self.images.telescope):
            digest.update(np.ascontiguousarray(array).tobytes())
        for number in np.unique(np.linspace(0, len(self._tables) - 1, 8).astype(int)):
            path = self._tables[number]
            with reading(f"{self.path}: {path}"):
                digest.update(self.file.rows(path, np.array([0]))["image"].tobytes())
        return digest.hexdigest()

    def _by_table(self, images: np.ndarray) -> Iterator[tuple[int, np.ndarray]]:
        """(table, indices of its images) for each table with any of `images`."""
        tables = self.images.table[images]
        for number in np.unique(tables):
            yield int(number), np.flatnonzero(tables == number)

    def _read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None, np.ndarray]:
        """Values as stored, and a mask of finite pixels."""
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
            row = self.images.row[images[at]]  # read once, as another thread may correct the index
            ascending = np.argsort(row, kind="stable")
            order = at[ascending]
            chosen = images[order]
            rows = self.file.rows(self._tables[number], row[ascending])
            event = self.images.event[chosen]
            same = (rows["obs_id"] == self.events.obs_id[event]) & (rows["event_id"] == self.events.event_id[event])
            same &= rows["tel_id"] == self.subarray.ids[self.images.telescope[chosen]]
            if same.all() or sought:
                break
            self._find_rows(number)
        return order, rows

    def _find_rows(self, number: int) -> None:
        """Corrects the index of a table whose rows are not in the order of the keys of the index."""
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
        row = self.images.row.copy()
        row[images] = rows
        self.images = dataclasses.replace(self.images, row=row)

    def _decoded(self, path: str, column: str, rows: np.ndarray) -> np.ndarray:
        """Values of a column that may be stored as scaled integers, of which ctapipe keeps the last three unsigned (or
        the first two and the last signed) for -inf, nan and inf; what was out of their range is at its edge here."""
        stored = rows[column]
        scale = self.file.field_attribute(path, column, "TRANSFORM_SCALE")
        if scale is None:
            return stored
        limits = np.iinfo(stored.dtype)
        low = limits.min + 2
        high = limits.max - 1
        nan = limits.min + 1
        if stored.dtype.kind == "u":
            low = 0
            high = limits.max - 3
            nan = limits.max - 1
        edge = stored == (limits.max - 2 if stored.dtype.kind == "u" else limits.min)
        values = np.where(edge, low, np.minimum(stored, high)).astype(np.float32)
        values = (values - float(self.file.field_attribute(path, column, "TRANSFORM_OFFSET") or 0)) / float(scale)
        return np.where(stored == nan, np.float32(np.nan), values)
