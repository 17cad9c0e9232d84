"""Images of telescopes as Hillas' ellipses, and showers where the axes of several ellipses meet."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from airshower.data.containers import CameraImages, TelescopeImages
from airshower.data.spec import CameraImagesSpec
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters
from airshower.geometry.sky import direction_at, rising, unit_vector
from airshower.networks.telescopes.inputs import telescope_kinds

MISSING = -10.0
"""Stands for a parameter that an image does not have: below all values that there are."""
LOGARITHMIC = ("hillas_intensity", "hillas_length", "hillas_width")
PLAIN = (
    "hillas_r", "hillas_kurtosis", "timing_deviation", "leakage_intensity_width_2", "concentration_cog",
    "concentration_pixel", "morphology_n_pixels", "morphology_n_islands",
)  # fmt: skip
ALONG = ("hillas_skewness", "timing_slope")
"""Parameters whose sign is that of a direction along the major axis."""


@dataclass(frozen=True)
class Cleaning:
    """Tail cuts, and the least charge of an image that is used, in p.e."""

    picture: float = 10.0
    boundary: float = 5.0
    least: float = 50.0


@dataclass(frozen=True, eq=False)
class Ellipses:
    """The images that are used, of a batch's entries.

    `entry` int64 [n], `kind` int64 [n] of telescope, `position` f8 [n, 3] of the telescope in m to the north, west and
    up; in the tangent plane at its `pointing` (altitude and azimuth, rad f8 [n, 2]) the `centre` of the image and a
    unit vector `along` its major axis, away from the middle of the camera: f8 [n, 2], degrees towards rising altitude
    and rising azimuth. `normal` f8 [n, 3] to the north, west and up is that of the plane through centre and axis.
    `parameters` f8 [n] by ctapipe's names.
    """

    entry: np.ndarray
    kind: np.ndarray
    position: np.ndarray
    pointing: np.ndarray
    centre: np.ndarray
    along: np.ndarray
    normal: np.ndarray
    parameters: dict[str, np.ndarray]

    def __len__(self) -> int:
        return len(self.entry)

    @property
    def charge(self) -> np.ndarray:
        """The charge of each image f8 [n] in p.e., of the pixels that cleaning kept."""
        return self.parameters["hillas_intensity"]

    @property
    def worth(self) -> np.ndarray:
        """The weight of each axis f8 [n], as in ctapipe's HillasReconstructor: intensity times length over width."""
        of = self.parameters
        return self.charge * of["hillas_length"] / of["hillas_width"]

    @property
    def features(self) -> np.ndarray:
        """What is known of each image by itself, f8 [n, features]; `MISSING` where there is no value. Signs along the
        axis are those of `along`."""
        of = self.parameters
        outwards = np.sign((self.along * _axis(of["hillas_psi"])).sum(1))
        columns = [np.log10(of[name]) for name in LOGARITHMIC]
        columns += [_column(of, name, len(self)) for name in PLAIN]
        columns += [outwards * _column(of, name, len(self)) for name in ALONG]
        columns += [(self.centre * self.along).sum(1)]
        return finite(np.stack(columns, 1))

    def at(self, offset: np.ndarray) -> np.ndarray:
        """The sky at these offsets from the pointings, f8 [n, 2] as `centre`: unit vectors f8 [n, 3] to the north, west
        and up."""
        return _vector(direction_at(torch.from_numpy(offset), torch.from_numpy(self.pointing)))

    def across_the_sky(self, offset: np.ndarray) -> np.ndarray:
        """Vectors of the tangent plane f8 [n, 2] as vectors to the north, west and up f8 [n, 3]."""
        return (offset[:, :, None] * rising(torch.from_numpy(self.pointing)).numpy()).sum(1)


class EllipseFinder:
    """Finds the ellipses of the images of an array."""

    def __init__(self, array: CameraImagesSpec, cleaning: Cleaning):
        self.array = array
        self.cleaning = cleaning
        self.kinds = telescope_kinds(array)
        self.pixels = [SkyPixels(array.cameras[kind.camera], kind.focal_length) for kind in self.kinds]

    def __call__(self, images: CameraImages) -> Ellipses:
        """The images of a batch on any device that are left after cleaning, have the least charge, and a width."""
        parts = []
        for number, kind in enumerate(self.kinds):
            of_camera = images.cameras[kind.camera]
            rows = np.flatnonzero(np.isin(_array(of_camera.telescope), kind.telescopes))
            parts.append(self._of_kind(of_camera, rows, number))
        names = ("entry", "kind", "position", "pointing", "centre", "along", "normal")
        arrays = (np.concatenate([getattr(part, name) for part in parts]) for name in names)
        of = {name: np.concatenate([part.parameters[name] for part in parts]) for name in parts[0].parameters}
        return Ellipses(*arrays, parameters=of)

    def _of_kind(self, images: TelescopeImages, rows: np.ndarray, kind: int) -> Ellipses:
        charge = np.nan_to_num(_array(images.charge)[rows], posinf=0.0, neginf=0.0)
        mask = clean(self.pixels[kind], charge, self.cleaning.picture, self.cleaning.boundary)
        of = image_parameters(self.pixels[kind], charge, _array(images.time)[rows], mask)
        used = (of["hillas_intensity"] >= self.cleaning.least) & (of["hillas_width"] > 0)
        rows = rows[used]
        of = {name: values[used].astype(np.float64) for name, values in of.items()}
        centre = np.stack([of["hillas_fov_lat"], of["hillas_fov_lon"]], 1)
        along = _axis(of["hillas_psi"])
        along = along * np.where((centre * along).sum(1) < 0, -1.0, 1.0)[:, None]
        pointing = _array(images.pointing)[rows].astype(np.float64)
        # great circles are straight lines in the plane of tangents, in which pixels are
        ahead = torch.from_numpy(pointing)
        middle, end = (_vector(direction_at(torch.from_numpy(at), ahead)) for at in (centre, centre + along))
        normal = np.cross(middle, end)
        normal /= np.linalg.norm(normal, axis=1, keepdims=True)
        telescope = _array(images.telescope)[rows]
        position = self.array.position[telescope]
        entry = _array(images.event)[rows]
        return Ellipses(entry, np.full(len(rows), kind), position, pointing, centre, along, normal, of)


