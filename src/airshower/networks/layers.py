"""Fully connected layers."""

import itertools
from collections.abc import Sequence

from torch import nn


def perceptron(sizes: Sequence[int], slope: float = 0.0, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these sizes, inputs first; between them leaky rectifiers of this `slope` below zero."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])
