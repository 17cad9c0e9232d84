"""Electromagnetic cascades: electrons, positrons and photons down to the size of a pixel.

Generation by generation, and all particles of an event at once: photons fly, scatter and convert; the electrons they
make run to their end as a matrix (particle x step) and radiate the next generation. Energies in MeV, lengths in cm.
"""

from functools import lru_cache

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import Deposits, Quanta, deflected, isotropic
from airshower.detectors.lartpc.simulation.energy_loss import (
    DELTA_CUT,
    DENSITY,
    ELECTRON_MASS,
    MUON_MASS,
    RADIATION_LENGTH,
    Z_OVER_A,
    electron_loss,
    sample_soft_loss,
    scattering_angle,
)
from airshower.detectors.lartpc.simulation.energy_loss import bethe as heavy_loss
from airshower.geometry.wire_planes import Geometry

PHOTON_CUT = 0.03  # MeV, photons below are absorbed where they are: they would go on for 3 mm
ELECTRON_CUT = 0.2  # MeV, electrons below stay where they are: less than 0.5 mm, ESTAR
SMALLEST_FRACTION = 0.005  # of the electron's energy, softer bremsstrahlung is left out
STEP = 0.15  # cm
LONGEST = 96  # steps of an electron in one generation; the rest of its way is the next generation's
_LOG_BREMS = 4.0 / 3.0 * np.log(1.0 / SMALLEST_FRACTION)
# cm2/g of pair production in argon: the NIST XCOM total minus Klein-Nishina, rounded; 7/(9 X0) at high energy
_PAIR_ENERGY = np.log([1.022, 1.5, 2.0, 3.0, 5.0, 10.0, 20.0, 50.0, 100.0, 300.0, 1000.0, 1.0e4])
_PAIR = np.array([0.0, 0.0003, 0.0011, 0.0030, 0.0066, 0.0136, 0.0212, 0.0285, 0.0325, 0.0365, 0.0385, 0.0397])


def pair_coefficient(energy: np.ndarray) -> np.ndarray:
    """Pair production of photons, 1/cm."""
    return DENSITY * np.interp(np.log(energy), _PAIR_ENERGY, _PAIR)


def compton_coefficient(energy: np.ndarray) -> np.ndarray:
    """Compton scattering of photons, 1/cm (Klein and Nishina, electrons free)."""
    k = energy / ELECTRON_MASS
    log = np.log(1.0 + 2.0 * k)
    bracket = (1 + k) / k**2 * (2 * (1 + k) / (1 + 2 * k) - log / k) + log / (2 * k) - (1 + 3 * k) / (1 + 2 * k) ** 2
    classical_area = 2.0 * np.pi * 0.0794079  # barn: 2 pi r_e^2
    return classical_area * bracket * 0.602214 * Z_OVER_A * DENSITY


def photoelectric_coefficient(energy: np.ndarray) -> np.ndarray:
    """Absorption of photons by atoms, 1/cm: a power law through NIST XCOM's values in argon from 20 to 200 keV."""
    return DENSITY * 0.0525 * (energy / 0.1) ** -3.2


def sample_compton(rng: np.random.Generator, energy: np.ndarray) -> np.ndarray:
    """Fraction of its energy that a photon keeps (Klein-Nishina, by rejection from 1/e and e; Butcher and Messel)."""
    k = energy / ELECTRON_MASS
    lowest = 1.0 / (1.0 + 2.0 * k)
    weight = -np.log(lowest)
    fraction = np.ones(energy.size)
    open_ = np.arange(energy.size)
    while open_.size:
        low = lowest[open_]
        first = rng.random(open_.size)
        second = rng.random(open_.size)
        inverse = first * (weight[open_] + 0.5 * (1.0 - low**2)) < weight[open_]
        trial = np.where(inverse, low**second, np.sqrt(low**2 + (1.0 - low**2) * second))
        one_minus_cosine = (1.0 - trial) / (trial * k[open_])
        sine2 = one_minus_cosine * (2.0 - one_minus_cosine)
        accepted = rng.random(open_.size) < 1.0 - trial * sine2 / (1.0 + trial**2)
        fraction[open_[accepted]] = trial[accepted]
        open_ = open_[~accepted]
    return fraction


