"""Monotone functions of the interval [0, 1] onto itself, with inverse and derivative."""

import math

import torch
from torch import Tensor
from torch.nn import functional

LEAST_BIN = 1e-4  # of a bin's width and height
LEAST_SLOPE = 1e-3
UNIT = math.log(math.expm1(1 - LEAST_SLOPE))  # a slope of 1 before softplus


def spline_numbers(bins: int, periodic: bool) -> int:
    """How many numbers `monotone_spline` needs for one function."""
    return 3 * bins + (0 if periodic else 1)


def monotone_spline(x: Tensor, numbers: Tensor, periodic: bool, inverse: bool = False) -> tuple[Tensor, Tensor]:
    """The rational-quadratic spline (Durkan et al. 2019, equations 4 to 8) that each row of `numbers` [n,
    `spline_numbers`] describes, at `x` [n]: its value and the logarithm of its derivative, both [n]; with `inverse`
    the argument whose value is x, and the derivative of the inverse. All numbers 0 are the identity. A `periodic` one
    has the same slope at both ends."""
    bins = (numbers.shape[1] - (0 if periodic else 1)) // 3
    widths, heights, slopes = numbers.split([bins, bins, numbers.shape[1] - 2 * bins], 1)
    slope = LEAST_SLOPE + functional.softplus(slopes + UNIT)
    if periodic:
        slope = torch.cat([slope, slope[:, :1]], 1)
    across = _edges(widths)
    up = _edges(heights)
    inside = x.clamp(0, 1)[:, None]
    cell = torch.searchsorted(up if inverse else across, inside.contiguous(), right=True).clamp(1, bins)
    left = across.gather(1, cell - 1)[:, 0]
    right = across.gather(1, cell)[:, 0]
    low, high = up.gather(1, cell - 1)[:, 0], up.gather(1, cell)[:, 0]
    before = slope.gather(1, cell - 1)[:, 0]
    after = slope.gather(1, cell)[:, 0]
    mean = (high - low) / (right - left)
    bend = before + after - 2 * mean
    if inverse:
        above = inside[:, 0] - low
        a = (high - low) * (mean - before) + above * bend
        b = (high - low) * before - above * bend
        c = -mean * above
        share = 2 * c / (-b - (b.square() - 4 * a * c).clamp_min(0).sqrt())
    else:
        share = (inside[:, 0] - left) / (right - left)
    share = share.clamp(0, 1)
    mixed = share * (1 - share)
    below = mean + bend * mixed
    derivative = mean.square() * (after * share.square() + 2 * mean * mixed + before * (1 - share).square())
    log_slope = derivative.log() - 2 * below.log()
    if inverse:
        return left + share * (right - left), -log_slope
    return low + (high - low) * (mean * share.square() + before * mixed) / below, log_slope


def _edges(numbers: Tensor) -> Tensor:
    """Edges from 0 to 1 of bins whose sizes are the softmax of `numbers`."""
    bins = numbers.shape[1]
    sizes = LEAST_BIN + (1 - LEAST_BIN * bins) * numbers.softmax(1)
    edges = functional.pad(sizes.cumsum(1), (1, 0))
    return edges / edges[:, -1:]
