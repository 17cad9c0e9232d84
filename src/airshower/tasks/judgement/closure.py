"""Whether events have what was asked for: means and spreads of quantities in bins of a condition.

All in the values that networks see (logarithms of quantities that have one), so a mean there is a geometric mean in
physical units. Means of angles are directions of mean vectors, their spread is the angular deviation (Batschelet 1981).
"""

from dataclasses import dataclass

import numpy as np

from airshower.data.table import Table
from airshower.data.tanks import Quantity
from airshower.writers.curves import Curve

MOST_BINS, BIN_EVENTS = 8, 25
DIRECTED = 9.0  # n R^2 from which angles are said to have a mean: by chance once in e^9 = 8,000 times (Rayleigh)


@dataclass(frozen=True, eq=False)
class Moments:
    """Of one quantity in bins of a condition [bins]: mean and spread with their standard errors, as scaled, NaN where
    there are too few events; `directed` says where the mean means something, as it does not for angles all around."""

    quantity: Quantity
    mean: np.ndarray
    mean_error: np.ndarray
    spread: np.ndarray
    spread_error: np.ndarray
    directed: np.ndarray
    events: np.ndarray

    def band(self, shown: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The mean and one spread below and above it [bins], in the quantity's unit; NaN where it is not `shown`."""
        centre = np.where(shown, self.quantity.physical(self.mean), np.nan)
        if self.quantity.period:
            return centre, centre - self.quantity.width * self.spread, centre + self.quantity.width * self.spread
        low, high = (self.quantity.physical(self.mean + sign * self.spread) for sign in (-1, 1))
        return centre, low, high


@dataclass(frozen=True, eq=False)
class Closure:
    """Real and other events in the same bins of a condition: `edges` [bins + 1] in its unit, moments quantity by
    quantity, and what differences are in units of: the standard deviations of all real events, as scaled."""

    condition: Quantity
    edges: np.ndarray
    real: list[Moments]
    other: list[Moments]
    units: list[float]

    def mean_differences(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """Of the other's means from the real ones, with errors [bins], quantity by quantity; angles the short way, and
        NaN where the real ones have no mean."""
        found = []
        for real, other, unit in zip(self.real, self.other, self.units, strict=True):
            difference = other.mean - real.mean
            if turn := real.quantity.period / real.quantity.width:
                difference = np.where(real.directed, (difference + turn / 2) % turn - turn / 2, np.nan)
            found.append((difference / unit, np.hypot(real.mean_error, other.mean_error) / unit))
        return found

    def spread_differences(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """The same of the spreads."""
        return [
            ((other.spread - real.spread) / unit, np.hypot(real.spread_error, other.spread_error) / unit)
            for real, other, unit in zip(self.real, self.other, self.units, strict=True)
        ]

    def curves(self) -> list[Curve]:
        """Both against the condition."""
        found = []
        for what, differences in (("mean", self.mean_differences()), ("spread", self.spread_differences())):
            for moments, (value, error) in zip(self.other, differences, strict=True):
                name = moments.quantity.name
                title = f"{what} of {name}, generated less real"
                against = self.condition.name, self.condition.name, self.condition.unit, self.condition.logarithmic
                curve = f"closure_{what}/{name}", title, "standard deviations", *against, self.edges, value, error
                found.append(Curve(*curve, moments.events))
        return found


def closures(real: Table, real_conditions: Table, other: Table, other_conditions: Table) -> list[Closure]:
    """One for each condition that varies, in bins of equal numbers of real events, or of each value where there are
    few."""
    found = []
    units = [deviation(quantity, column) for quantity, column in zip(real.quantities, real.scaled.T, strict=True)]
    for (condition, values), (_, others) in zip(real_conditions.columns(), other_conditions.columns(), strict=True):
        edges = _edges(condition, values)
        if len(edges) > 2:
            places = (np.searchsorted(edges[1:-1], column) for column in (values, others))
            parts = (_moments(table, place, len(edges) - 1) for table, place in zip((real, other), places, strict=True))
            found.append(Closure(condition, edges, *parts, units=units))
    return found


def deviation(quantity: Quantity, scaled: np.ndarray) -> float:
    """The standard deviation, of angles the angular deviation, of scaled values; 1 where they do not vary."""
    return float(_of_angles(quantity, scaled)[2] if quantity.period else np.std(scaled, dtype=np.float64)) or 1.0


def _edges(condition: Quantity, values: np.ndarray) -> np.ndarray:
    """Edges of bins with about the same number of values [n]; fewer bins where values repeat. Each of a few steps, as
    of classes, has a bin of its own."""
    few = np.unique(values)
    if condition.step and len(few) <= MOST_BINS:
        half = condition.step / 2
        return np.concatenate([few[:1] - half, (few[1:] + few[:-1]) / 2, few[-1:] + half])
    bins = max(1, min(MOST_BINS, len(values) // BIN_EVENTS))
    return np.unique(np.quantile(values, np.linspace(0, 1, bins + 1)))


def _moments(table: Table, place: np.ndarray, bins: int) -> list[Moments]:
    found = []
    for quantity, column in zip(table.quantities, table.scaled.T.astype(np.float64), strict=True):
        groups = [column[place == index] for index in range(bins)]
        few = (np.nan, np.nan, np.nan, np.nan, 0.0)
        numbers = np.array([_of_bin(quantity, group) if len(group) > 2 else few for group in groups])
        *moments, directed = numbers.T
        events = np.array([len(group) for group in groups])
        found.append(Moments(quantity, *moments, directed=directed > 0, events=events))
    return found


def _of_bin(quantity: Quantity, values: np.ndarray) -> tuple[float, float, float, float, float]:
    """Mean, its error, spread, its error, and 1 where there is a mean."""
    if not quantity.period:
        spread = float(np.std(values, ddof=1))
        return float(np.mean(values)), spread / np.sqrt(len(values)), spread, spread / np.sqrt(2 * len(values)), 1.0
    length, mean, spread = _of_angles(quantity, values)
    # of the spread as if it were of a line, of the mean as of vectors (Fisher 1993)
    turn = quantity.period / (2 * np.pi * quantity.width)
    around = np.mean(np.cos(2 * (values - mean) / turn))
    error = turn * np.sqrt(max(1 - around, 0.0) / 2 / len(values)) / max(length, 1e-9)
    return mean, error, spread, spread / np.sqrt(2 * len(values)), float(len(values) * length**2 > DIRECTED)


def _of_angles(quantity: Quantity, scaled: np.ndarray) -> tuple[float, float, float]:
    """Of scaled angles: the length of the mean vector, its direction and the angular deviation, both scaled."""
    turn = quantity.period / (2 * np.pi * quantity.width)
    vector = np.mean(np.exp(1j * np.asarray(scaled, np.float64) / turn))
    length = min(float(np.abs(vector)), 1.0)
    return length, turn * float(np.angle(vector)), turn * float(np.sqrt(2 * (1 - length)))
