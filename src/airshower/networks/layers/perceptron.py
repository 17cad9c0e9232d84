"""Fully connected layers, and lists of layers."""

import itertools
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Generic, TypeVar

from torch import nn

Layer = TypeVar("Layer", bound=nn.Module)

if TYPE_CHECKING:

    class Layers(nn.ModuleList, Generic[Layer]):
        """`nn.ModuleList`, of which it is known what it holds."""

        def __init__(self, modules: Iterable[Layer] = ()): ...
        def __getitem__(self, index: int) -> Layer: ...
        def __iter__(self) -> Iterator[Layer]: ...

else:
    Layers = nn.ModuleList


def perceptron(sizes: Sequence[int], slope: float = 0.0, dropout: float = 0.0) -> nn.Sequential:
    """Linear layers of these sizes, inputs first; between them leaky rectifiers of this `slope` below zero."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(sizes):
        layers += [nn.Linear(inputs, outputs), nn.LeakyReLU(slope), nn.Dropout(dropout)]
    return nn.Sequential(*layers[:-2])
