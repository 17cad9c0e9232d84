"""Direction, core and parameters of events, from hits only, for all events at once.

The direction is that of a plane through the hits' times, the core that of a lateral distribution fitted to the tanks'
light, after the steps of HAWC's own (Abeysekara et al. 2017, ApJ 843, 39). The core's fit maximises the
likelihood of the fractions of light in tanks. A least-squares fit would pull showers beside the array, most of whose
tanks have no light, onto it.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import FAILED_ZENITH
from airshower.detectors.hawc.images import one_hit_each
from airshower.detectors.hawc.simulation.showers import MOLIERE, axis_distance, limited, relative
from airshower.detectors.hawc.simulation.tanks import LOWER_MUONS, TRIGGER_TIME, TRIGGER_WINDOW
from airshower.detectors.hawc.summary import compactness_charge, pinc
from airshower.geometry.shower_front import Plane, fit_plane
from airshower.geometry.sky import angles_of_east_north, east_north
from airshower.geometry.tank_array import TankArray

AGE = 1.15  # of the fitted lateral distribution of light, r^(s-3) near the axis: a fit by the published width of cores
NEAREST = 5.0  # m, below which it does not rise
GRID = (7.0, 0.0, 110.0), (25.0, 110.0, 600.0)  # m: step, and range of distances from the middle, of the initial grid
GRID_RADIUS = 90.0  # m, of an array with this grid; those of others are in proportion
CORE_STEPS = 4  # from there
LONGEST_STEP = 20.0  # m
PLANE_STEPS = 3
OF_EVENT = 250.0, 500.0  # ns before and after the plane: hits that count; a fit by their published number


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


def reconstruct(hits: TankHits, events: int, array: TankArray) -> Reconstructed:
    """The reconstruction of `events` events from their hits."""
    hits = one_hit_each(hits, "largest")
    assert hits.time is not None
    used = np.abs(hits.time - TRIGGER_TIME) < TRIGGER_WINDOW
    light = hits.charge * used
    position = array.position[hits.grid_id - 1, :2]
    middle = np.stack([np.bincount(hits.event, light * axis, events) for axis in position.T], 1)
    middle = middle / np.maximum(np.bincount(hits.event, light, events), 1e-9)[:, None]
    plane = _fit_plane(hits, used, middle, np.zeros((events, 2)), array)
    core = fit_core(_tank_light(hits, plane.near, events, array), plane.towards, array)
    for _ in range(PLANE_STEPS):
        plane = _fit_plane(hits, plane.near, core, plane.towards, array)
    of_event = (plane.late > -OF_EVENT[0]) & (plane.late < OF_EVENT[1])
    return _parameters(hits.rows(of_event), core, plane, array)


def _tank_light(hits: TankHits, used: np.ndarray, events: int, array: TankArray) -> np.ndarray:
    """Charge of the hits in use in each tank, p.e. [events, tanks]; of double-layer tanks that in the upper cell, less
    the light of muons, which the lower cell measures."""
    number = len(array.tank_position)
    tank = number * hits.event + array.tank[hits.grid_id - 1]
    lower = array.lower[hits.grid_id - 1]
    light = np.bincount(tank, hits.charge * (used & ~lower), number * events)
    if lower.any():
        light = np.maximum(light - np.bincount(tank, hits.charge * (used & lower), number * events) / LOWER_MUONS, 0.0)
    return light.reshape(events, number)


def _fit_plane(hits: TankHits, used: np.ndarray, core: np.ndarray, towards: np.ndarray, array: TankArray) -> Plane:
    """The plane through the times of the hits in use, with the front's curvature about the core [n, 2] of showers from
    a direction `towards` [n, 2]."""
    off = array.position[hits.grid_id - 1, :2] - core[hits.event]
    return fit_plane(hits, used, off, axis_distance(towards[hits.event], *off.T), len(core))


def fit_core(light: np.ndarray, towards: np.ndarray, array: TankArray) -> np.ndarray:
    """Cores [n, 2] with the largest likelihood of the lateral distribution for the light of tanks [n, tanks]: the best
    point of a grid for vertical showers, then steps of Fisher's scoring."""
    light, (places, logarithms) = light.astype(np.float32), _grid(array)
    core = places[(light @ logarithms.T).argmax(1)]
    farthest = GRID[-1][-1] * _grid_scale(array)
    for _ in range(CORE_STEPS):
        share, x, y = _shares(core, towards, array)
        x, y = (slope - (share * slope).sum(1, keepdims=True) for slope in (x, y))
        all_light = light.sum(1) + 1e-6
        xx, yy, xy = (all_light * (share * one * other).sum(1) for one, other in ((x, x), (y, y), (x, y)))
        xx = 1.01 * xx
        yy = 1.01 * yy
        right = (light * x).sum(1)
        up = (light * y).sum(1)
        step = np.stack([yy * right - xy * up, xx * up - xy * right], 1) / (xx * yy - xy**2)[:, None]
        core = array.centre + limited(core + limited(step, LONGEST_STEP) - array.centre, farthest)
    return core


@cache
def _grid(array: TankArray) -> tuple[np.ndarray, np.ndarray]:
    """Grid points [points, 2] on the array and, with larger steps, around it, and the logarithms of the tanks'
    fractions of light for cores at these points [points, tanks]."""
    places = [np.empty((0, 2))]
    for step, low, high in _grid_scale(array) * np.array(GRID):
        axis = np.arange(-high, high + step, step)
        x, y = (axis.ravel() for axis in np.meshgrid(axis, axis))
        inside = (np.hypot(x, y) >= low) & (np.hypot(x, y) <= high)
        places.append(array.centre + np.stack([x, y], 1)[inside])
    positions = np.concatenate(places)
    light = _lateral(np.hypot(*relative(array.tank_position[:, :2], positions)))[0]
    return positions, np.log(light / light.sum(1, keepdims=True)).astype(np.float32)


def _grid_scale(array: TankArray) -> float:
    """The size of the initial grid, 1 for HAWC."""
    return array.radius / GRID_RADIUS


def _shares(core: np.ndarray, towards: np.ndarray, array: TankArray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The fraction of light in each tank for the core of each event, and the derivatives of its logarithm by the core's
    x and y up to a constant that is common to all tanks, [n, tanks] each."""
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


def _parameters(hits: TankHits, core: np.ndarray, plane: Plane, array: TankArray) -> Reconstructed:
    zenith, azimuth = angles_of_east_north(plane.towards)
    zenith = np.where(plane.failed, FAILED_ZENITH, zenith)
    azimuth = np.where(plane.failed, 0.0, azimuth)
    off = array.position[hits.grid_id - 1, :2] - core[hits.event]
    distance = axis_distance(east_north(zenith, azimuth)[hits.event], *off.T)
    number = len(array.tank_position)
    tanks = np.unique(number * hits.event + array.tank[hits.grid_id - 1]) // number
    return Reconstructed(
        zenith=zenith,
        azimuth=azimuth,
        core=core,
        hits=np.bincount(hits.event, minlength=len(core)),
        tanks=np.bincount(tanks, minlength=len(core)),
        log_charge=np.log10(np.maximum(np.bincount(hits.event, hits.charge, len(core)), 1e-2)),
        compactness_charge=compactness_charge(hits, distance, len(core)),
        pinc=pinc(hits, distance, len(core)),
    )
