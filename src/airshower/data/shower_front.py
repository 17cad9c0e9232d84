"""The front of a shower, in which its particles come: nearly a plane, but curved and thick, as hits' times show it."""

from dataclasses import dataclass

import numpy as np

from airshower.data.tanks import TankHits

LIGHT_SPEED = 0.299792458  # m/ns
CURVATURE = 0.10  # ns/m that the front is behind its plane
THICKNESS, THICKNESS_RADIUS, THICKNESS_POWER = 4.0, 30.0, 1.2  # ns and m (Linsley)
JITTER = 2.0  # ns, of a hit
LEAST_CHARGE = 0.2  # p.e., of less the time is not said to be worse
NEAR_PLANE = 50.0, 120.0  # ns before and after the front: hits that it is fitted to


@dataclass(frozen=True)
class Plane:
    """Planes of events [n]: `towards` [n, 2], horizontal part of the unit vector to where they come from; [hits] each:
    ns `behind` the plane, and how `late` that is for the front there, with its `weight`, 1/ns2, 0 where a hit was not
    used; `failed` bool [n] where no direction has such a vector, or too few hits were used."""

    towards: np.ndarray
    behind: np.ndarray
    late: np.ndarray
    weight: np.ndarray
    failed: np.ndarray

    @property
    def near(self) -> np.ndarray:
        """Hits that are not far from the front."""
        return (self.late > -NEAR_PLANE[0]) & (self.late < NEAR_PLANE[1])


def front_thickness(distance: np.ndarray, charge: np.ndarray) -> np.ndarray:
    """Mean time (ns) from the front of the shower to the first of so many photoelectrons, at a distance from the axis;
    also how much that varies."""
    return THICKNESS * (1.0 + distance / THICKNESS_RADIUS) ** THICKNESS_POWER / np.sqrt(charge)


def fit_plane(hits: TankHits, used: np.ndarray, off: np.ndarray, distance: np.ndarray, events: int) -> Plane:
    """The planes through the times of the hits in use (bool [hits]), at places `off` [hits, 2] from the core of their
    event and at a `distance` [hits] from its axis, in m; corrected for the curvature and the thickness of the front."""
    assert hits.time is not None
    x, y = off.T
    thickness = front_thickness(distance, np.maximum(hits.charge, LEAST_CHARGE))
    weight = used / (thickness**2 + JITTER**2)
    flat = hits.time - CURVATURE * distance - thickness
    design = np.stack([np.ones_like(x), -x / LIGHT_SPEED, -y / LIGHT_SPEED])
    sums = [np.bincount(hits.event, weight * one * other, events) for one in design for other in (*design, flat)]
    sums = np.stack(sums, 1).reshape(-1, 3, 4)
    found = np.linalg.solve(sums[..., :3] + 1e-6 * np.eye(3), sums[..., 3:])[..., 0]
    plane = (design * found[hits.event].T).sum(0)
    failed = (np.hypot(*found[:, 1:].T) >= 1.0) | (np.bincount(hits.event, used, events) < len(design))
    return Plane(np.where(failed[:, None], 0.0, found[:, 1:]), hits.time - plane, flat - plane, weight, failed)
