"""Cameras: the positions of pixels, and their integer coordinates on a lattice."""

import base64
import json
import zlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.errors import DataError, UserError

CAMERAS = Path(__file__).with_name("cameras.json")
# largest distance of a pixel from its lattice point, in pitches. Square pixels are counted along rows and columns,
# which
# are bent in curved focal planes; up to a quarter the assignment is unique.
MAX_RESIDUAL, MAX_SQUARE_RESIDUAL = 0.05, 0.25
SAMPLE = 256  # pixels for which the nearest neighbour is searched
# from a pixel to its neighbours, in rows and columns; the axes of hexagons are 120 degrees apart
HEXAGON_STEPS = np.array([(-1, -1), (-1, 0), (0, -1), (0, 1), (1, 0), (1, 1)])
SQUARE_STEPS = np.array([(-1, 0), (0, -1), (0, 1), (1, 0)])
DIAGONAL_STEPS = np.array([(-1, -1), (-1, 1), (1, -1), (1, 1)])


@dataclass(frozen=True, eq=False)
class CameraGeometry:
    """Pixel centres `x`, `y` f8 [pixels] in metres in the camera's frame and `area` f8 [pixels] in m2; `shape` is
    "hexagon" or "square"; the rotations of the pixels and of the camera are in degrees, as the file has them."""

    name: str
    x: np.ndarray
    y: np.ndarray
    area: np.ndarray
    shape: str
    pixel_rotation: float = 0.0
    camera_rotation: float = 0.0

    def __len__(self) -> int:
        return len(self.x)

    @cached_property
    def position(self) -> np.ndarray:
        """Pixel centres f8 [pixels, 2] in metres."""
        return np.stack([self.x, self.y], 1).astype(np.float64)

    @cached_property
    def pitch(self) -> float:
        """Distance between neighbouring pixels in metres: the median of that to the nearest."""
        return float(np.median(np.hypot(*self._nearest_steps.T)))

    @cached_property
    def _nearest_steps(self) -> np.ndarray:
        """Vectors from a sample of pixels to their nearest neighbours, f8 [n, 2] in metres."""
        some = np.unique(np.linspace(0, len(self) - 1, min(len(self), SAMPLE)).astype(int))
        distance = (self.x - self.x[some, None]) ** 2 + (self.y - self.y[some, None]) ** 2
        distance[np.arange(len(some)), some] = np.inf
        return self.position[distance.argmin(1)] - self.position[some]

    def rotation(self, fold: int) -> float:
        """Angle in radians from x to that axis nearest to it of a lattice with `fold` equivalent ones."""
        x, y = self._nearest_steps.T
        return float(np.angle(np.exp(1j * fold * np.arctan2(y, x)).mean()) / fold)


@dataclass(frozen=True, eq=False)
class Lattice:
    """Integer coordinates `row`, `column` int64 [pixels] of a camera's pixels, from 0 on, in an image of `shape`
    (rows, columns).

    A pixel is at origin + row * basis[0] + column * basis[1] (`basis` f8 [2, 2], `origin` f8 [2], metres). The axes of
    hexagons are 120 degrees apart, so that (1, 1) is a neighbour of (0, 0) and (1, -1) is not. For square pixels in
    modules with gaps between them this is a fit only: rows and columns are counted on over the gaps.
    """

    row: np.ndarray
    column: np.ndarray
    shape: tuple[int, int]
    hexagonal: bool
    basis: np.ndarray
    origin: np.ndarray

    def __len__(self) -> int:
        return len(self.row)

    @cached_property
    def mask(self) -> np.ndarray:
        """True for cells of the image that are pixels, bool [rows, columns]."""
        return self.pixel >= 0

    @cached_property
    def pixel(self) -> np.ndarray:
        """The pixel of each cell int64 [rows, columns], -1 for cells without a pixel."""
        pixel = np.full(self.shape, -1, np.int64)
        pixel[self.row, self.column] = np.arange(len(self))
        return pixel


def lattice(geometry: CameraGeometry) -> Lattice:
    """The lattice of a camera at any rotation.

    Rows follow columns anticlockwise, so that images are never mirrored. Of the equivalent axes the ones
    with the smallest image are used, and of these the ones whose columns are nearest to +x.

    Raises `DataError` if a pixel is further than 5 % of the pitch (square pixels: 25 %) from its lattice point, or
    several have the same one.
    """
    if len(geometry) < 3 or not np.isfinite(geometry.position).all() or not geometry.pitch > 0:
        raise DataError(f"camera {geometry.name} needs at least 3 pixels, apart from each other, at finite positions")
    hexagonal = geometry.shape == "hexagon"
    row, column, residual = _hexagonal(geometry) if hexagonal else _square(geometry)
    if residual > (allowed := MAX_RESIDUAL if hexagonal else MAX_SQUARE_RESIDUAL):
        raise DataError(
            f"the pixels of camera {geometry.name} are on no {'hexagonal' if hexagonal else 'square'} lattice: "
            f"they are up to {residual:.2g} pitches away from one, {allowed} are allowed"
        )
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    if len(np.unique(row * shape[1] + column)) < len(geometry):
        raise DataError(f"camera {geometry.name} has several pixels at one place of its lattice")
    fit = _fit(geometry, row, column)[0]
    return Lattice(row, column, shape, hexagonal, fit[:2], fit[2])


