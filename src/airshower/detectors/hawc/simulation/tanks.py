"""The signals of PMTs: light of particles in tanks, times, noise, and the trigger.

Light, times and muons of other showers are fits by hand: of the moments of published gammas (tests), of the charge and
energy at so many hits in the public Crab events (data.hawc-observatory.org, pass 4), and of Geant4's times and the
shape, but not the height, of its lateral distributions (scripts/against_real.py).
"""

from dataclasses import replace

import numpy as np

from airshower.data.containers import spans
from airshower.data.hits import TankHits
from airshower.detectors.hawc.simulation.showers import (
    Cascades,
    Primaries,
    axis_distance,
    density,
    distances,
    limited,
    muon_density,
    relative,
)
from airshower.geometry.shower_front import CURVATURE, JITTER, LIGHT_SPEED, front_thickness
from airshower.geometry.tank_array import TANK_AREA, TankArray

PARTICLES = 1.0  # photons and electrons that give light in a tank, per electron of the shower
LIGHT, LIGHT_RADIUS = 14.0, 2.5  # p.e. of one in an outer PMT at the axis; m in which it falls to half
SPECTRUM = 0.5  # shape of the gamma distribution of their light
CENTRAL_GAIN = 2.0  # the central PMT is larger and sees more
MUON_LIGHT, MUON_SPREAD = 30.0, 0.5  # p.e. of a muon in an outer PMT, rms of its logarithm
# light in the lower cell of a double-layer tank, of that in the upper one; chosen, not fitted: muons cross both cells,
# electrons and photons end in 2 to 3 m of water, 6 to 8 radiation lengths
LOWER_PARTICLES, LOWER_MUONS = 0.01, 0.5
OTHER_MUONS = 0.08  # muons of other showers in a tank of HAWC, for one photoelectron of noise in a PMT
OTHER_LIGHT, OTHER_SPREAD = 10.0, 1.0  # like MUON_LIGHT of these, many of which only cross a corner
SINGLE_PE = 0.35  # relative rms of the charge of one photoelectron
LEAST_CHARGE = 0.2  # p.e., below which there is no hit
MOST_CHARGE = 1000.0  # p.e. that much light tends to: the PMTs' signals saturate
BEFORE, WINDOW = 500.0, 1500.0  # ns that are read out, from before the trigger on
TRIGGER_WINDOW, TRIGGER_TIME = 150.0, 100.0  # ns
LEAST_HITS = 10  # of the shower, with however much noise
COARSE = slice(None, None, 10)  # tanks used to estimate if a shower may trigger
LEAST_LIT = 0.7  # of the threshold, that promising showers light; at 0.8 none of 386 that trigger is left out


def promising(primaries: Primaries, cascades: Cascades, array: TankArray, threshold: int) -> np.ndarray:
    """Rows of the showers with enough light in a subset of tanks; the others hardly ever trigger. Most are excluded by
    the light of all tanks at the point of the array that is nearest to the core."""
    centre = array.centre
    nearer = primaries.core - limited(primaries.core - centre, array.radius)
    rows = np.arange(len(primaries))
    for moved, places in ((nearer, centre[None]), (primaries.core, array.tank_position[COARSE, :2])):
        some = replace(primaries, core=moved)[rows]
        particles = _particles(some, cascades[rows], distances(some, cascades[rows], places), array)[0].sum(1)
        if primaries.name == "proton":
            away = axis_distance(some.towards, *relative(places, some.core))
            particles += muon_density(some, away) * array.area
        lit = int((~array.lower).sum()) * -np.expm1(-2.0 * particles).mean(1)
        rows = rows[lit > LEAST_LIT * threshold]
    return rows


