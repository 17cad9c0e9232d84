"""Camera images as rectangular ones: each cell of the image is a weighted sum of a few pixels."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cached_property, reduce

import numpy as np

from airshower.errors import UserError
from airshower.geometry.camera import Lattice

# rebinning represents a pixel by points of equal charge on a Fibonacci lattice, which is aligned with no image axis
POINTS, STRIDE = 610, 377


@dataclass(frozen=True, eq=False)
class Mapping:
    """Cell c of an image of `shape` (rows, columns) is the sum over k of weight[c, k] * values[index[c, k]], with
    `index` int64 and `weight` f4 [rows * columns, k]; unused entries are zero in both.

    If the mapping is invertible, `inverse` int64 [pixels, k] are the cells whose sum is each pixel, else None.
    `conserves_charge`: the sum over the image equals that over the camera, to rounding.
    """

    name: str
    shape: tuple[int, int]
    index: np.ndarray
    weight: np.ndarray
    inverse: np.ndarray | None = None
    conserves_charge: bool = True

    @cached_property
    def mask(self) -> np.ndarray:
        """True for cells that any pixel contributes to, bool [rows, columns]."""
        return (self.weight != 0).any(1).reshape(self.shape)

    def to_image(self, values: np.ndarray) -> np.ndarray:
        """[..., pixels] -> [..., rows, columns]."""
        terms = zip(self.index.T, self.weight.T, strict=True)
        cells = [np.where(weight != 0, values[..., index] * weight, 0) for index, weight in terms]
        return reduce(np.add, cells).reshape(*values.shape[:-1], *self.shape)

    def to_pixels(self, image: np.ndarray) -> np.ndarray:
        """[..., rows, columns] -> [..., pixels]. Raises `UserError` if the mapping is not invertible."""
        if self.inverse is None:
            raise UserError(f"{self.name} can't be undone; {', '.join(ON_LATTICE)} can")
        return image.reshape(*image.shape[:-2], -1)[..., self.inverse].sum(-1)

    def averaging(self) -> "Mapping":
        """The mapping for quantities such as arrival times: a cell is the weighted mean of its pixels, not their
        sum."""
        weight = np.maximum(self.weight, 0.0)  # bicubic weights can be negative
        total = weight.sum(1, keepdims=True)
        mean = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
        return replace(self, weight=mean, inverse=None, conserves_charge=False)


def camera_mapping(name: str, lattice: Lattice, cell: float = 0.5) -> Mapping:
    """One of `MAPPINGS`. Images of the first three have the axes of the lattice, those of the others the camera's: x
    along columns, y along rows, in square cells with sides of `cell` pitches that cover all of the camera.

    Raises `UserError` for another name, and for a camera of square pixels with one of the last four.
    """
    if name not in MAPPINGS:
        raise UserError(f"there is no mapping {name!r}; there are {', '.join(MAPPINGS)}")
    if not cell > 0:
        raise UserError(f"the side of a mapping's cells must be above 0 pitches, not {cell}")
    if name in ON_LATTICE:
        return ON_LATTICE[name](lattice)
    if not lattice.hexagonal:
        raise UserError(f"a camera of square pixels needs no {name}: take one of {', '.join(ON_LATTICE)}")
    return ON_GRID[name](lattice, _Grid.around(lattice, cell))


def axial(lattice: Lattice) -> Mapping:
    """A cell is a pixel, in the lattice's own rows and columns (a sheared image, for hexagons)."""
    return _tiles("axial", lattice.row[:, None], lattice.column[:, None])


