"""Deep sets (Zaheer et al. 2017): a perceptron for each hit, and sums over hits. What other networks must beat."""

import torch
from torch import Tensor, nn

from airshower.networks.layers.attention import mlp
from airshower.networks.points.body import NUMBERS, Body, PointsConfig
from airshower.networks.points.network import PointsNetwork


class SetBody(Body):
    """Hits see each other through the mean and the maximum of all."""

    def __init__(self, config: PointsConfig, inputs: int):
        super().__init__()
        self.hits = mlp(inputs, 2 * config.hit_width, config.hit_width)
        self.event = mlp(2 * config.hit_width + NUMBERS, config.width, config.width)
        self.seen = nn.Linear(config.width, config.hit_width)
        self.again = mlp(2 * config.hit_width, 2 * config.hit_width, config.hit_width)

    def forward(self, x: Tensor, position: Tensor, mask: Tensor, numbers: Tensor) -> tuple[Tensor, Tensor]:
        """See `Body`."""
        hits = self.hits(x)
        event = self.event(torch.cat([pooled(hits, mask), numbers], 1))
        seen = self.seen(event)[:, None].expand(-1, x.shape[1], -1)
        return hits + self.again(torch.cat([hits, seen], 2)), event


class PointsSet(PointsNetwork):
    """`network=points_set`."""

    body = SetBody


def pooled(hits: Tensor, mask: Tensor) -> Tensor:
    """Mean and maximum over the hits of each event [n, 2 * channels]; zero of events without hits."""
    there = mask[..., None]
    mean = (hits * there).sum(1) / there.sum(1).clamp_min(1)
    largest = hits.masked_fill(~there, -torch.inf).amax(1)
    return torch.cat([mean, largest.masked_fill(~mask.any(1, keepdim=True), 0.0)], 1)
