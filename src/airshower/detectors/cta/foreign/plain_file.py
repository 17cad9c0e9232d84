"""The base class of formats without cleaned pixels and image parameters."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.data.handles import Stamp, stamp_of
from airshower.data.index_table import OPTIONAL, Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.entry import unpack_events, unpack_images, unpack_subarray, unpack_truth
from airshower.detectors.cta.image_file import PART, TRUTH, ImageFile, ImageIndex, where, without_bad_pixels
from airshower.errors import DataError
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters

# altitude and azimuth in rad; at exactly 90 degrees rounding would change the azimuth
ZENITH = (np.radians(89.999), 0.0)


class PlainFile(ImageFile, ABC):
    """An `ImageFile` that stores neither cleaned pixels nor image parameters: pixels are cleaned with ctapipe's default
    tail cuts, and parameters are computed from them if a cut needs one. Peak times may be NaN, where a pixel has
    none."""

    has_clean = True
    zero_bad_pixels = False
    file: Hdf5 | None = None

    def __init__(self, path: Path, stamp: Stamp | None = None, entry: Entry | None = None):
        self.path = path
        self.stamp = stamp or stamp_of(path)
        self._entry = entry or self._read_entry()
        self.subarray = unpack_subarray(self._entry)
        self.events = unpack_events(self._entry)
        self.images = unpack_images(self._entry)
        truth = unpack_truth(self._entry)
        self.truth = truth and {name: truth.get(name, np.full(len(self.events), np.nan)) for name in TRUTH}
        self.has_parameters = np.ones(len(self.images), bool)

    @abstractmethod
    def _read_entry(self) -> Entry:
        """What is read of the file to open it: see `entry.pack`, `pointing` f8 [images, 2] in rad, and what the format
        needs further."""

    @abstractmethod
    def _stored(self, table: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charge and peak time f4 [rows, pixels] of rows (ascending, each once) of a table of the index."""

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Names of the parameters of `image_parameters`."""
        return tuple(self._parametrised(np.arange(0), 0, 1.0))

    def find_parameter(self, name: str) -> str | None:
        """See `ImageFile`."""
        return name if name in self.parameter_names else None

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """See `ImageFile`."""
        return {name: self._entry.get(OPTIONAL + name, self._parameters[name]) for name in names}

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """See `ImageFile`."""
        images = np.asarray(images, np.int64)
        charge, time = self._read(images)
        good = np.isfinite(charge)
        if not good.all():
            charge, time, _ = without_bad_pixels(self, images, charge, time, None, ~good)
        return charge, time, clean(self._pixels[self._camera_of(images)], charge)

    def bad_pixels(self, images: np.ndarray) -> np.ndarray:
        """See `ImageFile`."""
        return ~np.isfinite(self._read(np.asarray(images, np.int64))[0])

    def pointing_of(self, images: np.ndarray) -> np.ndarray:
        """See `ImageFile`."""
        return self._entry["pointing"][images]

    def where(self, image: int) -> str:
        """See `ImageFile`."""
        return where(self, image)

    def entry(self) -> Entry:
        """See `ImageFile`."""
        return {**self._entry, "digest": np.array(self.digest)}

    def close(self) -> None:
        """See `ImageFile`."""
        if self.file:
            self.file.close()

    @cached_property
    def digest(self) -> str:
        """A hash of the index and of some images."""
        if "digest" in self._entry:
            return str(self._entry["digest"])
        digest = hashlib.sha256(str(self.path.stat().st_size).encode())
        truth = [] if self.truth is None else self.truth.values()
        for array in (self.events.obs_id, self.events.event_id, self.images.event, self.images.telescope, *truth):
            digest.update(np.ascontiguousarray(array).tobytes())
        for image in np.unique(np.linspace(0, len(self.images) - 1, 8).astype(int)):
            digest.update(self.read(np.array([image]))[0].tobytes())
        return digest.hexdigest()

    def _read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charge and time as stored, f4 [images, pixels]."""
        charge, time = np.empty((2, len(images), len(self._pixels[self._camera_of(images)].geometry)), np.float32)
        for table in np.unique(self.images.table[images]):
            at = np.flatnonzero(self.images.table[images] == table)
            rows, again = np.unique(self.images.row[images[at]], return_inverse=True)
            charge[at], time[at] = (values[again] for values in self._stored(int(table), rows))
        return charge, time

    def _camera_of(self, images: np.ndarray) -> int:
        camera = self.subarray.camera[self.images.telescope[images]]
        return int(camera[0]) if len(camera) else 0

    @cached_property
    def _pixels(self) -> list[SkyPixels]:
        """The pixels of each camera for cleaning, which needs no focal length."""
        return [SkyPixels(camera, 1.0) for camera in self.subarray.cameras]

    @cached_property
    def _parameters(self) -> dict[str, np.ndarray]:
        parameters = {name: np.full(len(self.images), np.nan) for name in self.parameter_names}
        camera = self.subarray.camera[self.images.telescope]
        length = self.subarray.focal_length[self.images.telescope]
        for kind, focal_length in sorted(set(zip(camera.tolist(), length.tolist(), strict=True))):
            alike = np.flatnonzero((camera == kind) & (length == focal_length))
            for part in np.array_split(alike, -(-len(alike) // PART)):
                for name, values in self._parametrised(part, kind, focal_length).items():
                    parameters[name][part] = values
        return parameters

    def _parametrised(self, images: np.ndarray, camera: int, focal_length: float) -> dict[str, np.ndarray]:
        pixels = SkyPixels(self.subarray.cameras[camera], focal_length)
        return image_parameters(pixels, *self.read(images))


class PlainHdf5File(PlainFile, ABC):
    """A `PlainFile` in HDF5."""

    file: Hdf5

    def __init__(self, path: Path, stamp: Stamp | None = None, entry: Entry | None = None):
        self.file = Hdf5(path, stamp)
        super().__init__(path, self.file.stamp, entry)


def plain_index(event: Sequence[np.ndarray], telescope: Sequence[int], row: Sequence[np.ndarray]) -> ImageIndex:
    """The index of tables that belong to one telescope each: for each table the events and rows of its images."""
    counts = [len(rows) for rows in event]
    return ImageIndex(
        np.concatenate(event).astype(np.int64),
        np.repeat(np.asarray(telescope, np.int64), counts),
        np.repeat(np.arange(len(counts)), counts),
        np.concatenate(row).astype(np.int64),
    )


def check_shape(path: Path, name: str, shape: tuple[int, ...], expected: tuple[int, ...]) -> None:
    """Raise `DataError` if an array of a file has another shape than its format says."""
    if tuple(shape) != tuple(expected):
        actual, wanted = (" x ".join(map(str, sizes)) or "a single number" for sizes in (shape, expected))
        raise DataError(f"{path}: {name} is {actual}, it should be {wanted}")
