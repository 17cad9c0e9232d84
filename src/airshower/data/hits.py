"""Hits of photomultipliers (PMTs)."""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np


class TankHits(NamedTuple):
    """Hits of many events: `event` and `grid_id` (from 1 on) int64, `charge` in p.e. and `time` in ns f8, each [hits];
    `time` is None where images, or files, have charges alone."""

    event: np.ndarray
    grid_id: np.ndarray
    charge: np.ndarray
    time: np.ndarray | None

    @property
    def values(self) -> list[np.ndarray]:
        """Charge, and time where there is one, in the order of `ImagesSpec.channels`."""
        return [self.charge] if self.time is None else [self.charge, self.time]

    def rows(self, chosen: np.ndarray) -> "TankHits":
        """The hits of these indices, or those where a mask bool [hits] is True."""
        time = None if self.time is None else self.time[chosen]
        return TankHits(self.event[chosen], self.grid_id[chosen], self.charge[chosen], time)

    @classmethod
    def joined(cls, parts: Sequence["TankHits"]) -> "TankHits":
        """The hits of all parts, of which there is one at least; all have times, or none has."""
        times = [part.time for part in parts if part.time is not None]
        return cls(
            np.concatenate([part.event for part in parts]),
            np.concatenate([part.grid_id for part in parts]),
            np.concatenate([part.charge for part in parts]),
            np.concatenate(times) if times else None,
        )
