"""Distributions of quantities as counts, which add up over batches and ranks."""

import torch
from torch import Tensor

BINS, REACH = 800, 8.0  # of scaled values: what is further from 0 counts as at the edge


def count_values(scaled: Tensor) -> Tensor:
    """Histograms of the columns of scaled values [n, quantities]: float64 [quantities, `BINS`]."""
    bins = ((scaled + REACH) * (BINS / (2 * REACH))).long().clamp(0, BINS - 1)
    counts = scaled.new_zeros(scaled.shape[1], BINS, dtype=torch.float64)
    return counts.scatter_add_(1, bins.T, torch.ones_like(bins.T, dtype=torch.float64))


def distances(real: Tensor, generated: Tensor) -> dict[str, float]:
    """How far distributions [quantities, `BINS`] are apart: means over quantities of `KS`, the largest difference
    between the cumulated ones (Kolmogorov-Smirnov), and of `Wasserstein`, its integral in scaled units (Wasserstein-1
    distance)."""
    apart = (_cumulated(real) - _cumulated(generated)).abs()
    return {"KS": float(apart.amax(1).mean()), "Wasserstein": float(apart.sum(1).mean()) * 2 * REACH / BINS}


def _cumulated(counts: Tensor) -> Tensor:
    return counts.cumsum(1) / counts.sum(1, keepdim=True).clamp_min(1)
