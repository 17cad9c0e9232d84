"""Quantities with a name and a unit, and their scaling to network inputs."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Quantity:
    """A number x in `unit`, whose network input is (x - `middle`) / `width`, with log(x + `floor`) in place of x where
    it is `logarithmic`. Angles repeat after `period` (0: no angle). Files have multiples of `step` (0: any number).
    `names` are those of 0, 1, ..., where these are classes."""

    name: str
    unit: str
    middle: float
    width: float
    logarithmic: bool = False
    floor: float = 0.0
    period: float = 0.0
    step: float = 0.0
    names: tuple[str, ...] = ()

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """Network inputs of these values, float32; NaN or infinite where there is no logarithm."""
        values = np.asarray(values, np.float64)
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(values + self.floor)
        return ((values - self.middle) / self.width).astype(np.float32)

    def physical(self, scaled: np.ndarray) -> np.ndarray:
        """Inverse of `scaled`: f8 in `unit`; angles in the turn around `middle`."""
        values = np.asarray(scaled, np.float64) * self.width + self.middle
        if self.logarithmic:
            return np.exp(values) - self.floor
        if self.period:
            low = self.middle - self.period / 2
            return (values - low) % self.period + low
        return values


def physical(quantities: Sequence[Quantity], scaled: np.ndarray) -> dict[str, np.ndarray]:
    """Scaled values [n, quantities] in their units, f8 [n] by name."""
    return {quantity.name: quantity.physical(column) for quantity, column in zip(quantities, scaled.T, strict=True)}
