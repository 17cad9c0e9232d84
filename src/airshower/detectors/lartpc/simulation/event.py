"""One simulated readout window: cosmic muons, at most one neutrino, three wire images."""

from dataclasses import asdict, dataclass, field, replace
from functools import lru_cache

import numpy as np

from airshower.config.fields import number, section
from airshower.detectors.lartpc.larcv.format import PARTICLE
from airshower.detectors.lartpc.simulation import radioactivity
from airshower.detectors.lartpc.simulation.cosmics import cosmic_muons, visible
from airshower.detectors.lartpc.simulation.deposits import NEUTRINO, Deposits, Quanta, Tracks, isotropic
from airshower.detectors.lartpc.simulation.energy_loss import MUON_MASS, PION_MASS, PROTON_MASS
from airshower.detectors.lartpc.simulation.kinematics import decay
from airshower.detectors.lartpc.simulation.neutrino import Interaction, interact, particle_table
from airshower.detectors.lartpc.simulation.readout import SimulatedPlane, drift, read_plane
from airshower.detectors.lartpc.simulation.showers import cascade
from airshower.detectors.lartpc.simulation.tracks import transport
from airshower.geometry.wire_planes import Geometry

NEUTRON_LENGTH = 30.0  # cm between inelastic scatterings of neutrons of some MeV, rounded
_TRACK_MASS = {13: MUON_MASS, 211: PION_MASS, 2212: PROTON_MASS}


@dataclass
class Randomisation:
    """`data.simulation.randomisation.*`: how far an event's value of a field of the simulation may be from its value.

    With a spread s it is drawn between value / (1 + s) and value * (1 + s), uniformly in its logarithm.
    """

    electron_lifetime: float = number(0.0, low=0.0)
    electrons_per_count: float = number(0.0, low=0.0)
    diffusion: float = number(0.0, low=0.0)
    threshold: float = number(0.0, low=0.0)
    noise: float = number(0.0, low=0.0)


@dataclass
class LartpcSimulation:
    """`data.simulation.*`. The values reproduce the public SBND events."""

    image_size: list[int] = field(default_factory=lambda: [2048, 1280])  # wires, ticks; fewer: coarser pixels
    cosmic_rate: float = 12.0  # muons that cross the detector in the 2.56 ms that can reach the readout window
    neutrino_fraction: float = 1.0  # of the events that hold a neutrino interaction
    nu_e_fraction: float = 0.5  # of the neutrinos, the rest is nu_mu
    neutral_fraction: float = 0.2  # of the interactions, the rest is charged current
    antineutrino_fraction: float = 0.05  # of the neutrinos
    electron_lifetime: float = 10000.0  # us
    diffusion: float = 1.0  # of drifting electrons, relative to SBND's simulation (4.0 and 8.8 cm2/s)
    electrons_per_count: float = 255.0  # gain: electrons that give one count in a pixel
    threshold: float = 5.0  # counts, pixels below are dropped
    noise: float = 1.0  # rate of noise pixels, relative to the public SBND events; 0 switches noise off
    photons: float = 7.0  # of 1.46 MeV and of no label, in what the readout window can see
    argon39: float = 0.0  # decays of no label, relative to atmospheric argon; the public events have none
    randomisation: Randomisation = section(Randomisation)  # of the detector, event by event


@dataclass(frozen=True)
class SimulatedEvent:
    """The images of one readout window and their truth."""

    planes: tuple[SimulatedPlane, ...]  # 3
    particles: np.ndarray  # PARTICLE records: the neutrino, then its daughters; empty without a neutrino
    vertex: np.ndarray  # [3, 2] (wire, tick) pixel of the neutrino vertex in each plane, -1 if there is none


@lru_cache(maxsize=1)
def _geometry() -> Geometry:
    return Geometry()


def _daughters(rng: np.random.Generator, interaction: Interaction) -> tuple[Tracks, Quanta, Quanta]:
    """Heavy tracks, electrons and photons of an interaction; pi0 decay at once, neutrons excite argon on their way."""
    tracks = []
    electrons = []
    photons = []
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
                at = interaction.position + distance * (direction + 0.5 * turn)
                photons.append((at, -turn, radioactivity.ARGON_LEVEL))

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


def randomised(config: LartpcSimulation, seed: int, entry: int) -> LartpcSimulation:
    """The configuration of one event; its numbers are drawn apart from the event's, whose particles stay the same."""
    rng = np.random.default_rng([seed, entry, 1])
    spreads = asdict(config.randomisation)
    drawn = {name: getattr(config, name) * (1.0 + spread) ** rng.uniform(-1.0, 1.0) for name, spread in spreads.items()}
    return replace(config, **drawn)


def simulate_event(config: LartpcSimulation, seed: int, entry: int) -> SimulatedEvent:
    """One event; a pure function of its arguments, so entries can be made in any order or in parallel."""
    rng = np.random.default_rng([seed, entry])
    config = randomised(config, seed, entry)
    geometry = _geometry()
    interaction = None
    if rng.random() < config.neutrino_fraction:
        fractions = config.nu_e_fraction, config.neutral_fraction, config.antineutrino_fraction
        interaction = interact(rng, geometry, *fractions)
    muons = cosmic_muons(rng, geometry, config.cosmic_rate)
    tracks = muons[visible(geometry, muons)]
    electrons = Quanta.none()
    photons = radioactivity.photons(rng, geometry, config.photons)
    if interaction is not None:
        heavy, electrons, radiated = _daughters(rng, interaction)
        tracks = Tracks.join([tracks, heavy])
        photons = Quanta.join([photons, radiated])

    deposits = [radioactivity.decays(rng, geometry, config.argon39)]
    while len(tracks):
        deposit, freed, radiated, tracks = transport(rng, geometry, tracks)
        deposits.append(deposit)
        electrons = Quanta.join([electrons, freed])
        photons = Quanta.join([photons, radiated])
    deposits.append(cascade(rng, geometry, electrons, photons))

    electrons_per_count = config.electrons_per_count
    clouds = drift(
        rng, geometry, Deposits.join(deposits), config.electron_lifetime, config.diffusion, electrons_per_count
    )
    size = list(config.image_size)
    numbers = range(len(geometry.wire_angles))
    planes = tuple(read_plane(rng, geometry, clouds, plane, size, config.threshold, config.noise) for plane in numbers)
    vertex = np.full((len(planes), 2), -1, np.int64)
    if interaction is None:
        return SimulatedEvent(planes, np.zeros(0, PARTICLE), vertex)
    return SimulatedEvent(planes, particle_table(interaction), geometry.vertex_pixels(interaction.position, size))
