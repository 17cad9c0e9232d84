"""Batches of Cherenkov telescopes' images: one image an entry (mono), or one event of any number of images (stereo)."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    import torch


class Camera(Protocol):
    """Pixels: centres `x`, `y` (m) and `area` (m2), f8 [pixels]; `shape` is hexagon or square, rotations in degrees.

    `position` f8 [pixels, 2] has the centres, `pitch` is the distance between neighbours, in m.
    """

    name: str
    x: np.ndarray
    y: np.ndarray
    area: np.ndarray
    shape: str
    pixel_rotation: float
    camera_rotation: float
    position: np.ndarray
    pitch: float

    def __len__(self) -> int: ...

    def rotation(self, fold: int) -> float:
        """Angle in rad from x to that axis nearest to it of a lattice with `fold` equivalent ones."""
        ...


@dataclass(frozen=True, eq=False)
class IactSpec:
    """What a source of telescope images gives, which networks are checked against.

    `mode` is mono (an entry is an image) or stereo (an event). Telescopes, in the order of their ids: `telescope_ids`
    int64 [telescopes], `telescope_types`, `position` f8 [telescopes, 3] and `focal_length` f8 [telescopes] in m,
    `camera` int64 [telescopes], rows of `cameras`. `classes` names the primaries that are told apart.
    """

    mode: str
    cameras: tuple[Camera, ...]
    telescope_ids: np.ndarray
    telescope_types: tuple[str, ...]
    position: np.ndarray
    focal_length: np.ndarray
    camera: np.ndarray
    classes: tuple[str, ...]


@dataclass(frozen=True, eq=False)
class TelescopeImages:
    """The images of one kind of camera in a batch; arrays or, after `ShowerBatch.to`, tensors.

    `charge` (p.e.) and `time` of the peak (ns) float32 [images, pixels]; `clean` bool [images, pixels], the pixels that
    cleaning kept, None where files do not say; `event` and `telescope` int64 [images], rows of the batch and of the
    spec's telescopes, events in ascending order; `pointing` float32 [images, 2], altitude and azimuth in rad.
    """

    charge: Any
    time: Any
    clean: Any
    event: Any
    telescope: Any
    pointing: Any

    def __len__(self) -> int:
        return len(self.event)


@dataclass(frozen=True, eq=False)
class Showers:
    """The simulated shower of each entry; arrays or tensors.

    `primary` int64 [n], rows of the spec's classes; float32: `energy` [n] in TeV, `direction` [n, 2] altitude and
    azimuth in rad, `core` [n, 2] x (north) and y (west) in m, `x_max` [n] in g/cm2, NaN where files have none, and
    `weight` [n] of the entry in losses and metrics.
    """

    primary: Any
    energy: Any
    direction: Any
    core: Any
    x_max: Any
    weight: Any


@dataclass(frozen=True, eq=False)
class ShowerBatch:
    """`images` has one item for each of the spec's cameras; in mono each entry has one image. `entries` int64 [n],
    `event_ids` int64 [n, 3]: observation, event, telescope (0 in stereo). `showers` is None for observations."""

    images: tuple[TelescopeImages, ...]
    showers: Showers | None
    entries: np.ndarray
    event_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def nbytes(self) -> int:
        """Size of the images as they came from the source."""
        return sum(array.nbytes for camera in self.images for array in vars(camera).values() if array is not None)

    def pin(self) -> Self:
        """The batch in page-locked memory, from which a GPU copies without waiting for the CPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: "torch.device") -> Self:
        """The batch with images and showers as tensors on `device`; the one place where arrays become tensors."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, move: Callable[[Any], Any]) -> Self:
        images = tuple(_moved(camera, move) for camera in self.images)
        return dataclasses.replace(self, images=images, showers=self.showers and _moved(self.showers, move))


def _moved(arrays: Any, move: Callable[[Any], Any]) -> Any:
    """A dataclass of arrays (or None) with each as a tensor that has been moved."""
    import torch

    there = {name: array for name, array in vars(arrays).items() if array is not None}
    return dataclasses.replace(arrays, **{name: move(torch.as_tensor(array)) for name, array in there.items()})
