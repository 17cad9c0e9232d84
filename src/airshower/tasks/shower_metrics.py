"""The field's figures of merit for reconstructed showers, on arrays of events.

Definitions are those of ctaplot and pyirf: resolutions are 68.27 % containment, the bias of energy is a median, energy
bins are of true energy, lower edge excluded. What has no events is NaN.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

CONTAINMENT = 68.27  # percent
BOOTSTRAPS = 100
BINS_PER_DECADE = 4


def angular_separation(alt: np.ndarray, az: np.ndarray, other_alt: np.ndarray, other_az: np.ndarray) -> np.ndarray:
    """The angle between directions, all in rad. In the form with arctan2 (Vincenty 1975), which is exact at all angles,
    where arccos rounds small ones away."""
    turn = np.asarray(other_az, np.float64) - az
    sine, cosine, other_sine, other_cosine = np.sin(alt), np.cos(alt), np.sin(other_alt), np.cos(other_alt)
    across = np.hypot(other_cosine * np.sin(turn), cosine * other_sine - sine * other_cosine * np.cos(turn))
    return np.arctan2(across, sine * other_sine + cosine * other_cosine * np.cos(turn))


def angular_resolution(angle: np.ndarray) -> float:
    """The angle (any unit) within which 68.27 % of `angle` [n] lie: the root of the percentile of squares."""
    return float(np.sqrt(_percentile(np.square(angle))))


def energy_resolution(relative: np.ndarray) -> float:
    """Within which 68.27 % of the absolute relative errors, (reconstructed - true) / true, lie."""
    return _percentile(np.abs(relative))


def energy_bias(relative: np.ndarray) -> float:
    """The median of the relative errors."""
    return float(np.median(relative)) if len(relative) else np.nan


def area_under_roc(signal: Tensor, background: Tensor) -> float:
    """The probability that a signal event scores higher than one of background, ties counting half, from their counts
    in bins of rising score; NaN where one of both has no events."""
    signal, background = signal.double(), background.double()
    below = background.cumsum(0) - background / 2
    pairs = float(signal.sum() * background.sum())
    return float((signal * below).sum()) / pairs if pairs else float("nan")


def roc_curve(signal: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Efficiencies of background and of signal as a cut on the score goes down, both from 0 to 1 [n + 1]; equal scores
    are one step."""
    scores = np.concatenate([signal, background])
    order = np.argsort(-scores, kind="stable")
    is_signal = (order < len(signal)).astype(np.float64)
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    found, false = np.cumsum(is_signal)[last], np.cumsum(1 - is_signal)[last]
    return np.append(0, false / max(len(background), 1)), np.append(0, found / max(len(signal), 1))


def energy_edges(energy: np.ndarray) -> np.ndarray:
    """Edges of bins in TeV, four a decade at the same places for all data, that hold all of `energy` (above 0)."""
    place = BINS_PER_DECADE * np.log10(energy)
    low, high = np.ceil(place.min()) - 1, np.ceil(place.max())
    return 10.0 ** (np.arange(low, high + 1) / BINS_PER_DECADE)


def binned(
    energy: np.ndarray, values: np.ndarray, edges: np.ndarray, statistic: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In bins of `energy` [n]: a statistic of `values` [n], its standard error by bootstrap (Efron 1979, always the
    same draws), and the number of events [bins]; statistics of fewer than two events are NaN."""
    generator = np.random.default_rng(0)
    place = np.digitize(energy, edges, right=True) - 1
    groups = [values[place == index] for index in range(len(edges) - 1)]
    found = np.full((2, len(groups)), np.nan)
    for index, group in enumerate(groups):
        if len(group) > 1:
            drawn = [statistic(generator.choice(group, len(group))) for _ in range(BOOTSTRAPS)]
            found[:, index] = statistic(group), np.std(drawn, ddof=1)
    return found[0], found[1], np.array([len(group) for group in groups])


def _percentile(values: np.ndarray) -> float:
    return float(np.percentile(values, CONTAINMENT)) if len(values) else np.nan
