"""Direction, core and parameters of events, from what the PMTs saw alone, all events at once.

The direction is that of a plane through the hits' times, the core that of a lateral distribution fitted to the tanks'
light, after the steps of HAWC's own (Abeysekara et al. 2017, ApJ 843, 39).
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from airshower.detectors.hawc.array import TankArray
from airshower.detectors.hawc.event_fields import FAILED_ZENITH
from airshower.detectors.hawc.images import LIGHT_SPEED
from airshower.detectors.hawc.simulation.showers import MOLIERE, axis_distance, horizontal, relative
from airshower.detectors.hawc.simulation.tanks import (
    CURVATURE,
    JITTER,
    LEAST_CHARGE,
    TRIGGER_TIME,
    TRIGGER_WINDOW,
    Hits,
    front_thickness,
)

AGE = 1.2  # of the fitted lateral distribution, by the published width of cores; power of the light
NEAREST = 5.0  # m
GRID = (7.0, 0.0, 110.0), (20.0, 110.0, 450.0)  # m: step, and distances from the middle, where it is looked for first
CORE_STEPS = 4  # from there
LONGEST_STEP, FARTHEST = 20.0, 450.0  # m per step, m from the middle of the array
PLANE_STEPS = 3
NEAR_PLANE = 50.0, 120.0  # ns before and after the plane: hits it is fitted to
OF_EVENT = 300.0, 500.0  # ns likewise: hits that count
EXCLUDED = 40.0  # m around the core that CxPE40 leaves out
RING = 10.0  # m, rings of PINC
LOG_SPREAD = 0.5  # of log10 of the charge around that of its ring


@dataclass(frozen=True)
class Reconstructed:
    """[n] each: angles in rad, core in m, hits and tanks of the shower, its light and how that is spread."""

    zenith: np.ndarray
    azimuth: np.ndarray
    core: np.ndarray  # [n, 2]
    hits: np.ndarray
    tanks: np.ndarray
    log_charge: np.ndarray  # log10 of p.e.
    compactness_charge: np.ndarray  # CxPE40, p.e.
    pinc: np.ndarray


def reconstruct(hits: Hits, array: TankArray) -> Reconstructed:
    """What the hits say of the showers."""
    shower = hits.charge > 0
    charge = np.where(shower, hits.charge, hits.noise_charge)
    time = np.where(shower, hits.time, hits.noise_time)
    used = (charge > 0) & (np.abs(time - TRIGGER_TIME) < TRIGGER_WINDOW)
    middle = (charge * used) @ array.position[:, :2] / np.maximum((charge * used).sum(1), 1e-9)[:, None]
    plane = fit_plane(charge, time, used, middle, np.zeros((len(charge), 2)), array)
    core = fit_core(_tanks(charge * plane.near), plane.towards, array)
    for _ in range(PLANE_STEPS):
        plane = fit_plane(charge, time, plane.near, core, plane.towards, array)
    of_event = (plane.late > -OF_EVENT[0]) & (plane.late < OF_EVENT[1])
    return _parameters(np.where(of_event, charge, 0.0), core, plane, array)


@dataclass(frozen=True)
class Plane:
    """`towards` [n, 2], horizontal part of the unit vector to where it comes from; `late` [n, 1200], ns that hits are
    behind it; `near` bool [n, 1200], hits that are not far from it; `failed` bool [n]."""

    towards: np.ndarray
    late: np.ndarray
    near: np.ndarray
    failed: np.ndarray


def fit_plane(
    charge: np.ndarray, time: np.ndarray, used: np.ndarray, core: np.ndarray, towards: np.ndarray, array: TankArray
) -> Plane:
    """The plane through the times of the hits in use (bool [n, 1200]), corrected for the front's curvature about the
    core and for its thickness."""
    x, y = relative(array.position[:, :2], core)
    distance, hit = axis_distance(towards, x, y), charge > 0
    thickness = front_thickness(distance, np.maximum(charge, LEAST_CHARGE))
    weight = used / (thickness**2 + JITTER**2)
    flat = (time - CURVATURE * distance - thickness) * hit
    design = np.stack([np.ones_like(x), -x / np.float32(LIGHT_SPEED), -y / np.float32(LIGHT_SPEED)], 2)
    weighted = np.swapaxes(design * weight[..., None], 1, 2)
    found = np.linalg.solve(weighted @ design + 1e-6 * np.eye(3), weighted @ flat[..., None])
    late = flat - (design @ found)[..., 0]
    towards = found[:, 1:, 0]
    failed = np.hypot(*towards.T) >= 1.0
    near = (late > -NEAR_PLANE[0]) & (late < NEAR_PLANE[1]) & hit
    return Plane(np.where(failed[:, None], 0.0, towards), late, near, failed)


def fit_core(light: np.ndarray, towards: np.ndarray, array: TankArray) -> np.ndarray:
    """Where [n, 2] the light of tanks [n, 300] is shared among them most likely as a lateral distribution says: the best
    of a grid of places, for vertical showers, then steps of Fisher's scoring."""
    places, logarithms = _grid(array)
    core = places[(light @ logarithms.T).argmax(1)]
    for _ in range(CORE_STEPS):
        share, x, y = _shares(core, towards, array)
        x, y = (slope - (share * slope).sum(1, keepdims=True) for slope in (x, y))
        all_light = light.sum(1) + 1e-6
        xx, yy, xy = (all_light * (share * one * other).sum(1) for one, other in ((x, x), (y, y), (x, y)))
        xx, yy = 1.01 * xx, 1.01 * yy
        right, up = (light * x).sum(1), (light * y).sum(1)
        step = np.stack([yy * right - xy * up, xx * up - xy * right], 1) / (xx * yy - xy**2)[:, None]
        core = array.centre + limited(core + limited(step, LONGEST_STEP) - array.centre, FARTHEST)
    return core


