"""Direction, core and parameters of events, from what the PMTs saw alone, all events at once.

The direction is that of a plane through the hits' times, the core that of a lateral distribution fitted to the tanks'
light, as HAWC does it (Abeysekara et al. 2017, ApJ 843, 39).
"""

from dataclasses import dataclass

import numpy as np

from airshower.detectors.hawc.array import TankArray
from airshower.detectors.hawc.simulation.showers import MOLIERE, axis_distance, horizontal
from airshower.detectors.hawc.simulation.tanks import LIGHT_SPEED, TRIGGER_TIME, TRIGGER_WINDOW, Hits, front_delay

CORE_RADIUS, TAIL = 10.0, 5e-5  # m and per m2: the core and the tail of the fitted lateral distribution
CORE_STEPS, LONGEST_STEP, FARTHEST = 10, 40.0, 300.0  # m per step, m from the middle of the array
NEAR_PLANE = 50.0, 100.0  # ns before and after the plane: hits of the shower
EXCLUDED = 40.0  # m around the core that CxPE40 leaves out
RING = 10.0  # m, rings of PINC
LOG_SPREAD = 0.5  # of log10 of the charge around that of its ring
FAILED = np.pi  # zenith angle of events that no plane fits


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
    weight = np.minimum(charge, 100.0) * (np.abs(time - TRIGGER_TIME) < 4.0 * TRIGGER_WINDOW)
    light = (charge * (weight > 0)).reshape(len(charge), -1, 4).sum(2)
    core = light @ array.tank_position[:, :2] / np.maximum(light.sum(1), 1e-9)[:, None]
    towards = np.zeros((len(charge), 2))
    start = fit_plane(charge, time, weight * (np.abs(time - TRIGGER_TIME) < TRIGGER_WINDOW), core, towards, array)
    core = fit_core(light, core, start.towards, array)
    plane = start
    for _ in range(3):
        plane = fit_plane(charge, time, weight * plane.near, core, plane.towards, array)
    kept = plane.near & (weight > 0)
    return _parameters(np.where(kept, charge, 0.0), core, plane, array)


@dataclass(frozen=True)
class Plane:
    """`towards` [n, 2], horizontal part of the unit vector to where it comes from; `near` bool [n, 1200], hits that
    are not far from it; `failed` bool [n]."""

    towards: np.ndarray
    near: np.ndarray
    failed: np.ndarray


def fit_plane(
    charge: np.ndarray, time: np.ndarray, weight: np.ndarray, core: np.ndarray, towards: np.ndarray, array: TankArray
) -> Plane:
    """The plane through the times of hits, corrected for the front's curvature about the core."""
    relative = array.position[:, :2] - core[:, None]
    flat = (time - front_delay(axis_distance(towards, relative))) * (charge > 0)
    design = np.concatenate([np.ones((*charge.shape, 1)), -relative / LIGHT_SPEED], 2)
    weighted = np.swapaxes(design * weight[..., None], 1, 2)
    normal = weighted @ design + 1e-3 * np.eye(3)
    found = np.linalg.solve(normal, weighted @ flat[..., None])
    late = flat - (design @ found)[..., 0]
    towards = found[:, 1:, 0]
    length = np.hypot(*towards.T)
    failed = length >= 1.0
    towards = np.where(failed[:, None], 0.0, towards)
    near = (late > -NEAR_PLANE[0]) & (late < NEAR_PLANE[1]) & (charge > 0)
    return Plane(towards, near, failed)


def fit_core(light: np.ndarray, start: np.ndarray, towards: np.ndarray, array: TankArray) -> np.ndarray:
    """Where [n, 2] a lateral distribution fits the roots of the tanks' light [n, 300] best, which all vary alike; steps
    of Gauss and Newton, the height of the distribution is the best one at each."""
    places, root = array.tank_position[:, :2], np.sqrt(light)
    core = start.copy()
    for _ in range(CORE_STEPS):
        relative = places - core[:, None]
        along = np.einsum("nti,ni->nt", relative, towards)
        distance = np.sqrt(np.maximum((relative**2).sum(2) - along**2, 1.0))
        shape, slope = _lateral_root(distance)
        height = ((root * shape).sum(1) / (shape**2).sum(1))[:, None]
        change = (height * slope / distance)[..., None] * (along[..., None] * towards[:, None] - relative)
        normal = np.swapaxes(change, 1, 2) @ change
        gradient = (change * (root - height * shape)[..., None]).sum(1)
        damped = normal + np.eye(2) * (0.01 * np.trace(normal, axis1=1, axis2=2) + 1e-6)[:, None, None]
        step = np.linalg.solve(damped, gradient[..., None])[..., 0]
        core += step * np.minimum(1.0, LONGEST_STEP / np.maximum(np.hypot(*step.T), 1e-9))[:, None]
        away = core - array.centre
        core = array.centre + away * np.minimum(1.0, FARTHEST / np.maximum(np.hypot(*away.T), 1e-9))[:, None]
    return core


def _lateral_root(distance: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The root of a normal distribution with a tail (m^-1), and its slope."""
    core = np.exp(-0.5 * (distance / CORE_RADIUS) ** 2) / (2.0 * np.pi * CORE_RADIUS**2)
    x = 0.5 + distance / MOLIERE
    tail = TAIL * x**-3
    root = np.sqrt(core + tail)
    return root, -0.5 * (core * distance / CORE_RADIUS**2 + 3.0 * tail / x / MOLIERE) / root


def _parameters(charge: np.ndarray, core: np.ndarray, plane: Plane, array: TankArray) -> Reconstructed:
    zenith = np.where(plane.failed, FAILED, np.arcsin(np.minimum(np.hypot(*plane.towards.T), 1.0)))
    azimuth = np.where(plane.failed, 0.0, np.arctan2(*plane.towards.T[::-1]))
    distance = axis_distance(horizontal(zenith, azimuth), array.position[:, :2] - core[:, None])
    hit = charge > 0
    return Reconstructed(
        zenith=zenith,
        azimuth=azimuth,
        core=core,
        hits=hit.sum(1),
        tanks=hit.reshape(len(charge), -1, 4).any(2).sum(1),
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
