"""Pixels of telescopes: relative to the direction of the shower and to its core.

In each telescope's view the axis of the image is a line through both, so the lines of several telescopes cross there
(Hillas, Cerenkov light images of EAS produced by primary gamma, ICRC 1985). From what a body makes of each pixel come
the weights with which axes are found again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.data.batch import Batch
from airshower.data.containers import Points
from airshower.data.spec import PointsSpec
from airshower.errors import UserError
from airshower.geometry.sky import rising, with_pointing
from airshower.networks.layers.features import physical
from airshower.networks.layers.normal_equations import solved
from airshower.networks.layers.ragged import Groups, PaddedPoints, grouped
from airshower.networks.layers.starts import start_from_zero
from airshower.networks.layers.tilted import on_the_ground
from airshower.networks.points.body import Body, Geometry, PointsConfig

NEEDED = ("charge", "time", "telescope_x", "telescope_y")
LENGTH_UNIT, TIME_UNIT = 100.0, 10.0  # m, ns
NEAR_UNIT = 10.0  # m, below which distances from the core hardly differ
SPREAD = {"direction": (0.15, 1.5), "core": (20.0, 200.0)}  # deg and m: of an image across its axis, and along it
PRIOR = 0.01  # 1/deg^2 and 1/(100 m)^2, of direction and core at 0
LEAST_WIDTH = 0.03  # deg, of an image: less than a pixel
SIZE_UNIT = 100.0  # p.e. of an image that is as precise as `SPREAD` says
APART = 200.0, 10.0  # telescopes, and a degree, in what tells bodies which pixels are near
TINY = 1e-6


class Pixels(NamedTuple):
    """Pixels of a group of events: `position` [n, most, 2] in deg in the field of view, `near` [n, most, 3] (see
    `Body`), `telescope` [n, most, telescopes], 1 for that of a pixel, `place` [n, most, 2], where it is in m in the
    plane perpendicular to the pointing, `charge` (p.e., 0 where there is no pixel), and `late` [n, most], the time
    behind the mean of the image."""

    position: Tensor
    near: Tensor
    telescope: Tensor
    place: Tensor
    charge: Tensor
    late: Tensor


@dataclass(frozen=True)
class SkyGroups(Groups):
    """Groups whose `position` has five columns: those of the pixel (deg), the number of its telescope among the event's
    and where this is in the plane perpendicular to the pointing (m). `frame` [events, 3, 3] in the batch's order are
    unit vectors (north, west, up) towards rising altitude, rising azimuth and the pointing."""

    frame: Tensor


class Sky(Geometry):
    """What the network needs to know of points at places in deg with charge, time and the telescope's place. A fit is
    (direction [n, 2] in deg, core [n, 2] in m in the plane perpendicular to the pointing)."""

    def __init__(self, points: PointsSpec):
        super().__init__()
        if missing := [name for name in NEEDED if points.feature(name) is None]:
            raise UserError(f"network.features: points on the sky need {', '.join(missing)}, too")
        self.charge, self.time = (_column(points, name) for name in ("charge", "time"))
        self.quantities = points.features

    def stage(self, body: Body, config: PointsConfig) -> "SkyStage":
        """See `Geometry`."""
        return SkyStage(body, config)

    def hits(self, points: PaddedPoints) -> Pixels:
        """See `Geometry`."""
        position, number, place = points.position.split([2, 1, 2], 2)
        charge = physical(self.quantities[self.charge], points.features[..., self.charge]).to(position) * points.mask
        time = physical(self.quantities[self.time], points.features[..., self.time]).to(position)
        number = number[..., 0].long()
        telescope = functional.one_hot(number, int(number.max()) + 1 if number.numel() else 1)
        telescope = telescope.to(charge) * points.mask[..., None]
        with torch.autocast(charge.device.type, enabled=False):
            size, weighted = (telescope.transpose(1, 2) @ torch.stack([charge, charge * time], 2)).unbind(2)
            mean = (telescope @ (weighted / size.clamp_min(TINY))[..., None])[..., 0]
        near = torch.cat([position * APART[1], number[..., None] * APART[0]], 2)
        return Pixels(position, near, telescope, place, charge, (time - mean) * points.mask)

    def first_fit(self, hits: Pixels) -> tuple[Tensor, Tensor]:
        """With charges as weights."""
        return crossing(hits, hits.charge)

    def numbers(self, hits: Pixels, mask: Tensor, fit: tuple[Tensor, Tensor]) -> Tensor:
        """Of each event [n, `NUMBERS`]: see `_numbers`."""
        return _numbers(hits, mask, *fit)

    def starts(self, fits: Mapping[str, Tensor], inputs: Groups) -> dict[str, Tensor]:
        """Of the `direction` and the `core` of a batch's events: direction (deg) and core on the ground (100 m)."""
        assert isinstance(inputs, SkyGroups)
        core = on_the_ground(fits["core"], inputs.frame.to(fits["core"]))
        return {"direction": fits["direction"], "core": core / LENGTH_UNIT}

    def named(self, fit: tuple[Tensor, Tensor]) -> dict[str, Tensor]:
        """See `Geometry`."""
        return {"direction": fit[0], "core": fit[1]}


