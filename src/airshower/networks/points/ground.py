"""Hits of sensors on the ground: relative to the front of the shower and to its core.

From what a body makes of each hit come the weights with which front and core are fitted again.
"""

from collections.abc import Mapping
from typing import NamedTuple

import torch
from torch import Tensor, nn

from airshower.data.spec import PointsSpec
from airshower.errors import UserError
from airshower.geometry.shower_front import CURVATURE
from airshower.geometry.sky import tangent_at_zenith
from airshower.networks.layers.features import physical
from airshower.networks.layers.fronts import (
    axis_distance,
    first_fit,
    fit_planes,
    plane_times,
    weighted_mean,
)
from airshower.networks.layers.ragged import Groups, PaddedPoints
from airshower.networks.layers.starts import start_from_zero
from airshower.networks.points.body import Body, Geometry, PointsConfig

LENGTH_UNIT, TIME_UNIT = 100.0, 20.0  # m, ns
NEAR_UNIT = 10.0  # m, below which distances from the axis hardly differ


class Hits(NamedTuple):
    """Hits of a group of events in physical units: `position` [n, most, 2] in m from the middle of the array, `height`
    [n, most] in m (0 of points in a plane), `charge` (p.e., 0 where there is no hit) and `time` (ns)."""

    position: Tensor
    height: Tensor
    charge: Tensor
    time: Tensor


class Ground(Geometry):
    """What the network needs to know of points at places in m with charge and time. A fit is (front [n, 3], core
    [n, 2])."""

    centre: Tensor

    def __init__(self, points: PointsSpec):
        super().__init__()
        charge, time = points.feature("charge"), points.feature("time")
        if charge is None or time is None:
            raise UserError("network.features: needs charge and time of points on the ground")
        self.charge, self.time = charge, time
        self.quantities = points.features
        self.register_buffer("centre", torch.from_numpy(points.centre).float(), persistent=False)

    def stage(self, body: Body, config: PointsConfig) -> "GroundStage":
        """See `Geometry`."""
        return GroundStage(body, config)

    def hits(self, points: PaddedPoints) -> Hits:
        """See `Geometry`."""
        offset = points.position - self.centre
        charge = physical(self.quantities[self.charge], points.features[..., self.charge]) * points.mask
        time = physical(self.quantities[self.time], points.features[..., self.time]) * points.mask
        return Hits(offset[..., :2] * points.mask[..., None], offset[..., 2:].sum(2), charge, time)

    def first_fit(self, hits: Hits) -> tuple[Tensor, Tensor]:
        """With the classical weights."""
        plane, core, *_ = first_fit(hits.position, hits.charge, hits.time)
        return plane, core

    def numbers(self, hits: Hits, mask: Tensor, fit: tuple[Tensor, Tensor]) -> Tensor:
        """Of each event [n, `NUMBERS`]: see `_numbers`."""
        return _numbers(hits, mask, *fit)

    def starts(self, fits: Mapping[str, Tensor], inputs: Groups) -> dict[str, Tensor]:
        """Of the `front` and the `core` of the events of a batch: direction (deg from the zenith) and core (100 m)."""
        return {"direction": tangent_at_zenith(fits["front"][:, 1:]), "core": fits["core"] / LENGTH_UNIT}

    def named(self, fit: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """See `Geometry`."""
        return {"front": fit[0], "core": fit[1]}


class GroundStage(nn.Module):
    """One refinement: hits relative to a front and a core -> a better front [n, 3], core [n, 2], and features of the
    event [n, width]."""

    def __init__(self, body: Body, config: PointsConfig):
        super().__init__()
        self.body = body
        self.of_hit = nn.Linear(config.hit_width, 3)  # two weights and a time correction
        self.of_event = nn.Linear(config.width, 3, bias=False)
        self.shift = nn.Linear(config.width, 2)
        for layer in (self.of_hit, self.of_event, self.shift):
            start_from_zero(layer)

    def forward(
        self, hits: Hits, features: Tensor, mask: Tensor, fit: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """See the class; `features` [n, most, features] are scaled."""
        geometry, flat, distance = _geometry(hits, *fit)
        numbers = _numbers(hits, mask, *fit)
        of_event = numbers[:, None].expand(-1, mask.shape[1], -1)
        x = torch.cat([features, geometry, of_event], 2) * mask[..., None]
        hit, event = self.body(x, hits.position, mask, numbers)
        late, clean, bright = (self.of_hit(hit) + self.of_event(event)[:, None]).unbind(2)
        weight = mask * (clean - (flat / (2 * TIME_UNIT)).square().clamp_max(8.0)).exp()
        refined = fit_planes(hits.position, hits.time - CURVATURE * distance - TIME_UNIT * late, weight)
        middle = weighted_mean(hits.position, hits.charge * bright.exp())
        return (refined, middle + LENGTH_UNIT * self.shift(event)), event


def _geometry(hits: Hits, plane: Tensor, core: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Inputs of hits relative to a front and a core [n, most, `GEOMETRY`], their delay (ns) behind the curved front and
    their distance (m) from the axis [n, most]."""
    offset = hits.position - core[:, None]
    distance = axis_distance(plane[:, 1:], offset)
    late = hits.time - plane_times(plane, hits.position) - CURVATURE * distance
    scaled = late / TIME_UNIT
    columns = [
        *(offset / LENGTH_UNIT).unbind(2),
        *(hits.position / LENGTH_UNIT).unbind(2),
        (distance / NEAR_UNIT).log1p(),
        scaled.clamp(-5.0, 5.0),
        scaled.asinh(),
        hits.height / NEAR_UNIT,
    ]
    return torch.stack(columns, 2), late, distance


def _numbers(hits: Hits, mask: Tensor, plane: Tensor, core: Tensor) -> Tensor:
    """Of each event [n, `NUMBERS`]: hits, charge, its spread about the core, the front and the core."""
    total = hits.charge.sum(1)
    square = (hits.position - core[:, None]).square().sum(2)
    width = ((hits.charge * square).sum(1) / total.clamp_min(1e-3) + 1.0).sqrt() / LENGTH_UNIT
    logs = [mask.sum(1).float().log1p(), total.log1p(), width]
    return torch.stack([*logs, *plane[:, 1:].unbind(1), *(core / LENGTH_UNIT).unbind(1)], 1)
