"""Features of an event's quantities: what a network takes in and gives out of them."""

import math

import torch
from torch import Tensor

from airshower.data.quantity import Quantity

Quantities = tuple[Quantity, ...]


def context(conditions: Tensor, given: Quantities) -> Tensor:
    """Features of an event's scaled conditions; a network is `given` all of them, or none."""
    return encode(conditions[:, : len(given)], given)


def encode(scaled: Tensor, quantities: Quantities) -> Tensor:
    """Scaled values [n, quantities] as features [n, `encoded_size`]: angles as cosine and sine, so that a turn ends
    where it begins; others as they are. There may be none."""
    features = []
    for column, quantity in zip(scaled.unbind(1), quantities, strict=True):
        if quantity.period:
            angle = column * (2 * math.pi / scaled_turn(quantity))
            features += [angle.cos(), angle.sin()]
        else:
            features.append(column)
    return torch.stack(features, 1) if features else scaled.new_zeros(len(scaled), 0)


def decode(features: Tensor, quantities: Quantities) -> Tensor:
    """Inverse of `encode`; cosine and sine of an angle may have any length."""
    columns = []
    first = 0
    for quantity in quantities:
        if quantity.period:
            angle = torch.atan2(features[:, first + 1], features[:, first])
            columns.append(angle * (scaled_turn(quantity) / (2 * math.pi)))
            first += 2
        else:
            columns.append(features[:, first])
            first += 1
    return torch.stack(columns, 1)


def encoded_size(quantities: Quantities) -> int:
    """The number of features that `encode` makes."""
    return sum(2 if quantity.period else 1 for quantity in quantities)


def scaled_turn(quantity: Quantity) -> float:
    """The period of an angle in scaled units."""
    return quantity.period / quantity.width


def physical(quantity: Quantity, scaled: Tensor) -> Tensor:
    """`Quantity.physical` of tensors, float32; angles are not brought into one turn."""
    values = scaled.float() * quantity.width + quantity.middle
    return values.exp() - quantity.floor if quantity.logarithmic else values
