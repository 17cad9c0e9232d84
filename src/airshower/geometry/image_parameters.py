"""Parameters of images: tail-cut cleaning, Hillas' moments, time gradient, leakage, concentration, islands.

Names are ctapipe's, and so are the definitions, but for the time gradient, which is a weighted fit here and a robust
one there. Everything works on the cleaned pixels of many images of one camera at once.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airshower.geometry.camera import CameraGeometry, lattice, neighbours

PICTURE, BOUNDARY, PICTURE_NEIGHBOURS = 10.0, 5.0, 2  # p.e., p.e., pixels: ctapipe's defaults
SMALL_ISLAND, MEDIUM_ISLAND = 2, 50  # pixels at most
FLAT = 1e-13  # deg2: a smaller variance is a rounding error of pixels in one line


@dataclass(frozen=True, eq=False)
class SkyPixels:
    """A camera's pixels as directions: degrees along the azimuth (`lon`) and the altitude (`lat`), f8 [pixels]."""

    geometry: CameraGeometry
    focal_length: float  # m, effective

    @cached_property
    def neighbours(self) -> np.ndarray:
        """int64 [pixels, 6] or [pixels, 4], -1 where there is none."""
        return neighbours(lattice(self.geometry))

    @cached_property
    def beside(self) -> np.ndarray:
        """The same as int64 [6 or 4, pixels], with the number of pixels where there is none."""
        return np.where(self.neighbours < 0, len(self.neighbours), self.neighbours).T.copy()

    @cached_property
    def lon(self) -> np.ndarray:
        """The camera's y, turned by the camera's rotation."""
        turn = np.radians(self.geometry.camera_rotation)
        return np.degrees((self.geometry.x * np.sin(turn) + self.geometry.y * np.cos(turn)) / self.focal_length)

    @cached_property
    def lat(self) -> np.ndarray:
        """The camera's x, turned likewise."""
        turn = np.radians(self.geometry.camera_rotation)
        return np.degrees((self.geometry.x * np.cos(turn) - self.geometry.y * np.sin(turn)) / self.focal_length)

    @cached_property
    def area(self) -> np.ndarray:
        """deg2, f8 [pixels]."""
        return self.geometry.area * np.degrees(1.0 / self.focal_length) ** 2

    @cached_property
    def width(self) -> np.ndarray:
        """deg between opposite sides of a pixel, f8 [pixels]."""
        return np.sqrt(self.area * (2.0 / np.sqrt(3.0) if self.geometry.shape == "hexagon" else 1.0))

    @cached_property
    def border(self) -> np.ndarray:
        """Pixels in the outermost row and in the two outermost ones, bool [2, pixels]."""
        exists = self.neighbours >= 0
        first = exists.sum(1) < self.neighbours.shape[1]
        return np.stack([first, first | (np.append(first, False)[self.neighbours]).any(1)])


def clean(pixels: SkyPixels, charge: np.ndarray, picture: float = PICTURE, boundary: float = BOUNDARY) -> np.ndarray:
    """Pixels that tail cuts keep, bool like `charge` [images, pixels] in p.e.

    Picture pixels have `picture` p.e. and two neighbours like them; pixels of `boundary` p.e. beside one are kept too
    (Punch, VERITAS/Whipple's "picture and boundary": Reynolds et al., ApJ 404 (1993) 206).
    """
    # an additional pixel in each image represents missing neighbours
    padded = np.concatenate([charge, np.full((len(charge), 1), -np.inf, np.float32)], 1)
    cell = np.flatnonzero(padded >= boundary)
    image, pixel = np.divmod(cell, padded.shape[1])
    beside = pixels.beside[:, pixel] + image * padded.shape[1]
    bright = padded.ravel()[cell] >= picture
    count = np.zeros(len(bright), np.int8)
    for neighbour in beside[:, bright]:
        count[bright] += padded.ravel()[neighbour] >= picture
    bright &= count >= PICTURE_NEIGHBOURS
    core = np.zeros(padded.size, bool)
    mask = np.zeros(padded.shape, bool)
    core[cell[bright]] = True
    mask.ravel()[cell[np.logical_or.reduce([bright, *core[beside]])]] = True
    return mask[:, :-1]


