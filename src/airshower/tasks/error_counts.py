"""Distributions of errors as counts in bins of 1 %, which add up over batches and ranks, and what is read off them."""

import math

import torch
from torch import Tensor

CONTAINMENT = 0.6827
LEAST, STEP, BINS = 1e-5, 0.01, 2304  # to 1e5 in whatever unit; what is below or above is in the first or last bin


def count_errors(errors: Tensor, weight: Tensor) -> Tensor:
    """Errors [n], not negative, each with its weight: float64 [BINS], the same number of bins for each factor."""
    place = ((errors.detach().double().clamp_min(LEAST) / LEAST).log() / STEP).long().clamp_max(BINS - 1)
    return weight.new_zeros(BINS, dtype=torch.float64).index_add_(0, place, weight.double())


def contained(counts: Tensor, share: float = CONTAINMENT) -> float:
    """The error below which this share of the counted is; NaN where nothing was counted."""
    below = counts.double().cumsum(0)
    wanted = share * float(below[-1])
    if not wanted > 0:
        return math.nan
    place = int((below < wanted).sum())
    inside = (wanted - float(below[place] - counts[place])) / float(counts[place])
    return LEAST * math.exp(STEP * (place + inside))
