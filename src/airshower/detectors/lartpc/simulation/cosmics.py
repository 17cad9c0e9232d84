"""Cosmic-ray muons at the surface: direction, energy, charge, and where and when they cross the chamber."""

from functools import lru_cache

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import COSMIC, Tracks
from airshower.detectors.lartpc.simulation.energy_loss import MUON_MASS
from airshower.geometry.wire_planes import Geometry

CHARGE_RATIO = 1.28  # mu+ / mu-, PDG "Cosmic rays" and CMS (Phys. Lett. B 692 (2010) 83)
_COSINES = np.linspace(0.05, 1.0, 20)
_ENERGIES = np.geomspace(150.0, 1.0e6, 200)  # MeV, total


def sample_zenith(rng: np.random.Generator, size: int) -> np.ndarray:
    """cos(zenith) of muons crossing a sphere: intensity per solid angle ~ cos^2 (PDG "Cosmic rays", surface muons)."""
    return rng.random(size) ** (1.0 / 3.0)


def intensity(energy: np.ndarray, cosine: np.ndarray) -> np.ndarray:
    """dN/dE of muons at the surface (arbitrary units), total energy in MeV.

    Gaisser's formula with the low-energy and large-angle corrections of Guan et al. (arXiv:1509.06176, eq. 2 and 3).
    """
    gev = energy * 1e-3
    p1, p2, p3, p4, p5 = 0.102573, -0.068287, 0.958633, 0.0407253, 0.817285
    effective = np.sqrt((cosine**2 + p1**2 + p2 * cosine**p3 + p4 * cosine**p5) / (1.0 + p1**2 + p2 + p4))
    pions = 1.0 / (1.0 + 1.1 * gev * effective / 115.0)
    kaons = 0.054 / (1.0 + 1.1 * gev * effective / 850.0)
    return (gev * (1.0 + 3.64 / (gev * effective**1.29))) ** -2.7 * (pions + kaons)


@lru_cache(maxsize=1)
def _cumulative() -> np.ndarray:
    """[cosines, energies] running integral of the spectrum, from 0 to 1, over log energy."""
    density = intensity(_ENERGIES, _COSINES[:, None]) * _ENERGIES
    total = np.cumsum(density, axis=1)
    return (total - total[:, :1]) / (total[:, -1:] - total[:, :1])


def sample_energy(rng: np.random.Generator, cosine: np.ndarray) -> np.ndarray:
    """Total energies (MeV) of muons that come at zenith angles of these cosines."""
    nearest = np.abs(cosine[:, None] - _COSINES).argmin(axis=1)
    level = rng.random(cosine.size)
    table = _cumulative()
    logs = [np.interp(u, table[row], np.log(_ENERGIES)) for u, row in zip(level, nearest, strict=True)]
    return np.exp(np.array(logs))


def uniform_on_disc(rng: np.random.Generator, normal: np.ndarray) -> np.ndarray:
    """Points [n, 3] uniform on the unit discs around the origin that are perpendicular to the unit vectors `normal`."""
    axis = np.eye(3)[np.abs(normal).argmin(axis=1)]  # the coordinate axis furthest from the normal
    first = np.cross(normal, axis)
    first /= np.linalg.norm(first, axis=1, keepdims=True)
    second = np.cross(normal, first)
    distance = np.sqrt(rng.random(len(normal)))[:, None]
    angle = rng.uniform(0.0, 2.0 * np.pi, len(normal))[:, None]
    return distance * (np.cos(angle) * first + np.sin(angle) * second)


def cosmic_muons(rng: np.random.Generator, geometry: Geometry, rate: float) -> Tracks:
    """A Poisson number of muons that cross the active volume, at the points where they enter it.

    They arrive from one drift time before the trigger to one after it, as all of these can leave charge in the window.
    Impact points are uniform over a disc across each muon's direction that covers the whole chamber, so that the
    crossing rate follows the area the chamber shows to that direction. Air above is taken into account by the
    spectrum; a building or an overburden is not.
    """
    wanted = rng.poisson(rate)
    centre = np.array([0.0, 0.0, 0.5 * geometry.length])
    radius = float(np.linalg.norm([geometry.half_width, geometry.half_height, 0.5 * geometry.length]))
    starts = np.zeros((0, 3))
    directions = np.zeros((0, 3))
    cosines = np.zeros(0)
    while len(starts) < wanted:
        cosine = sample_zenith(rng, 4 * wanted)
        azimuth = rng.uniform(0.0, 2.0 * np.pi, cosine.size)
        sine = np.sqrt(1.0 - cosine**2)
        direction = np.stack([sine * np.cos(azimuth), -cosine, sine * np.sin(azimuth)], axis=1)
        start = centre + radius * uniform_on_disc(rng, direction)
        enter, leave = geometry.chord(start, direction)
        hits = enter < leave
        starts = np.concatenate([starts, (start + enter[:, None] * direction)[hits]])
        directions = np.concatenate([directions, direction[hits]])
        cosines = np.concatenate([cosines, cosine[hits]])
    starts = starts[:wanted]
    directions = directions[:wanted]
    cosines = cosines[:wanted]
    kinetic = sample_energy(rng, cosines) - MUON_MASS
    pdg = np.where(rng.random(wanted) < CHARGE_RATIO / (1.0 + CHARGE_RATIO), -13, 13)
    time = rng.uniform(-geometry.drift_time, geometry.drift_time, wanted)
    return Tracks(starts, directions, kinetic, pdg, time, np.full(wanted, COSMIC, np.uint8))


def visible(geometry: Geometry, muons: Tracks) -> np.ndarray:
    """Indices of muons of which some part of the straight path lies in the readout window: saves following the rest."""
    length = geometry.chord(muons.position, muons.direction)[1]
    along = length[:, None] * np.linspace(0.0, 1.0, 41)
    x = muons.position[:, :1] + along * muons.direction[:, :1]
    return np.flatnonzero(geometry.in_window(x, muons.time[:, None]).any(axis=1))
