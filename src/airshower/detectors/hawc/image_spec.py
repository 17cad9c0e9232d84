"""The spec of HAWC's images, with the quantities and profiles of their comparison."""

from dataclasses import dataclass

import numpy as np

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.spec import ComparedImagesSpec
from airshower.detectors.hawc import summary


@dataclass(frozen=True, eq=False)
class HawcImagesSpec(ComparedImagesSpec):
    """`time` is plane (behind the shower's plane) or absolute."""

    time: str = "plane"

    @property
    def summary_quantities(self) -> tuple[Quantity, ...]:
        """See `ComparedImagesSpec`."""
        return summary.summary_quantities(self, self.time)

    def summaries(self, hits: TankHits, events: int) -> Records:
        """See `ComparedImagesSpec` and `summary.summaries`."""
        return summary.summaries(hits, events, self, self.time)

    def centres(self, hits: TankHits, events: int) -> np.ndarray:
        """See `ComparedImagesSpec`."""
        return summary.charge_centroid(hits, events, self)

    def lateral_profile(self, hits: TankHits, centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """See `ComparedImagesSpec`."""
        return summary.lateral_profile(hits, centres, edges, self)

    def residual_profile(self, hits: TankHits, centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """See `ComparedImagesSpec`."""
        return summary.residual_profile(hits, centres, edges, self)