def sky_view(spec: PointsSpec, container: str) -> Callable[[Batch], SkyGroups]:
    """The function that makes the network's input of the container of a batch."""

    def of(batch: Batch) -> SkyGroups:
        assert batch.frame is not None
        return sky_groups(batch[container], spec, batch.frame.axis)

    return of


def sky_groups(points: Points, spec: PointsSpec, axis: Tensor) -> SkyGroups:
    """The points of a batch on a device, in groups; `axis` [events, 2] are altitude and azimuth of their frames."""
    frame = with_pointing(rising(axis.double()))
    event = torch.from_numpy(np.repeat(np.arange(len(points)), points.counts)).to(frame.device)
    columns = (_column(spec, name) for name in ("telescope_x", "telescope_y"))
    place = torch.stack([physical(spec.features[c], points.features[:, c]).double() for c in columns], 1)
    tilted = (frame[event, :2, :2] @ place[..., None])[..., 0]
    number = _numbered(event, points.features[:, [_column(spec, name) for name in NEEDED[2:]]])
    placed = torch.cat([points.position, number[:, None].to(points.position), tilted.to(points.position)], 1)
    groups = grouped(Points(placed, points.features, points.counts))
    return SkyGroups(groups.groups, groups.place, frame)


def _numbered(event: Tensor, place: Tensor) -> Tensor:
    """The number of each point's telescope among those of its event, int64 [points]: telescopes differ by their place
    [points, 2]."""
    if not len(event):
        return event
    keys = torch.cat([event[:, None].double(), place.double()], 1)
    different, number = torch.unique(keys, dim=0, return_inverse=True)
    return number - torch.searchsorted(different[:, 0].contiguous(), keys[:, 0].contiguous())


def crossing(hits: Pixels, weight: Tensor) -> tuple[Tensor, Tensor]:
    """Direction (deg) and core (m) [n, 2] each, where the axes of images cross, by pixels' weights [n, most].

    Each image is a Gaussian about its centre for the direction, and about its telescope for the core: narrow across the
    axis, the more so the brighter and the longer the image (ctapipe's weight, size times length over width), wide along
    it. The fit is the maximum of their product.
    """
    with torch.autocast(weight.device.type, enabled=False):
        x, y = hits.position.unbind(2)
        powers = torch.stack([torch.ones_like(x), x, y, x * x, x * y, y * y, *hits.place.unbind(2)], 2)
        sums = hits.telescope.transpose(1, 2) @ (powers.to(weight) * weight[..., None])
        size = sums[..., 0]
        x, y, xx, xy, yy, *place = (sums[..., 1:] / size[..., None].clamp_min(TINY)).unbind(2)
        cxx, cyy = ((square - mean**2).clamp_min(0.0) + LEAST_WIDTH**2 for square, mean in ((xx, x), (yy, y)))
        cxy = xy - x * y
        half = (cxx - cyy) / 2
        split = (half.square() + cxy.square() + TINY).sqrt()
        middle = (cxx + cyy) / 2
        ratio = ((middle + split) / (middle - split).clamp_min(LEAST_WIDTH**2)).sqrt()
        worth = size / SIZE_UNIT * ratio
        turned = torch.stack([half, cxy, cxy, -half], 2).unflatten(2, (2, 2)) / (2 * split[..., None, None])
        unit = torch.eye(2).to(weight)
        along, across = 0.5 * unit + turned, 0.5 * unit - turned
        some = (size > 0).to(weight)
        places = {"direction": torch.stack([x, y], 2), "core": torch.stack(place, 2)}
        fitted = []
        for name, (narrow, wide) in SPREAD.items():
            precision = across * (worth / narrow**2)[..., None, None] + along * (some / wide**2)[..., None, None]
            prior = PRIOR * unit / (1.0 if name == "direction" else LENGTH_UNIT**2)
            right = (precision @ places[name][..., None]).sum(1)
            xx, xy, _, yy = (precision.sum(1) + prior).flatten(1).unbind(1)
            fitted.append(solved(xx, xy, yy, *right[..., 0].unbind(1)))
        return fitted[0], fitted[1]


