"""Distributions of quantities as counts, which add up over batches and ranks."""

from collections.abc import Sequence

import torch
from torch import Tensor

from airshower.data.tanks import Quantity

BINS, REACH = 800, 8.0  # of scaled values: what is further from 0 counts as at the edge


def count_values(scaled: Tensor) -> Tensor:
    """Histograms of the columns of scaled values [n, quantities]: float64 [quantities, `BINS`]."""
    bins = ((scaled + REACH) * (BINS / (2 * REACH))).long().clamp(0, BINS - 1)
    counts = scaled.new_zeros(scaled.shape[1], BINS, dtype=torch.float64)
    return counts.scatter_add_(1, bins.T, torch.ones_like(bins.T, dtype=torch.float64))


def distances(real: Tensor, generated: Tensor, quantities: Sequence[Quantity]) -> dict[str, float]:
    """How far the columns' distributions [quantities, `BINS`] are apart: `KS`, the mean over quantities of the largest
    difference between the cumulated ones (Kolmogorov-Smirnov), and `W1`, of its integral in scaled units (Wasserstein-1
    distance); and `KS` of each quantity."""
    apart = (_cumulated(real) - _cumulated(generated)).abs()
    largest, between = apart.amax(1), apart.sum(1) * (2 * REACH / BINS)
    each = {f"KS/{quantity.name}": float(value) for quantity, value in zip(quantities, largest, strict=True)}
    return {"KS": float(largest.mean()), "W1": float(between.mean()), **each}


def _cumulated(counts: Tensor) -> Tensor:
    return counts.cumsum(1) / counts.sum(1, keepdim=True).clamp_min(1)