@dataclass(frozen=True, eq=False)
class Crossings:
    """The shower of each entry: `direction` unit vectors f8 [entries, 3] to the north, west and up, and `core` f8
    [entries, 2] in m to the north and west on the ground, z = 0; NaN where fewer than two images are used."""

    direction: np.ndarray
    core: np.ndarray


def find_crossings(ellipses: Ellipses, entries: int) -> Crossings:
    """Where the planes of an entry's images meet.

    The direction is the mean of the lines in which each two planes meet, each line weighted with the product of the two
    weights and the sine of the angle between the planes (ctapipe's HillasReconstructor; Hofmann et al., Astropart.
    Phys. 12 (1999) 135, algorithm 1). A plane goes through its telescope, so the core c minimises the sum over images
    of weight x (normal . (c - position))^2 on the ground.
    """
    one, other = _pairs(ellipses.entry)
    entry = ellipses.entry[one]
    worth = ellipses.worth
    ahead = _vector(torch.from_numpy(ellipses.pointing))
    lines = np.cross(ellipses.normal[one], ellipses.normal[other]) * (worth[one] * worth[other])[:, None]
    lines *= np.where((lines * (ahead[one] + ahead[other])).sum(1) < 0, -1.0, 1.0)[:, None]
    total = _sums(entry, lines, entries)
    level = ellipses.normal[:, :2]
    distance = (ellipses.normal * ellipses.position).sum(1)
    squares = _sums(ellipses.entry, worth[:, None] * (level[:, :, None] * level[:, None]).reshape(-1, 4), entries)
    moments = _sums(ellipses.entry, (worth * distance)[:, None] * level, entries)
    with np.errstate(invalid="ignore"):  # 0 / 0 without images
        direction = total / np.linalg.norm(total, axis=1, keepdims=True)
    core = (np.linalg.pinv(squares.reshape(-1, 2, 2), hermitian=True) @ moments[:, :, None])[:, :, 0]
    several = np.bincount(ellipses.entry, minlength=entries) > 1
    return Crossings(direction, np.where(several[:, None], core, np.nan))


def shower_features(ellipses: Ellipses, crossings: Crossings) -> np.ndarray:
    """What is known of each image and its shower, f8 [n, features]: the image's own, how far its centre is from the
    shower's direction (deg), and its telescope from the axis (m), and how many images the entry has; `MISSING` where
    there is no value."""
    multiplicity = np.bincount(ellipses.entry, minlength=len(crossings.core))[ellipses.entry]
    columns = [displacement(ellipses, crossings), impact(ellipses, crossings), multiplicity.astype(np.float64)]
    return np.concatenate([ellipses.features, finite(np.stack(columns, 1))], 1)


def impact(ellipses: Ellipses, crossings: Crossings) -> np.ndarray:
    """From each image's telescope to its shower's axis in m, f8 [n]."""
    to = ellipses.position - np.pad(crossings.core, ((0, 0), (0, 1)))[ellipses.entry]
    return np.linalg.norm(np.cross(to, crossings.direction[ellipses.entry]), axis=1)


def displacement(ellipses: Ellipses, crossings: Crossings) -> np.ndarray:
    """From each image's centre to its shower's direction in degrees, f8 [n]."""
    centre = ellipses.at(ellipses.centre)
    across = np.linalg.norm(np.cross(centre, crossings.direction[ellipses.entry]), axis=1)
    return np.degrees(np.arcsin(across.clip(max=1.0)))


def finite(values: np.ndarray) -> np.ndarray:
    """The same with `MISSING` in place of values that are not finite."""
    return np.where(np.isfinite(values), values, MISSING)


def _pairs(entry: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The rows of each two images of an entry, int64 [pairs] each."""
    order = np.argsort(entry, kind="stable")
    place = np.arange(len(entry))
    last = np.searchsorted(entry[order], entry[order], side="right")
    later = last - place - 1  # images of the same entry behind each
    first = np.repeat(place, later)
    second = first + 1 + np.arange(later.sum()) - np.repeat(np.cumsum(later) - later, later)
    return order[first], order[second]


def _sums(entry: np.ndarray, values: np.ndarray, entries: int) -> np.ndarray:
    """Of the rows of each entry, f8 [entries, columns]."""
    return np.stack([np.bincount(entry, column, entries) for column in values.T], 1)


def _column(of: dict[str, np.ndarray], name: str, count: int) -> np.ndarray:
    return of[name] if name in of else np.full(count, np.nan)


def _axis(psi: np.ndarray) -> np.ndarray:
    """A degree along the major axis at this angle (deg): altitude and azimuth, f8 [n, 2]."""
    return np.stack([np.sin(np.radians(psi)), np.cos(np.radians(psi))], 1)


def _vector(direction: Tensor) -> np.ndarray:
    """Altitude and azimuth in rad [n, 2] -> to the north, west and up f8 [n, 3]."""
    return unit_vector(direction).numpy()


def _array(values: Tensor | np.ndarray) -> np.ndarray:
    return torch.as_tensor(values).cpu().numpy()
