"""Ragged points as padded tensors: events of like numbers of points together, so that little is padding."""

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from airshower.data.containers import Points

MOST_PADDING = 1.5
"""Points of the largest event of a group over those of its smallest."""


@dataclass(frozen=True)
class PaddedPoints:
    """A group of events: `position` [events, most, axes], `features` [events, most, features], zero where `mask` bool
    [events, most] is False."""

    position: Tensor
    features: Tensor
    mask: Tensor


@dataclass(frozen=True)
class Groups:
    """The events of a batch in `groups`, one after the other; `place` int64 [events] is where in them each event is."""

    groups: tuple[PaddedPoints, ...]
    place: Tensor

    def ungrouped(self, outputs: list[dict[str, Tensor]]) -> dict[str, Tensor]:
        """Outputs of each group, by name, in the order of the batch."""
        return {name: torch.cat([of[name] for of in outputs]).index_select(0, self.place) for name in outputs[0]}


def grouped(points: Points) -> Groups:
    """The points of a batch on a device, in groups."""
    counts = points.counts
    device = points.position.device
    order = np.argsort(-counts, kind="stable")
    ordered = counts[order]
    first = np.cumsum(counts) - counts
    groups = tuple(_padded(points, first[order[a:b]], ordered[a:b]) for a, b in pairwise(_bounds(ordered)))
    place = np.empty(len(order), np.int64)
    place[order] = np.arange(len(order))
    return Groups(groups, torch.from_numpy(place).to(device))


def _bounds(counts: np.ndarray) -> list[int]:
    """Where groups of falling counts begin and end; a batch without events is one group."""
    bounds = [0]
    while bounds[-1] < len(counts):
        least = counts[bounds[-1]] / MOST_PADDING
        bounds.append(int(np.searchsorted(-counts, -least, side="left")) if least > 1 else len(counts))
    return bounds if len(bounds) > 1 else [0, 0]


def _padded(points: Points, first: np.ndarray, counts: np.ndarray) -> PaddedPoints:
    most = max(1, int(counts.max(initial=0)))
    column = np.arange(most)
    inside = column < counts[:, None]
    device = points.position.device
    mask = torch.from_numpy(inside).to(device)
    if not len(points.position):
        position, features = (
            values.new_zeros(len(counts), most, values.shape[1]) for values in (points.position, points.features)
        )
        return PaddedPoints(position, features, mask)
    index = torch.from_numpy(np.where(inside, first[:, None] + column, 0)).to(device)
    position, features = (values[index] * mask[..., None] for values in (points.position, points.features))
    return PaddedPoints(position, features, mask)
