"""From energy deposits to pixels: recombination, drift, diffusion, response, noise, threshold and labels."""

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from airshower.detectors.lartpc.simulation.deposits import COSMIC, NEUTRINO, Deposits
from airshower.detectors.lartpc.simulation.energy_loss import DENSITY
from airshower.detectors.lartpc.simulation.geometry import Geometry

WORK = 23.6e-6  # MeV an electron-ion pair, Miyajima et al., Phys. Rev. A 9 (1974) 1438
FIELD = 0.5  # kV/cm, SBND
BOX_ALPHA, BOX_BETA = 0.930, 0.212  # 1, (kV/cm)(g/cm2)/MeV: ArgoNeuT, arXiv:1306.1712, table 4
LONGITUDINAL = 4.0e-6  # cm2/us; measured between 4 and 7 (MicroBooNE arXiv:2104.06551, Li et al. arXiv:1508.07059)
TRANSVERSE = 8.8e-6  # cm2/us; about twice the longitudinal one, hardly measured at this field
SHAPING = 0.72  # us, rms of the deconvolved pulse: fits the width of flat tracks in the file
LABEL_CHARGE = 1.0  # counts of a class's true charge in a pixel, before the response, that give it the label
# share of instrumented pixels with a noise hit before (rows of x < 0) and after the cathode, and its mean excess over
# the threshold, per plane: read off the file away from labelled pixels, less what argon 39 leaves. One induction layer
# is ten times as noisy as the other; its wires lie in plane 0 of one drift volume and in plane 1 of the other.
NOISE_SHARE = ((0.0005, 0.0081), (0.0086, 0.0004), (0.00003, 0.00003))
NOISE_EXCESS = ((0.5, 0.75), (0.75, 0.5), (0.5, 0.5))
NOISE_STOP = ((0.97, 0.66), (0.66, 0.97), (0.97, 0.97))  # chance that a noise hit does not go on to the next tick
NOISE_SPREAD = 5.0  # shape of the gamma law of the wires' noise rates
NOISE_RMS = 1.6  # counts, on pixels that carry charge


@dataclass(frozen=True)
class SimulatedPlane:
    """One wire image, sparse: id = wire * n_ticks + tick."""

    ids: np.ndarray  # u8, ascending and unique
    values: np.ndarray  # f4, counts > 0
    labels: np.ndarray  # u1: 0 background, 1 cosmic, 2 neutrino


def recombination(density: np.ndarray, field: float = FIELD) -> np.ndarray:
    """Share of electrons that escape recombination, modified box model; dE/dx in MeV/cm, field in kV/cm."""
    xi = BOX_BETA * density / (DENSITY * field)
    return np.log(BOX_ALPHA + xi) / xi


def drifted_charge(geometry: Geometry, deposits: Deposits, lifetime: float) -> np.ndarray:
    """Electrons that reach the wires; lifetime in us."""
    density = np.maximum(deposits.density, 0.8)  # the box form turns negative far below minimum ionisation
    survival = np.exp(-geometry.drift_duration(deposits.position[:, 0]) / lifetime)
    return deposits.energy / WORK * recombination(density) * survival


