"""A residual network that reconstructs events of an array of water tanks from images of charge and time."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import Images
from airshower.data.spec import ImagesSpec, Spec, halvings
from airshower.errors import UserError
from airshower.geometry.sky import tangent_at_zenith
from airshower.networks.layers.features import physical
from airshower.networks.layers.fronts import first_fit, fit_planes, weighted_mean
from airshower.networks.layers.perceptron import Layers
from airshower.networks.layers.starts import corrected, start_from_zero
from airshower.networks.network import FITS, Network, Start, check_follows

CHANNELS = ["charge", "time"]
TANK = 2  # cells across a tank
CELL_INPUTS = 6  # input channels for each cell
NUMBERS = 9  # numbers of an event beside its image
LENGTH_UNIT, TIME_UNIT = 100.0, 20.0  # m, ns
VOTES = ("direction", "core")


@dataclass
class TankResNetConfig:
    """`network.*`."""

    channels: list[str] = field(default_factory=lambda: [*CHANNELS])
    time: str = choice("absolute", "plane")
    filters: list[int] = field(default_factory=lambda: [32, 64, 64])
    blocks: int = number(1, low=1)
    width: int = number(128, low=1)
    dropout: float = number(0.0, low=0.0, high=0.9)


class TankResNet(Network):
    """Images [n, 2, rows, columns] of charge and absolute time -> the task's `outputs`, keyed by name [n, channels].

    The network learns corrections of a classical reconstruction: `direction` (degrees from the zenith towards rising
    altitude and azimuth) begins as a plane through the times, `core` (100 m from the middle of the array) as the middle
    of the charge. Convolutions, for which the cells of a tank are channels of one site, give each hit its weights in
    both, and a correction of its time for the front's curvature and thickness. Heads add a residual to both.
    """

    Config = TankResNetConfig
    takes = MappingProxyType({"images": Images})
    tasks = ("reconstruction",)
    channels_last = False
    position: Tensor
    live: Tensor

    def __init__(self, config: TankResNetConfig, spec: Spec, outputs: dict[str, int], _: FrameworkConfig):
        super().__init__()
        images: ImagesSpec = spec["images"]
        _check(config, images)
        self.charge, self.time = images.channels
        self.register_buffer("position", _cell_positions(images), persistent=False)
        self.register_buffer("live", torch.from_numpy(~images.dead).float(), persistent=False)
        filters = config.filters
        self.stem = nn.Conv2d(CELL_INPUTS * TANK**2, filters[0], 3, padding=1)
        self.first = nn.Sequential(*(Residual(filters[0]) for _ in range(config.blocks)))
        self.hits = nn.Conv2d(filters[0], 3 * TANK**2, 1)  # for each cell two weights and a time correction
        self.levels = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(inputs, channels, 3, stride=2, padding=1), *(Residual(channels) for _ in range(config.blocks))
            )
            for inputs, channels in pairwise(filters)
        )
        self.shared = nn.Sequential(
            nn.Linear(filters[-1] + NUMBERS, config.width), nn.SiLU(), nn.Dropout(config.dropout)
        )
        self.names = tuple(outputs)  # not keys of a ModuleDict, which can't have a "type"
        self.heads = Layers(_head(config.width, size) for size in outputs.values())
        for name, head in zip(self.names, self.heads, strict=True):
            if name in VOTES:
                start_from_zero(head[-1])
        start_from_zero(self.hits)

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`."""
        if config.channels != CHANNELS:
            raise UserError(f"network.channels=[{','.join(config.channels)}]: must be [{','.join(CHANNELS)}]")
        check_follows(config, data, "channels", "time")

    @classmethod
    def starts(cls, config: Any) -> Mapping[str, Start]:
        """See `Network`."""
        return FITS

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Tensor]:
        """See `Network`: the images."""
        return lambda batch: batch["images"].values

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        hit = (images[:, 0] > 0).float() * self.live
        charge = physical(self.charge, images[:, 0]) * hit
        time = physical(self.time, images[:, 1]) * hit
        place = self.position.flatten(1).T.expand(len(images), -1, -1)
        fit = first_fit(place, charge.flatten(1), time.flatten(1))
        late = (fit.late / TIME_UNIT).view_as(hit)
        distance = ((place - fit.core[:, None]).norm(dim=2) / LENGTH_UNIT).view_as(hit)
        position = self.position.expand(len(images), -1, -1, -1) / LENGTH_UNIT
        cells = torch.stack([hit, images[:, 0], late.clamp(-5, 5) * hit, distance, *position.unbind(1)], 1)
        features = self.first(self.stem(functional.pixel_unshuffle(cells.to(images.dtype), TANK)))
        votes = functional.pixel_shuffle(self.hits(features), TANK).float().flatten(2)
        front = fit_planes(place, fit.flat - TIME_UNIT * votes[:, 0], fit.weight * votes[:, 1].exp())
        middle = weighted_mean(place, charge.flatten(1) * votes[:, 2].exp())
        numbers = self._numbers(hit, charge, late, fit.core, front, middle)
        for level in self.levels:
            features = level(features)
        shared = self.shared(torch.cat([features.mean((2, 3)).to(numbers.dtype), numbers], 1))
        outputs = {name: head(shared) for name, head in zip(self.names, self.heads, strict=True)}
        initial = {"direction": tangent_at_zenith(front[:, 1:]), "core": (middle - self._centre) / LENGTH_UNIT}
        return corrected(outputs, initial)

    @property
    def _centre(self) -> Tensor:
        """The middle of the array [2], m."""
        return (self.position * self.live).sum((1, 2)) / self.live.sum()

    def _numbers(
        self, hit: Tensor, charge: Tensor, late: Tensor, core: Tensor, front: Tensor, middle: Tensor
    ) -> Tensor:
        """Of each event [n, `NUMBERS`]: hits, charge, spread of times and of charge, the fitted plane and core."""
        count = hit.sum((1, 2))
        total = charge.sum((1, 2))
        square = (self.position - core[:, :, None, None]).square().sum(1)
        width = ((charge * square).sum((1, 2)) / total.clamp_min(1e-3)).sqrt() / LENGTH_UNIT
        jitter = ((late.clamp(-5, 5) * hit).square().sum((1, 2)) / count.clamp_min(1.0)).sqrt()
        logs = [torch.log1p(count), torch.log1p(total), torch.log1p(charge.amax((1, 2)))]
        steep = front[:, 1:].norm(dim=1)
        offset = (middle - self._centre) / LENGTH_UNIT
        return torch.stack([*logs, width, jitter, steep, offset.norm(dim=1), *offset.unbind(1)], 1)


class Residual(nn.Module):
    """Two 3 x 3 convolutions with group normalization beside the identity."""

    def __init__(self, channels: int):
        super().__init__()
        groups = max(1, channels // 8)
        self.layers = nn.Sequential(
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
            nn.GroupNorm(groups, channels), nn.SiLU(), nn.Conv2d(channels, channels, 3, padding=1),
        )  # fmt: skip

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return x + self.layers(x)


def _cell_positions(images: ImagesSpec) -> Tensor:
    """x and y (m) of each cell's PMT [2, rows, columns], 0 for cells without a PMT."""
    position = torch.from_numpy(images.position[:, :2]).float()
    pmt = torch.from_numpy(images.pmt)
    return torch.where(pmt[None] >= 0, position.T[:, pmt.clamp_min(0)], 0.0)


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


def _check(config: TankResNetConfig, images: ImagesSpec) -> None:
    most = halvings(images.shape)
    if not config.filters or min(config.filters) < 1 or len(config.filters) > most:
        raise UserError(f"network.filters={config.filters}: needs 1 to {most} numbers of channels above 0")
