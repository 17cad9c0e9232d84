"""The sites of one resolution, and the tables of their neighbours, parents and children.

A table [sites, k] has for each site of one map the indices of k sites of another map; a missing site has the number of
that map's sites. Every sparse layer is a gather by such a table, computed once per batch and resolution. Sites are
looked up in images of their indices: that takes 4 bytes per pixel, and a tenth of the time of searching sorted keys.
"""

from collections.abc import Callable
from functools import cached_property
from typing import Any, NamedTuple, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


class Table(NamedTuple):
    """`index` [outputs, k] and, for gradients, `back` [inputs, k], both int32: output i takes input j by kernel element
    e where index[i, e] = j, which is where back[j, e] = i."""

    index: Tensor
    back: Tensor


class Grid:
    """Sites of `images` images of `shape` (rows, columns), identified by `key` = (image * columns + column) * rows +
    row, int64 [sites], in any order."""

    def __init__(self, key: Tensor, images: int, shape: tuple[int, int]):
        self.key = key
        self.images = images
        self.shape = shape
        self._kept: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self.key)

    @cached_property
    def image(self) -> Tensor:
        """Image of each site."""
        return self.key // (self.shape[0] * self.shape[1])

    @cached_property
    def row(self) -> Tensor:
        """Row of each site."""
        return self.key % self.shape[0]

    @cached_property
    def column(self) -> Tensor:
        """Column of each site."""
        return self.key // self.shape[0] % self.shape[1]

    def keep(self, name: object, make: Callable[[], T]) -> T:
        """The result of `make`, cached by `name`."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def lookup(self, margin: int = 2) -> "Lookup":
        """The indices of its sites by pixel."""
        return self.keep(("lookup", margin), lambda: Lookup(self, margin))

    def neighbours(self, size: int) -> Table:
        """Sites within a square of odd `size` around each, row by row; those of a submanifold convolution."""
        return self.keep(("neighbours", size), lambda: self._neighbours(size))

    def coarser(self) -> "Coarser":
        """The sites at half the resolution, each the parent of those in its 2 x 2 pixels."""
        return self.keep("coarser", lambda: Coarser(self))

    def interpolation(self) -> "Interpolation":
        """From the coarser sites to these."""
        return self.keep("interpolation", lambda: Interpolation(self))

    def joined(self, planes: int) -> "Joined":
        """The sites of each event's planes on one grid."""
        return self.keep(("joined", planes), lambda: Joined(self, planes))

    def _neighbours(self, size: int) -> Table:
        lookup = self.lookup(max(2, size // 2))
        index = lookup.around(self.image, self.row, self.column, torch.arange(size) - size // 2)
        return Table(index, index.flip(1))  # neighbourhood is symmetric


class Lookup:
    """Images of the indices of a grid's sites, int32 with the number of sites where there is none; as wide margins
    around each image save questions whether a neighbour is inside."""

    def __init__(self, grid: Grid, margin: int):
        self.margin = margin
        self.rows = grid.shape[0] + 2 * margin
        self.columns = grid.shape[1] + 2 * margin
        pixels = grid.images * self.columns * self.rows
        self.index = torch.full((pixels,), len(grid), dtype=torch.int32, device=grid.key.device)
        self.index[self._pixel(grid.image, grid.row, grid.column)] = _range(len(grid), self.index)

    def around(self, image: Tensor, row: Tensor, column: Tensor, steps: Tensor) -> Tensor:
        """The sites by `steps` [k] rows and columns from each of n pixels, row by row, int32 [n, k * k]."""
        return self.at(image, row, column, (steps[:, None] + steps * self.rows).flatten().to(image.device))

    def at(self, image: Tensor, row: Tensor, column: Tensor, steps: Tensor) -> Tensor:
        """The sites at `steps` ([k] or [n, k]) in its index from each of n pixels, int32 [n, k]."""
        pixel = self._pixel(image, row, column)[:, None] + steps
        return self.index.index_select(0, pixel.flatten()).view(pixel.shape)

    def _pixel(self, image: Tensor, row: Tensor, column: Tensor) -> Tensor:
        return (image * self.columns + column + self.margin) * self.rows + row + self.margin


class Coarser:
    """The grid at half the resolution (`grid`), the index of each site's parent there (`parent`, int32), the number of
    the site among those of its parent (`child`, 0 to 3), the sites of each parent (`children` [parents, 4]), and the
    tables `down` to the parents and `up` from them."""

    def __init__(self, fine: Grid):
        rows, columns = (size // 2 for size in fine.shape)
        row, column = fine.row >> 1, fine.column >> 1
        occupied = torch.zeros(fine.images * columns * rows, dtype=torch.bool, device=fine.key.device)
        occupied[(fine.image * columns + column) * rows + row] = True
        self.grid = Grid(occupied.nonzero()[:, 0], fine.images, (rows, columns))
        self.parent = self.grid.lookup().around(fine.image, row, column, torch.arange(1))[:, 0]
        self.child = ((fine.row & 1) * 2 + (fine.column & 1)).to(torch.uint8)
        pair = torch.arange(2)
        self.children = fine.lookup().around(self.grid.image, 2 * self.grid.row, 2 * self.grid.column, pair)

    @cached_property
    def down(self) -> Table:
        """From sites to their parents."""
        is_child = self.child[:, None] == _range(4, self.child)
        return Table(self.children, self.parent[:, None].where(is_child, len(self.grid)))

    @cached_property
    def up(self) -> Table:
        """From parents to their sites."""
        return Table(self.down.back, self.down.index)


class Interpolation:
    """Each fine site is the weighted mean of 4 coarse ones, bilinear as torch's without align_corners, over existing
    sites: their indices are `index` [fine sites, 4], the weights `WEIGHT`, and their sum `total` [fine sites, 1]. For
    gradients, `back` [coarse sites, 16] are the fine sites, with `BACK_WEIGHT`, whose means a coarse one is in."""

    WEIGHT = (9.0, 3.0, 3.0, 1.0)
    BACK_WEIGHT = tuple(row * column for row in (1.0, 3.0, 3.0, 1.0) for column in (1.0, 3.0, 3.0, 1.0))

    def __init__(self, fine: Grid):
        coarse = fine.coarser().grid
        lookup = coarse.lookup()
        down = (fine.row & 1) * 2 - 1  # where the nearer neighbours of the parent are
        right = ((fine.column & 1) * 2 - 1) * lookup.rows
        steps = torch.stack([torch.zeros_like(down), down, right, down + right], 1)
        self.index = lookup.at(fine.image, fine.row >> 1, fine.column >> 1, steps)
        exists = (self.index < len(coarse)).float()
        self.total = exists @ torch.tensor(self.WEIGHT, device=exists.device)[:, None]
        self.back = fine.lookup().around(coarse.image, 2 * coarse.row, 2 * coarse.column, torch.arange(-1, 3))


class Joined:
    """The sites of an event's planes on one grid: the union over planes. `index` [joined sites, planes] are the sites
    of each plane, and `position` [sites] is the index of each site's features in [joined sites * planes]."""

    def __init__(self, apart: Grid, planes: int):
        pixels = apart.shape[0] * apart.shape[1]
        image = apart.image // planes
        plane = apart.image % planes
        key, site = torch.unique(image * pixels + apart.key % pixels, return_inverse=True)
        self.grid = Grid(key, apart.images // planes, apart.shape)
        self.position = site * planes + plane
        self.index = key.new_full((len(key), planes), len(apart))
        self.index[site, plane] = torch.arange(len(apart), device=key.device)


def plane_neighbours(grid: Grid, planes: int) -> Table:
    """The sites on the plane before, the same and the next one, at the same row and column."""
    here = torch.zeros(1, dtype=torch.int64, device=grid.key.device)
    index = []
    for step in (-1, 0, 1):
        plane = grid.image % planes + step
        found = grid.lookup().at((grid.image + step).clamp(0, grid.images - 1), grid.row, grid.column, here)[:, 0]
        index.append(found.where((plane >= 0) & (plane < planes), len(grid)))
    index = torch.stack(index, 1)
    return Table(index, index.flip(1))


def _range(size: int, like: Tensor) -> Tensor:
    return torch.arange(size, dtype=torch.int32, device=like.device)
