"""Learned latents that attend to hits, and then among themselves (Jaegle et al. 2021, Perceiver)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.networks.layers.attention import Attention, TransformerBlock, mlp
from airshower.networks.points.body import NUMBERS, Body, PointsConfig
from airshower.networks.points.network import PointsNetwork


@dataclass
class PointsLatentConfig(PointsConfig):
    """`network.*`."""

    latents: int = number(16, low=1)
    blocks: int = number(2, low=0)
    heads: int = number(4, low=1)


class LatentBody(Body):
    """The cost rises with the number of hits, not with its square."""

    def __init__(self, config: PointsLatentConfig, inputs: int):
        super().__init__()
        width = config.width
        self.hits = mlp(inputs, 2 * config.hit_width, config.hit_width)
        self.latents = nn.Parameter(torch.randn(1, config.latents, width) * width**-0.5)
        self.numbers = nn.Linear(NUMBERS, width)
        self.gather = Attention(width, config.hit_width, config.heads)
        self.blocks = nn.ModuleList(TransformerBlock(width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(width)
        self.event = nn.Linear(width, config.hit_width)
        self.again = mlp(2 * config.hit_width, 2 * config.hit_width, config.hit_width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See `Body`."""
        hits = self.hits(x)
        latents = self.latents + self.numbers(numbers)[:, None]
        latents = latents + self.gather(latents, hits, mask)
        for block in self.blocks:
            latents = block(latents)
        event = self.norm(latents).mean(1)
        seen = self.event(event)[:, None].expand(-1, x.shape[1], -1)
        return hits + self.again(torch.cat([hits, seen], 2)), event


class PointsLatent(PointsNetwork):
    """`network=points_latent`."""

    Config = PointsLatentConfig
    body = LatentBody