def observe(
    rng: np.random.Generator, primaries: Primaries, cascades: Cascades, array: TankArray
) -> tuple[np.ndarray, np.ndarray]:
    """Charge and time of hits, float32 [n, PMTs] each, charge 0 for none; time is relative to the plane of the shower's
    front at the core."""
    particles, muons = _tank_light(rng, primaries, cascades, array)
    upper = (particles + muons)[:, array.tank]
    lower = (LOWER_PARTICLES * particles + LOWER_MUONS * muons)[:, array.tank]
    light = np.where(array.lower, lower, upper)
    event, pmt = np.nonzero(light > 0.01)
    electrons = rng.poisson(light[event, pmt] * _gains(array)[pmt])
    hit = np.flatnonzero(electrons)
    event = event[hit]
    pmt = pmt[hit]
    electrons = electrons[hit]
    charge, time = np.zeros((2, len(primaries), len(array.position)), np.float32)
    charge[event, pmt] = _smeared(rng, electrons)
    time[event, pmt] = _times(rng, primaries, array, event, pmt, electrons)
    return charge, time


def triggered(
    rng: np.random.Generator, charge: np.ndarray, time: np.ndarray, array: TankArray, threshold: int, noise: float
) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the events with at least `threshold` PMTs, including noise (kHz per PMT), within 150 ns, and the trigger
    times (ns)."""
    each = noise * 1e-6 * TRIGGER_WINDOW
    pmts = len(array.position)
    by_noise = rng.poisson(each * pmts, len(charge))
    by_noise += round(pmts / len(array.per_tank)) * rng.poisson(OTHER_MUONS * each * _size(array), len(charge))
    needed = np.maximum(threshold - by_noise, LEAST_HITS)
    busy = np.flatnonzero((charge > 0).sum(1) >= needed)
    first = np.sort(np.where(charge[busy] > 0, time[busy], np.inf), 1)
    last_needed = np.arange(first.shape[1]) + needed[busy][:, None] - 1
    last = np.take_along_axis(first, np.minimum(last_needed, first.shape[1] - 1), 1)
    enough = np.isfinite(last) & (last_needed < first.shape[1])
    enough[enough] = last[enough] - first[enough] <= TRIGGER_WINDOW
    coincident = enough.any(1)
    return busy[coincident], last[coincident, enough[coincident].argmax(1)]


def read_out(
    rng: np.random.Generator,
    charge: np.ndarray,
    time: np.ndarray,
    when: np.ndarray,
    array: TankArray,
    noise: float,
) -> TankHits:
    """The hits in the window around the trigger, which is at `TRIGGER_TIME`, with noise (kHz per PMT); ordered by
    event, PMT and time."""
    event, pmt = np.nonzero(charge > LEAST_CHARGE)
    shower = TankHits(event, pmt + 1, charge[event, pmt], time[event, pmt] - when[event] + TRIGGER_TIME)
    parts = shower, _noise(rng, array, noise, len(charge)), _other_muons(rng, array, noise, len(charge))
    hits = TankHits.joined(parts)
    assert hits.time is not None
    inside = np.flatnonzero((hits.time > -BEFORE) & (hits.time < WINDOW - BEFORE))
    order = inside[np.lexsort((hits.time[inside], hits.grid_id[inside], hits.event[inside]))]
    return hits.rows(order)


def _noise(rng: np.random.Generator, array: TankArray, noise: float, events: int) -> TankHits:
    """Single photoelectrons."""
    pmts = len(array.position)
    number = rng.poisson(noise * 1e-6 * WINDOW * pmts * events)
    event = rng.integers(events, size=number)
    grid_id = rng.integers(1, pmts + 1, number)
    charge = np.maximum(_smeared(rng, np.ones(number)), LEAST_CHARGE)
    return TankHits(event, grid_id, charge, rng.uniform(-BEFORE, WINDOW - BEFORE, number))


def _other_muons(rng: np.random.Generator, array: TankArray, noise: float, events: int) -> TankHits:
    """Muons of other showers: light in all PMTs of a tank, in both layers."""
    number = rng.poisson(OTHER_MUONS * noise * 1e-6 * WINDOW * _size(array) * events)
    event = rng.integers(events, size=number)
    tank = rng.integers(len(array.tank_position), size=number)
    light = rng.lognormal(0.0, OTHER_SPREAD, number)
    when = rng.uniform(-BEFORE, WINDOW - BEFORE, number)
    per_tank = array.per_tank
    muon = np.repeat(np.arange(number), per_tank[tank])
    pmt = spans((np.cumsum(per_tank) - per_tank)[tank], per_tank[tank])
    layer = np.where(array.lower, LOWER_MUONS, 1.0)
    electrons = rng.poisson(OTHER_LIGHT * light[muon] * (layer * _gains(array))[pmt])
    hit = np.flatnonzero(electrons)
    muon = muon[hit]
    charge = np.maximum(_smeared(rng, electrons[hit]), LEAST_CHARGE)
    time = when[muon] + JITTER * rng.standard_normal(len(muon))
    return TankHits(event[muon], pmt[hit] + 1, charge, time)


def _size(array: TankArray) -> float:
    """The area of all tanks, in tanks of HAWC."""
    return len(array.tank_position) * (array.area / TANK_AREA)


def _gains(array: TankArray) -> np.ndarray:
    """Photoelectrons of each PMT [PMTs] for one in an outer PMT."""
    return np.where(array.central, CENTRAL_GAIN, 1.0)


def _particles(
    primaries: Primaries, cascades: Cascades, distance: np.ndarray, array: TankArray
) -> tuple[np.ndarray, np.ndarray]:
    """Particles that give light [n, cascades, tanks], and the p.e. of one in an outer PMT."""
    area = PARTICLES * array.area * np.cos(primaries.zenith).astype(np.float32)[:, None, None]
    return density(cascades, distance) * area, LIGHT / (1.0 + distance / LIGHT_RADIUS)


def _tank_light(
    rng: np.random.Generator, primaries: Primaries, cascades: Cascades, array: TankArray
) -> tuple[np.ndarray, np.ndarray]:
    """Photoelectrons that an outer PMT of each tank expects of electrons and photons, and of muons [n, tanks]: with
    fluctuations of particles' light and between tanks."""
    distance = distances(primaries, cascades, array.tank_position[:, :2])
    particles, light = _particles(primaries, cascades, distance, array)
    expected = particles.sum(1)
    mean = (particles * light).sum(1) / np.maximum(expected, 1e-9)
    count = rng.poisson(expected)
    photoelectrons = np.zeros(count.shape)
    lit = count > 0
    photoelectrons[lit] = rng.standard_gamma(SPECTRUM * count[lit]) * mean[lit] / SPECTRUM
    of_muons = np.zeros(count.shape)
    if primaries.name == "proton":
        away = axis_distance(primaries.towards, *relative(array.tank_position[:, :2], primaries.core))
        muons = rng.poisson(muon_density(primaries, away) * array.area)
        where = muons > 0
        of_muons[where] = MUON_LIGHT * muons[where] * rng.lognormal(0.0, MUON_SPREAD, where.sum())
    return photoelectrons, of_muons


def _smeared(rng: np.random.Generator, electrons: np.ndarray) -> np.ndarray:
    charge = electrons + SINGLE_PE * np.sqrt(electrons) * rng.standard_normal(len(electrons))
    return MOST_CHARGE * -np.expm1(-np.maximum(charge, 0.0) / MOST_CHARGE)


def _times(
    rng: np.random.Generator,
    primaries: Primaries,
    array: TankArray,
    event: np.ndarray,
    pmt: np.ndarray,
    electrons: np.ndarray,
) -> np.ndarray:
    """Start times of hits [hits]: plane, curvature, and the first photoelectron of a front with a thickness."""
    off = array.position[pmt, :2] - primaries.core[event]
    towards = primaries.towards[event]
    along = (off * towards).sum(1)
    distance = axis_distance(towards, *off.T)
    late = front_thickness(distance, electrons) * rng.standard_exponential(len(event))
    return -along / LIGHT_SPEED + CURVATURE * distance + late + JITTER * rng.standard_normal(len(event))
