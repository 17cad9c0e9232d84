"""Images of Cherenkov telescopes as a network sees them: what is independent of the network's own options.

Positions and directions are in one frame, that of CORSIKA and of ctapipe's ground: x to the north, y to the west and z
up, which is right-handed. Azimuths count from north to east. Towards rising altitude, rising azimuth and the pointing
itself is a right-handed frame, too.
"""

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from airshower.data.showers import IactSpec, TelescopeImages

TIME_UNIT = 10.0  # ns
LENGTH_UNIT = 100.0  # m
# The highest altitude, the float32 below pi / 2: at the zenith itself a unit vector does not know the azimuth that says
# how a camera is turned, and beyond, where float32 rounds pi / 2 to, it is that of the other side.
ZENITH = float(np.nextafter(np.float32(np.pi / 2), np.float32(0)))


@dataclass(frozen=True, eq=False)
class TelescopeKind:
    """Telescopes that see alike: `telescopes` int64 are their rows of the spec, `camera` that of its cameras, the focal
    length (m) their mean."""

    camera: int
    telescopes: np.ndarray
    focal_length: float


def telescope_kinds(spec: IactSpec) -> list[TelescopeKind]:
    """Telescopes of one type with one camera and one focal length (to 10 cm), kind by kind: behind other mirrors the
    pixels of the same camera see other angles."""
    keys = list(zip(spec.camera.tolist(), spec.telescope_types, spec.focal_length.round(1).tolist(), strict=True))
    rows = {key: np.flatnonzero([other == key for other in keys]) for key in dict.fromkeys(keys)}
    return [TelescopeKind(key[0], of, float(spec.focal_length[of].mean())) for key, of in rows.items()]


class CameraInput(NamedTuple):
    """The images of one kind of telescope. `pixels` float32 [images, 2, pixels]: asinh of the charge in p.e., which is
    linear in the noise and logarithmic above, and the peak's time relative to the image's in 10 ns; 0 where a pixel
    has none. `clean` float32 [images, 1, pixels]: 1 for pixels that cleaning kept, 0 for others, and for all where
    files do not say. `event` int64 [images], `row` int64 [images], the telescope's of the spec. `telescope` float32
    [images, 6]: its position (100 m) from the middle of the array (stereo) or from itself (mono), and the unit vector
    of its pointing. `frame` float32 [images, 2, 3]: unit vectors (north, west, up) towards rising altitude and rising
    azimuth. `size` float32 [images]: the charge in p.e., of the pixels that cleaning kept where files say which."""

    pixels: Tensor
    clean: Tensor
    event: Tensor
    row: Tensor
    telescope: Tensor
    frame: Tensor
    size: Tensor


class ArrayInput(NamedTuple):
    """A batch of `entries`: an item for each of `telescope_kinds`."""

    kinds: tuple[CameraInput, ...]
    entries: int


class CameraImages:
    """Makes `ArrayInput` of what a source gives."""

    def __init__(self, spec: IactSpec):
        position = torch.from_numpy(spec.position).float()
        self.position = (position - (position.mean(0) if spec.mode == "stereo" else position)) / LENGTH_UNIT
        self.kinds = telescope_kinds(spec)
        self.kind = torch.zeros(len(position), dtype=torch.int64)  # of each telescope
        for number, kind in enumerate(self.kinds):
            self.kind[kind.telescopes] = number

    def __call__(self, images: tuple[TelescopeImages, ...], entries: int) -> ArrayInput:
        """The images of so many entries."""
        device = images[0].charge.device
        self.position, self.kind = self.position.to(device), self.kind.to(device)
        kinds = (
            self._kind(self._of(images[kind.camera], number, kind.camera)) for number, kind in enumerate(self.kinds)
        )
        return ArrayInput(tuple(kinds), entries)

    def _of(self, images: TelescopeImages, number: int, camera: int) -> TelescopeImages:
        """Those of one kind of telescope, where several have the camera."""
        if sum(kind.camera == camera for kind in self.kinds) == 1:
            return images
        rows = (self.kind[images.telescope] == number).nonzero()[:, 0]
        return TelescopeImages(*(None if array is None else array[rows] for array in vars(images).values()))

    def _kind(self, images: TelescopeImages) -> CameraInput:
        charge, time = torch.nan_to_num(images.charge, posinf=0.0, neginf=0.0), images.time
        there = time.isfinite()
        # the brightest pixels say when the image is: noise, of which there are many pixels, has little charge squared
        weight = charge.clamp_min(0.0).square() * there
        time = torch.where(there, time, 0.0)
        middle = (time * weight).sum(1, keepdim=True) / weight.sum(1, keepdim=True).clamp_min(1e-12)
        pixels = torch.stack([charge.asinh(), (time - middle) * there / TIME_UNIT], 1)
        telescope = torch.cat([self.position[images.telescope], unit_vector(images.pointing)], 1)
        clean = torch.zeros_like(charge) if images.clean is None else images.clean.float()
        size = image_size(charge, images.clean)
        frame = rising(images.pointing)
        return CameraInput(pixels, clean[:, None], images.event, images.telescope, telescope, frame, size)


def image_size(charge: Tensor, clean: Tensor | None) -> Tensor:
    """Of each image [images], p.e.: the charge [images, pixels] of the pixels that cleaning kept, or of all."""
    return (charge if clean is None else charge * clean).sum(1)


def unit_vector(direction: Tensor) -> Tensor:
    """Altitude (up to `ZENITH`) and azimuth in rad [..., 2] -> to the north, to the west and up [..., 3]."""
    alt, az = direction.unbind(-1)
    alt = alt.clamp_max(ZENITH)
    return torch.stack([alt.cos() * az.cos(), -alt.cos() * az.sin(), alt.sin()], -1)


def altitude_azimuth(vector: Tensor) -> Tensor:
    """The inverse of `unit_vector` for vectors of any length, azimuths from 0 to 2 pi."""
    x, y, z = vector.unbind(-1)
    return torch.stack([torch.atan2(z, torch.hypot(x, y)), torch.atan2(-y, x) % (2 * torch.pi)], -1)


def rising(direction: Tensor) -> Tensor:
    """Altitude (up to `ZENITH`) and azimuth in rad [..., 2] -> unit vectors (north, west, up) towards where each rises
    [..., 2, 3]."""
    alt, az = direction.unbind(-1)
    alt = alt.clamp_max(ZENITH)
    up = torch.stack([-alt.sin() * az.cos(), alt.sin() * az.sin(), alt.cos()], -1)
    return torch.stack([up, torch.stack([-az.sin(), -az.cos(), torch.zeros_like(az)], -1)], -2)


def with_pointing(frame: Tensor) -> Tensor:
    """What `rising` gives [..., 2, 3] with the direction itself as a third row [..., 3, 3]."""
    up, along = frame.unbind(-2)
    return torch.stack([up, along, torch.linalg.cross(up, along)], -2)


def common_pointing(ahead: Tensor, event: Tensor, entries: int) -> Tensor:
    """Where the telescopes of each entry point to together, altitude and azimuth in rad [entries, 2]: the middle
    between the extremes of their unit vectors [images, 3]. Unlike a mean it is exact where all point alike, and does
    not depend on the order of images."""
    index, nothing = event[:, None].expand_as(ahead), ahead.new_zeros(entries, 3)
    low, high = (nothing.scatter_reduce(0, index, ahead, how, include_self=False) for how in ("amin", "amax"))
    return altitude_azimuth(low + high)
