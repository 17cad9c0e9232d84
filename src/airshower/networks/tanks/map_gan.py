"""A generator of images of tanks that is trained against a critic, a Wasserstein GAN (Gulrajani et al. 2017)."""

from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Images, Table
from airshower.data.spec import ImagesSpec, Spec
from airshower.errors import UserError
from airshower.networks.generator import CriticisedGenerator, check_images
from airshower.networks.layers.features import Quantities, context, encoded_size
from airshower.networks.tanks.marginals import normal_scores

HALVINGS = 2  # between the image and the lowest resolution, at which the generator starts
GROUPS = 8  # of channels in group normalization (Wu & He 2018), which has no running statistics


@dataclass
class MapGanConfig:
    """`network.*`."""

    noise: int = number(64, low=1)
    generator: int = number(64, low=GROUPS)
    critic: int = number(32, low=1)
    conditional: bool = True
    channels: list[str] = field(default_factory=lambda: ["charge"])


class MapGan(CriticisedGenerator):
    """A `generator` (noise [n, `noise`], conditions) -> images [n, channels, rows, columns], and a `critic` (images,
    conditions) -> score [n]. `generator` and `critic` of the config are channels at the full resolution."""

    Config = MapGanConfig
    takes = MappingProxyType({"images": Images, "conditions": Table})
    tasks = ("adversarial",)
    generates = "images"
    channels_last = False

    def __init__(self, config: MapGanConfig, spec: Spec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config, spec, framework)
        self.latent = config.noise
        self.given = spec.quantities("conditions") if config.conditional else ()
        self.generator = Generator(config, spec["images"], self.given)
        self.critic = Critic(config, spec["images"], self.given)

    def fit(self, images: Tensor, conditions: Tensor) -> None:
        """No-op: images are scaled already."""

    def features(self, images: Tensor) -> Tensor:
        """The critic's input: the images unchanged."""
        return images

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `EventGenerator`."""
        return self.generator(normal_scores(noise), conditions).clamp(0, 1)


class Generator(nn.Module):
    """Normal noise [n, `noise`] and conditions -> images, none negative. An output of the convolution below 0 is no
    hit, in all channels. Cells without a PMT have no hits."""

    def __init__(self, config: MapGanConfig, spec: ImagesSpec, given: Quantities):
        super().__init__()
        self.given = given
        width = config.generator
        self.start = width << HALVINGS, *(size >> HALVINGS for size in spec.shape)
        rows, columns = self.start[1:]
        self.first = nn.Linear(config.noise + encoded_size(given), self.start[0] * rows * columns)
        self.layers = nn.ModuleList(
            nn.Conv2d(width << level + 1, width << level, 3, padding=1) for level in reversed(range(HALVINGS))
        )
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width << level) for level in reversed(range(HALVINGS)))
        self.last = nn.Conv2d(width, len(spec.channels), 3, padding=1)
        self.register_buffer("live", torch.from_numpy(~spec.dead), persistent=False)

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        x = self.first(torch.cat([noise, context(conditions, self.given)], 1)).unflatten(1, self.start)
        x = functional.leaky_relu(x, 0.2)
        for layer, norm in zip(self.layers, self.norms, strict=True):
            x = functional.leaky_relu(norm(layer(functional.interpolate(x, scale_factor=2.0))), 0.2)
        x = self.last(x)
        hit = (x[:, :1] > 0) & self.live
        return x.relu() * hit


class Critic(nn.Module):
    """Images and an event's conditions -> score [n], higher for reference images than for generated ones."""

    def __init__(self, config: MapGanConfig, spec: ImagesSpec, given: Quantities):
        super().__init__()
        self.given = given
        width = config.critic
        sizes = [len(spec.channels) + encoded_size(given), *(width << level for level in range(HALVINGS + 1))]
        self.layers = nn.ModuleList(
            nn.Conv2d(sizes[level], sizes[level + 1], 3, 2 if level else 1, 1) for level in range(HALVINGS + 1)
        )
        rows, columns = (size >> HALVINGS for size in spec.shape)
        self.score = nn.Linear(sizes[-1] * rows * columns, 1)

    def forward(self, images: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        features = context(conditions, self.given)[:, :, None, None].expand(-1, -1, *images.shape[2:])
        x = torch.cat([images, features], 1)
        for layer in self.layers:
            x = functional.leaky_relu(layer(x), 0.2)
        return self.score(x.flatten(1))[:, 0]


def _check(config: MapGanConfig, spec: Spec, framework: FrameworkConfig) -> None:
    """Raise `UserError` where this network does not support the config or the data."""
    check_images(spec, framework, HALVINGS)
    if framework.compile:
        raise UserError("framework.compile=true: is not for generators with a critic; use framework.compile=false")
    if config.generator % GROUPS:
        raise UserError(f"network.generator={config.generator}: must be a multiple of {GROUPS}")
