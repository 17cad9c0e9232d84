"""Showers of protons: cascades of hadrons that give their energy to photons, which start cascades, and to muons."""

import numpy as np

from airshower.detectors.cta.simulation.showers import PAIR_LENGTH, Muons, Primaries, Showers, Subshowers, fluctuate

NUCLEON_LENGTH, PION_LENGTH = 90.1, 122.0  # g/cm2, interaction lengths in air: PDG
PROTON_MASS, PION_MASS, NEUTRAL_PION_MASS, MUON_MASS = 0.938272, 0.139570, 0.134977, 0.105658  # GeV, PDG
PION_DECAY = 7.804  # m, c tau, PDG
MUON_SHARE = (MUON_MASS / PION_MASS) ** 2  # smallest part of a relativistic pion's energy that its muon gets
TRANSVERSE = 0.28  # GeV, of each component of a pion's transverse momentum: a mean of 0.35 GeV
LOWEST_HADRON, LOWEST_PHOTON = 10.0, 1.0  # GeV; particles below give too little light for a telescope
STEEPEST = 0.3  # largest slope that transverse momentum gives
GENERATIONS = 12
SUBSHOWERS = 24  # of a hadron that are followed on average, see `thin`

# rows of the arrays f8 [9, n] that hadrons are kept in: GeV, g/cm2, m (three), slopes (two), whether it is a nucleon,
# and which primary it comes from
_ENERGY = 0
_DEPTH = 1
_POSITION = slice(2, 4)
_HEIGHT = 4
_SLOPE = slice(5, 7)
_NUCLEON = 7
_SHOWER = 8


def simulate_protons(rng: np.random.Generator, primaries: Primaries) -> Showers:
    """Showers of protons: each interaction keeps a leading hadron and shares the rest among pions."""
    number = len(primaries)
    first = rng.exponential(NUCLEON_LENGTH, number)
    start = primaries.points(primaries.heights(np.arange(number), first))
    hadrons = np.stack([primaries.energy, first, *start.T, *primaries.slope.T, np.ones(number), np.arange(number)])
    photons = []
    muons = []
    for _ in range(GENERATIONS):
        leading, pions = _interact(rng, hadrons)
        neutral = rng.random(pions.shape[1]) < 1.0 / 3.0
        photons.append(pions[:, neutral])
        charged, decay_muons = _decay_or_travel(rng, primaries, pions[:, ~neutral & (pions[_ENERGY] > LOWEST_HADRON)])
        muons.append(decay_muons)
        hadrons = np.concatenate([_travel(rng, primaries, leading), charged], 1)
        above = hadrons[_DEPTH] < primaries.ground_depth[_showers(hadrons)]
        hadrons = hadrons[:, (hadrons[_ENERGY] > LOWEST_HADRON) & above]
        if not hadrons.shape[1]:
            break
    all_muons = np.concatenate(muons, 1)
    position = np.stack([*all_muons[_POSITION], all_muons[_HEIGHT]], 1)
    cascades = _electromagnetic(rng, np.concatenate(photons, 1), number)
    return Showers(cascades, Muons(_showers(all_muons), all_muons[_ENERGY], position, all_muons[_SLOPE].T), first)


def thin(
    rng: np.random.Generator, shower: np.ndarray, energy: np.ndarray, showers: int, number: int
) -> tuple[np.ndarray, np.ndarray]:
    """Which particles [n] to follow and their weights: about `number` of each of `showers`, keeping energy on average.

    Hillas' thinning (Nucl. Phys. B Proc. Suppl. 52B (1997) 29): the chance is the energy's part of a threshold.
    """
    threshold = np.bincount(shower, energy, showers) / number
    threshold[np.bincount(shower, minlength=showers) <= number] = 0.0
    chance = energy / np.maximum(energy, threshold[shower])
    kept = np.flatnonzero(rng.random(len(energy)) < chance)
    return kept, 1.0 / chance[kept]


def _showers(hadrons: np.ndarray) -> np.ndarray:
    return hadrons[_SHOWER].astype(np.int64)


