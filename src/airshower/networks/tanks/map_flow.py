"""A generator of images of tanks that follows a flow from noise to data (Lipman et al. 2023, Liu et al. 2023)."""

import math
from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Images, Table
from airshower.data.spec import ImagesSpec, Spec
from airshower.errors import DataError, UserError
from airshower.networks.generator import FlowGenerator, Progress, Sampler, check_images, no_progress
from airshower.networks.layers.features import context, encoded_size
from airshower.networks.tanks.map_unet import GROUPS, HALVINGS, MapUnet, waves
from airshower.networks.tanks.marginals import normal_scores

TANK = 2  # cells of a tank along rows and columns
WAVES = 32  # sines and cosines that encode the time
LEAST = 1e-3  # lower limit of the remaining noise, and of a hit's charge and time


@dataclass
class MapFlowConfig:
    """`network.*`."""

    width: int = number(32, low=GROUPS)
    blocks: int = number(1, low=1)
    steps: int = number(8, low=1)
    conditional: bool = True
    channels: list[str] = field(default_factory=lambda: ["charge"])


class MapFlow(FlowGenerator):
    """The velocity [n, `latent`] of states [n, `latent`] at times [n] from 0 (normal noise) to 1 (data), under scaled
    conditions.

    A state has for each live cell: hit or no hit (1 or -1; Chen et al. 2023), and the standardised charge and, where
    images have it, time, 0 without a hit. States have no cells without a PMT. The cells of a tank are channels at one
    site of the lattice of the U-Net.
    """

    Config = MapFlowConfig
    takes = MappingProxyType({"images": Images, "conditions": Table})
    tasks = ("flow_matching",)
    generates = "images"
    live: Tensor
    by_tanks: Tensor

    def __init__(self, config: MapFlowConfig, spec: Spec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config, spec, framework)
        images: ImagesSpec = spec["images"]
        self.steps = config.steps
        self.shape = images.shape
        self.channels = 1 + len(images.channels)
        self.given = spec.quantities("conditions") if config.conditional else ()
        live, by_tanks = _live_cells(images)
        self.register_buffer("live", live, persistent=False)
        self.register_buffer("by_tanks", by_tanks, persistent=False)
        self.latent = self.channels * len(live)
        # parameters, not trained: in checkpoints and the same on all ranks
        self.middle, self.width = (
            nn.Parameter(torch.full((len(images.channels), 1), value), requires_grad=False) for value in (0.3, 0.1)
        )
        features = 4 * config.width
        inputs = self.channels * TANK**2
        outputs = (2 * self.channels - 1) * TANK**2
        self.told = nn.Sequential(
            nn.Linear(WAVES + encoded_size(self.given), features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )
        self.unet = MapUnet(inputs, outputs, _pmt_positions(images), config.width, config.blocks, features)

    @torch.no_grad()
    def fit(self, images: Tensor, conditions: Tensor) -> None:
        """Take mean and standard deviation of the hits' charges and times."""
        values = images.movedim(1, 0)[:, images[:, 0] > 0].double()
        if values.shape[1] < 2:
            raise DataError("data: the events that were looked at first have no hits; nothing can be learned from them")
        self.middle.copy_(values.mean(1, keepdim=True))
        self.width.copy_(values.std(1, keepdim=True).clamp_min(1e-3))

    def states(self, images: Tensor) -> Tensor:
        """The states [n, `latent`] of images."""
        cells = images.flatten(2)[:, :, self.live]
        hit = cells[:, :1] > 0
        return torch.cat([2.0 * hit - 1, (cells - self.middle) / self.width * hit], 1).flatten(1)

    def images(self, states: Tensor) -> Tensor:
        """Inverse of `states`, defined for any states: a cell has a hit where its hit channel is above 0."""
        hit, values = self._parts(states)
        cells = (self.middle + self.width * values).clamp(LEAST, 1) * (hit > 0)
        images = cells.new_zeros(*cells.shape[:2], math.prod(self.shape))
        return images.index_copy(2, self.live, cells).unflatten(2, self.shape)

    def forward(self, states: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """See the class. The expected data of a cell combine, by Bayes' rule, the likelihood of its own noisy state
        with the prediction of the U-Net: half the log odds of a hit, and mean and variance (by softplus) of its charge
        and time."""
        hit, values = self._parts(states)
        prediction = self._prediction(states, times, conditions).to(states.dtype)
        odds, mean, variance = prediction.split([1, values.shape[1], values.shape[1]], 1)
        data = times[:, None, None]
        noise = (1 - times[:, None, None]).clamp_min(LEAST)
        hit = torch.tanh(odds + hit * data / noise.square())
        trust = data * functional.softplus(variance) / noise.square()
        values = (mean + values * trust) / (1 + data * trust)
        expected = torch.cat([hit, values * (1 + hit) / 2], 1)
        return ((expected - states.unflatten(1, (self.channels, -1))) / noise).flatten(1)

    def generate(self, noise: Tensor, conditions: Tensor, progress: Progress = no_progress) -> Tensor:
        """See `EventGenerator`: integrates the flow in `steps` equal steps with the explicit midpoint method."""
        states = normal_scores(noise)
        step = 1 / self.steps
        for done in range(self.steps):
            begin = states.new_full((len(states),), done * step)
            middle = states + 0.5 * step * self(states, begin, conditions)
            states = states + step * self(middle, begin + 0.5 * step, conditions)
            progress((done + 1) * step)
        return self.images(states)

    def sampler(self, batch: int) -> Sampler:
        """See `EventGenerator`."""
        return self.generate

    def _parts(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Whether cells have hits [n, 1, live cells], and the hits' values [n, channels, live cells]."""
        hit, values = states.unflatten(1, (self.channels, -1)).split([1, self.channels - 1], 1)
        return hit, values

    def _prediction(self, states: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """The prediction of the U-Net for live cells [n, channels, live cells], see `forward`."""
        embedding = self.told(torch.cat([waves(times, WAVES), context(conditions, self.given)], 1))
        cells = states.new_zeros(len(states), self.channels, math.prod(self.shape))
        cells = cells.index_copy(2, self.by_tanks, states.unflatten(1, (self.channels, -1)))
        maps = cells.view(len(states), self.channels * TANK**2, *(size // TANK for size in self.shape))
        return self.unet(maps, embedding).flatten(2).unflatten(1, (-1, TANK**2)).flatten(2)[:, :, self.by_tanks]


def _pmt_positions(spec: ImagesSpec) -> Tensor:
    """For each cell of a tank whether it has a PMT, and the PMT's position, -1 to 1 over the array, as channels of the
    tank [channels, rows, columns]."""
    position = torch.from_numpy(spec.position[:, :2]).float()
    low, high = position.amin(0), position.amax(0)
    features = torch.cat([torch.ones(len(position), 1), 2 * (position - low) / (high - low).clamp_min(1e-9) - 1], 1)
    pmt = torch.from_numpy(spec.pmt)
    channels = (features[pmt.clamp_min(0)] * (pmt >= 0)[..., None]).movedim(2, 0)
    return functional.pixel_unshuffle(channels, TANK)


def _live_cells(spec: ImagesSpec) -> tuple[Tensor, Tensor]:
    """The indices of cells with a PMT in a flattened image, and in an image flattened after `pixel_unshuffle`."""
    live = torch.from_numpy(~spec.dead).flatten().nonzero()[:, 0]
    unshuffled = torch.empty(spec.dead.size, dtype=torch.int64)
    cells = torch.arange(spec.dead.size)
    unshuffled[functional.pixel_unshuffle(cells.view(1, *spec.shape), TANK).flatten()] = cells
    return live, unshuffled[live]


def _check(config: MapFlowConfig, spec: Spec, framework: FrameworkConfig) -> None:
    """Raise `UserError` where this network does not support the config or the data."""
    check_images(spec, framework, 1 + HALVINGS)
    if framework.compile:
        raise UserError("framework.compile=true: this network can't be compiled; use framework.compile=false")
    if config.width % GROUPS:
        raise UserError(f"network.width={config.width}: must be a multiple of {GROUPS}")
