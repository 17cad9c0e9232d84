"""A generator of images of tanks that follows a flow from noise to data (Lipman et al. 2023, Liu et al. 2023)."""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.tanks import TankSpec
from airshower.errors import DataError, UserError
from airshower.networks.generator import FlowGenerator, Sampling, Tick, untold
from airshower.networks.images import ImageView, check_images
from airshower.networks.map_unet import GROUPS, HALVINGS, MapUnet, waves
from airshower.networks.marginals import normal_scores
from airshower.networks.quantities import context, encoded_size

TANK = 2  # cells of a tank along rows and columns
WAVES = 32  # that tell the time
LEAST = 1e-3  # of the noise that is left when a velocity is asked for, and of a hit's charge and time


@dataclass
class MapFlowConfig:
    """`network.*`."""

    width: int = number(32, low=GROUPS)
    blocks: int = number(1, low=1)
    steps: int = number(8, low=1)
    conditional: bool = True


class MapFlow(FlowGenerator):
    """The velocity [n, `latent`] of states [n, `latent`] at times [n] from 0 (normal noise) to 1 (data), under scaled
    conditions.

    A state is a few numbers for each live cell: whether there is a hit (1 or -1; Chen et al. 2023), its charge and,
    where images have one, its time, standardised, 0 without a hit. Cells without a PMT are in no state. A tank's cells
    are channels of one place of the lattice that the U-Net works on.
    """

    Config = MapFlowConfig
    reads = "tank_hits"
    task = "flow_matching"
    sees = ImageView
    live: Tensor
    by_tanks: Tensor

    def __init__(self, config: MapFlowConfig, spec: TankSpec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config, spec, framework)
        self.steps, self.shape, self.channels = config.steps, spec.shape, 1 + len(spec.channels)
        self.given = spec.conditions if config.conditional else ()
        live, by_tanks = _live_cells(spec)
        self.register_buffer("live", live, persistent=False)
        self.register_buffer("by_tanks", by_tanks, persistent=False)
        self.latent = self.channels * len(live)
        # not trained, so in checkpoints and the same on all ranks
        self.middle, self.width = (
            nn.Parameter(torch.full((len(spec.channels), 1), value), requires_grad=False) for value in (0.3, 0.1)
        )
        features, inputs, outputs = 4 * config.width, self.channels * TANK**2, (2 * self.channels - 1) * TANK**2
        self.told = nn.Sequential(
            nn.Linear(WAVES + encoded_size(self.given), features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )
        self.unet = MapUnet(inputs, outputs, _place(spec), config.width, config.blocks, features)

    @torch.no_grad()
    def fit(self, images: Tensor, conditions: Tensor) -> None:
        """Take mean and standard deviation of the hits' charges and times."""
        values = images.movedim(1, 0)[:, images[:, 0] > 0].double()
        if values.shape[1] < 2:
            raise DataError("data: the events that were looked at first have no hits; nothing can be learned from them")
        self.middle.copy_(values.mean(1, keepdim=True))
        self.width.copy_(values.std(1, keepdim=True).clamp_min(1e-3))

    def states(self, images: Tensor) -> Tensor:
        """What is learned of images."""
        cells = images.flatten(2)[:, :, self.live]
        hit = cells[:, :1] > 0
        return torch.cat([2.0 * hit - 1, (cells - self.middle) / self.width * hit], 1).flatten(1)

    def images(self, states: Tensor) -> Tensor:
        """The other way around, for any states: a hit is where its channel is above 0."""
        hit, values = self._parts(states)
        cells = (self.middle + self.width * values).clamp(LEAST, 1) * (hit > 0)
        images = cells.new_zeros(*cells.shape[:2], math.prod(self.shape))
        return images.index_copy(2, self.live, cells).unflatten(2, self.shape)

    def forward(self, states: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """See the class. What is expected of the data is Bayes' rule of what a state says of its own number, a bit or
        a normal one, and of what the U-Net says of it by all others: half the log odds of a hit, and mean and
        variance (by softplus) of its charge and time."""
        hit, values = self._parts(states)
        known = self._known(states, times, conditions).to(states.dtype)
        odds, mean, variance = known.split([1, values.shape[1], values.shape[1]], 1)
        data, noise = times[:, None, None], (1 - times[:, None, None]).clamp_min(LEAST)
        hit = torch.tanh(odds + hit * data / noise.square())
        trust = data * functional.softplus(variance) / noise.square()
        values = (mean + values * trust) / (1 + data * trust)
        expected = torch.cat([hit, values * (1 + hit) / 2], 1)
        return ((expected - states.unflatten(1, (self.channels, -1))) / noise).flatten(1)

    def generate(self, noise: Tensor, conditions: Tensor, tick: Tick = untold) -> Tensor:
        """See `EventGenerator`: the flow in `steps` equal steps, each with the velocity in its middle (explicit
        midpoint method)."""
        states, step = normal_scores(noise), 1 / self.steps
        for done in range(self.steps):
            begin = states.new_full((len(states),), done * step)
            middle = states + 0.5 * step * self(states, begin, conditions)
            states = states + step * self(middle, begin + 0.5 * step, conditions)
            tick((done + 1) * step)
        return self.images(states)

    def sampler(self, batch: int) -> Sampling:
        """See `EventGenerator`."""
        return self.generate

    def _parts(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Whether cells have hits [n, 1, live cells], and the hits' values [n, channels, live cells]."""
        hit, values = states.unflatten(1, (self.channels, -1)).split([1, self.channels - 1], 1)
        return hit, values

    def _known(self, states: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """What the U-Net says of live cells [n, channels, live cells]."""
        told = self.told(torch.cat([waves(times, WAVES), context(conditions, self.given)], 1))
        cells = states.new_zeros(len(states), self.channels, math.prod(self.shape))
        cells = cells.index_copy(2, self.by_tanks, states.unflatten(1, (self.channels, -1)))
        maps = cells.view(len(states), self.channels * TANK**2, *(size // TANK for size in self.shape))
        return self.unet(maps, told).flatten(2).unflatten(1, (-1, TANK**2)).flatten(2)[:, :, self.by_tanks]


def _place(spec: TankSpec) -> Tensor:
    """Where PMTs are, as channels of their tanks [channels, rows, columns]: whether there is one, and its position,
    which is -1 to 1 over the array."""
    position = torch.from_numpy(spec.position[:, :2]).float()
    low, high = position.amin(0), position.amax(0)
    known = torch.cat([torch.ones(len(position), 1), 2 * (position - low) / (high - low).clamp_min(1e-9) - 1], 1)
    pmt = torch.from_numpy(spec.pmt)
    channels = (known[pmt.clamp_min(0)] * (pmt >= 0)[..., None]).movedim(2, 0)
    return functional.pixel_unshuffle(channels, TANK)


def _live_cells(spec: TankSpec) -> tuple[Tensor, Tensor]:
    """The places of cells with a PMT in a flat image, and in one that is flat after `pixel_unshuffle`."""
    live = torch.from_numpy(~spec.dead).flatten().nonzero()[:, 0]
    place = torch.empty(spec.dead.size, dtype=torch.int64)
    cells = torch.arange(spec.dead.size)
    place[functional.pixel_unshuffle(cells.view(1, *spec.shape), TANK).flatten()] = cells
    return live, place[live]


def _check(config: MapFlowConfig, spec: TankSpec, framework: FrameworkConfig) -> None:
    """Raise `UserError` for what such a network can't be made for."""
    check_images(config.conditional, spec, framework, 1 + HALVINGS)
    if framework.compile:
        raise UserError("framework.compile=true: this network can't be compiled; use framework.compile=false")
    if config.width % GROUPS:
        raise UserError(f"network.width={config.width}: must be a multiple of {GROUPS}")
