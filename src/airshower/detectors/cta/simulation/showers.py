"""Air showers as sums of electromagnetic sub-showers, with the muons that hadrons leave; many showers at once.

Positions are metres in the ground frame (x north, y west, z up from sea level), slopes are dx/dz and dy/dz of downward
particles, depths are g/cm2 along the primary's axis; particles that fan out by some degrees share that depth at a
height.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np

from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.cherenkov import RADIATION_LENGTH

CRITICAL_ENERGY = 0.08792  # GeV, electrons in air: PDG, atomic and nuclear properties of materials
PAIR_LENGTH = 9.0 / 7.0 * RADIATION_LENGTH  # mean free path of photons: PDG, passage of particles through matter
# radiation lengths by which the start of an electron's mean cascade moves: late by an exponential law, less a constant.
# A fit to the depths of maximum in the official files and to the heights that CORSIKA's light comes from (`cherenkov`).
FLUCTUATION, EARLIER = 0.7, 2.0
_PROFILE_STEP = 20.0  # g/cm2


@dataclass(frozen=True)
class Primaries:
    """Primaries, [n] each. Their axes intersect the height of the array, `ground`, at the cores."""

    name: str  # "gamma" or "proton"
    energy: np.ndarray  # GeV
    alt: np.ndarray  # rad, of where they come from
    az: np.ndarray  # rad, from north to east
    core: np.ndarray  # f8 [n, 2] m, x to the north and y to the west
    ground: float  # m above sea level

    def __len__(self) -> int:
        return len(self.energy)

    @cached_property
    def slope(self) -> np.ndarray:
        """dx/dz and dy/dz of the axes, f8 [n, 2]."""
        return (np.array([np.cos(self.az), -np.sin(self.az)]) / np.tan(self.alt)).T

    @cached_property
    def cosine(self) -> np.ndarray:
        """The cosine of the zenith angle."""
        return np.sin(self.alt)

    @cached_property
    def towards(self) -> np.ndarray:
        """Unit vectors towards the source, f8 [n, 3]."""
        return np.insert(self.slope, 2, 1.0, axis=1) * self.cosine[:, None]

    @cached_property
    def feet(self) -> np.ndarray:
        """The cores as points in space, f8 [n, 3] m."""
        return np.insert(self.core, 2, self.ground, axis=1)

    @cached_property
    def ground_depth(self) -> np.ndarray:
        """g/cm2 along the axes down to the array."""
        return float(atmosphere.depth(self.ground)) / self.cosine

    def heights(self, shower: np.ndarray, depth: np.ndarray) -> np.ndarray:
        """m above sea level of depths [m] along the axes of showers [m]."""
        return atmosphere.height(depth * self.cosine[shower])

    def points(self, height: np.ndarray) -> np.ndarray:
        """f8 [n, 3] m: the points of the axes at heights [n]."""
        return np.insert(self.core + (height - self.ground)[:, None] * self.slope, 2, height, axis=1)


@dataclass(frozen=True)
class Subshowers:
    """Electrons and positrons that start an electromagnetic cascade, [m] each."""

    shower: np.ndarray  # int64, ascending: which primary it comes from
    energy: np.ndarray  # GeV
    start: np.ndarray  # g/cm2 along the primary's axis
    position: np.ndarray  # f8 [m, 3] m, a point of the axis
    slope: np.ndarray  # f8 [m, 2]
    weight: np.ndarray  # number of cascades that this one represents


@dataclass(frozen=True)
class Muons:
    """Muons at their production, [m] each."""

    shower: np.ndarray  # int64
    energy: np.ndarray  # GeV
    position: np.ndarray  # f8 [m, 3] m
    slope: np.ndarray  # f8 [m, 2]


@dataclass(frozen=True)
class Showers:
    """Air showers: cascades and muons."""

    subshowers: Subshowers
    muons: Muons
    first_interaction: np.ndarray  # g/cm2 along the axis, [n]


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


def fluctuate(rng: np.random.Generator, start: np.ndarray) -> np.ndarray:
    """Starts of mean cascades that represent single ones, with the fluctuations of the first radiation."""
    return start + RADIATION_LENGTH * (FLUCTUATION * rng.standard_exponential(len(start)) - EARLIER)


def simulate_gammas(rng: np.random.Generator, primaries: Primaries) -> Showers:
    """Showers of gammas: the electron and the positron of the first pair start a cascade each."""
    number = len(primaries)
    first = PAIR_LENGTH * rng.standard_exponential(number)
    share = rng.random(number)
    # shares are flat, about what pair production gives
    energy = primaries.energy[:, None] * np.stack([share, 1.0 - share], 1)
    position = primaries.points(primaries.heights(np.arange(number), first))
    start = fluctuate(rng, first)
    cascades = Subshowers(
        np.repeat(np.arange(number), 2), energy.ravel(), np.repeat(start, 2), np.repeat(position, 2, 0),
        np.repeat(primaries.slope, 2, 0), np.ones(2 * number),
    )  # fmt: skip
    return Showers(cascades, Muons(np.zeros(0, int), np.zeros(0), np.zeros((0, 3)), np.zeros((0, 2))), first)


def shower_maximum(cascades: Subshowers, number: int) -> np.ndarray:
    """Slant depth in g/cm2 with the most electrons of each of `number` showers, NaN of those without a cascade."""
    depth = np.arange(_PROFILE_STEP, 1600.0, _PROFILE_STEP)
    profile = greisen((depth - cascades.start[:, None]) / RADIATION_LENGTH, cascades.energy[:, None])
    present, first = np.unique(cascades.shower, return_index=True)
    total = np.add.reduceat(cascades.weight[:, None] * profile, first) if len(first) else profile
    top = np.clip(total.argmax(1), 1, len(depth) - 2)
    before, at, after = (total[np.arange(len(top)), top + i] for i in (-1, 0, 1))
    shift = np.clip(0.5 * (before - after) / np.minimum(before - 2.0 * at + after, -1e-9), -0.5, 0.5)  # of a parabola
    maxima = np.full(number, np.nan)
    maxima[present] = depth[top] + _PROFILE_STEP * shift
    return maxima
