"""Showers at the ground: primaries, their cascades of electrons and photons, and muons.

Depths are in g/cm2, energies in GeV, lengths in m. `n` showers are made at once.
"""

from dataclasses import dataclass
from math import lgamma

import numpy as np

from airshower.geometry import atmosphere
from airshower.geometry.sky import east_north

ALTITUDE, GROUND = 4100.0, 637.0  # m above sea level, and the vertical depth there
RADIATION_LENGTH, CRITICAL_ENERGY = 37.15, 0.0857
FIRST_INTERACTION = {"gamma": 47.0, "proton": 85.0}  # mean depth; 9/7 of a radiation length, the proton's in air
SIZE_SPREAD = {"gamma": 0.4, "proton": 0.8}  # rms of the logarithm of sizes beyond what that gives: a fit of Geant4
MOLIERE = 124.21  # at `ALTITUDE`
SUBCORES, SPREAD = 6, 15.0  # of a proton's shower; rms distance of a cascade from its axis, m: a fit of Geant4
EM_FRACTION = 0.45  # of a proton's energy that goes to electrons and photons: a fit of Geant4, beside gammas
MUONS, MUON_POWER = 20.0, 0.9  # of a proton of 1 TeV, and how they rise with energy
MUON_RADIUS = 110.0  # of their lateral distribution, m
NEAREST = 1.5  # m, below which tanks see the mean over themselves
EARLY, LATE = 0.7, 1.8  # ages between which the lateral distribution holds
AGES = np.linspace(EARLY, LATE, 200)  # where the norm of the lateral distribution is known
LOG_NORMS = np.array([lgamma(4.5 - s) - lgamma(s) - lgamma(4.5 - 2.0 * s) for s in AGES])


@dataclass(frozen=True)
class Primaries:
    """[n] each: `energy`, `zenith` and `azimuth` (rad, counterclockwise from x) of the direction; `core` [n, 2]
    on the ground."""

    name: str  # gamma or proton
    energy: np.ndarray
    zenith: np.ndarray
    azimuth: np.ndarray
    core: np.ndarray

    def __len__(self) -> int:
        return len(self.energy)

    def __getitem__(self, rows: np.ndarray) -> "Primaries":
        return Primaries(self.name, self.energy[rows], self.zenith[rows], self.azimuth[rows], self.core[rows])

    @property
    def towards(self) -> np.ndarray:
        """Horizontal part of the unit vector towards the source, [n, 2]."""
        return east_north(self.zenith, self.azimuth)


@dataclass(frozen=True)
class Cascades:
    """[n, cascades] each: `size` (electrons at the ground), `age`; `offset` [n, cascades, 2] from the core. `moliere`
    is the Moliere radius at the ground."""

    size: np.ndarray
    age: np.ndarray
    offset: np.ndarray
    moliere: float = MOLIERE

    def __getitem__(self, rows: np.ndarray) -> "Cascades":
        return Cascades(self.size[rows], self.age[rows], self.offset[rows], self.moliere)


def axis_distance(towards: np.ndarray, x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Distances [n, ...] in m of points on the ground `x`, `y` [n, ...], relative to the core, to the axis."""
    east, north = (component.reshape(-1, *[1] * (x.ndim - 1)).astype(x.dtype) for component in towards.T)
    return np.sqrt(np.maximum(x * x + y * y - (x * east + y * north) ** 2, 0.0))


def relative(places: np.ndarray, feet: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Vectors from feet [n, ..., 2] to points [places, 2]: x and y, float32 [n, ..., places]."""
    (x, y), (from_x, from_y) = places.T.astype(np.float32), np.moveaxis(feet, -1, 0).astype(np.float32)
    return x - from_x[..., None], y - from_y[..., None]


def limited(vectors: np.ndarray, most: float) -> np.ndarray:
    """Vectors [n, 2], limited to this length."""
    return vectors * np.minimum(1.0, most / np.maximum(np.hypot(*vectors.T), 1e-9))[:, None]


def ground_depth(altitude: float) -> float:
    """Vertical depth at an altitude in m: of the US standard atmosphere, scaled to that above HAWC."""
    return GROUND * float(atmosphere.depth(altitude) / atmosphere.depth(ALTITUDE))


def moliere_radius(altitude: float) -> float:
    """The Moliere radius at an altitude in m, inversely proportional to the density of air."""
    return MOLIERE * float(atmosphere.density(ALTITUDE) / atmosphere.density(altitude))


def develop(rng: np.random.Generator, primaries: Primaries, altitude: float = ALTITUDE) -> Cascades:
    """A cascade for each gamma; those of a proton share its energy at random and begin after its first interaction.
    They reach the ground at an `altitude` in m."""
    count = len(primaries)
    depth = ground_depth(altitude) / np.cos(primaries.zenith)[:, None]
    start = rng.exponential(FIRST_INTERACTION[primaries.name], (count, 1))
    energy = primaries.energy[:, None]
    offset = np.zeros((count, 1, 2))
    if primaries.name == "proton":
        start = start + rng.exponential(FIRST_INTERACTION["gamma"], (count, SUBCORES))
        energy = energy * EM_FRACTION * rng.dirichlet(np.ones(SUBCORES), count)
        offset = rng.normal(0.0, SPREAD / np.sqrt(2.0), (count, SUBCORES, 2))
    size, age = greisen(energy, depth - start)
    spread = SIZE_SPREAD[primaries.name]
    size = size * rng.lognormal(-0.5 * spread**2, spread, (count, 1))
    return Cascades(size, age, offset, moliere_radius(altitude))


def greisen(energy: np.ndarray, depth: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Electrons and age of cascades at this depth (Greisen 1956)."""
    b = np.log(np.maximum(energy / CRITICAL_ENERGY, 1.01))
    t = np.maximum(depth / RADIATION_LENGTH, 1e-3)
    age = 3.0 * t / (t + 2.0 * b)
    return 0.31 / np.sqrt(b) * np.exp(t * (1.0 - 1.5 * np.log(age))), age.clip(EARLY, LATE)


def density(cascades: Cascades, distance: np.ndarray) -> np.ndarray:
    """Electrons per m2 [n, cascades, places] at these distances from each axis (Nishimura, Kamata and Greisen)."""
    s = cascades.age
    scale = np.log(cascades.size / (2.0 * np.pi * cascades.moliere**2)) + np.interp(s, AGES, LOG_NORMS)
    x = np.maximum(distance, np.float32(NEAREST)) / np.float32(cascades.moliere)
    s = s.astype(np.float32)[..., None]
    scale = scale.astype(np.float32)[..., None]
    return np.exp(scale + (s - 2.0) * np.log(x) + (s - 4.5) * np.log1p(x))


def muon_density(primaries: Primaries, distance: np.ndarray) -> np.ndarray:
    """Muons per m2 [n, places] around the axes of protons; a two-dimensional exponential."""
    count = MUONS * (primaries.energy[:, None] / 1000.0) ** MUON_POWER
    return count / (2.0 * np.pi * MUON_RADIUS**2) * np.exp(-distance / MUON_RADIUS)


def distances(primaries: Primaries, cascades: Cascades, places: np.ndarray) -> np.ndarray:
    """Distances of points [places, 2] to the axes of cascades, float32 [n, cascades, places]."""
    return axis_distance(primaries.towards, *relative(places, primaries.core[:, None] + cascades.offset))
