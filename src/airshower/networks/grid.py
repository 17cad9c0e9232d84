"""Where the sites of one resolution lie, and the tables of who is whose neighbour, parent or child.

A table [sites, k] says for each site of a map which k sites of another it takes from, with the number of the other's
sites where there is none. Every sparse layer is a gather by such a table; a table is made once a batch and resolution.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

import torch
from torch import Tensor

T = TypeVar("T")


@dataclass(frozen=True)
class Table:
    """`index` [outputs, k] and, for gradients, `back` [inputs, k]: output i takes input j by kernel element e where
    index[i, e] = j, which is where back[j, e] = i, or back[j, k - 1 - e] = i if `mirrored`."""

    index: Tensor
    back: Tensor
    mirrored: bool = False


class Grid:
    """Sites of `images` images of `shape` (rows, columns), known by `key` = (image * columns + column) * rows + row,
    int64 [sites], in any order."""

    def __init__(self, key: Tensor, images: int, shape: tuple[int, int]):
        self.key, self.images, self.shape = key, images, shape
        self._order = None if bool((key[1:] > key[:-1]).all()) else key.argsort()
        self._sorted = key if self._order is None else key[self._order]
        self._kept: dict[object, Any] = {}

    def __len__(self) -> int:
        return len(self.key)

    @cached_property
    def image(self) -> Tensor:
        """Image of each site; every normalization by image asks for it."""
        return self.key // (self.shape[0] * self.shape[1])

    @property
    def row(self) -> Tensor:
        """Row of each site."""
        return self.key % self.shape[0]

    @property
    def column(self) -> Tensor:
        """Column of each site."""
        return self.key // self.shape[0] % self.shape[1]

    def keep(self, name: object, make: Callable[[], T]) -> T:
        """What `make` gives, made once."""
        if name not in self._kept:
            self._kept[name] = make()
        return self._kept[name]

    def find(self, key: Tensor, inside: Tensor) -> Tensor:
        """The sites of these keys; `len(self)` where there is none or `inside` is false."""
        position = torch.searchsorted(self._sorted, key).clamp_max_(max(0, len(self) - 1))
        if not len(self):
            return position
        found = inside & (self._sorted[position] == key)
        return torch.where(found, position if self._order is None else self._order[position], len(self))

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
        (rows, columns), row, column, half = self.shape, self.row, self.column, size // 2
        index = self.key.new_empty(len(self), size * size)
        middle = size * size // 2
        index[:, middle] = torch.arange(len(self), device=self.key.device)
        for element in range(middle):
            down, right = element // size - half, element % size - half
            inside = (row + down >= 0) & (column + right >= 0) & (column + right < columns)  # down is not positive
            neighbour = self.find(self.key + right * rows + down, inside)
            index[:, element] = neighbour
            # who has this site as a neighbour is its neighbour on the other side
            other = self.key.new_full((len(self) + 1,), len(self))
            other[neighbour] = index[:, middle]
            index[:, size * size - 1 - element] = other[:-1]
        return Table(index, index, mirrored=True)


class Coarser:
    """The grid at half the resolution (`grid`), and the tables `down` to it and `up` from it."""

    def __init__(self, fine: Grid):
        row, column, (rows, columns) = fine.row, fine.column, fine.shape
        key = (fine.image * (columns // 2) + column // 2) * (rows // 2) + row // 2
        key, self.parent = torch.unique(key, return_inverse=True)
        self.grid = Grid(key, fine.images, (rows // 2, columns // 2))
        place = row % 2 * 2 + column % 2
        sites = torch.arange(len(fine), device=key.device)
        children = key.new_full((len(key), 4), len(fine))
        children[self.parent, place] = sites
        parents = key.new_full((len(fine), 4), len(key))
        parents[sites, place] = self.parent
        self.down, self.up = Table(children, parents), Table(parents, children)


class Interpolation:
    """For each fine site 4 coarse ones (`index`) and their weights, both [sites, 4]: bilinear as torch's without
    align_corners, over the sites that are there, so that weights sum to one."""

    def __init__(self, fine: Grid):
        coarser, row, column = fine.coarser(), fine.row, fine.column
        grid, parent = coarser.grid, coarser.grid.key[coarser.parent]
        rows, columns = grid.shape
        down, right = row % 2 * 2 - 1, column % 2 * 2 - 1  # where the nearer neighbours of the parent are
        row_inside = (row // 2 + down >= 0) & (row // 2 + down < rows)
        column_inside = (column // 2 + right >= 0) & (column // 2 + right < columns)
        index = [
            coarser.parent,
            grid.find(parent + down, row_inside),
            grid.find(parent + right * rows, column_inside),
            grid.find(parent + right * rows + down, row_inside & column_inside),
        ]
        index = torch.stack(index, 1)
        there = index < len(grid)
        weight = torch.tensor([9.0, 3.0, 3.0, 1.0], device=index.device) * there
        self.index, self.weight = torch.where(there, index, 0), weight / weight.sum(1, keepdim=True)


class Joined:
    """The sites of an event's planes on one grid: where any plane has one. `index` [joined sites, planes] says which,
    and `position` [sites] where each site's features lie in [joined sites * planes]."""

    def __init__(self, apart: Grid, planes: int):
        pixels = apart.shape[0] * apart.shape[1]
        image, plane = apart.image // planes, apart.image % planes
        key, site = torch.unique(image * pixels + apart.key % pixels, return_inverse=True)
        self.grid = Grid(key, apart.images // planes, apart.shape)
        self.position = site * planes + plane
        self.index = key.new_full((len(key), planes), len(apart))
        self.index[site, plane] = torch.arange(len(apart), device=key.device)


def plane_neighbours(grid: Grid, planes: int) -> Table:
    """The sites on the plane before, the same and the next one, at the same row and column."""
    pixels, plane = grid.shape[0] * grid.shape[1], grid.image % planes
    index = [
        grid.find(grid.key - pixels, plane > 0),
        torch.arange(len(grid), device=grid.key.device),
        grid.find(grid.key + pixels, plane < planes - 1),
    ]
    index = torch.stack(index, 1)
    return Table(index, index, mirrored=True)
