"""One rank of several, without the others."""

import numpy as np

from airshower.runtime.ranks import Ranks


class OneOf(Ranks):
    """Rank `rank` of several that are not there: what the master would scatter is drawn here, on every rank."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size

    @property
    def master(self) -> bool:
        return True

    def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
        assert rows is not None
        assert rows.shape == (self.size, width)
        return rows[self.rank]