def _sum_runs(ids: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique ids and the sum of weights of each; ids must ascend."""
    if not ids.size:
        return ids, weights
    first = np.flatnonzero(np.concatenate([[True], ids[1:] != ids[:-1]]))
    return ids[first], np.add.reduceat(weights, first)


def _sum_by_id(
    ids: np.ndarray, weights: np.ndarray, kind: Literal["stable"] | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """As `_sum_runs` for ids in any order; kind "stable" is fast where they are a few ascending runs."""
    order = np.argsort(ids, kind=kind)
    return _sum_runs(ids[order], weights[order])


@dataclass(frozen=True)
class Clouds:
    """Electron clouds at the wires; all planes see the same ones."""

    y: np.ndarray  # cm
    z: np.ndarray  # cm
    row: np.ndarray  # full-resolution time row
    charge: np.ndarray  # counts
    label: np.ndarray


def drift(
    rng: np.random.Generator, geometry: Geometry, deposits: Deposits, lifetime: float, electrons_per_count: float
) -> Clouds:
    """Drift deposits to the wires as two clouds each, displaced by diffusion to opposite sides of the mean."""
    seen = geometry.in_window(deposits.position[:, 0], deposits.time) & geometry.contains(deposits.position)
    deposits = deposits[np.flatnonzero(seen)]
    charge = drifted_charge(geometry, deposits, lifetime) / (2.0 * electrons_per_count)
    x, y, z = deposits.position.T
    duration = geometry.drift_duration(x)
    # 0.045 cm is the extent of a step itself: its length over the root of 12
    along, across = (np.sqrt(2.0 * constant * duration + 0.045**2) for constant in (LONGITUDINAL, TRANSVERSE))
    blur = rng.standard_normal((3, x.size)) * [along, across, across]
    row = geometry.rows(x, deposits.time)
    blur[0] *= 0.5 * geometry.full_size[1] / geometry.half_width

    def pair(middle: np.ndarray, offset: np.ndarray) -> np.ndarray:
        return np.concatenate([middle + offset, middle - offset])

    clouds = pair(y, blur[1]), pair(z, blur[2]), pair(row, blur[0])
    return Clouds(*clouds, np.tile(charge, 2), np.tile(deposits.label, 2))


def _response(sigma: float) -> np.ndarray:
    """Odd number of taps of a Gaussian of `sigma` pixels integrated over pixels, sum 1."""
    radius = max(1, math.ceil(3.0 * sigma + 0.5))
    edges = [math.erf((i - radius - 0.5) / (sigma * math.sqrt(2.0))) for i in range(2 * radius + 2)]
    taps = np.diff(edges)
    return taps / taps.sum()


def noise_hits(
    rng: np.random.Generator, geometry: Geometry, plane: int, image_size: list[int], threshold: float, scale: float
) -> tuple[np.ndarray, np.ndarray]:
    """Ids (not unique) and values of noise above threshold: short runs along time on wires of unequal noise.

    `scale` multiplies the rate of the real file, which has a threshold of 5; the hits follow an exponential law, so the
    rate changes with the threshold as exp(-(threshold - 5) / excess).
    """
    wires, ticks = image_size
    low, high = (int(edge * wires / geometry.full_size[0]) for edge in geometry.instrumented(plane))
    weight = np.cumsum(rng.gamma(NOISE_SPREAD, 1.0, high - low))
    ids, values = [], []
    for half in (0, 1):
        share, excess, stop = (table[plane][half] for table in (NOISE_SHARE, NOISE_EXCESS, NOISE_STOP))
        rate = scale * share * math.exp(min(-(threshold - 5.0) / excess, 4.0))
        runs = rng.poisson(rate * stop * (high - low) * (ticks // 2))
        wire = low + np.searchsorted(weight, rng.random(runs) * weight[-1])
        length = rng.geometric(stop, runs)
        tick = np.repeat(rng.integers(0, ticks // 2, runs), length)
        tick += np.arange(tick.size) - np.repeat(np.cumsum(length) - length, length)
        inside = tick < ticks // 2
        ids.append((np.repeat(wire, length) * ticks + half * (ticks // 2) + tick)[inside])
        values.append(threshold + excess * rng.standard_exponential(ids[-1].size))
    return np.concatenate(ids), np.concatenate(values)


def read_plane(
    rng: np.random.Generator,
    geometry: Geometry,
    clouds: Clouds,
    plane: int,
    image_size: list[int],
    threshold: float,
    noise: float,
) -> SimulatedPlane:
    """The image of one plane: charge per pixel above threshold, noise, labels from the true charge."""
    wires, ticks = image_size
    column = (geometry.columns(clouds.y, clouds.z, plane) * (wires / geometry.full_size[0])).astype(np.int32)
    row = (clouds.row * (ticks / geometry.full_size[1])).astype(np.int32)
    inside = (column >= 0) & (column < wires) & (row >= 0) & (row < ticks)
    # the label is the last two bits of the key, so that one sort serves all classes
    key, charge = _sum_by_id(((column * ticks + row) * 4 + clouds.label)[inside], clouds.charge[inside])
    labelled = key[charge > LABEL_CHARGE]
    true_ids, true_charge = _sum_runs(key >> 2, charge)
    taps = _response(SHAPING / geometry.tick * ticks / geometry.full_size[1])
    shift = (np.arange(taps.size, dtype=np.int32) - taps.size // 2)[:, None]
    spread_row = true_ids % ticks + shift
    kept = (spread_row >= 0) & (spread_row < ticks)
    ids, values = _sum_by_id((true_ids + shift)[kept], (true_charge * taps[:, None])[kept], "stable")
    labels = np.zeros(ids.size, np.uint8)
    for label in (COSMIC, NEUTRINO):  # the neutrino comes last and overwrites
        labels[np.searchsorted(ids, labelled[labelled & 3 == label] >> 2)] = label
    values = values + (NOISE_RMS * rng.standard_normal(values.size) if noise > 0.0 else 0.0)
    seen = values > threshold
    ids, values, labels = ids[seen], values[seen], labels[seen]

    noise_ids, noise_values = noise_hits(rng, geometry, plane, image_size, threshold, noise)
    # a signal's pixel comes before a noise hit on it, and the first of equal ids is kept
    ids, first = np.unique(np.concatenate([ids, noise_ids]), return_index=True)
    values = np.concatenate([values, noise_values])[first]
    labels = np.concatenate([labels, np.zeros(noise_ids.size, np.uint8)])[first]
    return SimulatedPlane(ids.astype(np.uint64), values.astype(np.float32), labels)
