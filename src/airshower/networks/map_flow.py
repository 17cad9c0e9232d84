"""A generator of images of tanks that follows a flow from noise to data (Lipman et al. 2023, Liu et al. 2023)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.tanks import TankSpec
from airshower.errors import UserError
from airshower.networks.generator import EventGenerator, Sampling, Tick, untold
from airshower.networks.images import ImageView, check_images
from airshower.networks.map_unet import GROUPS, HALVINGS, MapUnet, waves
from airshower.networks.marginals import normal_scores
from airshower.networks.quantities import context, encoded_size

TANK = 2  # cells of a tank along rows and columns
WAVES = 32  # that tell the time


@dataclass
class MapFlowConfig:
    """`network.*`."""

    width: int = number(32, low=GROUPS)
    blocks: int = number(1, low=1)
    steps: int = number(20, low=1)
    conditional: bool = True


class MapFlow(EventGenerator):
    """The velocity [n, `latent`] of states [n, `latent`] at times [n] from 0 (normal noise) to 1 (data), under scaled
    conditions.

    A state is one number for each live cell and channel: whether there is a hit (1 or -1; Chen et al. 2023), then its
    charge and, where images have one, its time, 0 without a hit. Cells without a PMT are in no state. A tank's cells
    are channels of one place of the lattice that the U-Net works on.
    """

    Config = MapFlowConfig
    reads = "tank_hits"
    task = "flow_matching"
    sees = ImageView

    def __init__(self, config: MapFlowConfig, spec: TankSpec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config, spec, framework)
        self.steps, self.shape, self.channels = config.steps, spec.shape, 1 + len(spec.channels)
        self.given = spec.conditions if config.conditional else ()
        live = torch.from_numpy(~spec.dead).flatten()
        self.register_buffer("live", live.nonzero()[:, 0], persistent=False)
        self.latent = self.channels * len(self.live)
        # not trained, so in checkpoints and the same on all ranks
        self.middle, self.scale = (
            nn.Parameter(torch.full((len(spec.channels), 1), value), requires_grad=False) for value in (0.3, 0.1)
        )
        features, cells = 4 * config.width, self.channels * TANK**2
        self.told = nn.Sequential(
            nn.Linear(WAVES + encoded_size(self.given), features), nn.SiLU(), nn.Linear(features, features), nn.SiLU()
        )
        self.unet = MapUnet(cells, cells, _place(spec), config.width, config.blocks, features)

    @torch.no_grad()
    def fit(self, images: Tensor, conditions: Tensor) -> None:
        """Take the median of hits' charges and times, and half of what lies between their quartiles."""
        values = images.movedim(1, 0)[:, images[:, 0] > 0]
        if values.shape[1] < 2:
            raise UserError("data: there are no hits in the first events to learn from")
        low, middle, high = values.double().quantile(torch.tensor([0.25, 0.5, 0.75]).double(), 1)
        self.middle.copy_(middle[:, None])
        self.scale.copy_(((high - low) / 2).clamp_min(1e-3)[:, None])

    def states(self, images: Tensor) -> Tensor:
        """What is learned of images."""
        cells = images.flatten(2)[:, :, self.live]
        hit = cells[:, :1] > 0
        values = torch.asinh((cells - self.middle) / self.scale) * hit
        return torch.cat([2.0 * hit - 1, values], 1).flatten(1)

    def images(self, states: Tensor) -> Tensor:
        """The other way around, for any states: a hit is where its channel is above 0."""
        hit, values = states.unflatten(1, (self.channels, -1)).split([1, self.channels - 1], 1)
        cells = (values.sinh() * self.scale + self.middle).clamp(torch.finfo(torch.float32).eps, 1) * (hit > 0)
        return self._lattice(cells)

    def forward(self, states: Tensor, times: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        told = self.told(torch.cat([waves(times, WAVES), context(conditions, self.given)], 1))
        maps = self._lattice(states.unflatten(1, (self.channels, -1)))
        maps = functional.pixel_shuffle(self.unet(functional.pixel_unshuffle(maps, TANK), told), TANK)
        return maps.flatten(2)[:, :, self.live].flatten(1)

    def generate(self, noise: Tensor, conditions: Tensor, tick: Tick = untold) -> Tensor:
        """See `EventGenerator`: the flow in `steps` equal steps, each with the velocity in its middle (explicit
        midpoint method)."""
        states, step = normal_scores(noise), 1 / self.steps
        for index in range(self.steps):
            begin = states.new_full((len(states),), index * step)
            middle = states + 0.5 * step * self(states, begin, conditions)
            states = states + step * self(middle, begin + 0.5 * step, conditions)
            tick((index + 1) * step)
        return self.images(states)

    def sampler(self, _: int) -> Sampling:
        """See `EventGenerator`."""
        return self.generate

    def _lattice(self, cells: Tensor) -> Tensor:
        """Values of live cells [n, channels, cells] in images; 0 elsewhere."""
        rows, columns = self.shape
        images = cells.new_zeros(*cells.shape[:2], rows * columns)
        return images.index_copy(2, self.live, cells).unflatten(2, (rows, columns))


def _place(spec: TankSpec) -> Tensor:
    """Where PMTs are, as channels of their tanks [channels, rows, columns]: whether there is one, and its position,
    which is -1 to 1 over the array."""
    position = torch.from_numpy(spec.position[:, :2]).float()
    low, high = position.amin(0), position.amax(0)
    known = torch.cat([torch.ones(len(position), 1), 2 * (position - low) / (high - low).clamp_min(1e-9) - 1], 1)
    pmt = torch.from_numpy(spec.pmt)
    channels = (known[pmt.clamp_min(0)] * (pmt >= 0)[..., None]).movedim(2, 0)
    return functional.pixel_unshuffle(channels[None], TANK)[0]


def _check(config: MapFlowConfig, spec: TankSpec, framework: FrameworkConfig) -> None:
    """Raise `UserError` for what such a network can't be made for."""
    check_images(config.conditional, spec, framework, 1 + HALVINGS)
    if config.width % GROUPS:
        raise UserError(f"network.width={config.width}: must be a multiple of {GROUPS}")
