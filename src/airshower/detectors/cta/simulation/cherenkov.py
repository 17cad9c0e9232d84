"""Cherenkov light of the electrons and positrons of a shower, as a function of the angle to its axis.

Energy, angle and distance to the axis of the electrons follow Lafebre, Engel, Falcke, Hoerandel, Huege, Kuijpers,
Ulrich, Astropart. Phys. 31 (2009) 243 (arXiv:0902.0548): they depend on the stage t = (X - Xmax) / X0 of the shower
alone. Angles are folded with the Cherenkov cone, which gives the light pool its edge at 120 m.
"""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from airshower.detectors.cta.simulation import atmosphere

RADIATION_LENGTH = 36.62  # g/cm2, air: PDG, atomic and nuclear properties of materials
MOLIERE = 9.6  # g/cm2, Lafebre et al., section 5
ELECTRON_MASS = 0.511  # MeV
# photons of 300 to 600 nm per g/cm2 and electron far above threshold, 2 pi alpha (1/l1 - 1/l2) sin^2(theta) / density;
# with sin^2(theta) = 2 (n - 1) it is the same at all heights
YIELD = 2.0 * np.pi / 137.036 * (1 / 300e-9 - 1 / 600e-9) * 2 * atmosphere.REFRACTIVITY / (100 * 1.2298e-3)
# Angle and distance of an electron come from the same scatterings: given its angle, its distance spreads by less,
# around a mean of some radiation lengths times the angle. For the last scatterings alone that would be half as much
# and half a length (PDG, passage of particles through matter). Both are a fit to width, length and brightness against
# distance of CORSIKA's light: 20 gammas of 0.1 to 5 TeV, zenith angle 20 deg, 2150 m (run 102 of eventio's test files).
# Then light is right within 10 % beyond 90 m; below, it is up to a third too bright and images up to 70 % too long.
SPREAD, LEVER = 0.6, 1.3
BREADTH = 0.9  # radiation lengths: rms distance over rms angle of electrons, the order of magnitude for all energies

_HEIGHT_STEP, _HEIGHTS = 750.0, 48  # m
_STAGE_STEP, _STAGES = 3.0, (-6.0, -3.0, 0.0, 3.0, 6.0, 9.0)  # the range of validity given in the paper
_ANGLE_STEP, _ANGLES = 1.5e-3, 160  # rad


