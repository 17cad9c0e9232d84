"""Air showers as sums of electromagnetic sub-showers, with the muons that a hadron leaves.

Positions are metres in the ground frame (x north, y west, z up from sea level), slopes are dx/dz and dy/dz of what goes
down, depths are g/cm2 along the primary's axis; particles that fan out by some degrees share that depth at a height.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.cherenkov import RADIATION_LENGTH

CRITICAL_ENERGY = 0.08792  # GeV, electrons in air: PDG, atomic and nuclear properties of materials
PAIR_LENGTH = 9.0 / 7.0 * RADIATION_LENGTH  # mean free path of photons: PDG, passage of particles through matter
NUCLEON_LENGTH, PION_LENGTH = 90.1, 122.0  # g/cm2, interaction lengths in air: PDG as above
PROTON_MASS, PION_MASS, NEUTRAL_PION_MASS, MUON_MASS = 0.938272, 0.139570, 0.134977, 0.105658  # GeV, PDG
PION_DECAY = 7.804  # m, c tau, PDG
MUON_SHARE = (MUON_MASS / PION_MASS) ** 2  # smallest part of a relativistic pion's energy that its muon gets
TRANSVERSE = 0.28  # GeV, of each component of a pion's transverse momentum: a mean of 0.35 GeV
LOWEST_HADRON, LOWEST_PHOTON = 10.0, 1.0  # GeV; what is below gives too little light for a telescope to see
# radiation lengths by which the start of an electron's mean cascade moves: late by an exponential law, less a constant;
# adjusted to the depths of maximum in the official files
FLUCTUATION, EARLIER = 1.1, 2.1
STEEPEST = 0.3  # largest slope that transverse momentum gives
GENERATIONS = 12
SUBSHOWERS = 11  # of a hadron that are followed on average, see `thin`


@dataclass(frozen=True)
class Subshowers:
    """Electrons and positrons that start an electromagnetic cascade, [n] each."""

    energy: np.ndarray  # GeV
    start: np.ndarray  # g/cm2 along the primary's axis
    position: np.ndarray  # f8 [n, 3] m, a point of the axis
    slope: np.ndarray  # f8 [n, 2]
    weight: np.ndarray  # like showers that this one stands for


@dataclass(frozen=True)
class Muons:
    """Muons at their production, [n] each."""

    energy: np.ndarray  # GeV
    position: np.ndarray  # f8 [n, 3] m
    slope: np.ndarray  # f8 [n, 2]


@dataclass(frozen=True)
class Shower:
    """One air shower, as it falls."""

    subshowers: Subshowers
    muons: Muons
    first_interaction: float  # g/cm2 along the axis


@dataclass(frozen=True)
class Primary:
    """What comes in: a gamma or a proton whose axis meets the height of the array, `ground`, at the core."""

    name: str  # "gamma" or "proton"
    energy: float  # GeV
    alt: float  # rad, of where it comes from
    az: float  # rad, from north to east
    core: tuple[float, float]  # m, x to the north and y to the west
    ground: float  # m above sea level

    @cached_property
    def slope(self) -> np.ndarray:
        """dx/dz and dy/dz of the axis."""
        return np.array([np.cos(self.az), -np.sin(self.az)]) / np.tan(self.alt)

    @cached_property
    def cosine(self) -> float:
        """Of the zenith angle."""
        return float(np.sin(self.alt))

    @cached_property
    def ground_depth(self) -> float:
        """g/cm2 above the array, vertical."""
        return float(atmosphere.depth(self.ground))

    def heights(self, depth: np.ndarray) -> np.ndarray:
        """m above sea level of depths along the axis."""
        return atmosphere.height(depth * self.cosine)

    def points(self, height: np.ndarray) -> np.ndarray:
        """f8 [n, 3] m: the points of the axis at some heights."""
        return np.concatenate([self.core + (height[:, None] - self.ground) * self.slope, height[:, None]], 1)


def simulate_shower(rng: np.random.Generator, primary: Primary) -> Shower:
    """A shower of this primary."""
    if primary.name == "gamma":
        return _gamma(rng, primary)
    return _proton(rng, primary)


def greisen(depth: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Electrons and positrons at `depth` in radiation lengths after an electron of `energy` GeV.

    Greisen, Annu. Rev. Nucl. Sci. 10 (1960) 63: 0.31 / sqrt(y) exp(t - 1.5 t ln s) with y = ln(E / Ec) and age
    s = 3 t / (t + 2 y). An electron's cascade has its maximum at y - 0.5, half a radiation length before (PDG, section
    on passage of particles through matter), so that t = depth + 0.5. Broadcasts.
    """
    y = np.maximum(np.log(energy / CRITICAL_ENERGY), 0.5)
    t = np.maximum(depth + 0.5, 1e-3)
    age = 3.0 * t / (t + 2.0 * y)
    return np.where(depth > 0.0, 0.31 / np.sqrt(y) * np.exp(t - 1.5 * t * np.log(age)), 0.0)


