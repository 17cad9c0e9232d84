"""The pixels of telescopes' images as points on the sky."""

from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np
import torch

from airshower.data.containers import CameraImages, Points, TelescopeImages
from airshower.data.quantity import Quantity
from airshower.data.spec import CameraImagesSpec, PointsSpec
from airshower.data.truth import Frame
from airshower.errors import DataError, UserError
from airshower.geometry.image_parameters import SkyPixels, clean
from airshower.geometry.sky import MOST_OFFSET, rising, with_pointing

KINDS = ("LST", "MST", "SST", "other")
POINT_FEATURES = {
    quantity.name: quantity
    for quantity in (
        Quantity("charge", "p.e.", 2.7, 0.8, logarithmic=True),
        Quantity("time", "ns", 20.0, 20.0),
        Quantity("telescope_x", "m", 0.0, 100.0),
        Quantity("telescope_y", "m", 0.0, 100.0),
        Quantity("kind", "", 1.0, 1.0, step=1.0, names=KINDS),
    )
}
"""Middles and widths of charge and time are about those of pixels that cleaning keeps, in files of prod4 to prod6."""


def point_features(names: Sequence[str]) -> tuple[Quantity, ...]:
    """The features of these names. Raises `UserError` for an unknown one, or one that is named twice."""
    for name in names:
        if name not in POINT_FEATURES:
            raise UserError(f"data.features: there is no {name}; there are {', '.join(POINT_FEATURES)}")
        if list(names).count(name) > 1:
            raise UserError(f"data.features: has {name} twice")
    return tuple(POINT_FEATURES[name] for name in names)


class TelescopePoints:
    """Makes points of the images of an array: the pixels that cleaning kept and that have a charge above 0.

    Cleaning is that of the files, or tail cuts where they have none. Positions are degrees towards rising altitude and
    rising azimuth in the plane that touches the sky at the event's common pointing. Features are the charge (p.e.), the
    peak time in the telescope's readout (ns), where the telescope is (m to the north and to the west of the frame's
    origin), and its kind, by its type.
    """

    def __init__(self, array: CameraImagesSpec, features: Sequence[str]):
        self.array = array
        self.spec = PointsSpec(("altitude", "azimuth"), "deg", point_features(features), np.zeros(2), np.zeros((0, 2)))
        self.kind = np.array([KINDS.index(kind) if kind in KINDS else len(KINDS) - 1 for kind in array.telescope_types])

    @cached_property
    def _angles(self) -> list[np.ndarray]:
        """Field angles of the pixels of each telescope as tangents, f8 [pixels, 2]."""
        cameras = zip(self.array.camera, self.array.focal_length, strict=True)
        sky = (SkyPixels(self.array.cameras[camera], float(length)) for camera, length in cameras)
        return [np.radians(np.stack([pixels.lat, pixels.lon], 1)) for pixels in sky]

    @cached_property
    def _pixels(self) -> list[SkyPixels]:
        """Of each camera, for cleaning, to which its focal length does not matter."""
        return [SkyPixels(camera, 1.0) for camera in self.array.cameras]

    def of(self, images: CameraImages, frame: Frame, events: int, where: Callable[[int, int], str]) -> Points:
        """The points of a batch, in the order of events and cameras. Raises `DataError` where times are asked for and a
        pixel has none; `where` says of an event and a telescope (rows) which image that is."""
        parts = [
            self._of_camera(kind, pixels, frame, where)
            for kind, pixels in zip(images.cameras, self._pixels, strict=True)
        ]
        event, position, features = (np.concatenate(columns) for columns in zip(*parts, strict=True))
        order = np.argsort(event, kind="stable")
        return Points(position[order], features[order], np.bincount(event, minlength=events))

    def _of_camera(
        self, images: TelescopeImages, pixels: SkyPixels, frame: Frame, where: Callable[[int, int], str]
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Events int64 [points], positions and scaled features float32 [points, ...]."""
        mask = clean(pixels, images.charge) if images.clean is None else images.clean
        image, pixel = np.nonzero(mask & (images.charge > 0))
        telescope, event = images.telescope[image], images.event[image]
        time = images.time[image, pixel]
        if self.spec.feature("time") is not None:
            for point in np.flatnonzero(~np.isfinite(time))[:1]:
                raise DataError(
                    f"{where(int(event[point]), int(telescope[point]))}: a pixel that cleaning kept has no peak time; "
                    "leave time out of data.features"
                )
        place = self.array.position[telescope, :2] - frame.origin[event]
        values = {
            "charge": images.charge[image, pixel],
            "time": time,
            "telescope_x": place[:, 0],
            "telescope_y": place[:, 1],
            "kind": self.kind[telescope],
        }
        scaled = [quantity.scaled(values[quantity.name]) for quantity in self.spec.features]
        features = np.stack(scaled, 1).astype(np.float32) if scaled else np.zeros((len(event), 0), np.float32)
        return event, self._positions(images, image, pixel, frame), features

    def _positions(self, images: TelescopeImages, image: np.ndarray, pixel: np.ndarray, frame: Frame) -> np.ndarray:
        """Where pixels look, float32 [points, 2] in deg. Exact also where telescopes point apart."""
        own, common = (
            with_pointing(rising(torch.from_numpy(np.asarray(axis, np.float64)))).numpy()
            for axis in (images.pointing, frame.axis[images.event])
        )
        turn = common @ own.swapaxes(1, 2)  # of each image, from its field of view to that of the event
        tangent = np.ones((len(image), 3))
        for telescope in np.unique(images.telescope):
            rows = images.telescope[image] == telescope
            tangent[rows, :2] = self._angles[telescope][pixel[rows]]
        ray = (turn[image] @ tangent[..., None])[..., 0]
        ahead = ray[:, 2:].clip(min=np.cos(np.radians(MOST_OFFSET)) * np.linalg.norm(ray, axis=1, keepdims=True))
        return np.degrees(ray[:, :2] / ahead).astype(np.float32)
