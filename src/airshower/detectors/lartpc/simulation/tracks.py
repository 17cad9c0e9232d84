"""Muons, charged pions and protons: stepping, knock-on electrons, bremsstrahlung, decay, nuclear reactions."""

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import (
    Deposits,
    Quanta,
    Tracks,
    deflected,
    isotropic,
    transverse_frame,
)
from airshower.detectors.lartpc.simulation.energy_loss import (
    DELTA_CUT,
    ELECTRON_MASS,
    MUON_MASS,
    PION_MASS,
    PROTON_MASS,
    RADIATION_LENGTH,
    csda_range,
    kinetic_after,
    landau_width,
    max_transfer,
    sample_soft_loss,
    scattering_angle,
)
from airshower.geometry.wire_planes import Geometry

STEP = 0.15  # cm, half the wire pitch
INTERACTION_LENGTH = 85.7  # cm, nuclear, PDG atomic properties of liquid argon
MICHEL_ENDPOINT = 52.83  # MeV, (m_mu^2 + m_e^2) / (2 m_mu)
MUON_LIFETIME = 2.197  # us
MUON_CAPTURE = 0.74  # of mu- in argon: 1 - 567 ns / 2197 ns (Klinskikh et al. 2008, Suzuki et al. 1987)
_MASSES = {13: MUON_MASS, 211: PION_MASS, 2212: PROTON_MASS}


def masses(pdg: np.ndarray) -> np.ndarray:
    """Mass (MeV) of muons, charged pions and protons by PDG code."""
    return np.select([np.abs(pdg) == code for code in _MASSES], list(_MASSES.values()))


def sample_michel(rng: np.random.Generator, size: int) -> np.ndarray:
    """Energies (MeV) of electrons from unpolarised muon decay: dN/dx ~ x^2 (3 - 2x) (PDG "Muon decay parameters")."""
    x = np.linspace(0.0, 1.0, 201)
    return MICHEL_ENDPOINT * np.interp(rng.random(size), 2.0 * x**3 - x**4, x)


