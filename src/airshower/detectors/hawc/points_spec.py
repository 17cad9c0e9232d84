"""The spec of hits in tanks as points at the positions of their PMTs."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Self

import numpy as np

from airshower.data.containers import Points
from airshower.data.hits import TankHits
from airshower.data.spec import PointsSpec
from airshower.detectors.hawc.quantities import point_features
from airshower.geometry.tank_array import PMTS, TankArray


@dataclass(frozen=True, eq=False)
class HawcPointsSpec(PointsSpec):
    """`sensors` are the PMTs in the order of their grid ids; `central` bool [PMTs] is True for the one in the middle of
    each tank, `lower` bool [PMTs] for those in the lower cell of a double-layer tank."""

    central: np.ndarray
    lower: np.ndarray = field(default_factory=lambda: np.zeros(PMTS, bool))  # older checkpoints are of HAWC

    @classmethod
    def of_array(cls, features: Sequence[str], array: TankArray) -> Self:
        """Points with these features at the PMTs of an array."""
        centre = np.array([*array.centre, array.position[:, 2].mean()])
        quantities = point_features(list(features))
        return cls(("x", "y", "z"), "m", quantities, centre, array.position, array.central, array.lower)

    def points(self, hits: TankHits, events: int) -> Points:
        """The hits of events as points, in the order of events and PMTs."""
        order = np.lexsort((hits.grid_id, hits.event))
        hits = hits.rows(order)
        pmt = hits.grid_id - 1
        values = {"charge": hits.charge, "time": hits.time, "central": self.central[pmt], "lower": self.lower[pmt]}
        scaled = [quantity.scaled(values[quantity.name]) for quantity in self.features]
        return Points(
            self.sensors[pmt].astype(np.float32), np.stack(scaled, 1), np.bincount(hits.event, minlength=events)
        )
