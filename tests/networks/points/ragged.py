"""Batches of points in another order."""

import numpy as np

from airshower.data.containers import Points


def shuffled(batch: Points) -> Points:
    """The same events, the points of each in another order."""
    rng = np.random.default_rng(2)
    ends = np.cumsum(batch.counts)
    order = np.concatenate([rng.permutation(np.arange(a, b)) for a, b in zip(ends - batch.counts, ends, strict=True)])
    return Points(batch.position[order], batch.features[order], batch.counts)
