"""Bins of a histogram: edges at round values, and how many events are in each bin. Bins exclude their lower edge."""

from itertools import pairwise

import numpy as np

BINS_PER_DECADE = 5  # as CTAO's performance is published
MOST_LINEAR_BINS = 12
MOST_EQUAL_BINS = 8


def log_edges(values: np.ndarray) -> np.ndarray:
    """Edges of logarithmic bins, five a decade, that hold all of `values` [n], which are above 0. They lie at the same
    values for all data."""
    position = BINS_PER_DECADE * np.log10(values)
    first = np.ceil(position.min()) - 1
    last = np.ceil(position.max())
    return 10.0 ** (np.arange(first, last + 1) / BINS_PER_DECADE)


def linear_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins that hold all of `values` [n], 0 and above, and are 1, 2 or 5 times a power of ten wide. Edges of
    integers lie half way between these."""
    integers = np.issubdtype(values.dtype, np.integer)
    least = max(float(values.max()) / MOST_LINEAR_BINS, 1.0 if integers else 1e-9)
    power = 10.0 ** np.floor(np.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    first = step * np.floor(values.min() / step) - (0.5 if integers else 0.0)
    return first + step * np.arange(int(np.ceil((values.max() - first) / step)) + 1)


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value, int64 [n]: -1 below the first edge, `len(edges) - 1` above the last. Lower edges are
    excluded, except the lowest if it is 0."""
    return np.where((values == 0) & (edges[0] == 0), 0, np.digitize(values, edges, right=True) - 1)


def counts_in(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Numbers of `values` [n] in bins, int64 [bins]; values outside of `edges` are left out."""
    index = bin_of(values, edges)
    return np.bincount(index[(index >= 0) & (index < len(edges) - 1)], minlength=len(edges) - 1)


def migration(true: np.ndarray, reconstructed: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The migration matrix, int64 [bins of true, bins of reconstructed values]; events with either outside of `edges`
    are left out."""
    bins = len(edges) - 1
    row = bin_of(true, edges)
    column = bin_of(reconstructed, edges)
    inside = (np.minimum(row, column) >= 0) & (np.maximum(row, column) < bins)
    return np.bincount(row[inside] * bins + column[inside], minlength=bins**2).reshape(bins, bins)


def equal_bins(x: np.ndarray, y: np.ndarray, smallest: int = 8) -> tuple[np.ndarray, ...]:
    """In up to 8 bins of `x` [n] with equal numbers of events, at least `smallest`: edges [bins + 1], half way between
    events, and [bins] each the mean of `x`, the mean of `y`, its standard error, and the number of events."""
    order = np.argsort(x)
    groups = np.array_split(order, max(1, min(MOST_EQUAL_BINS, len(order) // smallest)))
    inner = [(x[low[-1]] + x[high[0]]) / 2 for low, high in pairwise(groups)]
    centre, mean = (np.array([values[group].mean() for group in groups]) for values in (x, y))
    error = np.array([y[group].std(ddof=1) / np.sqrt(len(group)) if len(group) > 1 else 0.0 for group in groups])
    return np.array([x.min(), *inner, x.max()]), centre, mean, error, np.array([len(group) for group in groups])