def interact_photons(rng: np.random.Generator, photons: Quanta) -> tuple[Quanta, Quanta]:
    """Fly every photon to its next interaction: the electrons it makes and the photons that remain."""
    pair = pair_coefficient(photons.energy)
    compton = compton_coefficient(photons.energy)
    absorption = photoelectric_coefficient(photons.energy)
    total = pair + compton + absorption
    position = photons.position + (rng.standard_exponential(len(photons)) / total)[:, None] * photons.direction
    draw = rng.random(len(photons)) * total
    converts = draw < pair
    scatters = ~converts & (draw < pair + compton)
    absorbed = ~converts & ~scatters

    p = photons[converts]
    at = position[converts]
    share = rng.random(len(p))
    free = p.energy - 2.0 * ELECTRON_MASS
    electron = Quanta(at, p.direction, share * free, p.time, p.label)
    positron = Quanta(at, p.direction, (1.0 - share) * free, p.time, p.label)
    # annihilation photons start where the pair does: the positron's way is left out
    back = isotropic(rng, len(p))
    rest = np.full(len(p), ELECTRON_MASS)
    annihilation = [Quanta(at, sign * back, rest, p.time, p.label) for sign in (-1.0, 1.0)]

    p = photons[absorbed]
    freed = Quanta(position[absorbed], p.direction, p.energy, p.time, p.label)

    p = photons[scatters]
    at = position[scatters]
    kept = sample_compton(rng, p.energy)
    cosine = 1.0 - ELECTRON_MASS / p.energy * (1.0 / kept - 1.0)
    azimuth = rng.uniform(0.0, 2.0 * np.pi, len(p))
    photon = Quanta(at, deflected(p.direction, cosine, azimuth), kept * p.energy, p.time, p.label)
    recoil = p.energy[:, None] * (p.direction - kept[:, None] * photon.direction)
    recoil /= np.maximum(np.linalg.norm(recoil, axis=1, keepdims=True), 1e-12)
    struck = Quanta(at, recoil, (1.0 - kept) * p.energy, p.time, p.label)
    return Quanta.join([electron, positron, struck, freed]), Quanta.join([photon, *annihilation])


@lru_cache(maxsize=1)
def _loss_table() -> tuple[np.ndarray, np.ndarray]:
    kinetic = np.geomspace(0.01, 1e5, 400)
    return kinetic, electron_loss(kinetic)


