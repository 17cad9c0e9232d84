"""How far apart two samples of events are: statistics of arrays.

`features` are [events, features], of real events with mean 0 and standard deviation 1. `groups` int64 [n + m], from 0
on, says which events, of the real sample or of the other, have something in common, as the conditions that they were
made of: pairs of these are nearer than by chance. What is left to chance is drawn with a seed. Libraries that take long
to import are imported where they are used.
"""

from typing import Any, NamedTuple

import numpy as np

from airshower.tasks.shower_metrics import placements

FRECHET_PIECES = 4  # a sample as a whole, in halves, in thirds, in quarters
BATCHES = 10  # of the kernel distance, and groups of the jackknife
MOST_IN_BATCH = 5000
FOLDS = 5
UNITS, PATIENCE = (64,), 3  # of the perceptron: a hidden layer, and epochs without a gain
LEAST_GROUPS = 10  # a batch, and two of each fold

Scores = tuple[np.ndarray, np.ndarray]  # of events of two samples
Grouped = tuple[np.ndarray, np.ndarray]  # features and groups of one sample


class Measured(NamedTuple):
    """A number and its standard error."""

    value: float
    error: float


def kolmogorov_smirnov(one: np.ndarray, other: np.ndarray, period: float = 0.0) -> float:
    """The largest difference between the cumulative distributions of two samples [n], [m]. Of angles, the largest
    excess of each over the other, added (Kuiper 1960), which does not depend on where the turn begins."""
    if not period:
        return float(np.abs(_excess(one, other)[1]).max())
    excess = _excess(one % period, other % period)[1]
    return float(max(excess.max(), 0.0) - min(excess.min(), 0.0))


def wasserstein(one: np.ndarray, other: np.ndarray, period: float = 0.0) -> float:
    """The least mean distance by which values must be moved to make one sample [n] of the other [m]. Angles are moved
    along the circle: the difference of cumulative distributions counts from its median (Cabrelli & Molter 1995)."""
    if not period:
        from scipy.stats import wasserstein_distance

        return float(wasserstein_distance(one, other))
    places, excess = _excess(one % period, other % period)
    widths = np.diff(places, append=places[0] + period)
    order = np.argsort(excess)
    median = excess[order[np.searchsorted(np.cumsum(widths[order]), period / 2).clip(max=len(order) - 1)]]
    return float(np.sum(widths * np.abs(excess - median)))


def rank_correlations(features: np.ndarray) -> np.ndarray:
    """Spearman's correlation of each pair of features [features, features]; 0 where one does not vary."""
    from scipy.stats import rankdata

    ranks = rankdata(features, axis=0)
    ranks -= ranks.mean(0)
    norm = np.sqrt((ranks**2).sum(0))
    return ranks.T @ ranks / np.where(norm, norm, 1.0) / np.where(norm, norm, 1.0)[:, None]


def groups_of(rows: np.ndarray) -> np.ndarray:
    """Groups [n] of rows [n, values] that are equal. All are groups of their own where rows have no values, or where
    there are too few different ones to cut samples by."""
    groups = np.unique(rows, axis=0, return_inverse=True)[1].reshape(-1) if rows.size else np.zeros(len(rows), np.int64)
    return groups if len(groups) and groups.max() + 1 >= LEAST_GROUPS else np.arange(len(rows))


