"""What is measured of a batch of telescopes' images without training, relative to the frame that targets have."""

from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages
from airshower.data.spec import CameraImagesSpec
from airshower.data.truth import Frame
from airshower.geometry.sky import altitude_azimuth, rising, tangent_offset, with_pointing
from airshower.networks.telescopes.ellipses import (
    Cleaning,
    Crossings,
    EllipseFinder,
    Ellipses,
    find_crossings,
    shower_features,
)
from airshower.networks.telescopes.inputs import LENGTH_UNIT


class ArrayImages(NamedTuple):
    """The images of a batch of `entries` and the frame of its targets, on any device."""

    images: CameraImages
    frame: Frame
    entries: int


class Measured(NamedTuple):
    """What is measured of a batch of `entries`: the `ellipses` and `crossings`, and of each ellipse what is known of it
    `alone` and with its `shower`, f8 [n, features]."""

    ellipses: Ellipses
    crossings: Crossings
    alone: np.ndarray
    shower: np.ndarray
    entries: int


def array_images(batch: Batch) -> ArrayImages:
    """The images of a batch on the device."""
    assert batch.frame is not None
    return ArrayImages(batch["images"], batch.frame, len(batch))


class Measure:
    """Measures the images of an array."""

    def __init__(self, array: CameraImagesSpec, cleaning: Cleaning):
        self.find = EllipseFinder(array, cleaning)
        self.kinds = len(self.find.kinds)

    def __call__(self, given: ArrayImages) -> Measured:
        """See `Measured`."""
        ellipses = self.find(given.images)
        crossings = find_crossings(ellipses, given.entries)
        return Measured(ellipses, crossings, ellipses.features, shower_features(ellipses, crossings), given.entries)


def to_frame(direction: np.ndarray, core: np.ndarray, frame: Frame) -> dict[str, Tensor]:
    """Directions f8 [entries, 3] to the north, west and up and cores f8 [entries, 2] (m) as networks give them: degrees
    from the frame's axis and 100 m from its origin, float32 [entries, 2] on the frame's device. What is NaN is at the
    axis and at the origin."""
    axis = frame.axis.double().cpu()
    offset = tangent_offset(altitude_azimuth(torch.from_numpy(np.nan_to_num(direction))), axis).numpy()
    offset = np.where(np.isfinite(direction[:, :1]), offset, 0.0)
    place = np.nan_to_num((core - frame.origin.cpu().numpy()) / LENGTH_UNIT)
    of_frame = {"direction": offset, "core": place}
    return {name: torch.from_numpy(values).to(frame.axis) for name, values in of_frame.items()}


def directions_of(in_frame: np.ndarray, frame: Frame) -> np.ndarray:
    """Vectors in the frames at its axes f8 [entries, 3] as vectors to the north, west and up."""
    axes = with_pointing(rising(frame.axis.double().cpu())).numpy()
    return (in_frame[:, :, None] * axes).sum(1)


def cores_of(place: np.ndarray, frame: Frame) -> np.ndarray:
    """Outputs for the core [entries, 2] as positions in m, f8 [entries, 2]."""
    return frame.origin.cpu().numpy() + LENGTH_UNIT * place.astype(np.float64)
