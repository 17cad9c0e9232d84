"""Distances between the distributions of two samples of events.

`features` are [events, features], scaled so that the reference sample has mean 0 and standard deviation 1. `groups`
int64 [n + m], from 0 on, is the group of each event of both samples. Events of a group have something in common, such
as the conditions that they were generated for, so pairs within a group are nearer than by chance. Random draws have a
seed. scipy is imported where it is used, as that takes long.
"""

import numpy as np

from airshower.statistics.containment import central_interval
from airshower.statistics.measured import Measured

FRECHET_PIECES = 4  # samples are whole, and split into halves, thirds and quarters
BATCHES = 10  # batches of the kernel distance, and groups of the jackknife
MOST_IN_BATCH = 5000
LEAST_GROUPS = 10  # one for each group of the jackknife

Grouped = tuple[np.ndarray, np.ndarray]  # features and groups of one sample


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray, period: float = 0.0) -> float:
    """The largest difference between the cumulative distributions of two samples [n], [m]. For angles, which have a
    `period`, the sum of the largest excess of each over the other (Kuiper 1960), which does not depend on the origin of
    angles."""
    if not period:
        return float(np.abs(_excess(one, other)[1]).max())
    excess = _excess(one % period, other % period)[1]
    return float(max(excess.max(), 0.0) - min(excess.min(), 0.0))


def wasserstein(one: np.ndarray, other: np.ndarray, period: float = 0.0) -> float:
    """The Wasserstein-1 distance of two samples [n], [m]: the least mean distance by which values must be moved to turn
    one into the other. Angles, which have a `period`, move along the circle: the difference of cumulative distributions
    counts from its median (Cabrelli & Molter 1995)."""
    if not period:
        from scipy.stats import wasserstein_distance

        return float(wasserstein_distance(one, other))
    values, excess = _excess(one % period, other % period)
    widths = np.diff(values, append=values[0] + period)
    order = np.argsort(excess)
    median = excess[order[np.searchsorted(np.cumsum(widths[order]), period / 2).clip(max=len(order) - 1)]]
    return float(np.sum(widths * np.abs(excess - median)))


def rank_correlations(features: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each pair of features [features, features]; 0 for constant features."""
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0)
    ranks -= ranks.mean(0)
    norm = np.sqrt((ranks**2).sum(0))
    return ranks.T @ ranks / np.where(norm, norm, 1.0) / np.where(norm, norm, 1.0)[:, None]


def groups_of(rows: np.ndarray) -> np.ndarray:
    """Groups int64 [n] of equal rows [n, values]. If rows have no values, or fewer than ten rows differ, each event is
    a separate group."""
    groups = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1) if rows.size else np.zeros(len(rows), np.int64)
    return groups if len(groups) and groups.max() + 1 >= LEAST_GROUPS else np.arange(len(rows))


def frechet_distance(reference: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Measured:
    """The Frechet physics distance (Kansal et al., arXiv:2211.10295) of features: the squared 2-Wasserstein distance of
    Gaussians with their means and covariances, for infinitely many events.

    The distance of finite samples is too large by terms in 1/n (Chong & Forsyth, arXiv:1911.07023): a line through the
    means over disjoint halves, thirds, quarters, and the whole, gives the limit; the error is a jackknife's. Both are
    split by groups: events of a group stay together in all parts, or the slope of the line would change.
    """
    ranks = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
    samples = []
    for features, rank in zip((reference, other), np.split(ranks, [len(reference)]), strict=True):
        order = np.argsort(rank, kind="stable")
        samples.append((features[order], rank[order]))
    left_out = [_limit(*(features[rank % BATCHES != part] for features, rank in samples)) for part in range(BATCHES)]
    return Measured(_limit(*(features for features, _ in samples)), float(np.sqrt((BATCHES - 1) * np.var(left_out))))


def kernel_distance(reference: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Measured:
    """The kernel physics distance (Kansal et al., arXiv:2211.10295) of features: the squared maximum mean discrepancy
    (Gretton et al. 2012), unbiased, with the kernel (x y / features + 1)^4, over pairs of different groups.

    As in that paper, the median over ten random batches of at most 5000 events, with half of their central 68 % as its
    error. Smaller samples have batches of half their size, which differ from each other about as much as whole
    samples."""
    generator = np.random.default_rng(seed)
    samples = list(zip((reference, other), np.split(groups, [len(reference)]), strict=True))
    discrepancies = []
    for _ in range(BATCHES):
        batches = []
        for features, group in samples:
            rows = generator.permutation(len(features))[: min(len(features) // 2, MOST_IN_BATCH)]
            batches.append((features[rows], group[rows]))
        discrepancies.append(_discrepancy(*batches))
    low, high = central_interval(np.array(discrepancies))
    return Measured(float(np.median(discrepancies)), float(high - low) / 2)


def nearest(events: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The distance of each event [n] to the nearest training event, in features [n, features], [m, features]."""
    from scipy.spatial import KDTree

    return KDTree(training).query(events)[0]


def _excess(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Sorted values of both samples [n + m], and at these the cumulative distribution of one less that of the other."""
    values = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(sample), values, "right") / len(sample) for sample in (one, other)]
    return values, shares[0] - shares[1]


def _limit(reference: np.ndarray, other: np.ndarray) -> float:
    """The distance extrapolated to infinitely many events."""
    pieces = np.arange(1, FRECHET_PIECES + 1)
    means = []
    for count in pieces:
        parts = (np.array_split(features, count) for features in (reference, other))
        means.append(np.mean([_frechet(x, y) for x, y in zip(*parts, strict=True)]))
    return float(np.polyfit(pieces, means, 1)[1])


def _frechet(one: np.ndarray, other: np.ndarray) -> float:
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other)]
    # a product of covariances has the eigenvalues of a positive matrix
    common = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0.0)).sum()
    shift = np.sum((one.mean(0) - other.mean(0)) ** 2)
    return float(shift + sum(np.trace(covariance) for covariance in covariances) - 2 * common)


def _discrepancy(one: Grouped, other: Grouped) -> float:
    def mean_of_pairs(x: Grouped, y: Grouped) -> float:
        square = np.square(x[0] @ y[0].T / x[0].shape[1] + 1.0)
        kernel = np.square(square, out=square)  # much faster than the fourth power
        return np.mean(kernel, where=x[1][:, None] != y[1])

    return float(mean_of_pairs(one, one) + mean_of_pairs(other, other) - 2 * mean_of_pairs(one, other))