def frechet_distance(real: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Measured:
    """The Frechet physics distance (Kansal et al., arXiv:2211.10295) of features: the squared 2-Wasserstein distance of
    Gaussians with their means and covariances, for infinitely many events.

    The distance of finite samples is too large by terms in 1/n (Chong & Forsyth, arXiv:1911.07023): a line through the
    means over disjoint halves, thirds, quarters, and the whole, gives the limit; the error is a jackknife's. Both are
    cut by groups: events that share one must do so in quarters as in the whole, or the line has another slope.
    """
    ranks = np.random.default_rng(seed).permutation(groups.max() + 1)[groups]
    samples = []
    for features, rank in zip((real, other), np.split(ranks, [len(real)]), strict=True):
        order = np.argsort(rank, kind="stable")
        samples.append((features[order], rank[order]))
    left_out = [_limit(*(features[rank % BATCHES != part] for features, rank in samples)) for part in range(BATCHES)]
    return Measured(_limit(*(features for features, _ in samples)), float(np.sqrt((BATCHES - 1) * np.var(left_out))))


def kernel_distance(real: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Measured:
    """The kernel physics distance (Kansal et al., arXiv:2211.10295) of features: the squared maximum mean discrepancy
    (Gretton et al. 2012), unbiased, with the kernel (x y / features + 1)^4, over pairs of different groups. As there
    the median of ten random batches of at most 5000 events, with half of their central 68 % as its error; batches are
    halves of smaller samples, which differ among themselves about as much as whole samples do."""
    generator = np.random.default_rng(seed)
    samples = list(zip((real, other), np.split(groups, [len(real)]), strict=True))
    found = []
    for _ in range(BATCHES):
        batches = []
        for features, of in samples:
            rows = generator.permutation(len(features))[: min(len(features) // 2, MOST_IN_BATCH)]
            batches.append((features[rows], of[rows]))
        found.append(_discrepancy(*batches))
    low, high = np.percentile(found, [15.87, 84.13])
    return Measured(float(np.median(found)), float(high - low) / 2)


def classifier_scores(real: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Scores:
    """How probable boosted trees find it that an event [n], [m] is of the other sample, each judged by trees that have
    not seen it, nor any of its group."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _cross_validated(HistGradientBoostingClassifier(random_state=seed), real, other, groups, seed)


def image_classifier_scores(real: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Scores:
    """The same of what images have in each tank, float32 [n, numbers], by a perceptron, which trains until a tenth of
    the events is told no better: trees take ten times as long for so many numbers. Cells one by one tell it less."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    perceptron = MLPClassifier(UNITS, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed)
    return _cross_validated(make_pipeline(StandardScaler(), perceptron), real, other, groups, seed)


def area_under_roc(real: np.ndarray, other: np.ndarray) -> Measured:
    """The probability that an event of the other sample [m] has a higher score than one of the real [n], ties counting
    half, with its error (DeLong et al. 1988)."""
    of_other, of_real = placements(other, real), placements(real, other)
    variance = np.var(of_other, ddof=1) / len(other) + np.var(of_real, ddof=1) / len(real)
    return Measured(float(of_other.mean()), float(np.sqrt(variance)))


def nearest(events: np.ndarray, training: np.ndarray) -> np.ndarray:
    """The distance of each event [n] to the nearest of those trained on, in features."""
    from scipy.spatial import KDTree

    return KDTree(training).query(events)[0]


def _excess(one: np.ndarray, other: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The values of both samples in order [n + m], and how much larger the share of one up to there is than of the
    other."""
    places = np.sort(np.concatenate([one, other]))
    shares = [np.searchsorted(np.sort(values), places, "right") / len(values) for values in (one, other)]
    return places, shares[0] - shares[1]


def _limit(real: np.ndarray, other: np.ndarray) -> float:
    pieces = np.arange(1, FRECHET_PIECES + 1)
    found = []
    for count in pieces:
        parts = (np.array_split(features, count) for features in (real, other))
        found.append(np.mean([_frechet(x, y) for x, y in zip(*parts, strict=True)]))
    return float(np.polyfit(pieces, found, 1)[1])


def _frechet(one: np.ndarray, other: np.ndarray) -> float:
    covariances = [np.atleast_2d(np.cov(features, rowvar=False)) for features in (one, other)]
    # a product of covariances has the eigenvalues of a positive matrix
    common = np.sqrt(np.linalg.eigvals(covariances[0] @ covariances[1]).real.clip(0.0)).sum()
    apart = np.sum((one.mean(0) - other.mean(0)) ** 2)
    return float(apart + sum(np.trace(covariance) for covariance in covariances) - 2 * common)


def _discrepancy(one: Grouped, other: Grouped) -> float:
    def mean_of_pairs(x: Grouped, y: Grouped) -> float:
        square = np.square(x[0] @ y[0].T / x[0].shape[1] + 1.0)
        kernel = np.square(square, out=square)  # much faster than the fourth power
        return np.mean(kernel, where=x[1][:, None] != y[1])

    return float(mean_of_pairs(one, one) + mean_of_pairs(other, other) - 2 * mean_of_pairs(one, other))


def _cross_validated(classifier: Any, real: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int) -> Scores:
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    label = np.repeat([0, 1], [len(real), len(other)])
    split = PredefinedSplit(_folds(groups, label, seed))
    features = np.concatenate([real, other])
    found = np.asarray(cross_val_predict(classifier, features, label, cv=split, method="predict_proba"))[:, 1]
    return found[: len(real)], found[len(real) :]


def _folds(groups: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each event: that of its group. Groups of like composition are dealt out in turn, so that all folds
    have about the same share of both samples."""
    count = int(groups.max()) + 1
    share = np.bincount(groups, label) / np.bincount(groups)
    order = np.lexsort([np.random.default_rng(seed).random(count), share])
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % FOLDS
    return fold[groups]
