"""The spec of HAWC's hits as points at the positions of their PMTs."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np

from airshower.data.containers import Points
from airshower.data.hits import TankHits
from airshower.data.spec import PointsSpec
from airshower.detectors.hawc.quantities import point_features
from airshower.geometry.tank_array import hawc_array


@dataclass(frozen=True, eq=False)
class HawcPointsSpec(PointsSpec):
    """`sensors` are the PMTs in the order of their grid ids; `central` bool [PMTs] is True for the one in the middle of
    each tank."""

    central: np.ndarray

    @classmethod
    def of_array(cls, features: Sequence[str], position: np.ndarray) -> Self:
        """Points with these features at PMTs with these positions [PMTs, 3] in m."""
        array = hawc_array()
        centre = np.array([*array.centre, position[:, 2].mean()])
        return cls(("x", "y", "z"), "m", point_features(list(features)), centre, position, array.central)

    def points(self, hits: TankHits, events: int) -> Points:
        """The hits of events as points, in the order of events and PMTs."""
        order = np.lexsort((hits.grid_id, hits.event))
        hits = hits.rows(order)
        pmt = hits.grid_id - 1
        values = {"charge": hits.charge, "time": hits.time, "central": self.central[pmt]}
        scaled = [quantity.scaled(values[quantity.name]) for quantity in self.features]
        return Points(
            self.sensors[pmt].astype(np.float32), np.stack(scaled, 1), np.bincount(hits.event, minlength=events)
        )
