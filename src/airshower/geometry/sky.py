"""Directions in the sky: angles, unit vectors, frames at a pointing, and separations.

Both kinds of detector have a right-handed ground frame with z up, but other axes and other angles:

- Telescopes, as CORSIKA and ctapipe's ground frame: x to the north, y to the west. Directions are the altitude above
  the horizon and the azimuth from north to east, clockwise seen from above. Functions of this convention say altitude
  and azimuth, or north, west, up.
- Water tanks, as HAWC's files: x to the east, y to the north. Directions are the zenith angle and the azimuth from
  east to north, counterclockwise seen from above. Functions of this convention say east, north.

A frame at a pointing has unit vectors towards rising altitude, rising azimuth, and the pointing itself; it is
right-handed, too. Angles are in rad unless a function says deg. A direction is that from which a shower comes.
"""

import numpy as np
import torch
from torch import Tensor

# The highest altitude, the float32 below pi / 2. At the zenith a unit vector has no azimuth, which is needed for the
# rotation of a camera. Above, as float32 rounds pi / 2 up, the azimuth is that of the opposite side.
ZENITH = float(np.nextafter(np.float32(np.pi / 2), np.float32(0)))
MOST_OFFSET = 60.0  # deg from the pointing; larger offsets are limited to it


# Tensors, in the convention of telescopes


def unit_vector(direction: Tensor) -> Tensor:
    """Altitude (up to `ZENITH`) and azimuth [..., 2] -> components to the north, to the west and up [..., 3]."""
    alt, az = direction.unbind(-1)
    alt = alt.clamp_max(ZENITH)
    return torch.stack([alt.cos() * az.cos(), -alt.cos() * az.sin(), alt.sin()], -1)


def altitude_azimuth(vector: Tensor) -> Tensor:
    """Inverse of `unit_vector` for vectors of any length [..., 3] -> [..., 2], azimuths from 0 to 2 pi."""
    x, y, z = vector.unbind(-1)
    return torch.stack([torch.atan2(z, torch.hypot(x, y)), torch.atan2(-y, x) % (2 * torch.pi)], -1)


def rising(direction: Tensor) -> Tensor:
    """Altitude (up to `ZENITH`) and azimuth [..., 2] -> unit vectors (north, west, up) towards rising altitude and
    rising azimuth [..., 2, 3]."""
    alt, az = direction.unbind(-1)
    alt = alt.clamp_max(ZENITH)
    up = torch.stack([-alt.sin() * az.cos(), alt.sin() * az.sin(), alt.cos()], -1)
    return torch.stack([up, torch.stack([-az.sin(), -az.cos(), torch.zeros_like(az)], -1)], -2)


def with_pointing(frame: Tensor) -> Tensor:
    """The output of `rising` [..., 2, 3] with the pointing as a third row [..., 3, 3]."""
    up, along = frame.unbind(-2)
    return torch.stack([up, along, torch.linalg.cross(up, along)], -2)


def common_pointing(ahead: Tensor, event: Tensor, entries: int) -> Tensor:
    """The common pointing of the telescopes of each entry, altitude and azimuth [entries, 2], from unit vectors `ahead`
    [images, 3] of their own pointings and the entry of each image, int64 `event` [images]. It is the middle between the
    extremes of the vectors: unlike a mean it is exact where all are equal, and does not depend on the order of
    images."""
    index = event[:, None].expand_as(ahead)
    zeros = ahead.new_zeros(entries, 3)
    low, high = (zeros.scatter_reduce(0, index, ahead, how, include_self=False) for how in ("amin", "amax"))
    return altitude_azimuth(low + high)


def seen_from(pointing: Tensor, direction: Tensor) -> Tensor:
    """Directions as unit vectors in the frames at pointings [n, 3]; both are altitude and azimuth [n, 2]. Computed in
    float64, as small offsets are differences; of the type of `direction`."""
    vector = unit_vector(direction.double())
    return (vector[:, None] * _axes(pointing.double())).sum(2).to(direction.dtype)


def tangent_offset(direction: Tensor, pointing: Tensor) -> Tensor:
    """Directions in the planes tangential to the sky at pointings: degrees towards rising altitude and rising azimuth
    [n, 2]; both are altitude and azimuth [n, 2]."""
    vector = seen_from(pointing, direction)
    return torch.rad2deg(vector[:, :2] / vector[:, 2:].clamp_min(float(np.cos(np.radians(MOST_OFFSET)))))


def direction_at(offset: Tensor, pointing: Tensor) -> Tensor:
    """Inverse of `tangent_offset`: altitude, and azimuth from 0 to 2 pi, float64 [n, 2]."""
    up, along, ahead = _axes(pointing.double()).unbind(1)
    tangent = torch.deg2rad(offset.double())
    return altitude_azimuth(ahead + tangent[:, :1] * up + tangent[:, 1:] * along)


def separation(a: Tensor, b: Tensor) -> Tensor:
    """The angle in degrees between vectors of any length [n, 3] -> [n]. By sine and cosine, which is exact at all
    angles also in float32, where arccos rounds those below 0.02 deg away."""
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(1)))


def _axes(pointing: Tensor) -> Tensor:
    """The frames at pointings [n, 3, 3], the third row computed from the angles, other than in `with_pointing`."""
    return torch.cat([rising(pointing), unit_vector(pointing)[:, None]], 1)


# Tensors, in the convention of water tanks


def tangent_at_zenith(horizontal: Tensor) -> Tensor:
    """The horizontal part of unit vectors, x (east) and y (north) [n, 2] -> the plane that touches the sky at the
    zenith, degrees [n, 2], as the frame of tanks has it: towards rising altitude seen from azimuth 0, which is -x, and
    towards rising azimuth there, y. Just above the horizon it ends."""
    up = (1 - horizontal.square().sum(1)).clamp_min(1e-3).sqrt()
    east, north = horizontal.unbind(1)
    return torch.rad2deg(torch.stack([-east, north], 1) / up[:, None])


# Arrays, in the convention of telescopes


def north_west_up(alt: np.ndarray | float, az: np.ndarray | float) -> np.ndarray:
    """Altitude and azimuth [...] -> components of the unit vector, f8 [3, ...]."""
    return np.array([np.cos(alt) * np.cos(az), -np.cos(alt) * np.sin(az), np.sin(alt)])


def angles_of_north_west_up(vectors: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unit vectors [n, 3] -> altitude, and azimuth from 0 to 2 pi, [n] each."""
    north, west, up = vectors.T
    return np.arcsin(up), np.arctan2(-west, north) % (2 * np.pi)


def pointing_frame(alt: float, az: float) -> np.ndarray:
    """The frame at a pointing, f8 [3, 3]: rows towards rising altitude, rising azimuth and the pointing."""
    up = np.array([-np.sin(alt) * np.cos(az), np.sin(alt) * np.sin(az), np.cos(alt)])
    return np.stack([up, np.array([-np.sin(az), -np.cos(az), 0.0]), north_west_up(alt, az)])


# Arrays, in the convention of water tanks


def east_north(zenith: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """Zenith angle and azimuth [n] -> the horizontal part of the unit vector, x (east) and y (north) [n, 2]."""
    return np.sin(zenith)[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], 1)


def angles_of_east_north(horizontal: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Inverse of `east_north` for directions above the horizon [n, 2] -> zenith angle, and azimuth from -pi to pi, [n]
    each; parts longer than 1 are at the horizon."""
    east, north = horizontal.T
    return np.arcsin(np.minimum(np.hypot(east, north), 1.0)), np.arctan2(north, east)
