"""Graphs of hits: edge convolutions over near hits, and over hits that look alike (Wang et al. 2019, DGCNN)."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.networks.layers.attention import mlp
from airshower.networks.layers.neighbours import nearest, take
from airshower.networks.points.body import NUMBERS, Body, PointsConfig
from airshower.networks.points.network import PointsNetwork
from airshower.networks.points.set import pooled


@dataclass
class PointsEdgeConfig(PointsConfig):
    """`network.*`."""

    stages: int = number(1, low=1, high=8)
    hit_width: int = number(64, low=1)
    neighbours: int = number(6, low=1)
    layers: int = number(3, low=0)
    dynamic_neighbours: int = number(10, low=1)
    dynamic_layers: int = number(1, low=0)


class EdgeConvolution(nn.Module):
    """The maximum over the neighbours j of a perceptron of (x_i, x_j - x_i), beside the identity."""

    def __init__(self, width: int):
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.layers = mlp(2 * width, width, width)

    def forward(self, x: Tensor, index: Tensor, valid: Tensor) -> Tensor:
        """[n, most, width], same shape as `x`."""
        y = self.norm(x)
        other = take(y, index)
        here = y[:, :, None].expand_as(other)
        message = self.layers(torch.cat([here, other - here], 3)).masked_fill(~valid[..., None], -torch.inf)
        return x + message.amax(2).masked_fill(~valid.any(2, keepdim=True), 0.0)


class EdgeBody(Body):
    """Neighbours are near on the ground in the first layers, in features in the others."""

    def __init__(self, config: PointsEdgeConfig, inputs: int):
        super().__init__()
        width = config.hit_width
        self.near = config.neighbours
        self.alike = config.dynamic_neighbours
        self.hits = mlp(inputs, 2 * width, width)
        self.layers = nn.ModuleList(EdgeConvolution(width) for _ in range(config.layers))
        self.dynamic = nn.ModuleList(EdgeConvolution(width) for _ in range(config.dynamic_layers))
        self.norm = nn.LayerNorm(width)
        self.event = mlp(2 * width + NUMBERS, config.width, config.width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See `Body`."""
        hits = self.hits(x)
        if len(self.layers):
            edges = nearest(position, mask, self.near)
            for layer in self.layers:
                hits = layer(hits, *edges)
        for layer in self.dynamic:
            hits = layer(hits, *nearest(hits.detach(), mask, self.alike, position))
        hits = self.norm(hits)
        return hits, self.event(torch.cat([pooled(hits, mask), numbers], 1))


class PointsEdge(PointsNetwork):
    """`network=points_edge`."""

    Config = PointsEdgeConfig
    body = EdgeBody
