"""Summaries of an event's hits: numbers, charge, centroid, spread and times."""

import numpy as np

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.spec import ImagesSpec
from airshower.geometry.shower_front import Plane, fit_plane
from airshower.geometry.sky import angles_of_east_north
from airshower.statistics.containment import central_interval

EXCLUDED = 40.0  # m around the core that CxPE40 excludes
RING = 10.0  # m, rings of PINC
LOG_SPREAD = 0.3  # of log10 of the charge around that of its ring: a fit by the PINC of the public Crab events
QUANTITIES = (
    Quantity("image.nHit", "", 4.68, 0.80, logarithmic=True, floor=1.0, step=1.0),
    Quantity("image.nTankHit", "", 4.09, 0.70, logarithmic=True, floor=1.0, step=1.0),
    Quantity("image.charge", "p.e.", 6.09, 1.30, logarithmic=True, floor=0.1),
    Quantity("image.largestCharge", "p.e.", 3.50, 1.30, logarithmic=True, floor=0.1),
    Quantity("image.CxPE40", "p.e.", 2.33, 1.00, logarithmic=True, floor=0.1),
    Quantity("image.PINC", "", 0.0, 1.0, logarithmic=True, floor=0.01),
    Quantity("image.coreX", "m", 40.0, 35.0),
    Quantity("image.coreY", "m", 245.0, 35.0),
    Quantity("image.width", "m", 40.0, 12.0),
)
TIMES = (
    Quantity("image.meanTime", "ns", 10.0, 20.0),
    Quantity("image.timeSpread", "ns", 20.0, 15.0),
    Quantity("image.planeChi2", "", 1.0, 0.95, logarithmic=True, floor=0.1),
)
DIRECTIONS = {  # by what times are relative to
    "plane": (Quantity("image.planeAngle", "deg", 0.65, 1.1, logarithmic=True, floor=0.1),),
    "absolute": (
        Quantity("image.planeAngle", "deg", 22.0, 12.0),
        Quantity("image.planeAzimuth", "rad", 0.0, 1.8, period=2.0 * np.pi),
    ),
}
PLANE_STEPS = 2  # after the first fit
FITTED = 3  # numbers of a plane
LEAST_HITS = 10  # of a ring, whose residuals have a spread


def summary_quantities(spec: ImagesSpec, time: str) -> tuple[Quantity, ...]:
    """The quantities of `summaries` for such images."""
    return QUANTITIES + (TIMES + DIRECTIONS[time] if len(spec.channels) > 1 else ())


def summaries(hits: TankHits, events: int, spec: ImagesSpec, time: str) -> Records:
    """Of each event, at most one hit of a PMT: numbers of PMTs and tanks, total and largest charge, CxPE40 and PINC
    about the centroid of the charge, the centroid, and the root mean square distance from it. Events without hits have
    no light, in the middle of the array.

    With times: their mean and standard deviation, weighted with the charge; of the front's plane chi2 by the degrees of
    freedom, and the angle between it and the one that times are behind, as if that were horizontal; of absolute times
    this is the zenith angle, and there is the azimuth. Both are 0 of events whose hits make no plane."""
    total = np.bincount(hits.event, hits.charge, events)

    def mean(values: np.ndarray) -> np.ndarray:
        return np.bincount(hits.event, hits.charge * values, events) / np.maximum(total, 1e-9)

    core = charge_centroid(hits, events, spec)
    distance = core_distance(hits, core, spec)
    largest = np.zeros(events)
    np.maximum.at(largest, hits.event, hits.charge)
    tank = spec.tank[hits.grid_id - 1]
    reached = np.unique(hits.event * (spec.tank.max() + 1) + tank) // (spec.tank.max() + 1)
    columns = [
        np.bincount(hits.event, minlength=events),
        np.bincount(reached, minlength=events),
        total,
        largest,
        compactness_charge(hits, distance, events),
        pinc(hits, distance, events),
        *core.T,
        np.sqrt(mean(distance**2)),
    ]
    if hits.time is not None:
        middle = mean(hits.time)
        plane = front_plane(hits, core, distance, spec)
        squares = np.bincount(hits.event, plane.weight * plane.late**2, events)
        freedom = np.bincount(hits.event, plane.weight > 0, events) - FITTED
        columns += [middle, np.sqrt(mean((hits.time - middle[hits.event]) ** 2)), squares / np.maximum(freedom, 1)]
        zenith, azimuth = angles_of_east_north(plane.towards)
        columns += [np.degrees(zenith), azimuth][: len(DIRECTIONS[time])]
    return Records(summary_quantities(spec, time), np.stack(columns, 1).astype(np.float64))


