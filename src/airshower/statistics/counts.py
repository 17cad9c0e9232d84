"""Distributions as tensors of counts, which add up over batches and ranks, and statistics of these counts."""

import math

import torch
from torch import Tensor

from airshower.statistics.containment import CONTAINMENT

# logarithmic bins of errors from 1e-5 to 1e5 in any unit; the first and the last bin include values below and above
LEAST_ERROR = 1e-5
ERROR_STEP = 0.01
ERROR_BINS = 2304
# bins of scaled values from -8 to 8; the first and the last bin include values outside
VALUE_REACH = 8.0
VALUE_BINS = 800


def count_errors(errors: Tensor, weight: Tensor) -> Tensor:
    """A histogram of errors [n], not negative, each with its weight [n]: float64 [ERROR_BINS]."""
    index = ((errors.detach().double().clamp_min(LEAST_ERROR) / LEAST_ERROR).log() / ERROR_STEP).long()
    counts = weight.new_zeros(ERROR_BINS, dtype=torch.float64)
    return counts.index_add_(0, index.clamp_max(ERROR_BINS - 1), weight.double())


def contained(counts: Tensor, share: float = CONTAINMENT) -> float:
    """The error that contains the given fraction of errors, from `count_errors`; NaN without counts."""
    cumulated = counts.double().cumsum(0)
    wanted = share * float(cumulated[-1])
    if not wanted > 0:
        return math.nan
    index = int((cumulated < wanted).sum())
    fraction = (wanted - float(cumulated[index] - counts[index])) / float(counts[index])
    return LEAST_ERROR * math.exp(ERROR_STEP * (index + fraction))


def area_under_roc(signal: Tensor, background: Tensor) -> float:
    """The probability that a signal event scores higher than one of background, ties counting half, from their counts
    [bins] in bins of rising score; NaN where either has no events."""
    signal = signal.double()
    background = background.double()
    below = background.cumsum(0) - background / 2
    pairs = float(signal.sum() * background.sum())
    return float((signal * below).sum()) / pairs if pairs else math.nan


def count_values(scaled: Tensor) -> Tensor:
    """Histograms of the columns of scaled values [n, quantities]: float64 [quantities, VALUE_BINS]."""
    bins = ((scaled + VALUE_REACH) * (VALUE_BINS / (2 * VALUE_REACH))).long().clamp(0, VALUE_BINS - 1)
    counts = scaled.new_zeros(scaled.shape[1], VALUE_BINS, dtype=torch.float64)
    return counts.scatter_add_(1, bins.T, torch.ones_like(bins.T, dtype=torch.float64))


def mean_distances(one: Tensor, other: Tensor) -> dict[str, float]:
    """Distances between distributions from `count_values`, as means over quantities: `KS`, the largest difference of
    cumulative distributions (Kolmogorov-Smirnov), and `Wasserstein`, the integral of that difference in scaled units
    (Wasserstein-1)."""
    difference = (_cumulative(one) - _cumulative(other)).abs()
    integral = float(difference.sum(1).mean()) * 2 * VALUE_REACH / VALUE_BINS
    return {"KS": float(difference.amax(1).mean()), "Wasserstein": integral}


def _cumulative(counts: Tensor) -> Tensor:
    return counts.cumsum(1) / counts.sum(1, keepdim=True).clamp_min(1)
