"""Counts of any values in bins 0.4 % wide, which add up over batches and ranks without rounding."""

from typing import Self

import numpy as np

MANTISSA = 8  # leading bits that tell bins apart
SHIFT = 23 - MANTISSA
HALF = 1 << (31 - SHIFT)  # bins of values of one sign
LARGEST = float(np.finfo(np.float32).max)


class ValueCounts:
    """`counts` int64 [bins]: a bin has the float32 numbers that agree in sign, exponent and the leading bits of the
    mantissa, so there are 256 bins from a power of two to the next, whatever the range, and quantiles are right to
    0.4 %. 0 and whole numbers up to 512 begin a bin each."""

    def __init__(self) -> None:
        self.counts = np.zeros(2 * HALF, np.int64)

    def add(self, values: np.ndarray) -> None:
        """Count finite values [n]."""
        bits = np.ascontiguousarray(np.clip(values, -LARGEST, LARGEST) + 0.0, np.float32).view(np.int32)
        bins = (bits & 0x7FFFFFFF) >> SHIFT
        self.counts += np.bincount(np.where(bits < 0, HALF - 1 - bins, HALF + bins), minlength=2 * HALF)

    def joined(self, other: Self) -> None:
        """Add the counts of another one."""
        self.counts += other.counts

    @property
    def total(self) -> int:
        """The number of values."""
        return int(self.counts.sum())

    def of(self, value: float) -> int:
        """How many values share the bin of this one."""
        single = type(self)()
        single.add(np.array([value]))
        return int(self.counts[single.counts > 0].sum())

    def histogram(self, edges: np.ndarray) -> np.ndarray:
        """Numbers of values in bins with these edges, from the middles of the bins here: int64 [bins]. The last bin has
        its upper edge; what is outside is left out."""
        used = np.flatnonzero(self.counts)
        low, high = _edges(used)
        return np.histogram((low + high) / 2, edges, weights=self.counts[used])[0].astype(np.int64)

    def quantiles(self, shares: np.ndarray) -> np.ndarray:
        """The values below which these shares of all lie, f8; NaN without values. Within a bin values are taken to be
        uniform."""
        used = np.flatnonzero(self.counts)
        if not len(used):
            return np.full(len(shares), np.nan)
        ends = np.cumsum(self.counts[used])
        position = np.asarray(shares) * (ends[-1] - 1) + 0.5
        place = np.searchsorted(ends, position).clip(max=len(used) - 1)
        low, high = _edges(used[place])
        inside = (position - (ends[place] - self.counts[used[place]])) / self.counts[used[place]]
        return low + np.clip(inside, 0, 1) * (high - low)


def _edges(bins: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper edges of these bins, f8 each."""
    negative = bins < HALF
    place = np.where(negative, HALF - 1 - bins, bins - HALF)
    near, far = ((place + step).astype(np.int32) << SHIFT for step in (0, 1))
    near, far = (np.nan_to_num(bits.view(np.float32).astype(np.float64), posinf=LARGEST) for bits in (near, far))
    return np.where(negative, -far, near), np.where(negative, -near, far)
