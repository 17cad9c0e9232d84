"""Quantities of tank events, a spec of them, and random values."""

import math

import numpy as np
import torch

from airshower.data.table import Table
from airshower.data.tanks import Quantity, TankSpec

CHARGE = Quantity("charge", "p.e.", 1.0, 0.5)
COUNT = Quantity("count", "", 3.0, 0.8, logarithmic=True, step=1.0)
LEAK = Quantity("leak", "p.e.", 2.0, 1.0, logarithmic=True, floor=0.01, step=0.01)
ANGLE = Quantity("angle", "rad", 0.5, 1.8, period=2 * math.pi, step=1e-4)
ENERGY = Quantity("energy", "GeV", 7.0, 1.7, logarithmic=True)


def spec(parameters: tuple[Quantity, ...], conditions: tuple[Quantity, ...] = (ENERGY, ANGLE)) -> TankSpec:
    cell = np.zeros((0, 2), int)
    return TankSpec((), "plane", parameters, conditions, np.zeros((0, 3)), cell, np.full((4, 4), -1), ("gamma",))


def scaled(count: int, *quantities: Quantity) -> torch.Tensor:
    """Random values as files have them."""
    drawn = np.random.default_rng(len(quantities)).normal(0, 1, (count, len(quantities)))
    return torch.from_numpy(Table.of_scaled(quantities, drawn).scaled)
