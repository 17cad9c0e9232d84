"""The interface of files of telescopes' images, for all formats."""

from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError

TRUTH = ("energy", "alt", "az", "core_x", "core_y", "h_first_interaction", "x_max", "primary")
SHOWER_EVENT, PEDESTAL_EVENT = 32, 2  # types of events as ctapipe numbers them; those below 16 are calibration
PART = 256  # images whose pixels are read at once where all are


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

    `truth` has f8 [events] by the names of `TRUTH`, in TeV, rad, m and g/cm2, NaN where a file lacks one; the
    `primary` of observed events is NaN. None for a file of observations. `has_parameters` bool [images] says which
    images have parameters, `has_clean` whether the pixels that cleaning kept are marked; `digest` tells files apart.
    With `zero_bad_pixels` a pixel that is not finite has no charge and no time, and was not kept by cleaning; without,
    its image is refused.
    """

    path: Path
    subarray: Subarray
    events: Events
    images: ImageIndex
    truth: dict[str, np.ndarray] | None
    parameter_names: tuple[str, ...]
    has_parameters: np.ndarray
    has_clean: bool
    digest: str
    zero_bad_pixels: bool

    def find_parameter(self, name: str) -> str | None:
        """This file's name for an image parameter; None if it does not have it."""
        ...

    def parameters(self, names: list[str]) -> dict[str, np.ndarray]:
        """Image parameters that `find_parameter` knows, f8 [images] each, NaN for an image without. Angles, and what is
        measured in the camera, are in degrees."""
        ...

    def bad_pixels(self, images: np.ndarray) -> np.ndarray:
        """True for pixels of some images of one camera that are not finite, bool [images, pixels]."""
        ...

    def read(self, images: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
        """Charge (p.e.) and peak time (ns) f4 [images, pixels], and bool [images, pixels] of the pixels that cleaning
        kept (None: not in the file), for some images of one camera, in this order. Raises `DataError` naming file,
        telescope and event."""
        ...

    def pointing_of(self, images: np.ndarray) -> np.ndarray:
        """Altitude and azimuth in rad of the telescopes of some images, f8 [images, 2]; NaN where the file has none."""
        ...

    @property
    def pointing(self) -> np.ndarray:
        """`pointing_of` all images."""
        return self.pointing_of(np.arange(len(self.images)))

    def where(self, image: int) -> str:
        """File, telescope and event of an image, for messages."""
        ...

    def entry(self) -> Entry:
        """What the index of many files keeps of the file."""
        ...

    def close(self) -> None:
        """Close the file; reading opens it again."""
        ...


def where(file: ImageFile, image: int) -> str:
    """File, telescope and event of an image, for messages."""
    return describe_image(file.path, file.subarray, file.events, file.images, image)


def describe_image(path: Path, subarray: Subarray, events: Events, images: ImageIndex, image: int) -> str:
    """See `where`."""
    event = images.event[image]
    telescope = subarray.ids[images.telescope[image]]
    return f"{path}: telescope {telescope}, event {events.event_id[event]} of observation {events.obs_id[event]}"


def without_bad_pixels(
    file: ImageFile,
    images: np.ndarray,
    charge: np.ndarray,
    time: np.ndarray,
    clean: np.ndarray | None,
    bad: np.ndarray,
) -> tuple[np.ndarray, np.ndarray, np.ndarray | None]:
    """The images with `bad` pixels (bool [images, pixels]) set to zero. Unless the file has `zero_bad_pixels`, raises
    `DataError` naming the image."""
    if not file.zero_bad_pixels:
        row = int(bad.any(1).argmax())
        what = "peak time" if np.isfinite(charge[row]).all() else "charge"
        raise DataError(
            f"{file.where(images[row])}: the {what} of a pixel is not a finite number; data.bad_pixels=zero takes such "
            "pixels out, data.bad_pixels=skip their images"
        )
    charge[bad], time[bad] = 0.0, np.nan
    return charge, time, None if clean is None else clean & ~bad