def image_parameters(
    pixels: SkyPixels, charge: np.ndarray, peak_time: np.ndarray | None, mask: np.ndarray
) -> dict[str, np.ndarray]:
    """All parameters of images [images, pixels] by ctapipe's column names, [images] each: p.e., deg, ns.

    Images with less than two cleaned pixels have NaN, or -1 where the parameter is an integer.
    """
    mask = mask & (np.count_nonzero(mask, axis=1) > 1)[:, None]
    image, pixel = np.nonzero(mask)
    some = _Selected(pixels, len(charge), image, pixel, charge[image, pixel].astype(np.float64))
    with np.errstate(all="ignore"):  # images without pixels: 0 / 0
        axis, parameters = _hillas(some)
        if peak_time is not None:
            parameters |= _timing(some, axis, peak_time[image, pixel].astype(np.float64))
        parameters |= _leakage(some) | _concentration(some, axis, parameters)
        parameters |= {f"intensity_{name}": value for name, value in _statistics(some, some.charge).items()}
        if peak_time is not None:
            times = _statistics(some, peak_time[image, pixel].astype(np.float64))
            parameters |= {f"peak_time_{name}": value for name, value in times.items()}
    empty = ~mask.any(1)
    for value in parameters.values():
        value[empty] = np.nan
    return parameters | {name: np.where(empty, -1, value) for name, value in _morphology(some).items()}


@dataclass(frozen=True, eq=False)
class _Selected:
    """The cleaned pixels of all images, one after the other."""

    pixels: SkyPixels
    images: int
    image: np.ndarray
    pixel: np.ndarray
    charge: np.ndarray

    def sum(self, values: np.ndarray) -> np.ndarray:
        """Over each image's pixels, f8 [images]."""
        return np.bincount(self.image, values, self.images).astype(np.float64)  # of nothing, it is of integers

    @cached_property
    def size(self) -> np.ndarray:
        return self.sum(self.charge)

    def mean(self, values: np.ndarray) -> np.ndarray:
        """Weighted by charge, f8 [images]."""
        return self.sum(values * self.charge) / self.size

    def extreme(self, values: np.ndarray, which: Callable) -> np.ndarray:
        """`which` is np.maximum or np.minimum; f8 [images]."""
        extremes = np.full(self.images, -np.inf if which is np.maximum else np.inf)
        which.at(extremes, self.image, values)
        return extremes


@dataclass(frozen=True)
class _Axis:
    """Coordinates of the selected pixels in deg along and across the major axis of their image."""

    along: np.ndarray
    across: np.ndarray


def _hillas(some: _Selected) -> tuple[_Axis, dict[str, np.ndarray]]:
    """Moments of the light's distribution: Hillas, Proc. 19th ICRC 3 (1985) 445; Fegan, J. Phys. G 23 (1997) 1013.

    Uncertainties are those of moments of `intensity` photo-electrons.
    """
    x = some.pixels.lon[some.pixel]
    y = some.pixels.lat[some.pixel]
    size = some.size
    lon = some.mean(x)
    lat = some.mean(y)
    dx = x - lon[some.image]
    dy = y - lat[some.image]
    xx = some.mean(dx * dx)
    yy = some.mean(dy * dy)
    xy = some.mean(dx * dy)
    split = np.hypot((xx - yy) / 2.0, xy)
    large = (xx + yy) / 2.0 + split
    small = (xx + yy) / 2.0 - split
    length = np.sqrt(np.where(large > FLAT, large, 0.0))
    width = np.sqrt(np.where(small > FLAT, small, 0.0))
    psi = 0.5 * np.arctan2(2.0 * xy, xx - yy)  # from -90 to 90 deg
    cosine = np.cos(psi)[some.image]
    sine = np.sin(psi)[some.image]
    axis = _Axis(dx * cosine + dy * sine, dy * cosine - dx * sine)

    def error(coordinate: np.ndarray, variance: np.ndarray) -> np.ndarray:
        spread = some.sum(some.charge * (coordinate**2 - variance[some.image]) ** 2)
        return np.sqrt(spread) / (2.0 * size * np.sqrt(variance))

    area = some.mean(some.pixels.area[some.pixel])
    return axis, {
        "hillas_intensity": size,
        "hillas_skewness": some.mean(axis.along**3) / length**3,
        "hillas_kurtosis": some.mean(axis.along**4) / length**4,
        "hillas_fov_lon": lon,
        "hillas_fov_lat": lat,
        "hillas_r": np.hypot(lon, lat),
        "hillas_phi": np.degrees(np.arctan2(lat, lon)),
        "hillas_length": length,
        "hillas_length_uncertainty": error(axis.along, length**2),
        "hillas_width": width,
        "hillas_width_uncertainty": np.where(width > 0.0, error(axis.across, width**2), np.nan),
        "hillas_psi": np.degrees(psi),
        "hillas_psi_uncertainty": np.degrees(
            np.sqrt(area / size) / length * (1.0 + np.tan(width / length * np.pi / 2.0) ** 2)
        ),
        "hillas_transverse_cog_uncertainty": np.sqrt(area / size),
    }