def run_electrons(rng: np.random.Generator, electrons: Quanta) -> tuple[Deposits, Quanta, Quanta]:
    """Run electrons for at most `LONGEST` steps: deposits, radiated photons and the electrons not yet at rest."""
    n = len(electrons)
    steps = int(min(LONGEST, np.ceil(electrons.energy.max() / (1.9 * STEP)) + 1))
    losses = np.interp(0.5 * electrons.energy, *_loss_table())
    # y of at most one photon a step: dN/dy of PDG eq. 34.29 by rejection from 1/y
    y = np.zeros((n, steps))
    radiates = np.flatnonzero(rng.random(y.size) < _LOG_BREMS * STEP / RADIATION_LENGTH)
    trial = SMALLEST_FRACTION ** rng.random(radiates.size)
    y.flat[radiates] = np.where(rng.random(radiates.size) < 1.0 - trial + 0.75 * trial**2, trial, 0.0)
    kept = np.cumprod(1.0 - y, axis=1)
    # E_i = kept_i (E_0 - loss sum_j<i 1 / kept_j): exact for a loss that does not change on the way
    slowed = np.cumsum(losses[:, None] * STEP / kept, axis=1)
    after = kept * (electrons.energy[:, None] - slowed)
    before = np.concatenate([electrons.energy[:, None], after[:, :-1]], axis=1) * (1.0 - y)
    alive = before > 0.0

    kinetic = np.maximum(before, 0.05)
    momentum = np.sqrt(kinetic * (kinetic + 2.0 * ELECTRON_MASS))
    beta = momentum / (kinetic + ELECTRON_MASS)
    angle = np.minimum(scattering_angle(momentum, beta, STEP), 1.0)
    kicks = angle[:, :, None] * rng.standard_normal((n, steps, 3))
    direction = np.empty((n, steps, 3))
    heading = electrons.direction
    for step in range(steps):
        direction[:, step] = heading
        heading = heading + kicks[:, step]
        heading = heading / np.sqrt(np.einsum("ij,ij->i", heading, heading))[:, None]
    length = np.where(alive, np.minimum(STEP, before / losses[:, None]), 0.0)
    ends = electrons.position[:, None] + np.cumsum(length[:, :, None] * direction, axis=1)

    row, column = np.nonzero(alive)
    piece = length[row, column]
    at = ends[row, column] - 0.5 * length[row, column, None] * direction[row, column]
    energy = _fluctuate(rng, losses[row] * piece)
    density = np.maximum(energy / np.maximum(piece, 0.03), np.interp(before[row, column], *_loss_table()))
    deposits = Deposits(at, energy, density, electrons.time[row], electrons.label[row])

    row, column = np.nonzero(alive & (y > 0.0))
    quantum = (y / (1.0 - y) * before)[row, column]
    at = ends[row, column] - length[row, column, None] * direction[row, column]
    photons = Quanta(at, direction[row, column], quantum, electrons.time[row], electrons.label[row])
    left = np.flatnonzero(after[:, -1] > 0.0)
    rest = Quanta(ends[left, -1], heading[left], after[left, -1], electrons.time[left], electrons.label[left])
    return deposits, photons, rest


def _fluctuate(rng: np.random.Generator, mean: np.ndarray) -> np.ndarray:
    """Energies (MeV) with these means, times a Landau-shaped factor of mean one."""
    gamma = np.full(mean.size, 3.6)  # of a minimum-ionising muon: only the shape is taken from it
    mass = np.full(mean.size, MUON_MASS)
    return mean * sample_soft_loss(rng, gamma, mass, STEP) / (heavy_loss(gamma[:1], mass[:1], DELTA_CUT) * STEP)


def _absorbed(quanta: Quanta) -> Deposits:
    """Quanta too slow to follow, as spots of the energy they have left."""
    density = np.interp(quanta.energy, *_loss_table())
    return Deposits(quanta.position, quanta.energy, density, quanta.time, quanta.label)


def cascade(rng: np.random.Generator, geometry: Geometry, electrons: Quanta, photons: Quanta) -> Deposits:
    """All energy that electrons and photons leave in the active volume."""
    parts = [Deposits.none()]

    def alive(quanta: Quanta, cut: float) -> Quanta:
        """Those inside and above the cut; those inside and below it are deposited."""
        quanta = quanta[geometry.contains(quanta.position)]
        parts.append(_absorbed(quanta[quanta.energy <= cut]))
        return quanta[quanta.energy > cut]

    while len(electrons) or len(photons):
        generation = [electrons]
        for _ in range(3):  # most photons end here; the few that go on scattering join the next generation
            if len(photons):
                new, photons = interact_photons(rng, photons)
                generation.append(new)
                photons = alive(photons, PHOTON_CUT)
        electrons = alive(Quanta.join(generation), ELECTRON_CUT)
        radiated = [photons]
        waiting = [Quanta.none()]
        # short and long tracks apart: a matrix is as wide as its longest row
        for low, high in ((0.0, 4.0), (4.0, 16.0), (16.0, np.inf)):
            some = electrons[(electrons.energy > low) & (electrons.energy <= high)]
            if len(some):
                deposits, new, rest = run_electrons(rng, some)
                parts.append(deposits)
                radiated.append(alive(new, PHOTON_CUT))
                waiting.append(rest)
        photons = Quanta.join(radiated)
        electrons = Quanta.join(waiting)
    return Deposits.join(parts)
