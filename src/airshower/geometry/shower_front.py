"""The front of a shower, in which its particles arrive: nearly a plane, but curved and with a thickness."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np

LIGHT_SPEED = 0.299792458  # m/ns
CURVATURE = 0.10  # ns/m, delay of the front relative to its plane
THICKNESS, THICKNESS_RADIUS, THICKNESS_POWER = 4.0, 30.0, 1.2  # ns and m (Linsley)
JITTER = 2.0  # ns, of a hit
LEAST_CHARGE = 0.2  # p.e.; times of smaller hits have the same uncertainty
NEAR_PLANE = 50.0, 120.0  # ns before and after the front: window of hits used in the fit


class Hits(Protocol):
    """Hits of several events, [hits] each: `event` int64, `charge` in p.e., `time` in ns."""

    @property
    def event(self) -> np.ndarray:
        """The event of each hit, from 0."""
        ...

    @property
    def charge(self) -> np.ndarray:
        """p.e."""
        ...

    @property
    def time(self) -> np.ndarray | None:
        """ns; None for hits without times, to which no plane can be fitted."""
        ...


@dataclass(frozen=True)
class Plane:
    """Planes of events [n]. `towards` [n, 2] is the horizontal part of the unit vector towards the source. [hits] each:
    delay `behind` the plane in ns; delay `late` behind the curved and thick front in ns; `weight` in 1/ns2, 0 for
    unused hits. `failed` bool [n]: the vector is longer than 1, or too few hits were used."""

    towards: np.ndarray
    behind: np.ndarray
    late: np.ndarray
    weight: np.ndarray
    failed: np.ndarray

    @property
    def near(self) -> np.ndarray:
        """True for hits near the front, bool [hits]."""
        return (self.late > -NEAR_PLANE[0]) & (self.late < NEAR_PLANE[1])


def front_thickness(distance: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Mean time (ns) from the front to the first of `charge` photoelectrons at a distance (m) from the axis; also the
    standard deviation of that time."""
    return THICKNESS * (1.0 + distance / THICKNESS_RADIUS) ** THICKNESS_POWER / np.sqrt(charge)


def fit_plane(hits: Hits, used: np.ndarray, off: np.ndarray, distance: np.ndarray, events: int) -> Plane:
    """Fits planes to the times of the hits in use (bool [hits]), corrected for the curvature and the thickness of the
    front. Hits are at positions `off` [hits, 2] relative to the core of their event and at a `distance` [hits] from its
    axis, in m."""
    assert hits.time is not None
    x, y = off.T
    thickness = front_thickness(distance, np.maximum(hits.charge, LEAST_CHARGE))
    weight = used / (thickness**2 + JITTER**2)
    flat = hits.time - CURVATURE * distance - thickness
    design = np.stack([np.ones_like(x), -x / LIGHT_SPEED, -y / LIGHT_SPEED])
    sums = [np.bincount(hits.event, weight * one * other, events) for one in design for other in (*design, flat)]
    sums = np.stack(sums, 1).reshape(-1, 3, 4)
    solution = np.linalg.solve(sums[..., :3] + 1e-6 * np.eye(3), sums[..., 3:])[..., 0]
    plane = (design * solution[hits.event].T).sum(0)
    failed = (np.hypot(*solution[:, 1:].T) >= 1.0) | (np.bincount(hits.event, used, events) < len(design))
    return Plane(np.where(failed[:, None], 0.0, solution[:, 1:]), hits.time - plane, flat - plane, weight, failed)
