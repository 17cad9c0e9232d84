"""A residual network that reconstructs events of an array of water tanks from images of charge and time."""

from collections.abc import Callable
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
from airshower.geometry.shower_front import CURVATURE, LIGHT_SPEED, NEAR_PLANE
from airshower.geometry.sky import tangent_at_zenith
from airshower.networks.layers.features import physical
from airshower.networks.layers.perceptron import Layers
from airshower.networks.network import Network, check_channels

CHANNELS = ["charge", "time"]
TANK = 2  # cells across a tank
CELL_INPUTS = 6  # input channels for each cell
NUMBERS = 9  # numbers of an event beside its image
LENGTH_UNIT, TIME_UNIT = 100.0, 20.0  # m, ns
CAP = 100.0  # p.e., above which the weight of a hit is constant
STEEPEST = 0.95  # largest horizontal part of a unit vector: showers come from above
PLANE_STEPS = 3  # iterations of the first fit; each drops hits far from the front
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
                _start_from_zero(head[-1])
        _start_from_zero(self.hits)

    @classmethod
    def check_data(cls, config: Any, data: Any) -> None:
        """See `Network`."""
        if config.channels != CHANNELS:
            raise UserError(f"network.channels=[{','.join(config.channels)}]: must be [{','.join(CHANNELS)}]")
        check_channels(config, data)
        if data.time != config.time:
            raise UserError(
                f"data.time={data.time}: but network.time={config.time}; give network.time alone, which data.time "
                "follows"
            )

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Tensor]:
        """See `Network`: the images."""
        return lambda batch: batch["images"].values

    def forward(self, images: Tensor) -> dict[str, Tensor]:
        """See the class."""
        hit = (images[:, 0] > 0).float() * self.live
        charge = physical(self.charge, images[:, 0]) * hit
        time = physical(self.time, images[:, 1]) * hit
        bright = charge.clamp_max(CAP).sqrt()  # noise hits have single photoelectrons
        core = _mean(self.position, charge)
        distance = (self.position - core[:, :, None, None]).norm(dim=1) / LENGTH_UNIT
        flat = time - CURVATURE * LENGTH_UNIT * distance
        near = bright * hit
        for _ in range(PLANE_STEPS):
            plane = _plane(self.position, flat, near)
            late = (flat - _plane_times(plane, self.position)) / TIME_UNIT
            near = bright * hit * ((late > -NEAR_PLANE[0] / TIME_UNIT) & (late < NEAR_PLANE[1] / TIME_UNIT))
        position = self.position.expand(len(images), -1, -1, -1) / LENGTH_UNIT
        cells = torch.stack([hit, images[:, 0], late.clamp(-5, 5) * hit, distance, *position.unbind(1)], 1)
        features = self.first(self.stem(functional.pixel_unshuffle(cells.to(images.dtype), TANK)))
        votes = functional.pixel_shuffle(self.hits(features), TANK).float()
        front = _plane(self.position, flat - TIME_UNIT * votes[:, 0], near * votes[:, 1].exp())
        middle = _mean(self.position, charge * votes[:, 2].exp())
        numbers = self._numbers(hit, charge, late, core, front, middle)
        for level in self.levels:
            features = level(features)
        shared = self.shared(torch.cat([features.mean((2, 3)).to(numbers.dtype), numbers], 1))
        outputs = {name: head(shared) for name, head in zip(self.names, self.heads, strict=True)}
        initial = {"direction": tangent_at_zenith(front[:, 1:]), "core": (middle - self._centre) / LENGTH_UNIT}
        return {
            name: output + initial[name].to(output) if name in initial and output.shape[1] == 2 else output
            for name, output in outputs.items()
        }

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


def _mean(position: Tensor, weight: Tensor) -> Tensor:
    """Weighted means of positions [2, rows, columns] [n, 2]; 0 of events without weight."""
    total = weight.sum((1, 2)).clamp_min(1e-6)
    return (position * weight[:, None]).sum((2, 3)) / total[:, None]


def _plane(position: Tensor, time: Tensor, weight: Tensor) -> Tensor:
    """The planes through times (ns) by weighted least squares: time at the origin (ns) and the horizontal part of the
    unit vector towards the source [n, 3]."""
    x, y = position
    one = torch.ones_like(x)
    design = torch.stack([one, -x / LIGHT_SPEED, -y / LIGHT_SPEED])
    weight = weight / weight.sum((1, 2), keepdim=True).clamp_min(1e-6)
    normal = torch.einsum("nrc,irc,jrc->nij", weight, design, design)
    right = torch.einsum("nrc,irc->ni", weight * time, design)
    ridge = torch.diag(normal.new_tensor([1e-6, 1.0, 1.0]))  # ns2: regularises events of few hits towards the vertical
    solution = torch.linalg.solve(normal + ridge, right)
    steep = solution[:, 1:].norm(dim=1, keepdim=True)
    return torch.cat([solution[:, :1], solution[:, 1:] * (STEEPEST / steep.clamp_min(STEEPEST))], 1)


def _plane_times(plane: Tensor, position: Tensor) -> Tensor:
    """When planes pass the cells [n, rows, columns], ns."""
    along = (plane[:, 1:, None, None] * position).sum(1)
    return plane[:, 0, None, None] - along / LIGHT_SPEED


def _head(width: int, outputs: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, outputs))


def _start_from_zero(layer: nn.Module) -> None:
    """Set weights to zero, so that corrections of the classical reconstruction are zero before training."""
    assert isinstance(layer, nn.Linear | nn.Conv2d)
    nn.init.zeros_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def _check(config: TankResNetConfig, images: ImagesSpec) -> None:
    most = halvings(images.shape)
    if not config.filters or min(config.filters) < 1 or len(config.filters) > most:
        raise UserError(f"network.filters={config.filters}: needs 1 to {most} numbers of channels above 0")
