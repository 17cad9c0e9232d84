"""A U-Net (Ronneberger et al. 2015) over the lattice of tanks, whose blocks are conditioned on features of the
event."""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.networks.layers.perceptron import Layers

GROUPS = 8  # of channels in group normalization (Wu & He 2018), which has no running statistics
HALVINGS = 2  # of the lattice of tanks
SLOWEST = 1e-3  # lowest frequency of the waves that encode a time, relative to the highest


class MapUnet(nn.Module):
    """Maps [n, inputs, rows, columns] of tanks and features of events [n, features] -> maps [n, outputs, rows,
    columns]; `width` channels at full resolution, twice as many at each halving, `blocks` residual blocks on the way
    down and up each. `position` [channels, rows, columns] is an input that is the same for all events."""

    def __init__(self, inputs: int, outputs: int, position: Tensor, width: int, blocks: int, features: int):
        super().__init__()
        widths = [width << level for level in range(HALVINGS + 1)]
        self.register_buffer("place", position[None], persistent=False)
        self.first = nn.Conv2d(inputs, width, 3, padding=1)
        self.where = nn.Conv2d(len(position), width, 3, padding=1, bias=False)
        self.down = Layers(_blocks(each, blocks, features) for each in widths)
        self.up = Layers(_blocks(each, blocks, features) for each in widths[:-1])
        self.smaller = nn.ModuleList(nn.Conv2d(each, 2 * each, 3, 2, 1) for each in widths[:-1])
        self.larger = nn.ModuleList(nn.Conv2d(2 * each, each, 1) for each in widths[:-1])
        self.norm = nn.GroupNorm(GROUPS, width)
        self.last = nn.Conv2d(width, outputs, 3, padding=1)
        for parameter in self.last.parameters():  # the output is zero before training
            nn.init.zeros_(parameter)

    def forward(self, maps: Tensor, features: Tensor) -> Tensor:
        """See the class."""
        x = self.first(maps) + self.where(self.place)
        passed = []
        for level, blocks in enumerate(self.down):
            if level:
                passed.append(x)
                x = self.smaller[level - 1](x)
            for block in blocks:
                x = block(x, features)
        for level in reversed(range(HALVINGS)):
            x = functional.interpolate(self.larger[level](x), scale_factor=2.0) + passed[level]
            for block in self.up[level]:
                x = block(x, features)
        return self.last(functional.silu(self.norm(x)))


class Block(nn.Module):
    """Two convolutions beside the identity. Between them the event's features scale and shift each channel (FiLM, Perez
    et al. 2018)."""

    def __init__(self, width: int, features: int):
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(GROUPS, width) for _ in range(2))
        self.layers = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))
        self.film = nn.Linear(features, 2 * width)

    def forward(self, x: Tensor, features: Tensor) -> Tensor:
        """See the class."""
        scale, shift = self.film(features)[:, :, None, None].chunk(2, 1)
        inner = self.layers[0](functional.silu(self.norms[0](x)))
        inner = self.norms[1](inner) * (1 + scale) + shift
        return x + self.layers[1](functional.silu(inner))


def waves(times: Tensor, count: int) -> Tensor:
    """Times [n] from 0 to 1 as sines and cosines [n, count] of up to 16 turns."""
    steps = torch.linspace(0, 1, count // 2, dtype=times.dtype, device=times.device)
    phase = times[:, None] * (2 * math.pi * 16) * SLOWEST**steps
    return torch.cat([phase.sin(), phase.cos()], 1)


def _blocks(width: int, count: int, features: int) -> nn.ModuleList:
    return nn.ModuleList(Block(width, features) for _ in range(count))
