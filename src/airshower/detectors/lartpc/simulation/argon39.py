"""Beta decays of argon 39 in the chamber: isolated spots of charge that belong to no label."""

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import BACKGROUND, Deposits
from airshower.detectors.lartpc.simulation.energy_loss import DENSITY, ELECTRON_MASS, electron_loss
from airshower.detectors.lartpc.simulation.geometry import Geometry

ACTIVITY = 1.01e-6  # decays a us and kg of atmospheric argon, WARP (astro-ph/0603131)
ENDPOINT = 0.565  # MeV


def sample_beta(rng: np.random.Generator, size: int) -> np.ndarray:
    """Kinetic energies (MeV): the allowed shape p E (Q - T)^2, with neither Fermi function nor forbiddenness."""
    kinetic = np.linspace(0.0, ENDPOINT, 101)
    total = kinetic + ELECTRON_MASS
    density = np.sqrt(total**2 - ELECTRON_MASS**2) * total * (ENDPOINT - kinetic) ** 2
    running = np.cumsum(density)
    return np.interp(rng.random(size), running / running[-1], kinetic)


def decays(rng: np.random.Generator, geometry: Geometry) -> Deposits:
    """The decays whose charge arrives in the readout window, each as one spot: the electron goes less than 1.5 mm."""
    volume = 4.0 * geometry.half_width * geometry.half_height * geometry.length
    count = rng.poisson(ACTIVITY * DENSITY * 1e-3 * volume * geometry.drift_time)
    position = rng.uniform(-1.0, 1.0, (count, 3)) * [geometry.half_width, geometry.half_height, 0.5 * geometry.length]
    position[:, 2] += 0.5 * geometry.length
    arrival = rng.uniform(0.0, geometry.drift_time, count)
    time = arrival - geometry.drift_duration(position[:, 0]) + geometry.time_zero
    energy = sample_beta(rng, count)
    density = electron_loss(np.maximum(energy, 0.03))
    return Deposits(position, energy, density, time, np.full(count, BACKGROUND, np.uint8))