def charge_centroid(hits: TankHits, events: int, spec: ImagesSpec) -> np.ndarray:
    """The mean of the PMTs' positions weighted with their charges, x and y in m [events, 2]."""
    total = np.bincount(hits.event, hits.charge, events)
    position = spec.position[hits.grid_id - 1, :2]
    sums = np.stack([np.bincount(hits.event, hits.charge * axis, events) for axis in position.T], 1)
    middle = spec.position[:, :2].mean(0)
    return np.where(total[:, None] > 0, sums / np.maximum(total, 1e-9)[:, None], middle)


def core_distance(hits: TankHits, core: np.ndarray, spec: ImagesSpec) -> np.ndarray:
    """From the core of their event [events, 2], on the ground, in m [hits]."""
    return np.hypot(*(spec.position[hits.grid_id - 1, :2] - core[hits.event]).T)


def front_plane(hits: TankHits, core: np.ndarray, distance: np.ndarray, spec: ImagesSpec) -> Plane:
    """The planes of events with these cores [events, 2], at that `distance` [hits] from which hits are. First a fit to
    all hits, then to those near the front, which excludes most noise."""
    off = spec.position[hits.grid_id - 1, :2] - core[hits.event]
    events = len(core)
    plane = fit_plane(hits, np.ones(len(distance), bool), off, distance, events)
    for _ in range(PLANE_STEPS):
        plane = fit_plane(hits, plane.near, off, distance, events)
    return plane


def residual_profile(hits: TankHits, core: np.ndarray, edges: np.ndarray, spec: ImagesSpec) -> np.ndarray:
    """Delays (ns) of hits near the front to its plane, in rings about the cores [events, 2] with these edges (m): mean,
    16 % and 84 % quantiles [3, rings], NaN in rings with few hits."""
    distance = core_distance(hits, core, spec)
    plane = front_plane(hits, core, distance, spec)
    ring = np.where(plane.near, np.searchsorted(edges, distance, side="right") - 1, -1)
    profile = np.full((3, len(edges) - 1), np.nan)
    for number in range(len(edges) - 1):
        behind = plane.behind[ring == number]
        if len(behind) >= LEAST_HITS:
            profile[:, number] = behind.mean(), *central_interval(behind)
    return profile


def lateral_profile(hits: TankHits, core: np.ndarray, edges: np.ndarray, spec: ImagesSpec) -> np.ndarray:
    """The mean charge of a PMT, hit or not, in rings about the cores [events, 2] that have these edges (m), p.e."""
    charge = np.histogram(core_distance(hits, core, spec), edges, weights=hits.charge)[0]
    live = spec.position[spec.pmt[~spec.dead], :2]
    distances = (np.hypot(*(live - of_event).T) for of_event in core)
    pmts = sum((np.histogram(distance, edges)[0] for distance in distances), np.zeros(len(edges) - 1))
    return np.divide(charge, pmts, out=np.full(len(charge), np.nan), where=pmts > 0)


def compactness_charge(hits: TankHits, distance: np.ndarray, events: int) -> np.ndarray:
    """CxPE40: the largest charge of a PMT that is far enough from the core, 0 where there is none [events], p.e."""
    largest = np.zeros(events)
    np.maximum.at(largest, hits.event, np.where(distance > EXCLUDED, hits.charge, 0.0))
    return largest


def pinc(hits: TankHits, distance: np.ndarray, events: int) -> np.ndarray:
    """PINC: the mean squared deviation of the logarithm of the charge from its mean in rings around the core, in units
    of `LOG_SPREAD`; small for gammas."""
    value = np.log10(hits.charge)
    ring = (distance / RING).astype(np.int64)
    ring = hits.event * (ring.max(initial=0) + 1) + ring
    mean = np.bincount(ring, value) / np.maximum(np.bincount(ring), 1)
    off = ((value - mean[ring]) / LOG_SPREAD) ** 2
    return np.bincount(hits.event, off, events) / np.maximum(np.bincount(hits.event, minlength=events), 1)