def shifting(lattice: Lattice) -> Mapping:
    """A cell is a pixel; every other row of hexagons is shifted by half a pixel, which keeps the camera's outline."""
    return _tiles("shifting", lattice.row[:, None], _half_columns(lattice)[:, None] // 2)


def oversampling(lattice: Lattice) -> Mapping:
    """A pixel is 2 x 2 cells of a quarter of its charge, at half-pixel steps along the rows."""
    row, column = 2 * lattice.row[:, None], _half_columns(lattice)[:, None]
    return _tiles("oversampling", row + np.array([0, 0, 1, 1]), column + np.array([0, 1, 0, 1]))


def rebinning(lattice: Lattice, grid: "_Grid") -> Mapping:
    """A cell gets the fraction of each pixel's charge that is the fraction of the pixel's area in it (in steps of
    1/610)."""
    points = _points(lattice)
    cell = grid.cell(_positions(lattice)[:, None] + points)
    pairs = np.arange(len(lattice))[:, None] * (grid.rows * grid.columns) + cell
    pair, count = np.unique(pairs, return_counts=True)
    pixel, cell = np.divmod(pair, grid.rows * grid.columns)
    order = np.argsort(cell, kind="stable")
    pixel = pixel[order]
    cell = cell[order]
    share = count[order] / len(points)
    slot = np.arange(len(cell)) - np.searchsorted(cell, cell)
    index = np.zeros((grid.rows * grid.columns, slot.max() + 1), np.int64)
    weight = np.zeros(index.shape, np.float32)
    index[cell, slot], weight[cell, slot] = pixel, share
    return Mapping("rebinning", (grid.rows, grid.columns), index, weight)


def nearest(lattice: Lattice, grid: "_Grid") -> Mapping:
    """A cell has the value of the pixel that contains its centre."""
    row, column, weight = _triangle(lattice, grid.centres)
    best = weight.argmax(1)[:, None]
    row, column = np.take_along_axis(row, best, 1), np.take_along_axis(column, best, 1)
    return _interpolating("nearest", lattice, grid, row, column, np.ones(row.shape))


def bilinear(lattice: Lattice, grid: "_Grid") -> Mapping:
    """A cell is interpolated linearly in the triangle of pixels around its centre; beyond the border all is zero."""
    return _interpolating("bilinear", lattice, grid, *_triangle(lattice, grid.centres))


def bicubic(lattice: Lattice, grid: "_Grid") -> Mapping:
    """Cubic convolution (Keys 1981, a = -1/2) along both lattice axes over 4 x 4 pixels, exact for polynomials of
    second degree; beyond the border all is zero."""
    position = _places(lattice, grid.centres)
    first = np.floor(position)
    taps = np.arange(-1, 3)
    by_row, by_column = (_keys((position - first)[:, axis, None] - taps) for axis in (0, 1))
    row, column = (first[:, axis, None].astype(np.int64) + taps for axis in (0, 1))
    rows, columns = np.repeat(row, 4, axis=1), np.tile(column, 4)
    return _interpolating("bicubic", lattice, grid, rows, columns, np.repeat(by_row, 4, axis=1) * np.tile(by_column, 4))


ON_LATTICE: dict[str, Callable[[Lattice], Mapping]] = {
    "axial": axial,
    "shifting": shifting,
    "oversampling": oversampling,
}
ON_GRID: dict[str, Callable[[Lattice, "_Grid"], Mapping]] = {
    "rebinning": rebinning,
    "nearest": nearest,
    "bilinear": bilinear,
    "bicubic": bicubic,
}
MAPPINGS = (*ON_LATTICE, *ON_GRID)


@dataclass(frozen=True)
class _Grid:
    """Square cells of `side` metres from the corner at `x`, `y` on."""

    x: float
    y: float
    side: float
    rows: int
    columns: int

    @classmethod
    def around(cls, lattice: Lattice, cell: float) -> "_Grid":
        """A grid that covers all hexagons, centred on them."""
        side = cell * np.sqrt(abs(np.linalg.det(lattice.basis)) * 2 / np.sqrt(3))
        position = _positions(lattice)
        reach = np.abs(_points(lattice)).max(0)
        low, high = position.min(0) - reach, position.max(0) + reach
        columns, rows = np.ceil((high - low) / side).astype(int)
        x, y = (low + high) / 2 - np.array([columns, rows]) * side / 2
        return cls(x, y, side, int(rows), int(columns))

    @property
    def centres(self) -> np.ndarray:
        """Positions of the cells' centres f8 [rows * columns, 2] in metres."""
        y, x = np.indices((self.rows, self.columns)).reshape(2, -1) + 0.5
        return np.stack([self.x + self.side * x, self.y + self.side * y], 1)

    def cell(self, position: np.ndarray) -> np.ndarray:
        """The cell at positions [..., 2] in metres, int64 [...]."""
        column, row = np.moveaxis((position - [self.x, self.y]) // self.side, -1, 0).astype(np.int64)
        return row.clip(0, self.rows - 1) * self.columns + column.clip(0, self.columns - 1)


def _tiles(name: str, row: np.ndarray, column: np.ndarray) -> Mapping:
    """A mapping of pixels to `k` cells each, which no pixels share; `row` and `column` are [pixels, k]."""
    row, column = row - row.min(), column - column.min()
    shape = (int(row.max()) + 1, int(column.max()) + 1)
    cells = row * shape[1] + column
    index = np.zeros((shape[0] * shape[1], 1), np.int64)
    weight = np.zeros(index.shape, np.float32)
    index[cells, 0], weight[cells, 0] = np.arange(len(cells))[:, None], 1 / cells.shape[1]
    return Mapping(name, shape, index, weight, cells)


def _half_columns(lattice: Lattice) -> np.ndarray:
    """The start of each pixel along its row, in half pitches."""
    return 2 * lattice.column - lattice.row if lattice.hexagonal else 2 * lattice.column


def _positions(lattice: Lattice) -> np.ndarray:
    return np.stack([lattice.row, lattice.column], 1) @ lattice.basis + lattice.origin


def _places(lattice: Lattice, position: np.ndarray) -> np.ndarray:
    """Row and column [n, 2], not rounded, of positions [n, 2] in metres."""
    return (position - lattice.origin) @ np.linalg.inv(lattice.basis)


def _triangle(lattice: Lattice, position: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Rows, columns and barycentric weights [n, 3] of the three lattice points around positions [n, 2]."""
    coordinates = _places(lattice, position)
    row, column = np.floor(coordinates).astype(np.int64).T
    up, along = (coordinates % 1).T
    first = along >= up  # the half of the cell between its columns' axis and its short diagonal
    rows = np.stack([row, np.where(first, row, row + 1), row + 1], 1)
    columns = np.stack([column, np.where(first, column + 1, column), column + 1], 1)
    larger = np.maximum(up, along)
    smaller = np.minimum(up, along)
    return rows, columns, np.stack([1 - larger, larger - smaller, smaller], 1)


def _points(lattice: Lattice) -> np.ndarray:
    """Points spread evenly over a hexagon, from its centre, f8 [POINTS, 2] in metres: those of a cell of the lattice,
    each translated to its nearest lattice point."""
    count = np.arange(POINTS)
    step = np.stack([count + 0.5, count * STRIDE % POINTS + 0.5], 1) / POINTS
    row, column, weight = _triangle(lattice, step @ lattice.basis + lattice.origin)
    best = weight.argmax(1)[:, None]
    nearest = np.concatenate([np.take_along_axis(axis, best, 1) for axis in (row, column)], 1)
    return (step - nearest) @ lattice.basis


def _interpolating(
    name: str, lattice: Lattice, grid: _Grid, row: np.ndarray, column: np.ndarray, weight: np.ndarray
) -> Mapping:
    """A mapping with cells interpolated from lattice points `row`, `column` [cells, k]; points without a pixel count as
    zero."""
    inside = (row >= 0) & (row < lattice.shape[0]) & (column >= 0) & (column < lattice.shape[1])
    pixel = np.where(inside, lattice.pixel[row % lattice.shape[0], column % lattice.shape[1]], -1)
    weight = np.where(pixel >= 0, weight, 0.0).astype(np.float32)
    index = np.where(weight != 0, pixel, 0)
    return Mapping(name, (grid.rows, grid.columns), index, weight, conserves_charge=False)


def _keys(distance: np.ndarray) -> np.ndarray:
    """The kernel of cubic convolution."""
    x = np.abs(distance)
    return np.where(x < 1, 1.5 * x**3 - 2.5 * x**2 + 1, np.where(x < 2, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2, 0.0))