def _interact(rng: np.random.Generator, hadrons: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The leading hadrons and the pions at the position of the interaction."""
    number = hadrons.shape[1]
    # the leading particle keeps half of the energy of a nucleon and a third of that of a pion on average: the order of
    # magnitude of measured inelasticities
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
    above = energy > LOWEST_PHOTON
    pions = hadrons[:, parent[above]]
    pions[_ENERGY], pions[_NUCLEON] = energy[above], 0.0
    _kick(rng, pions)
    return leading, pions


def _kick(rng: np.random.Generator, hadrons: np.ndarray) -> None:
    """Changes slopes by transverse momentum, limited to what small angles allow."""
    kick = TRANSVERSE * rng.standard_normal((2, hadrons.shape[1])) / hadrons[_ENERGY]
    hadrons[_SLOPE] += np.minimum(np.maximum(kick, -STEEPEST), STEEPEST)


def _travel(rng: np.random.Generator, primaries: Primaries, hadrons: np.ndarray) -> np.ndarray:
    """The hadrons at their next interaction."""
    interacting = hadrons.copy()
    length = np.where(hadrons[_NUCLEON] > 0.0, NUCLEON_LENGTH, PION_LENGTH)
    interacting[_DEPTH] += length * rng.standard_exponential(hadrons.shape[1])
    interacting[_HEIGHT] = primaries.heights(_showers(hadrons), interacting[_DEPTH])
    interacting[_POSITION] += interacting[_SLOPE] * (interacting[_HEIGHT] - hadrons[_HEIGHT])
    return interacting


def _decay_or_travel(
    rng: np.random.Generator, primaries: Primaries, pions: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Charged pions that reach their next interaction, and the muons of the others at their production."""
    interacting = _travel(rng, primaries, pions)
    cosine = primaries.cosine[_showers(pions)]
    path = (pions[_HEIGHT] - interacting[_HEIGHT]) / cosine
    life = pions[_ENERGY] * (PION_DECAY / PION_MASS) * rng.standard_exponential(len(path))
    decays = life < path
    muons = pions[:, decays]
    drop = (life * cosine)[decays]
    muons[_ENERGY] *= MUON_SHARE + (1.0 - MUON_SHARE) * rng.random(len(drop))
    muons[_HEIGHT] -= drop
    muons[_POSITION] -= muons[_SLOPE] * drop
    return interacting[:, ~decays], muons


def _electromagnetic(rng: np.random.Generator, pions: np.ndarray, showers: int) -> Subshowers:
    """The cascades that neutral pions start, each with two photons."""
    number = pions.shape[1]
    share = rng.random(number)
    angle = rng.uniform(0.0, 2.0 * np.pi, number)
    photon = np.concatenate([pions[_ENERGY] * share, pions[_ENERGY] * (1.0 - share)])
    kept, weight = thin(rng, np.tile(_showers(pions), 2), photon, showers, SUBSHOWERS)
    order = np.argsort(np.tile(_showers(pions), 2)[kept], kind="stable")
    kept = kept[order]
    weight = weight[order]
    origin = kept % max(number, 1)
    photon = photon[kept]
    # transverse momentum of a photon with this part of the energy: m sqrt(share (1 - share)), of the other the opposite
    momentum = np.where(kept < number, 1.0, -1.0) * NEUTRAL_PION_MASS * np.sqrt(share * (1.0 - share))[origin]
    kick = momentum / np.maximum(photon, 0.1) * [np.cos(angle[origin]), np.sin(angle[origin])]
    position = np.stack([*pions[_POSITION], pions[_HEIGHT]], 1)[origin]
    # one cascade a photon is enough: twice that of an electron with half of the energy
    start = fluctuate(rng, pions[_DEPTH, origin] + PAIR_LENGTH * rng.standard_exponential(len(kept)))
    slope = (pions[_SLOPE][:, origin] + kick).T
    return Subshowers(_showers(pions)[origin], photon / 2, start, position, slope, 2.0 * weight)
