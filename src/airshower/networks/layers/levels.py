"""Images in levels: whole numbers in place of values between 0 and 1."""

import math

from torch import Tensor

from airshower.data.spec import ImagesSpec


def quantise(images: Tensor, levels: int) -> Tensor:
    """Images [n, channels, rows, columns] between 0 and 1 as int64 of 0 to `levels` - 1.

    0 is no hit, in all channels, and nothing else: a hit (the charge is above 0) has the nearest of the other levels in
    each channel, 1 where its charge or its time would be rounded to 0. Times of cells without charge are left out.
    """
    hit = images[:, :1] > 0
    return (images * (levels - 1)).round().long().clamp(1, levels - 1) * hit


def dequantise(numbers: Tensor, levels: int) -> Tensor:
    """The centres of the levels, float32 between 0 and 1; `quantise` gives the same levels of them."""
    return numbers.float() / (levels - 1)


def bits_per_dimension(nats: Tensor, spec: ImagesSpec) -> tuple[Tensor, Tensor]:
    """Of log-likelihoods [n] in natural units: bits for each number of the cells that have a PMT, and for each number
    of all cells, as in publications on other images; each [n]."""
    bits = -nats / math.log(2)
    channels = len(spec.channels)
    return bits / (channels * int((~spec.dead).sum())), bits / (channels * spec.dead.size)
