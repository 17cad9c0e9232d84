"""What a file of telescopes' images offers, whatever its format."""

import hashlib
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from airshower.detectors.cta.image_parameters import SkyPixels, clean, image_parameters
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError

TRUTH = ("energy", "alt", "az", "core_x", "core_y", "h_first_interaction", "x_max", "primary")
SHOWER_EVENT, PEDESTAL_EVENT = 32, 2  # types of events as ctapipe numbers them; those below 16 are calibration
PART = 256  # images that are parametrised at once
ZENITH = (np.radians(89.999), 0.0)  # altitude and azimuth in rad; at 90 degrees itself rounding would turn the azimuth


@dataclass(frozen=True, eq=False)
class Events:
    """`obs_id`, `event_id`, `event_type` (32: shower, below 16: calibration) and `triggered`, the number of telescopes
    that triggered, int64 [events] each; `time` f8 [events], s on the file's own clock, NaN where it has none."""

    obs_id: np.ndarray
    event_id: np.ndarray
    event_type: np.ndarray
    triggered: np.ndarray
    time: np.ndarray

    def __len__(self) -> int:
        return len(self.event_id)

    @property
    def keys(self) -> np.ndarray:
        """Observation and event, int64 [events, 2]."""
        return np.stack([self.obs_id, self.event_id], 1)


@dataclass(frozen=True, eq=False)
class ImageIndex:
    """Where the images are, table by table: rows of `Events` and `Subarray`, the table and the row in it, int64
    [images] each."""

    event: np.ndarray
    telescope: np.ndarray
    table: np.ndarray
    row: np.ndarray

    def __len__(self) -> int:
        return len(self.event)


class ImageFile(Protocol):
    """A file whose index has been read and checked, and from which images are read by rows of it.

    `truth` has f8 [events] by the names of `TRUTH`, in TeV, rad, m and g/cm2, NaN where a file lacks one; a `primary`
    that is NaN was observed, not simulated. None for a file of observations. `pointing` f8 [images, 2] is the altitude
    and azimuth in rad of each image's telescope. `has_parameters` bool [images] says which images have parameters,
    `has_clean` whether the pixels that cleaning kept are marked; `digest` tells files apart. With `zero_bad_pixels` a
    pixel that is not finite has no charge and no time, and was not kept by cleaning; without, its image is refused.
    """

    path: Path
    subarray: Subarray
    events: Events
    images: ImageIndex
    truth: dict[str, np.ndarray] | None
    pointing: np.ndarray
    parameter_names: tuple[str, ...]
    has_parameters: np.ndarray
    has_clean: bool
    digest: str
    zero_bad_pixels: bool

    def find_parameter(self, name: str) -> str | None:
        """What this file calls an image parameter, None if it has no such."""
        ...

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """Image parameters that `find_parameter` knows, f8 [images] each, NaN for an image without. Angles, and what is
        measured in the camera, are in degrees."""
        ...

    def bad_pixels(self, images: np.ndarray) -> np.ndarray:
        """Which pixels of some images of one camera are not finite, bool [images, pixels]."""
        ...

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Charge (p.e.) and peak time (ns) f4 [images, pixels], and bool [images, pixels] of the pixels that cleaning
        kept (None: not in the file), for some images of one camera, in this order. Raises `DataError` naming file,
        telescope and event."""
        ...

    def where(self, image: int) -> str:
        """File, telescope and event of an image, for messages."""
        ...


class PlainFile(ImageFile, ABC):
    """An `ImageFile` that stores neither cleaned pixels nor image parameters: pixels are those that ctapipe's default
    tail cuts keep, parameters are computed of them when a cut asks for one. Peak times may be NaN, where a pixel has
    none."""

    has_clean = True
    zero_bad_pixels = False

    def __init__(
        self,
        path: Path,
        subarray: Subarray,
        events: Events,
        images: ImageIndex,
        truth: dict[str, np.ndarray] | None,
        pointing: np.ndarray,
    ):
        self.path, self.subarray, self.events, self.images = path, subarray, events, images
        known = truth or {}
        self.truth = truth and {name: known.get(name, np.full(len(events), np.nan)) for name in TRUTH}
        self.pointing = pointing
        self.has_parameters = np.ones(len(images), bool)

    @abstractmethod
    def _stored(self, table: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Charge and peak time f4 [rows, pixels] of rows (ascending, each once) of a table of the index."""

    @cached_property
    def parameter_names(self) -> tuple[str, ...]:
        """Those of `image_parameters`."""
        return tuple(self._parametrised(np.arange(0), 0, 1.0))

    def find_parameter(self, name: str) -> str | None:
        """See `ImageFile`."""
        return name if name in self.parameter_names else None

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """See `ImageFile`."""
        return {name: self._parameters[name] for name in names}

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

    def where(self, image: int) -> str:
        """See `ImageFile`."""
        return where(self, image)

    @cached_property
    def digest(self) -> str:
        """A hash of the index and of some images."""
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
        """Of each camera, for cleaning, which needs no focal length."""
        return [SkyPixels(camera, 1.0) for camera in self.subarray.cameras]

    @cached_property
    def _parameters(self) -> dict[str, np.ndarray]:
        found = {name: np.full(len(self.images), np.nan) for name in self.parameter_names}
        camera = self.subarray.camera[self.images.telescope]
        length = self.subarray.focal_length[self.images.telescope]
        for kind, focal_length in sorted(set(zip(camera.tolist(), length.tolist(), strict=True))):
            alike = np.flatnonzero((camera == kind) & (length == focal_length))
            for part in np.array_split(alike, -(-len(alike) // PART)):
                for name, values in self._parametrised(part, kind, focal_length).items():
                    found[name][part] = values
        return found

    def _parametrised(self, images: np.ndarray, camera: int, focal_length: float) -> dict[str, np.ndarray]:
        pixels = SkyPixels(self.subarray.cameras[camera], focal_length)
        return image_parameters(pixels, *self.read(images))


def where(file: ImageFile, image: int) -> str:
    """File, telescope and event of an image, for messages."""
    event, telescope = file.images.event[image], file.subarray.ids[file.images.telescope[image]]
    obs_id, event_id = file.events.obs_id[event], file.events.event_id[event]
    return f"{file.path}: telescope {telescope}, event {event_id} of observation {obs_id}"


def without_bad_pixels(
    file: ImageFile,
    images: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    clean: np.ndarray | None,
    bad: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """What was read, with `bad` pixels (bool [images, pixels]) taken out or, unless the file has `zero_bad_pixels`,
    refused with a `DataError` that names the image."""
    if not file.zero_bad_pixels:
        row = int(bad.any(1).argmax())
        what = "peak time" if np.isfinite(charge[row]).all() else "charge"
        raise DataError(
            f"{file.where(images[row])}: the {what} of a pixel is not a finite number; data.bad_pixels=zero takes such "
            "pixels out, data.bad_pixels=skip their images"
        )
    charge[bad], time[bad] = 0.0, np.nan
    return charge, time, None if clean is None else clean & ~bad


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
        found, wanted = (" x ".join(map(str, sizes)) or "a single number" for sizes in (shape, expected))
        raise DataError(f"{path}: {name} is {found}, it should be {wanted}")
