"""Two-body kinematics of one particle at a time; four-vectors are (E, px, py, pz) in MeV."""

import numpy as np


def two_body_momentum(total: float, first: float, second: float) -> float:
    """Momentum (MeV) of either product of a decay of mass `total` into masses `first` and `second`."""
    return np.sqrt(max((total**2 - (first + second) ** 2) * (total**2 - (first - second) ** 2), 0.0)) / (2.0 * total)


def invariant_mass(vector: np.ndarray) -> float:
    """Mass (MeV) of a four-vector."""
    return float(np.sqrt(max(vector[0] ** 2 - vector[1:] @ vector[1:], 0.0)))


def boosted(vector: np.ndarray, frame: np.ndarray) -> np.ndarray:
    """A four-vector in the rest frame of `frame`, boosted to the frame in which `frame` is given."""
    mass = invariant_mass(frame)
    energy = (frame[0] * vector[0] + frame[1:] @ vector[1:]) / mass
    return np.concatenate([[energy], vector[1:] + frame[1:] * (vector[0] + energy) / (frame[0] + mass)])


def decay(rng: np.random.Generator, parent: np.ndarray, first: float, second: float) -> tuple[np.ndarray, np.ndarray]:
    """Isotropic decay of a four-vector into two masses (MeV)."""
    momentum = two_body_momentum(invariant_mass(parent), first, second)
    direction = rng.standard_normal(3)
    direction *= momentum / np.linalg.norm(direction)
    one = np.concatenate([[np.hypot(first, momentum)], direction])
    two = np.concatenate([[np.hypot(second, momentum)], -direction])
    return boosted(one, parent), boosted(two, parent)


def sample_q2(rng: np.random.Generator, low: float, high: float, axial_mass: float) -> float:
    """Q^2 (MeV^2) between two limits from a squared dipole form factor, (1 + Q^2/M^2)^-4."""
    edge = (1.0 + np.array([low, high]) / axial_mass**2) ** -3.0
    return axial_mass**2 * ((edge[0] + rng.random() * (edge[1] - edge[0])) ** (-1.0 / 3.0) - 1.0)


def scatter(rng: np.random.Generator, energy: float, target: float, lepton: float, hadrons: float, axial_mass: float):
    """Neutrino of `energy` along z on a nucleon of mass `target` at rest: (lepton, hadronic system) four-vectors.

    The masses of the outgoing lepton and of the hadronic system (MeV) must fit into the available energy.
    """
    s = target**2 + 2.0 * target * energy
    centre_energy = s**0.5
    p_in = (s - target**2) / (2.0 * centre_energy)
    p_out = two_body_momentum(centre_energy, lepton, hadrons)
    e_out = np.hypot(p_out, lepton)
    middle = 2.0 * p_in * e_out - lepton**2
    spread = 2.0 * p_in * p_out
    q2 = sample_q2(rng, max(middle - spread, 0.0), middle + spread, axial_mass)
    cosine = np.clip((middle - q2) / spread, -1.0, 1.0)
    azimuth = rng.uniform(0.0, 2.0 * np.pi)
    sine = np.sqrt(1.0 - cosine**2)
    out = p_out * np.array([sine * np.cos(azimuth), sine * np.sin(azimuth), cosine])
    total = np.array([energy + target, 0.0, 0.0, energy])
    return boosted(np.concatenate([[e_out], out]), total), boosted(
        np.concatenate([[np.hypot(p_out, hadrons)], -out]), total
    )
