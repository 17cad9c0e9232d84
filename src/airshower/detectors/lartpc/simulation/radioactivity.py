"""Spots of charge of a few 100 keV all over the chamber that belong to no label.

The public SBND events were made without argon 39: they have a quarter of the isolated pixels of 10 to 30 counts that
its decays would leave in atmospheric argon, and more above, as photons of about 1 MeV leave them.
"""

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import BACKGROUND, Deposits, Quanta, isotropic
from airshower.detectors.lartpc.simulation.energy_loss import DENSITY, ELECTRON_MASS, electron_loss
from airshower.geometry.wire_planes import Geometry

ACTIVITY = 1.01e-6  # decays a us and kg of atmospheric argon, WARP (astro-ph/0603131)
ENDPOINT = 0.565  # MeV
ARGON_LEVEL = (
    1.461  # MeV, first excited state of argon 40: the photon of neutron inelastic scattering, and of potassium 40
)


def sample_beta(rng: np.random.Generator, size: int) -> np.ndarray:
    """Kinetic energies (MeV): the allowed shape p E (Q - T)^2, with neither Fermi function nor forbiddenness."""
    kinetic = np.linspace(0.0, ENDPOINT, 101)
    total = kinetic + ELECTRON_MASS
    density = np.sqrt(total**2 - ELECTRON_MASS**2) * total * (ENDPOINT - kinetic) ** 2
    running = np.cumsum(density)
    return np.interp(rng.random(size), running / running[-1], kinetic)


def _anywhere(rng: np.random.Generator, geometry: Geometry, count: int) -> tuple[np.ndarray, np.ndarray]:
    """Points [count, 3] (cm) and times (us), uniform, whose charge arrives in the readout window."""
    position = rng.uniform(-1.0, 1.0, (count, 3)) * [geometry.half_width, geometry.half_height, 0.5 * geometry.length]
    position[:, 2] += 0.5 * geometry.length
    arrival = rng.uniform(0.0, geometry.drift_time, count)
    return position, arrival - geometry.drift_duration(position[:, 0]) + geometry.time_zero


def decays(rng: np.random.Generator, geometry: Geometry, activity: float) -> Deposits:
    """Decays of argon 39, as spots, as the electron goes less than 1.5 mm; `activity` is over atmospheric argon's."""
    volume = 4.0 * geometry.half_width * geometry.half_height * geometry.length
    count = rng.poisson(activity * ACTIVITY * DENSITY * 1e-3 * volume * geometry.drift_time)
    position, time = _anywhere(rng, geometry, count)
    energy = sample_beta(rng, count)
    density = electron_loss(np.maximum(energy, 0.03))
    return Deposits(position, energy, density, time, np.full(count, BACKGROUND, np.uint8))


def photons(rng: np.random.Generator, geometry: Geometry, mean: float) -> Quanta:
    """A Poisson number of photons of `ARGON_LEVEL`."""
    count = rng.poisson(mean)
    position, time = _anywhere(rng, geometry, count)
    energy = np.full(count, ARGON_LEVEL)
    return Quanta(position, isotropic(rng, count), energy, time, np.full(count, BACKGROUND, np.uint8))
