"""Numbers of an event as a network takes them in."""

import math

import torch
from torch import Tensor

from airshower.data.tanks import Quantity


def encode(scaled: Tensor, quantities: tuple[Quantity, ...]) -> Tensor:
    """Scaled values [n, quantities] as features [n, `encoded_size`]: angles as cosine and sine, so that a turn ends
    where it begins; others as they are."""
    features = []
    for column, quantity in zip(scaled.unbind(1), quantities, strict=True):
        if quantity.period:
            angle = column * (2 * math.pi * quantity.width / quantity.period)
            features += [angle.cos(), angle.sin()]
        else:
            features.append(column)
    return torch.stack(features, 1) if features else scaled.new_zeros(len(scaled), 0)


def encoded_size(quantities: tuple[Quantity, ...]) -> int:
    """The number of features that `encode` makes."""
    return sum(2 if quantity.period else 1 for quantity in quantities)
