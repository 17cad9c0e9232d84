"""The base of networks on points: hits of showers -> numbers of the event, as corrections of the classical fits.

In each stage a body (see `bodies`) sees the hits relative to the front and the core of the stage before. From what it
makes of each hit come the weights with which both are fitted again.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import Points
from airshower.data.spec import PointsSpec, Spec
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
from airshower.networks.layers.perceptron import Layers
from airshower.networks.layers.ragged import Groups, PaddedPoints, grouped
from airshower.networks.layers.starts import corrected, start_from_zero
from airshower.networks.network import FITS, Network, Start, check_follows

FEATURES = ["charge", "time", "central"]
LENGTH_UNIT, TIME_UNIT = 100.0, 20.0  # m, ns
NEAR_UNIT = 10.0  # m, below which distances from the axis hardly differ
GEOMETRY = 8  # inputs of each hit beside its features
NUMBERS = 7  # numbers of an event beside its hits


@dataclass
class PointsConfig:
    """`network.*`."""

    features: list[str] = field(default_factory=lambda: [*FEATURES])
    time: str = choice("absolute", "plane")
    earliest: float = number(-300.0)
    latest: float = number(500.0)
    stages: int = number(2, low=1, high=8)
    hit_width: int = number(32, low=1)
    width: int = number(128, low=1)
    dropout: float = number(0.0, low=0.0, high=0.9)


class Hits(NamedTuple):
    """Hits of a group of events in physical units: `position` [n, most, 2] in m from the middle of the array, `height`
    [n, most] in m (0 of points in a plane), `charge` (p.e., 0 where there is no hit) and `time` (ns)."""

    position: Tensor
    height: Tensor
    charge: Tensor
    time: Tensor


class Body(nn.Module):
    """(inputs [n, most, channels], positions [n, most, 2] in m, mask [n, most], numbers [n, `NUMBERS`]) -> features of
    hits [n, most, hit_width] and of the event [n, width]; the same whatever the order of hits."""

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See the class."""
        raise NotImplementedError


class PointsNetwork(Network):
    """Points with charge and time -> the task's `outputs`, keyed by name [n, channels].

    `direction` (degrees from the zenith towards rising altitude and azimuth) is a plane through the times, `core`
    (100 m from the middle of the array) the middle of the charge, both with learned weights of the hits, plus a
    residual.
    """

    Config = PointsConfig
    takes = MappingProxyType({"points": Points})
    tasks = ("reconstruction",)
    channels_last = False
    body: ClassVar[Callable[[Any, int], Body]]
    centre: Tensor

    def __init__(self, config: Any, spec: Spec, outputs: dict[str, int], _: FrameworkConfig):
        super().__init__()
        points: PointsSpec = spec["points"]
        self.charge, self.time = (points.feature(name) for name in ("charge", "time"))
        self.quantities = points.features
        self.register_buffer("centre", torch.from_numpy(points.centre).float(), persistent=False)
        inputs = len(points.features) - 1 + GEOMETRY + NUMBERS
        self.stages = Layers(Stage(type(self).body(config, inputs), config) for _ in range(config.stages))
        shared = config.width + NUMBERS
        self.shared = nn.Sequential(nn.Linear(shared, config.width), nn.SiLU(), nn.Dropout(config.dropout))
        self.names = tuple(outputs)
        self.heads = Layers(_head(config.width, size) for size in outputs.values())
        for name, head in zip(self.names, self.heads, strict=True):
            if name in ("direction", "core"):
                start_from_zero(head[-1])

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`."""
        for name in ("charge", "time"):
            if name not in config.features:
                raise UserError(f"network.features=[{','.join(config.features)}]: needs {name}")
        check_follows(config, data, "features", "time", "earliest", "latest")

    @classmethod
    def starts(cls, config: Any) -> Mapping[str, Start]:
        """See `Network`."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Groups]:
        """See `Network`: the points, in groups of events with like numbers."""
        return lambda batch: grouped(batch["points"])

    def forward(self, inputs: Groups) -> dict[str, Tensor]:
        """See the class."""
        return inputs.ungrouped([self.of_group(group) for group in inputs.groups])

    def of_group(self, points: PaddedPoints) -> dict[str, Tensor]:
        """The outputs of events with like numbers of points."""
        assert self.charge is not None
        assert self.time is not None
        offset = points.position - self.centre
        charge = physical(self.quantities[self.charge], points.features[..., self.charge]) * points.mask
        time = physical(self.quantities[self.time], points.features[..., self.time]) * points.mask
        hits = Hits(offset[..., :2] * points.mask[..., None], offset[..., 2:].sum(2), charge, time)
        others = [column for column in range(points.features.shape[2]) if column != self.time]
        features = points.features[..., others]
        plane, core, *_ = first_fit(hits.position, charge, time)
        event = features.new_zeros(0)
        for stage in self.stages:
            plane, core, event = stage(hits, features, points.mask, plane, core)
        shared = self.shared(torch.cat([event, _numbers(hits, points.mask, plane, core)], 1))
        outputs = {name: head(shared) for name, head in zip(self.names, self.heads, strict=True)}
        initial = {"direction": tangent_at_zenith(plane[:, 1:]), "core": core / LENGTH_UNIT}
        return corrected(outputs, initial)


class Stage(nn.Module):
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
        self, hits: Hits, features: Tensor, mask: Tensor, plane: Tensor, core: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """See the class; `features` [n, most, features] are scaled."""
        geometry, flat, distance = _geometry(hits, plane, core)
        numbers = _numbers(hits, mask, plane, core)
        of_event = numbers[:, None].expand(-1, mask.shape[1], -1)
        x = torch.cat([features, geometry, of_event], 2) * mask[..., None]
        hit, event = self.body(x, hits.position, mask, numbers)
        late, clean, bright = (self.of_hit(hit) + self.of_event(event)[:, None]).unbind(2)
        weight = mask * (clean - (flat / (2 * TIME_UNIT)).square().clamp_max(8.0)).exp()
        refined = fit_planes(hits.position, hits.time - CURVATURE * distance - TIME_UNIT * late, weight)
        middle = weighted_mean(hits.position, hits.charge * bright.exp())
        return refined, middle + LENGTH_UNIT * self.shift(event), event


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


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))
