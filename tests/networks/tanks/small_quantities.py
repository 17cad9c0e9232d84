"""Quantities of events, a spec of tables of them, and random values."""

import math

import numpy as np
import torch

from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.spec import Spec, TableSpec

CHARGE = Quantity("charge", "p.e.", 1.0, 0.5)
COUNT = Quantity("count", "", 3.0, 0.8, logarithmic=True, step=1.0)
LEAK = Quantity("leak", "p.e.", 2.0, 1.0, logarithmic=True, floor=0.01, step=0.01)
ANGLE = Quantity("angle", "rad", 0.5, 1.8, period=2 * math.pi, step=1e-4)
ENERGY = Quantity("energy", "GeV", 7.0, 1.7, logarithmic=True)


def spec(parameters: tuple[Quantity, ...], conditions: tuple[Quantity, ...] = (ENERGY, ANGLE)) -> Spec:
    return Spec({"parameters": TableSpec(parameters), "conditions": TableSpec(conditions)})


def scaled(count: int, *quantities: Quantity) -> torch.Tensor:
    """Random values as files have them."""
    drawn = np.random.default_rng(len(quantities)).normal(0, 1, (count, len(quantities)))
    return torch.from_numpy(Records.of_scaled(quantities, drawn).scaled)
