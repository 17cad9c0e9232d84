"""Hits that attend to each other (Vaswani et al. 2017)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.networks.layers.attention import TransformerBlock, mlp
from airshower.networks.points.body import NUMBERS, Body, PointsConfig
from airshower.networks.points.network import PointsNetwork
from airshower.networks.points.set import pooled


@dataclass
class PointsTransformerConfig(PointsConfig):
    """`network.*`."""

    hit_width: int = number(64, low=1)
    blocks: int = number(3, low=1)
    heads: int = number(4, low=1)


class TransformerBody(Body):
    """The cost rises with the square of the number of hits."""

    def __init__(self, config: PointsTransformerConfig, inputs: int):
        super().__init__()
        self.hits = mlp(inputs, 2 * config.hit_width, config.hit_width)
        self.blocks = nn.ModuleList(TransformerBlock(config.hit_width, config.heads) for _ in range(config.blocks))
        self.norm = nn.LayerNorm(config.hit_width)
        self.event = mlp(2 * config.hit_width + NUMBERS, config.width, config.width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See `Body`."""
        hits = self.hits(x)
        for block in self.blocks:
            hits = block(hits, mask)
        hits = self.norm(hits)
        return hits, self.event(torch.cat([pooled(hits, mask), numbers], 1))


class PointsTransformer(PointsNetwork):
    """`network=points_transformer`."""

    Config = PointsTransformerConfig
    body = TransformerBody