def knock_on_electrons(
    rng: np.random.Generator, gamma: np.ndarray, mass: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Delta rays above `DELTA_CUT` (PDG eq. 34.8): index of the step, kinetic energy (MeV), cosine to the track."""
    largest = max_transfer(gamma, mass)
    rate = landau_width(gamma, step) * np.clip(1.0 / DELTA_CUT - 1.0 / largest, 0.0, None)
    index = np.flatnonzero(rng.random(gamma.size) < rate)
    largest = largest[index]
    kinetic = 1.0 / (1.0 / DELTA_CUT - rng.random(index.size) * (1.0 / DELTA_CUT - 1.0 / largest))
    keep = rng.random(index.size) > (1.0 - 1.0 / gamma[index] ** 2) * kinetic / largest
    index = index[keep]
    kinetic = kinetic[keep]
    largest = largest[keep]
    momentum, top = (np.sqrt(t * (t + 2.0 * ELECTRON_MASS)) for t in (kinetic, largest))
    return index, kinetic, np.clip(kinetic / momentum * top / largest, -1.0, 1.0)


def bremsstrahlung_photons(
    rng: np.random.Generator, kinetic: np.ndarray, mass: np.ndarray, step: float
) -> tuple[np.ndarray, np.ndarray]:
    """Photons of more than 1 % of a heavy particle's energy: index of the step and energy (MeV).

    The electron's spectrum dN/dy = (4/3 (1 - y) + y^2) / (X0 y) (PDG eq. 34.29), X0 scaled by the mass squared.
    """
    length = RADIATION_LENGTH * (mass / ELECTRON_MASS) ** 2
    index = np.flatnonzero(rng.random(kinetic.size) < step / length * 4.0 / 3.0 * np.log(100.0))
    y = 0.01 ** rng.random(index.size)
    keep = rng.random(index.size) < 1.0 - y + 0.75 * y**2
    return index[keep], (y * kinetic[index])[keep]


def _paths(
    rng: np.random.Generator, tracks: Tracks, length: np.ndarray, reach: np.ndarray, mass: np.ndarray
) -> tuple[np.ndarray, ...]:
    """Track of each step, its middle [n, 3], direction [n, 3], kinetic energy, and the last step of each track.

    Steps of all tracks lie one behind the other in one long array.
    """
    counts = np.maximum((length / STEP).astype(np.int64), 1)
    owner = np.repeat(np.arange(len(tracks)), counts)
    first = np.cumsum(counts) - counts
    number = np.arange(owner.size) - first[owner]
    residual = np.maximum(reach[owner] - (number + 0.5) * STEP, 0.2 * STEP)
    kinetic = kinetic_after(residual, mass[owner])
    momentum = np.sqrt(kinetic * (kinetic + 2.0 * mass[owner]))
    angle = scattering_angle(momentum, momentum / (kinetic + mass[owner]), STEP)

    def summed(values: np.ndarray) -> np.ndarray:
        """Running sum that starts anew with each track, up to the middle of each step."""
        total = np.cumsum(values, axis=0)
        before = total[first] - values[first]
        return total - before[owner] - 0.5 * values

    kicks = summed(angle[:, None] * rng.standard_normal((owner.size, 2)))
    across, upward = transverse_frame(tracks.direction)
    direction = tracks.direction[owner] + kicks[:, :1] * across[owner] + kicks[:, 1:] * upward[owner]
    direction /= np.sqrt(np.einsum("ij,ij->i", direction, direction))[:, None]
    position = tracks.position[owner] + summed(STEP * direction)
    last = first + counts - 1
    return owner, position, direction, kinetic, last


def transport(rng: np.random.Generator, geometry: Geometry, tracks: Tracks) -> tuple[Deposits, Quanta, Quanta, Tracks]:
    """Follow tracks through the active volume: deposits, electrons, photons and the tracks of nuclear reactions.

    Range straggling is left out: a particle slows down by its mean loss while its deposits fluctuate.
    """
    mass = masses(tracks.pdg)
    reach = csda_range(tracks.kinetic, mass)
    leave = geometry.chord(tracks.position, tracks.direction)[1]
    hadron = np.abs(tracks.pdg) > 100
    reaction = np.where(hadron, INTERACTION_LENGTH * rng.standard_exponential(len(tracks)), np.inf)
    # a bent track may stay inside longer than its straight line does
    length = np.minimum(np.minimum(reach, reaction), 1.05 * np.clip(leave, 0.0, None) + 1.0)
    owner, position, direction, kinetic, last = _paths(rng, tracks, length, reach, mass)

    inside = geometry.contains(position)
    ended = inside[last]
    stopped = np.flatnonzero(ended & (reach <= length))
    reacted = np.flatnonzero(ended & (reaction <= length))
    decays = _decays(rng, tracks, stopped, position[last])
    debris = _reactions(rng, tracks, reacted, position[last], direction[last], kinetic[last])

    in_readout = np.flatnonzero(inside & geometry.in_window(position[:, 0], tracks.time[owner]))
    owner = owner[in_readout]
    position = position[in_readout]
    direction = direction[in_readout]
    kinetic = kinetic[in_readout]
    mass = mass[owner]
    gamma = 1.0 + kinetic / mass
    energy = sample_soft_loss(rng, gamma, mass, STEP)
    deposits = Deposits(position, energy, energy / STEP, tracks.time[owner], tracks.label[owner])

    hit, delta, cosine = knock_on_electrons(rng, gamma, mass, STEP)
    turned = deflected(direction[hit], cosine, rng.uniform(0.0, 2.0 * np.pi, hit.size))
    deltas = Quanta(position[hit], turned, delta, tracks.time[owner[hit]], tracks.label[owner[hit]])
    hit, photon = bremsstrahlung_photons(rng, kinetic, mass, STEP)
    photons = Quanta(position[hit], direction[hit], photon, tracks.time[owner[hit]], tracks.label[owner[hit]])
    return deposits, Quanta.join([deltas, decays]), photons, debris


def _decays(rng: np.random.Generator, tracks: Tracks, stopped: np.ndarray, ends: np.ndarray) -> Quanta:
    """Michel electrons of stopped mu+-, and of the mu+ of stopped pi+ (whose millimetre is left out)."""
    pdg = tracks.pdg[stopped]
    free = rng.random(stopped.size) > MUON_CAPTURE
    index = stopped[(pdg == -13) | (pdg == 211) | ((pdg == 13) & free)]
    time = tracks.time[index] + MUON_LIFETIME * rng.standard_exponential(index.size)
    return Quanta(ends[index], isotropic(rng, index.size), sample_michel(rng, index.size), time, tracks.label[index])


def _reactions(
    rng: np.random.Generator,
    tracks: Tracks,
    reacted: np.ndarray,
    ends: np.ndarray,
    direction: np.ndarray,
    kinetic: np.ndarray,
) -> Tracks:
    """What leaves a nuclear reaction in flight: up to two protons and, for half of the pions, a slower pion.

    A caricature of the cascade: the visible energy is a random part of the incoming one, the rest is neutral or lost.
    """
    index = np.repeat(reacted, 2)
    is_pion = np.abs(tracks.pdg[index]) == 211
    survives = is_pion & (np.arange(index.size) % 2 == 0) & (rng.random(index.size) < 0.5)
    pdg = np.where(survives, tracks.pdg[index], 2212)
    energy = kinetic[index] * rng.uniform(0.05, 0.5, index.size)
    turned = deflected(direction[index], rng.uniform(-0.3, 1.0, index.size), rng.uniform(0, 2 * np.pi, index.size))
    keep = energy > 15.0  # MeV, a proton of 15 MeV goes 2 mm
    products = Tracks(ends[index], turned, energy, pdg, tracks.time[index], tracks.label[index])
    return products[keep]
