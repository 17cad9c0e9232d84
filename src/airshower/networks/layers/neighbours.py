"""Neighbours among padded points: the edges of graphs, exact and made on the device."""

import torch
from torch import Tensor

GRID = 1e-3
"""Positions are compared in steps of this (a millimetre), so that distances that are equal on a lattice are equal in
spite of rounding."""


NONE = 2**62  # the key of a point that is no neighbour


def nearest(values: Tensor, mask: Tensor, k: int, position: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """The k nearest others of each point: indices int64 [n, most, k] and whether there is one, bool [n, most, k].

    `values` [n, most, axes] are positions or other features of points, `mask` bool [n, most]. Of points at equal
    distances those with the smaller coordinates come first, so that the result does not depend on the order of
    points. `position` are the coordinates, where `values` are something else.
    """
    most = values.shape[1]
    k = min(k, most)
    steps = (values.double() / GRID).round()
    norm = steps.square().sum(2)
    square = norm[:, :, None] + norm[:, None] - 2.0 * (steps @ steps.transpose(1, 2))  # exact, as these are integers
    key = square.long() * most + _rank(steps if position is None else position)[:, None]
    key.masked_fill_(torch.eye(most, dtype=torch.bool, device=key.device), NONE)
    key.masked_fill_(~mask[:, None], NONE)
    key, index = key.topk(k, 2, largest=False)
    valid = (key < NONE) & mask[..., None]
    return index.where(valid, 0), valid


def within(position: Tensor, mask: Tensor, radius: float, most: int) -> tuple[Tensor, Tensor]:
    """As `nearest`, those nearer than or at `radius`, at most `most`."""
    index, valid = nearest(position, mask, most)
    apart = (take(position, index) - position[:, :, None]).norm(dim=3)
    valid = valid & (apart <= radius)
    return index.where(valid, 0), valid


def take(values: Tensor, index: Tensor) -> Tensor:
    """`values` [n, most, channels] of the points `index` [n, most, k] -> [n, most, k, channels]."""
    n, most, k = index.shape
    flat = index.flatten(1)[..., None].expand(-1, -1, values.shape[2])
    return values.gather(1, flat).view(n, most, k, values.shape[2])


def _rank(steps: Tensor) -> Tensor:
    """The place of each point in the order of its coordinates, the first axis first, int64 [n, most]."""
    order = torch.arange(steps.shape[1], device=steps.device).expand(len(steps), -1)
    for axis in reversed(range(steps.shape[2])):
        order = order.gather(1, steps[..., axis].gather(1, order).argsort(dim=1, stable=True))
    return order.argsort(1)