def maximum(start: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Depth in g/cm2 of the maximum of the cascades of electrons of `energy` GeV that start at `start`."""
    return start + RADIATION_LENGTH * np.maximum(np.log(energy / CRITICAL_ENERGY) - 0.5, 0.0)


def thin(rng: np.random.Generator, energy: np.ndarray, number: int) -> tuple[np.ndarray, np.ndarray]:
    """Which particles to follow and their weights: about `number`, such that energy is kept on average.

    Hillas' thinning (Nucl. Phys. B Proc. Suppl. 52B (1997) 29): the chance is the energy's part of a threshold.
    """
    if len(energy) <= number:
        return np.arange(len(energy)), np.ones(len(energy))
    chance = np.minimum(energy / (energy.sum() / number), 1.0)
    kept = np.flatnonzero(rng.random(len(energy)) < chance)
    return kept, 1.0 / chance[kept]


def _fluctuate(rng: np.random.Generator, start: np.ndarray) -> np.ndarray:
    """Where mean cascades have to start to stand for single ones, whose first radiation is late or early."""
    return start + RADIATION_LENGTH * (FLUCTUATION * rng.standard_exponential(len(start)) - EARLIER)


def _gamma(rng: np.random.Generator, primary: Primary) -> Shower:
    first, share = PAIR_LENGTH * rng.standard_exponential(), rng.random()
    energy = primary.energy * np.array([share, 1.0 - share])  # flat, about what pair production gives
    start = np.repeat(_fluctuate(rng, np.array([first])), 2)
    position = np.repeat(primary.points(primary.heights(np.array([first]))), 2, 0)
    none = Muons(np.zeros(0), np.zeros((0, 3)), np.zeros((0, 2)))
    return Shower(Subshowers(energy, start, position, np.tile(primary.slope, (2, 1)), np.ones(2)), none, first)


# rows of the arrays f8 [8, n] that hadrons are kept in: GeV, g/cm2, m (three), slopes (two), whether it is a nucleon
_ENERGY, _DEPTH, _POSITION, _HEIGHT, _SLOPE, _NUCLEON = 0, 1, slice(2, 4), 4, slice(5, 7), 7


def _proton(rng: np.random.Generator, primary: Primary) -> Shower:
    """A cascade of hadrons: each interaction keeps a leading one and shares the rest among pions."""
    first = rng.exponential(NUCLEON_LENGTH)
    ground = primary.ground_depth / primary.cosine
    start = primary.points(primary.heights(np.array([first])))[0]
    hadrons = np.array([[primary.energy, first, *start, *primary.slope, 1.0]]).T
    photons, muons = [], []
    for _ in range(GENERATIONS):
        leading, pions = _interact(rng, hadrons)
        neutral = rng.random(pions.shape[1]) < 1.0 / 3.0
        photons.append(pions[:, neutral])
        charged, made = _decay_or_travel(rng, primary, pions[:, ~neutral & (pions[_ENERGY] > LOWEST_HADRON)])
        muons.append(made)
        hadrons = np.concatenate([_travel(rng, primary, leading), charged], 1)
        hadrons = hadrons[:, (hadrons[_ENERGY] > LOWEST_HADRON) & (hadrons[_DEPTH] < ground)]
        if not hadrons.shape[1]:
            break
    found = np.concatenate(muons, 1)
    position = np.stack([*found[_POSITION], found[_HEIGHT]], 1)
    cascades = _electromagnetic(rng, np.concatenate(photons, 1))
    return Shower(cascades, Muons(found[_ENERGY], position, found[_SLOPE].T), first)


def _interact(rng: np.random.Generator, hadrons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The leading hadrons and the pions, all still where the interaction was."""
    number = hadrons.shape[1]
    # the leading particle keeps half of the energy of a nucleon and a third of that of a pion on average
    kept = rng.random(number)
    kept = np.where(hadrons[_NUCLEON] > 0.0, kept, 1.0 - np.sqrt(kept))
    leading = hadrons.copy()
    leading[_ENERGY] *= kept
    _kick(rng, leading)
    shared = hadrons[_ENERGY] * (1.0 - kept)
    # charged particles of pp collisions, Thome et al., Nucl. Phys. B 129 (1977) 365; half as many neutral ones
    log = np.log(2.0 * PROTON_MASS * shared + 4.0)
    multiplicity = 1.5 * np.maximum(0.88 + 0.44 * log + 0.118 * log**2 - 2.0, 0.5)
    parent = np.repeat(np.arange(number), 1 + rng.poisson(multiplicity))
    share = rng.standard_exponential(len(parent))
    energy = share * (shared / np.bincount(parent, share, number))[parent]
    seen = energy > LOWEST_PHOTON
    pions = hadrons[:, parent[seen]]
    pions[_ENERGY], pions[_NUCLEON] = energy[seen], 0.0
    _kick(rng, pions)
    return leading, pions


def _kick(rng: np.random.Generator, hadrons: np.ndarray) -> None:
    """Changes slopes by transverse momentum, limited to what small angles allow."""
    kick = TRANSVERSE * rng.standard_normal((2, hadrons.shape[1])) / hadrons[_ENERGY]
    hadrons[_SLOPE] += np.minimum(np.maximum(kick, -STEEPEST), STEEPEST)


def _travel(rng: np.random.Generator, primary: Primary, hadrons: np.ndarray) -> np.ndarray:
    """The hadrons at their next interaction."""
    there = hadrons.copy()
    length = np.where(hadrons[_NUCLEON] > 0.0, NUCLEON_LENGTH, PION_LENGTH)
    there[_DEPTH] += length * rng.standard_exponential(hadrons.shape[1])
    there[_HEIGHT] = primary.heights(there[_DEPTH])
    there[_POSITION] += there[_SLOPE] * (there[_HEIGHT] - hadrons[_HEIGHT])
    return there


def _decay_or_travel(rng: np.random.Generator, primary: Primary, pions: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Charged pions that reach their next interaction, and the muons of the others where they are made."""
    there = _travel(rng, primary, pions)
    path = (pions[_HEIGHT] - there[_HEIGHT]) / primary.cosine
    life = pions[_ENERGY] * (PION_DECAY / PION_MASS) * rng.standard_exponential(len(path))
    decays = life < path
    muons = pions[:, decays]
    drop = life[decays] * primary.cosine
    muons[_ENERGY] *= MUON_SHARE + (1.0 - MUON_SHARE) * rng.random(len(drop))
    muons[_HEIGHT] -= drop
    muons[_POSITION] -= muons[_SLOPE] * drop
    return there[:, ~decays], muons


def _electromagnetic(rng: np.random.Generator, pions: np.ndarray) -> Subshowers:
    """The cascades that neutral pions start, each with two photons."""
    number = pions.shape[1]
    share, angle = rng.random(number), rng.uniform(0.0, 2.0 * np.pi, number)
    photon = np.concatenate([pions[_ENERGY] * share, pions[_ENERGY] * (1.0 - share)])
    kept, weight = thin(rng, photon, SUBSHOWERS)
    origin, photon = kept % number if number else kept, photon[kept]
    # transverse momentum of a photon with this part of the energy: m sqrt(share (1 - share)), of the other the opposite
    momentum = np.where(kept < number, 1.0, -1.0) * NEUTRAL_PION_MASS * np.sqrt(share * (1.0 - share))[origin]
    kick = momentum / np.maximum(photon, 0.1) * [np.cos(angle[origin]), np.sin(angle[origin])]
    position = np.stack([*pions[_POSITION], pions[_HEIGHT]], 1)[origin]
    # one cascade a photon is enough: twice that of an electron with half of the energy
    start = _fluctuate(rng, pions[_DEPTH, origin] + PAIR_LENGTH * rng.standard_exponential(len(kept)))
    return Subshowers(photon / 2, start, position, (pions[_SLOPE][:, origin] + kick).T, 2.0 * weight)