def limited(vectors: np.ndarray, most: float) -> np.ndarray:
    """Vectors [n, 2], none longer than this."""
    return vectors * np.minimum(1.0, most / np.maximum(np.hypot(*vectors.T), 1e-9))[:, None]


def _tanks(charge: np.ndarray) -> np.ndarray:
    return charge.reshape(len(charge), charge.shape[1] // 4, 4).sum(2)


@cache
def _grid(array: TankArray) -> tuple[np.ndarray, np.ndarray]:
    """Places [places, 2] on the array and, farther apart, around it, and what tanks see from there, of norm 1 [places,
    300]."""
    places = [np.empty((0, 2))]
    for step, low, high in GRID:
        axis = np.arange(-high, high + step, step)
        x, y = (axis.ravel() for axis in np.meshgrid(axis, axis))
        inside = (np.hypot(x, y) >= low) & (np.hypot(x, y) <= high)
        places.append(array.centre + np.stack([x, y], 1)[inside])
    found = np.concatenate(places)
    light = _lateral(np.hypot(*relative(array.tank_position[:, :2], found)))[0]
    return found, np.log(light / light.sum(1, keepdims=True)).astype(np.float32)


def _shares(
    core: np.ndarray, towards: np.ndarray, array: TankArray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The share of the light that each tank has with a core for each event, and how its logarithm changes with the
    core's x and y, but for a number that is the same for all tanks [n, 300] each."""
    x, y = relative(array.tank_position[:, :2], core)
    east, north = towards.T.astype(np.float32)[..., None]
    along = x * east + y * north
    distance = np.sqrt(np.maximum(x * x + y * y - along * along, 1.0))
    light, slope = _lateral(distance)
    steep = slope / distance
    return light / light.sum(1, keepdims=True), steep * (along * east - x), steep * (along * north - y)


def _lateral(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Light at a distance from the axis, of any height, and the slope of its logarithm."""
    x = np.maximum(distance, NEAREST) / np.float32(MOLIERE)
    return x ** (AGE - 3.0) * (1.0 + x) ** (AGE - 4.5), ((AGE - 3.0) / x + (AGE - 4.5) / (1.0 + x)) / MOLIERE


def _parameters(charge: np.ndarray, core: np.ndarray, plane: Plane, array: TankArray) -> Reconstructed:
    zenith = np.where(plane.failed, FAILED_ZENITH, np.arcsin(np.minimum(np.hypot(*plane.towards.T), 1.0)))
    azimuth = np.where(plane.failed, 0.0, np.arctan2(*plane.towards.T[::-1]))
    distance = axis_distance(horizontal(zenith, azimuth), *relative(array.position[:, :2], core))
    hit = charge > 0
    return Reconstructed(
        zenith=zenith,
        azimuth=azimuth,
        core=core,
        hits=hit.sum(1),
        tanks=hit.reshape(len(charge), hit.shape[1] // 4, 4).any(2).sum(1),
        log_charge=np.log10(np.maximum(charge.sum(1), 1e-2)),
        compactness_charge=np.where(distance > EXCLUDED, charge, 0.0).max(1),
        pinc=_pinc(charge, distance),
    )


def _pinc(charge: np.ndarray, distance: np.ndarray) -> np.ndarray:
    """How much the logarithm of the charge differs from its mean in rings around the core: little for gammas."""
    event, pmt = np.nonzero(charge)
    value = np.log10(charge[event, pmt])
    ring = (distance[event, pmt] / RING).astype(np.int64)
    ring = event * (ring.max(initial=0) + 1) + ring
    mean = np.bincount(ring, value) / np.maximum(np.bincount(ring), 1)
    off = ((value - mean[ring]) / LOG_SPREAD) ** 2
    return np.bincount(event, off, len(charge)) / np.maximum(np.bincount(event, minlength=len(charge)), 1)
