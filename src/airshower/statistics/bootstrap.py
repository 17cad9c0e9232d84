"""Standard errors of any statistic by bootstrap (Efron, Annals of Statistics 7 (1979) 1)."""

from collections.abc import Callable

import numpy as np

from airshower.statistics.bins import bin_of
from airshower.statistics.measured import Measured

DRAWS = 100
SEED = 0
Statistic = Callable[[np.ndarray], float]


def bootstrap(values: np.ndarray, statistic: Statistic, generator: np.random.Generator | None = None) -> Measured:
    """A statistic of `values` [n] with its standard error, both NaN of fewer than two values. Draws are the same each
    time unless a `generator` is given."""
    if len(values) < 2:
        return Measured(np.nan, np.nan)
    generator = generator or np.random.default_rng(SEED)
    drawn = [statistic(generator.choice(values, len(values))) for _ in range(DRAWS)]
    return Measured(statistic(values), float(np.std(drawn, ddof=1)))


def bootstrap_in_bins(
    x: np.ndarray, values: np.ndarray, edges: np.ndarray, statistic: Statistic
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In bins of `x` [n]: a statistic of `values` [n], its standard error, and the number of events, [bins] each; NaN
    in bins of fewer than two events."""
    generator = np.random.default_rng(SEED)
    index = bin_of(x, edges)
    groups = [values[index == number] for number in range(len(edges) - 1)]
    value, error = np.array([bootstrap(group, statistic, generator) for group in groups]).T
    return value, error, np.array([len(group) for group in groups])