class SkyStage(nn.Module):
    """One refinement: pixels relative to a direction and a core -> better ones, and features of the event
    [n, width]."""

    def __init__(self, body: Body, config: PointsConfig):
        super().__init__()
        self.body = body
        self.of_hit = nn.Linear(config.hit_width, 1)  # the logarithm of a factor of the weight
        self.of_event = nn.Linear(config.width, 1, bias=False)
        self.shift = nn.Linear(config.width, 4)
        for layer in (self.of_hit, self.of_event, self.shift):
            start_from_zero(layer)

    def forward(
        self, hits: Pixels, features: Tensor, mask: Tensor, fit: tuple[Tensor, Tensor]
    ) -> tuple[tuple[Tensor, Tensor], Tensor]:
        """See the class; `features` [n, most, features] are scaled."""
        numbers = _numbers(hits, mask, *fit)
        of_event = numbers[:, None].expand(-1, mask.shape[1], -1)
        x = torch.cat([features, _geometry(hits, *fit), of_event], 2) * mask[..., None]
        hit, event = self.body(x, hits.near, mask, numbers)
        factor = (self.of_hit(hit) + self.of_event(event)[:, None])[..., 0]
        direction, core = crossing(hits, hits.charge * factor.clamp(-20.0, 20.0).exp())
        of_direction, of_core = self.shift(event).split([2, 2], 1)
        return (direction + of_direction, core + LENGTH_UNIT * of_core), event


def _geometry(hits: Pixels, direction: Tensor, core: Tensor) -> Tensor:
    """Inputs of pixels relative to a direction and a core [n, most, `GEOMETRY`]: their offset from the direction, that
    of their telescope from the core, the first along and across the second, and the time."""
    offset = hits.position - direction[:, None]
    away = hits.place - core[:, None]
    distance = (away.square().sum(2) + 1.0).sqrt()
    u, v = (away / distance[..., None]).unbind(2)
    x, y = offset.unbind(2)
    columns = [x, y, *(away / LENGTH_UNIT).unbind(2), (distance / NEAR_UNIT).log1p(), x * u + y * v, y * u - x * v]
    return torch.stack([*columns, (hits.late / TIME_UNIT).asinh()], 2)


def _numbers(hits: Pixels, mask: Tensor, direction: Tensor, core: Tensor) -> Tensor:
    """Of each event [n, `NUMBERS`]: pixels, charge, its spread about the direction, the direction and the core."""
    total = hits.charge.sum(1)
    square = (hits.position - direction[:, None]).square().sum(2)
    width = ((hits.charge * square).sum(1) / total.clamp_min(1e-3) + LEAST_WIDTH**2).sqrt()
    logs = [mask.sum(1).to(total).log1p(), total.log1p(), width]
    return torch.stack([*logs, *direction.unbind(1), *(core / LENGTH_UNIT).unbind(1)], 1)


def _column(points: PointsSpec, name: str) -> int:
    column = points.feature(name)
    assert column is not None, name
    return column