def _timing(some: _Selected, axis: _Axis, time: np.ndarray) -> dict[str, np.ndarray]:
    """Charge-weighted linear fit of peak time against the position along the major axis; the deviation is not
    weighted."""
    mean = some.mean(time)
    slope = some.mean(axis.along * (time - mean[some.image])) / some.mean(axis.along**2)
    rest = time - mean[some.image] - slope[some.image] * axis.along
    deviation = np.sqrt(some.sum(rest**2) / some.sum(np.ones_like(rest)))
    return {"timing_intercept": mean, "timing_deviation": deviation, "timing_slope": slope}


def _leakage(some: _Selected) -> dict[str, np.ndarray]:
    count = some.sum(np.ones_like(some.charge))
    border = some.pixels.border[:, some.pixel]
    return {f"leakage_pixels_width_{i + 1}": some.sum(border[i]) / count for i in (0, 1)} | {
        f"leakage_intensity_width_{i + 1}": some.mean(border[i]) for i in (0, 1)
    }


def _concentration(some: _Selected, axis: _Axis, hillas: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Fractions of the light near the centre, in the ellipse of length and width, and in the brightest pixel."""
    near = axis.along**2 + axis.across**2 < some.pixels.width[some.pixel] ** 2
    length = hillas["hillas_length"][some.image]
    width = hillas["hillas_width"][some.image]
    core = (axis.along / length) ** 2 + (axis.across / width) ** 2 <= 1.0
    return {
        "concentration_cog": some.mean(near),
        "concentration_core": some.mean(core & (width > 0.0)),
        "concentration_pixel": some.extreme(some.charge, np.maximum) / some.size,
    }


def _statistics(some: _Selected, values: np.ndarray) -> dict[str, np.ndarray]:
    count = some.sum(np.ones_like(values))
    mean = some.sum(values) / count
    rest = values - mean[some.image]
    std = np.sqrt(some.sum(rest**2) / count)
    return {
        "max": some.extreme(values, np.maximum),
        "min": some.extreme(values, np.minimum),
        "mean": mean,
        "std": std,
        "skewness": some.sum(rest**3) / count / std**3,
        "kurtosis": some.sum(rest**4) / count / std**4 - 3.0,
    }


def _morphology(some: _Selected) -> dict[str, np.ndarray]:
    """Pixels and islands of neighbouring pixels.

    Each pixel takes the lowest label around it, and then the label of the pixel with that index, until nothing
    changes.
    """
    total = len(some.pixels.neighbours)
    label = np.full(some.images * (total + 1), some.images * (total + 1))
    cell = some.image * (total + 1) + some.pixel
    label[cell] = cell
    beside = some.pixels.beside[:, some.pixel] + some.image * (total + 1)
    while True:
        lowest = np.minimum.reduce([label[cell], *label[beside]])
        lowest = label[lowest]
        if (lowest == label[cell]).all():
            break
        label[cell] = lowest
    island, pixels = np.unique(lowest, return_counts=True)
    image = island // (total + 1)

    def count(chosen: np.ndarray) -> np.ndarray:
        return np.bincount(image[chosen], minlength=some.images)

    return {
        "morphology_n_pixels": np.bincount(some.image, minlength=some.images),
        "morphology_n_islands": count(pixels > 0),
        "morphology_n_small_islands": count(pixels <= SMALL_ISLAND),
        "morphology_n_medium_islands": count((pixels > SMALL_ISLAND) & (pixels <= MEDIUM_ISLAND)),
        "morphology_n_large_islands": count(pixels > MEDIUM_ISLAND),
    }
