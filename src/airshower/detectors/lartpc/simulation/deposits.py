"""Data types of the transport: tracks, electrons and photons of showers, energy deposits."""

from dataclasses import dataclass

import numpy as np

BACKGROUND, COSMIC, NEUTRINO = 0, 1, 2  # labels of the image


class _Columns:
    """A table as arrays of equal length."""

    label: np.ndarray

    def __len__(self) -> int:
        return len(self.label)

    def __getitem__(self, index):
        return type(self)(*(column[index] for column in vars(self).values()))

    @classmethod
    def join(cls, parts: list):
        """One table of all rows of all parts (at least one part)."""
        return cls(*(np.concatenate(columns) for columns in zip(*(vars(part).values() for part in parts), strict=True)))


@dataclass(frozen=True)
class Tracks(_Columns):
    """Heavy charged particles at their starting points."""

    position: np.ndarray  # [n, 3] cm
    direction: np.ndarray  # [n, 3] unit vectors
    kinetic: np.ndarray  # MeV
    pdg: np.ndarray
    time: np.ndarray  # us
    label: np.ndarray

    @classmethod
    def none(cls) -> "Tracks":
        """A table without rows."""
        none = np.zeros(0)
        return cls(np.zeros((0, 3)), np.zeros((0, 3)), none, none.astype(np.int64), none, none.astype(np.uint8))


@dataclass(frozen=True)
class Quanta(_Columns):
    """Electrons, positrons (not distinguished) or photons of an electromagnetic cascade."""

    position: np.ndarray  # [n, 3] cm
    direction: np.ndarray  # [n, 3] unit vectors
    energy: np.ndarray  # MeV, kinetic
    time: np.ndarray  # us
    label: np.ndarray

    @classmethod
    def none(cls) -> "Quanta":
        """A table without rows."""
        return cls(np.zeros((0, 3)), np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0, np.uint8))


@dataclass(frozen=True)
class Deposits(_Columns):
    """Energy left along short pieces of track."""

    position: np.ndarray  # [n, 3] cm, middle of the piece
    energy: np.ndarray  # MeV
    density: np.ndarray  # MeV/cm, sets the recombination
    time: np.ndarray  # us
    label: np.ndarray

    @classmethod
    def none(cls) -> "Deposits":
        """A table without rows."""
        return cls(np.zeros((0, 3)), np.zeros(0), np.zeros(0), np.zeros(0), np.zeros(0, np.uint8))


def isotropic(rng: np.random.Generator, size: int) -> np.ndarray:
    """Isotropic unit vectors [size, 3]."""
    vectors = rng.standard_normal((size, 3))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


def transverse_frame(direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Two unit vectors at right angles to each [n, 3] direction and to each other (Duff et al., JCGT 6 (2017) 1)."""
    x, y, z = direction.T
    sign = np.copysign(1.0, z)
    a = -1.0 / (sign + z)
    b = x * y * a
    first = np.stack([1.0 + sign * x**2 * a, sign * b, -sign * x], axis=1)
    return first, np.stack([b, sign + y**2 * a, -y], axis=1)


def deflected(direction: np.ndarray, cosine: np.ndarray, azimuth: np.ndarray) -> np.ndarray:
    """[n, 3] directions turned by a polar angle (its cosine) and an azimuth (rad)."""
    first, second = transverse_frame(direction)
    sine = np.sqrt(np.clip(1.0 - cosine**2, 0.0, None))
    turned = cosine[:, None] * direction
    turned += (sine * np.cos(azimuth))[:, None] * first + (sine * np.sin(azimuth))[:, None] * second
    return turned / np.sqrt(np.einsum("ij,ij->i", turned, turned))[:, None]
