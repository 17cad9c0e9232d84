"""One simulated readout window: cosmic muons, at most one neutrino, three wire images."""

from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from airshower.detectors.lartpc.larcv_format import PARTICLE
from airshower.detectors.lartpc.simulation import argon39
from airshower.detectors.lartpc.simulation.cosmics import cosmic_muons, visible
from airshower.detectors.lartpc.simulation.deposits import NEUTRINO, Deposits, Quanta, Tracks, isotropic
from airshower.detectors.lartpc.simulation.energy_loss import MUON_MASS, PION_MASS, PROTON_MASS
from airshower.detectors.lartpc.simulation.geometry import Geometry
from airshower.detectors.lartpc.simulation.kinematics import decay
from airshower.detectors.lartpc.simulation.neutrino import Interaction, interact, particle_table
from airshower.detectors.lartpc.simulation.readout import SimulatedPlane, drift, read_plane
from airshower.detectors.lartpc.simulation.showers import cascade
from airshower.detectors.lartpc.simulation.tracks import transport

ARGON_LEVEL = 1.461  # MeV, first excited state of argon 40: the photon of neutron inelastic scattering
NEUTRON_LENGTH = 30.0  # cm between inelastic scatterings of neutrons of some MeV, rounded
_TRACK_MASS = {13: MUON_MASS, 211: PION_MASS, 2212: PROTON_MASS}


@dataclass
class SimulationConfig:
    """What a user would turn. The values reproduce the public SBND events."""

    image_size: list[int] = field(default_factory=lambda: [2048, 1280])  # wires, ticks; fewer: coarser pixels
    cosmic_rate: float = 12.0  # muons that cross the detector in the 2.56 ms that can reach the readout window
    neutrino_fraction: float = 1.0  # of the events that hold a neutrino interaction
    nu_e_fraction: float = 0.5  # of the neutrinos, the rest is nu_mu
    neutral_fraction: float = 0.2  # of the interactions, the rest is charged current
    antineutrino_fraction: float = 0.05  # of the neutrinos
    electron_lifetime: float = 10000.0  # us
    electrons_per_count: float = 255.0  # gain: electrons that give one count in a pixel
    threshold: float = 5.0  # counts, pixels below are dropped
    noise: float = 1.0  # rate of noise pixels, relative to the public SBND events; 0 switches noise off


@dataclass(frozen=True)
class SimulatedEvent:
    """The images of one readout window and what made them."""

    planes: tuple[SimulatedPlane, ...]  # 3
    particles: np.ndarray  # PARTICLE records: the neutrino, then its daughters; empty without a neutrino
    vertex: np.ndarray  # [3, 2] (wire, tick) pixel of the neutrino vertex in each plane, -1 if there is none


@lru_cache(maxsize=1)
def _geometry() -> Geometry:
    return Geometry()


def _daughters(rng: np.random.Generator, interaction: Interaction) -> tuple[Tracks, Quanta, Quanta]:
    """Heavy tracks, electrons and photons of an interaction; pi0 decay at once, neutrons excite argon on their way."""
    tracks, electrons, photons = [], [], []
    for pdg, vector in interaction.daughters:
        momentum = float(np.linalg.norm(vector[1:]))
        if momentum < 1e-3:
            continue
        direction = vector[1:] / momentum
        if abs(pdg) in _TRACK_MASS:
            tracks.append((interaction.position, direction, vector[0] - _TRACK_MASS[abs(pdg)], pdg))
        elif abs(pdg) == 11:
            electrons.append((interaction.position, direction, vector[0]))
        elif pdg == 111:
            for photon in decay(rng, vector, 0.0, 0.0):
                photons.append((interaction.position, photon[1:] / photon[0], photon[0]))
        elif pdg == 2112:
            count = min(rng.poisson(momentum**2 / (2.0 * PROTON_MASS) / 30.0), 6)
            way = np.cumsum(rng.exponential(NEUTRON_LENGTH, count))
            for distance, turn in zip(way, isotropic(rng, count), strict=True):
                photons.append((interaction.position + distance * (direction + 0.5 * turn), -turn, ARGON_LEVEL))

    def common(size: int) -> tuple[np.ndarray, np.ndarray]:
        return np.full(size, interaction.time), np.full(size, NEUTRINO, np.uint8)

    def quanta(rows: list) -> Quanta:
        if not rows:
            return Quanta.none()
        time, label = common(len(rows))
        return Quanta(*(np.array(column) for column in zip(*rows, strict=True)), time=time, label=label)

    heavy = Tracks.none()
    if tracks:
        time, label = common(len(tracks))
        heavy = Tracks(*(np.array(column) for column in zip(*tracks, strict=True)), time=time, label=label)
    return heavy, quanta(electrons), quanta(photons)


def simulate_event(config: SimulationConfig, seed: int, entry: int) -> SimulatedEvent:
    """One event; a pure function of its arguments, so entries can be made in any order or in parallel."""
    rng = np.random.default_rng([seed, entry])
    geometry = _geometry()
    interaction = None
    if rng.random() < config.neutrino_fraction:
        fractions = config.nu_e_fraction, config.neutral_fraction, config.antineutrino_fraction
        interaction = interact(rng, geometry, *fractions)
    muons = cosmic_muons(rng, geometry, config.cosmic_rate)
    tracks, electrons, photons = muons[visible(geometry, muons)], Quanta.none(), Quanta.none()
    if interaction is not None:
        heavy, electrons, photons = _daughters(rng, interaction)
        tracks = Tracks.join([tracks, heavy])

    deposits = [argon39.decays(rng, geometry)]
    while len(tracks):
        deposit, made, radiated, tracks = transport(rng, geometry, tracks)
        deposits.append(deposit)
        electrons, photons = Quanta.join([electrons, made]), Quanta.join([photons, radiated])
    deposits.append(cascade(rng, geometry, electrons, photons))

    clouds = drift(rng, geometry, Deposits.join(deposits), config.electron_lifetime, config.electrons_per_count)
    size, numbers = list(config.image_size), range(len(geometry.wire_angles))
    planes = tuple(read_plane(rng, geometry, clouds, plane, size, config.threshold, config.noise) for plane in numbers)
    vertex = np.full((len(planes), 2), -1, np.int64)
    if interaction is None:
        return SimulatedEvent(planes, np.zeros(0, PARTICLE), vertex)
    return SimulatedEvent(planes, particle_table(interaction), geometry.vertex_pixels(interaction.position, size))
