"""Closure of generated events: means and spreads of quantities in bins of a condition.

All in scaled values (logarithms of logarithmic quantities), so a mean there is a geometric mean in
physical units. Means of angles are directions of mean vectors, their spread is the angular deviation (Batschelet 1981).
"""

from dataclasses import dataclass

import numpy as np

from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.writers.curves import Curve

MOST_BINS, BIN_EVENTS = 8, 25
DIRECTED = 9.0  # n R^2 above which angles have a mean: by chance once in e^9 = 8,000 times (Rayleigh test)


@dataclass(frozen=True, eq=False)
class Moments:
    """Mean and spread of one quantity in bins of a condition [bins] with their standard errors, scaled; NaN with too
    few events. `directed` is true where the mean is defined, which it is not for isotropic angles."""

    quantity: Quantity
    mean: np.ndarray
    mean_error: np.ndarray
    spread: np.ndarray
    spread_error: np.ndarray
    directed: np.ndarray
    events: np.ndarray

    def band(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean, and the mean less and plus the spread [bins], in the quantity's unit; NaN where `shown` is
        false."""
        centre = np.where(shown, self.quantity.physical(self.mean), np.nan)
        if self.quantity.period:
            return centre, centre - self.quantity.width * self.spread, centre + self.quantity.width * self.spread
        low, high = (self.quantity.physical(self.mean + sign * self.spread) for sign in (-1, 1))
        return centre, low, high


@dataclass(frozen=True, eq=False)
class Closure:
    """Reference and other events in the same bins of a condition: `edges` [bins + 1] in its unit, moments for each
    quantity, and the units of differences: the scaled standard deviations of all reference events."""

    condition: Quantity
    edges: np.ndarray
    reference: list[Moments]
    other: list[Moments]
    units: list[float]

    def mean_differences(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Differences of the other sample's means from the reference means, with errors [bins], for each quantity.
        Those of angles are wrapped; NaN without a reference mean."""
        differences = []
        for reference, other, unit in zip(self.reference, self.other, self.units, strict=True):
            difference = other.mean - reference.mean
            if turn := reference.quantity.period / reference.quantity.width:
                difference = np.where(reference.directed, (difference + turn / 2) % turn - turn / 2, np.nan)
            differences.append((difference / unit, np.hypot(reference.mean_error, other.mean_error) / unit))
        return differences

    def spread_differences(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """As `mean_differences` for spreads."""
        return [
            ((other.spread - reference.spread) / unit, np.hypot(reference.spread_error, other.spread_error) / unit)
            for reference, other, unit in zip(self.reference, self.other, self.units, strict=True)
        ]

    def curves(self) -> list[Curve]:
        """Differences of means and of spreads against the condition."""
        result = []
        for what, differences in (("mean", self.mean_differences()), ("spread", self.spread_differences())):
            for moments, (value, error) in zip(self.other, differences, strict=True):
                name = moments.quantity.name
                title = f"{what} of {name}, generated less reference"
                against = self.condition.name, self.condition.name, self.condition.unit, self.condition.logarithmic
                curve = f"closure_{what}/{name}", title, "standard deviations", *against, self.edges, value, error
                result.append(Curve(*curve, moments.events))
        return result


def closures(
    reference: Records, reference_conditions: Records, other: Records, other_conditions: Records
) -> list[Closure]:
    """A closure for each condition that varies, in bins of equal numbers of reference events, or one bin per value if
    there are few values."""
    result = []
    scaled = zip(reference.quantities, reference.scaled.T, strict=True)
    units = [deviation(quantity, column) for quantity, column in scaled]
    for (condition, values), (_, others) in zip(
        reference_conditions.columns(), other_conditions.columns(), strict=True
    ):
        edges = _edges(condition, values)
        if len(edges) > 2:
            bins = (np.searchsorted(edges[1:-1], column) for column in (values, others))
            parts = (
                _moments(table, rows, len(edges) - 1) for table, rows in zip((reference, other), bins, strict=True)
            )
            result.append(Closure(condition, edges, *parts, units=units))
    return result


def deviation(quantity: Quantity, scaled: np.ndarray) -> float:
    """The standard deviation of scaled values, for angles the angular deviation; 1 for constant values."""
    return float(_of_angles(quantity, scaled)[2] if quantity.period else np.std(scaled, dtype=np.float64)) or 1.0


def _edges(condition: Quantity, values: np.ndarray) -> np.ndarray:
    """Edges of bins with about the same number of values [n]; fewer bins if values repeat. Each of a few discrete
    values, such as classes, has a separate bin."""
    few = np.unique(values)
    if condition.step and len(few) <= MOST_BINS:
        half = condition.step / 2
        return np.concatenate([few[:1] - half, (few[1:] + few[:-1]) / 2, few[-1:] + half])
    bins = max(1, min(MOST_BINS, len(values) // BIN_EVENTS))
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def _moments(table: Records, bin_index: np.ndarray, bins: int) -> list[Moments]:
    result = []
    for quantity, column in zip(table.quantities, table.scaled.T.astype(np.float64), strict=True):
        groups = [column[bin_index == index] for index in range(bins)]
        few = (np.nan, np.nan, np.nan, np.nan, 0.0)
        numbers = np.array([_of_bin(quantity, group) if len(group) > 2 else few for group in groups])
        *moments, directed = numbers.T
        events = np.array([len(group) for group in groups])
        result.append(Moments(quantity, *moments, directed=directed > 0, events=events))
    return result


def _of_bin(quantity: Quantity, values: np.ndarray) -> tuple[float, float, float, float, float]:
    """Mean, its error, spread, its error, and 1 if the mean is defined."""
    if not quantity.period:
        spread = float(np.std(values, ddof=1))
        return float(np.mean(values)), spread / np.sqrt(len(values)), spread, spread / np.sqrt(2 * len(values)), 1.0
    length, mean, spread = _of_angles(quantity, values)
    # the error of the spread is that on a line, the error of the mean that of vectors (Fisher 1993)
    turn = quantity.period / (2 * np.pi * quantity.width)
    around = np.mean(np.cos(2 * (values - mean) / turn))
    error = turn * np.sqrt(max(1 - around, 0.0) / 2 / len(values)) / max(length, 1e-9)
    return mean, error, spread, spread / np.sqrt(2 * len(values)), float(len(values) * length**2 > DIRECTED)


def _of_angles(quantity: Quantity, scaled: np.ndarray) -> tuple[float, float, float]:
    """The length of the mean vector of scaled angles, its direction and the angular deviation, both scaled."""
    turn = quantity.period / (2 * np.pi * quantity.width)
    vector = np.mean(np.exp(1j * np.asarray(scaled, np.float64) / turn))
    length = min(float(np.abs(vector)), 1.0)
    return length, turn * float(np.angle(vector)), turn * float(np.sqrt(2 * (1 - length)))