def neighbours(lattice: Lattice, diagonals: bool = False) -> np.ndarray:
    """The neighbours of each pixel int64 [pixels, 6] of hexagons, [pixels, 4] or with `diagonals` [pixels, 8] of
    squares, -1 where there is none."""
    steps = HEXAGON_STEPS if lattice.hexagonal else SQUARE_STEPS
    if diagonals and not lattice.hexagonal:
        steps = np.concatenate([steps, DIAGONAL_STEPS])
    pixel = np.pad(lattice.pixel, 1, constant_values=-1)
    return pixel[lattice.row[:, None] + 1 + steps[:, 0], lattice.column[:, None] + 1 + steps[:, 1]]


def builtin_camera(name: str) -> CameraGeometry:
    """A built-in real camera with hexagonal pixels, in the order of the instrument.

    Positions are those of its lattice, within 1 % of the pitch of the published ones (ctapipe-extra's tables).
    `cameras.json` has the lattice's basis (m), the first pixel's position (`origin`, m), the pixels' area (m2), and in
    `steps` the rows and columns from the pixel before to each pixel, int8 [pixels, 2], deflated and in base 85.

    Raises `UserError` for an unknown name.
    """
    cameras = json.loads(CAMERAS.read_text())
    if name not in cameras:
        raise UserError(f"there is no camera {name!r} built in; there are {', '.join(cameras)}")
    camera = cameras[name]
    steps = np.frombuffer(zlib.decompress(base64.b85decode(camera["steps"])), np.int8).reshape(-1, 2)
    x, y = (steps.cumsum(0, dtype=np.int64) @ np.array(camera["basis"]) + camera["origin"]).T
    rotations = camera["pixel_rotation"], camera["camera_rotation"]
    return CameraGeometry(name, x, y, np.full(len(x), camera["area"]), "hexagon", *rotations)


def _fit(geometry: CameraGeometry, row: np.ndarray, column: np.ndarray) -> tuple[np.ndarray, float]:
    """Least-squares fit: basis and origin f8 [3, 2] in metres, and the largest residual in pitches."""
    places = np.stack([row, column, np.ones(len(row))], 1)
    fit = np.linalg.lstsq(places, geometry.position, rcond=None)[0]
    return fit, float(np.hypot(*(geometry.position - places @ fit).T).max() / geometry.pitch)


def _hexagonal(geometry: CameraGeometry) -> tuple[np.ndarray, np.ndarray, float]:
    """Axial rows and columns, and the largest residual in pitches."""
    angle = geometry.rotation(6) + np.array([2 * np.pi / 3, 0.0])
    basis = geometry.pitch * np.stack([np.cos(angle), np.sin(angle)], 1)
    centre = ((geometry.position - geometry.position.mean(0)) ** 2).sum(1).argmin()
    origin = geometry.position[centre]
    row = column = np.zeros(0, np.int64)
    residual = np.inf
    for _ in range(3):  # neighbours give pitch and angle near the centre, fits improve them further out
        row, column = np.rint((geometry.position - origin) @ np.linalg.pinv(basis)).astype(np.int64).T
        (*basis, origin), residual = _fit(geometry, row, column)
    choices = []
    first = np.degrees(np.arctan2(basis[1][1], basis[1][0]))
    for turn in range(6):
        angle = (first + 60 * turn + 180) % 360 - 180
        cells = (np.ptp(row) + 1) * (np.ptp(column) + 1)
        choices.append(((cells, round(abs(angle), 2), angle < 0), row - row.min(), column - column.min()))
        row, column = row - column, row  # axes turned by 60 degrees
    _, row, column = min(choices, key=lambda choice: choice[0])
    return row, column, residual


def _square(geometry: CameraGeometry) -> tuple[np.ndarray, np.ndarray, float]:
    """Rows and columns, counted over the distinct coordinates, and the largest residual in pitches."""
    angle = geometry.rotation(4)
    x, y = geometry.position.T
    column, of_columns = _places(x * np.cos(angle) + y * np.sin(angle), geometry.pitch)
    row, of_rows = _places(y * np.cos(angle) - x * np.sin(angle), geometry.pitch)
    return row, column, max(of_columns, of_rows)


def _places(values: np.ndarray, pitch: float) -> tuple[np.ndarray, float]:
    """The index of each value among the distinct ones, and the largest distance of a value from the mean of its index,
    in pitches."""
    order = np.argsort(values)
    index = np.zeros(len(values), np.int64)
    index[order[1:]] = np.cumsum(np.diff(values[order]) > 0.5 * pitch)
    mean = np.bincount(index, values) / np.bincount(index)
    return index, float(np.abs(values - mean[index]).max() / pitch)