@dataclass(frozen=True)
class Emission:
    """Tables over height, stage and angle, f4 [heights, stages, angles]."""

    density: np.ndarray  # photons per sr, relative to those of an electron far above threshold
    distance: np.ndarray  # mean distance of their emission to the shower's axis, in Moliere radii

    def cells(self, height: np.ndarray, stage: np.ndarray) -> np.ndarray:
        """The flat place in the tables of angle 0 at heights (m) [n] and stages [..., n], int64 like the stages."""
        row = np.minimum(np.rint(height / _HEIGHT_STEP), _HEIGHTS - 1)
        column = np.minimum(np.maximum(np.rint((stage - _STAGES[0]) / _STAGE_STEP), 0), len(_STAGES) - 1)
        return ((row * len(_STAGES) + column) * _ANGLES).astype(np.int64)

    def densities(self, cells: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Density per sr at angles in rad, linear between those of the table and 0 beyond it; f4."""
        position = angle * np.float32(1.0 / _ANGLE_STEP)
        index = np.minimum(position.astype(np.int64), _ANGLES - 2)
        part = (position - index).astype(np.float32)
        index += cells
        table = self.density.ravel()
        density = table[index]
        density += (table[index + 1] - density) * part
        density[part > 1.0] = 0.0
        return density

    def distances(self, cells: np.ndarray, angle: np.ndarray) -> np.ndarray:
        """Mean distance to the axis in Moliere radii at the table's nearest angle."""
        return self.distance.ravel()[cells + np.minimum((angle * (1.0 / _ANGLE_STEP)).astype(np.int64), _ANGLES - 1)]


def spectrum(energy: np.ndarray, stage: float) -> np.ndarray:
    """Electrons and positrons per unit of ln(energy in MeV), not normalised; Lafebre et al., table 1 and eq. 6."""
    low = 5.64 - 0.0663 * stage
    high = 123.0 - 0.70 * stage
    power = 1.0 + 0.0374 * stage
    return energy / (energy + low) / (energy + high) ** power


def angular_density(energy: np.ndarray, angle: np.ndarray) -> np.ndarray:
    """Electrons of `energy` MeV per sr at an `angle` in rad to the axis, not normalised; Lafebre et al., eq. 10."""
    log = np.log(energy)
    degrees = np.degrees(np.maximum(angle, 1e-4))
    near = np.exp(-3.73 + 0.92 * energy**0.210) * degrees**-0.399
    far = np.exp(32.9 - 4.84 * log) * degrees ** (-8.36 + 0.440 * log)
    return (near ** (-1 / 3) + far ** (-1 / 3)) ** -3


def _per_log_distance(x: np.ndarray, energy: np.ndarray | float) -> np.ndarray:
    """Electrons of `energy` MeV per ln(x), x the distance to the axis in Moliere radii, at maximum; not normalised.

    Lafebre et al., eq. 11.
    """
    log = np.log(energy)
    scale = 0.859 - 0.0461 * log**2 + 0.00428 * log**3
    power = 1.34 + 0.160 * log - 0.0404 * log**2 + 0.00276 * log**3
    return x**power * (scale + x) ** -4.33


def mean_distance(energy: np.ndarray) -> np.ndarray:
    """Mean distance to the axis in Moliere radii of electrons of `energy` MeV [n]."""
    x = np.geomspace(1e-4, 3.0, 200)[:, None]
    per_log = _per_log_distance(x, energy)
    return (per_log * x).sum(0) / per_log.sum(0)


@lru_cache(maxsize=1)
def distances() -> np.ndarray:
    """Distances of electrons of 100 MeV to the axis relative to their mean, f4 [4096] to draw from."""
    x = np.geomspace(1e-4, 3.0, 2000)
    cumulative = np.cumsum(_per_log_distance(x, 100.0))
    drawn = np.interp((np.arange(4096) + 0.5) / 4096, cumulative / cumulative[-1], x)
    return (drawn / drawn.mean()).astype(np.float32)


@lru_cache(maxsize=4)
def emission(ground: float) -> Emission:
    """The tables for telescopes at the height `ground` (m), made on first use (0.3 s).

    Light that goes out beside the axis comes down as if it had gone out on the axis under another angle, by the
    distance over the height above ground. As distances are proportional to angles, angles are stretched.
    """
    angle = _ANGLE_STEP * np.arange(_ANGLES)[:, None]
    energy = np.geomspace(22.0, 3.0e4, 24)  # MeV
    fine = np.geomspace(1e-4, 1.0, 200)[:, None]
    norm = (2.0 * np.pi * fine**2 * angular_density(energy, fine)).sum(0) * np.log(fine[1, 0] / fine[0, 0])
    everything = np.geomspace(1.0, 1.0e6, 300)
    turn = np.cos(np.pi * (np.arange(12) + 0.5) / 12)
    table = np.zeros((2, _HEIGHTS, len(_STAGES), _ANGLES), np.float32)
    spectra = [
        spectrum(energy, stage) * np.log(energy[1] / energy[0])
        / (spectrum(everything, stage).sum() * np.log(everything[1] / everything[0]))
        for stage in _STAGES
    ]  # fmt: skip
    distance = mean_distance(energy)
    for row in range(_HEIGHTS):
        excess = 2.0 * atmosphere.refractivity(row * _HEIGHT_STEP)
        relative = np.maximum(1.0 - ELECTRON_MASS**2 / (excess * energy**2), 0.0)  # sin^2 of the cone to its largest
        cone = np.sqrt(excess * relative)
        above = max(row * _HEIGHT_STEP - ground, _HEIGHT_STEP)
        length = 0.01 * RADIATION_LENGTH / atmosphere.density(row * _HEIGHT_STEP) / above
        stretch = np.hypot(1.0 + LEVER * length, SPREAD * BREADTH * length)
        folded = np.zeros((_ANGLES, len(energy)))
        for cosine in turn:
            between = np.sqrt(np.maximum(angle**2 + cone**2 - 2.0 * angle * cone * cosine, 0.0))
            folded += angular_density(energy, between / stretch) / (norm * stretch**2 * len(turn))
        for column, electrons in enumerate(spectra):
            each = folded * electrons * relative
            table[0, row, column] = each.sum(1)
            table[1, row, column] = (each * distance).sum(1) / each.sum(1)
    return Emission(table[0], table[1])
