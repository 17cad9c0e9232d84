"""From energy deposits to pixels: recombination, drift, diffusion, response, noise, threshold and labels."""

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtr

from airshower.detectors.lartpc.simulation.deposits import COSMIC, NEUTRINO, Deposits
from airshower.detectors.lartpc.simulation.energy_loss import DENSITY
from airshower.detectors.lartpc.simulation.response import PHASES, taps
from airshower.geometry.wire_planes import Geometry

WORK = 23.6e-6  # MeV an electron-ion pair, Miyajima et al., Phys. Rev. A 9 (1974) 1438
FIELD = 0.5  # kV/cm, SBND
BOX_ALPHA, BOX_BETA = 0.930, 0.212  # 1, (kV/cm)(g/cm2)/MeV: ArgoNeuT, arXiv:1306.1712, table 4
# cm2/us, as SBND simulates (simulationservices_sbnd.fcl of sbndcode). Along the drift 4 to 7 are measured (MicroBooNE
# arXiv:2104.06551, Li et al. arXiv:1508.07059); across it the constant is hardly measured at this field.
LONGITUDINAL, TRANSVERSE = 4.0e-6, 8.8e-6
LABEL_CHARGE = (
    2.5  # counts of a class in a pixel, before the response, that label it: read off tracks across time in the file
)
FARTHEST = 2.5  # widths of a cloud from its middle to the nearest wire's edge, at which all of it stays on one wire
# share of instrumented pixels with a noise hit before (rows of x < 0) and after the cathode, and its mean excess over
# the threshold, per plane: read off the file 15 pixels and more away from labelled ones, where they are the tails of
# Gaussians of NOISE_RMS. One induction layer is ten times as noisy as the other; its wires lie in plane 0 of one drift
# volume and in plane 1 of the other.
NOISE_SHARE = ((0.00078, 0.0087), (0.0091, 0.00072), (0.00018, 0.00015))
NOISE_EXCESS = ((0.44, 0.74), (0.74, 0.44), (0.37, 0.37))
NOISE_STOP = ((0.97, 0.66), (0.66, 0.97), (0.97, 0.97))  # chance that a noise hit does not go on to the next tick
NOISE_SPREAD = 5.0  # shape of the gamma law of the wires' noise rates
NOISE_RMS = ((1.6, 2.1), (2.1, 1.6), (1.4, 1.4))  # counts, on pixels that carry charge


@dataclass(frozen=True)
class SimulatedPlane:
    """One wire image, sparse: id = wire * n_ticks + tick."""

    ids: np.ndarray  # u8, ascending and unique
    values: np.ndarray  # f4, counts > 0
    labels: np.ndarray  # u1: 0 background, 1 cosmic, 2 neutrino


def recombination(density: np.ndarray, field: float = FIELD) -> np.ndarray:
    """Fraction of electrons that escape recombination, modified box model; dE/dx in MeV/cm, field in kV/cm."""
    xi = BOX_BETA * density / (DENSITY * field)
    return np.log(BOX_ALPHA + xi) / xi


def drifted_charge(geometry: Geometry, deposits: Deposits, lifetime: float) -> np.ndarray:
    """Electrons that reach the wires; lifetime in us."""
    density = np.maximum(deposits.density, 0.8)  # the box form turns negative far below minimum ionisation
    survival = np.exp(-geometry.drift_duration(deposits.position[:, 0]) / lifetime)
    return deposits.energy / WORK * recombination(density) * survival


def _pixel_sums(cells: np.ndarray, charge: np.ndarray, label: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Unique pixels of ascending cells, and the charge of each by the cell's phase and by class, [pixels, .]."""
    pixels = cells // PHASES
    starts = np.diff(pixels, prepend=-1) > 0
    row = np.cumsum(starts) - 1
    ids = pixels[starts]
    by_phase = np.bincount(cells - PHASES * (pixels - row), charge, ids.size * PHASES).reshape(-1, PHASES)
    return ids, by_phase, np.bincount(row * 3 + label, charge, ids.size * 3).reshape(-1, 3)


def _sum_by_id(ids: np.ndarray, weights: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Unique ids and the sum of weights of each; fast where ids are a few ascending runs."""
    if not ids.size:
        return ids, weights
    order = np.argsort(ids, kind="stable")
    ids = ids[order]
    first = np.flatnonzero(np.diff(ids, prepend=-1))
    return ids[first], np.add.reduceat(weights[order], first)


@dataclass(frozen=True)
class Clouds:
    """Electron clouds at the wires; all planes see the same ones."""

    y: np.ndarray  # cm
    z: np.ndarray  # cm
    width: np.ndarray  # cm, rms across the drift
    row: np.ndarray  # full-resolution time row
    charge: np.ndarray  # counts
    label: np.ndarray

    def on_wires(self, geometry: Geometry, plane: int, wires: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """Cloud, column and charge (counts) of each column of an image with `wires` columns that a cloud reaches.

        The charge is shared by a Gaussian, so that wires beside a track get as little as they do; three columns hold
        all but 1 % of the widest cloud.
        """
        scale = wires / geometry.full_size[0]
        place = geometry.columns(self.y, self.z, plane) * scale
        column = np.floor(place).astype(np.int32)
        within = place - column
        inverse = geometry.wire_pitch / (scale * self.width)
        clouds = [np.arange(column.size)]
        columns = [column]
        charges = [self.charge.copy()]
        for step, distance in ((-1, within * inverse), (1, (1.0 - within) * inverse)):
            near = np.flatnonzero(distance < FARTHEST)
            beyond = self.charge[near] * ndtr(-distance[near])
            charges[0][near] -= beyond
            clouds.append(near)
            columns.append(column[near] + np.int32(step))
            charges.append(beyond)
        return np.concatenate(clouds), np.concatenate(columns), np.concatenate(charges)


def drift(
    rng: np.random.Generator,
    geometry: Geometry,
    deposits: Deposits,
    lifetime: float,
    diffusion: float,
    electrons_per_count: float,
) -> Clouds:
    """Drift deposits to the wires; diffusion (scaled by `diffusion`) displaces a cloud along the drift and widens it
    across. Lifetime in us."""
    in_readout = geometry.in_window(deposits.position[:, 0], deposits.time) & geometry.contains(deposits.position)
    deposits = deposits[np.flatnonzero(in_readout)]
    charge = drifted_charge(geometry, deposits, lifetime) / electrons_per_count
    x, y, z = deposits.position.T
    duration = diffusion * geometry.drift_duration(x)
    # 0.045 cm is the extent of a step itself: its length over the root of 12
    along, across = (np.sqrt(2.0 * constant * duration + 0.045**2) for constant in (LONGITUDINAL, TRANSVERSE))
    blur = along * rng.standard_normal(x.size) * 0.5 * geometry.full_size[1] / geometry.half_width
    return Clouds(y, z, across, geometry.rows(x, deposits.time) + blur, charge, deposits.label)


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
    ids = []
    values = []
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
    cloud, column, charge = clouds.on_wires(geometry, plane, wires)
    phase = np.floor(clouds.row * (PHASES * ticks / geometry.full_size[1])).astype(np.int32)[cloud]
    inside = np.flatnonzero((column >= 0) & (column < wires) & (phase >= 0) & (phase < PHASES * ticks))
    cell = column[inside] * (PHASES * ticks) + phase[inside]
    order = np.argsort(cell)
    inside = inside[order]
    true_ids, by_phase, by_class = _pixel_sums(cell[order], charge[inside], clouds.label[cloud[inside]])
    spread = taps(plane, 2.0 * geometry.drift_time / ticks).T @ by_phase.T
    shift = (np.arange(len(spread), dtype=np.int32) - len(spread) // 2)[:, None]
    row = true_ids % ticks + shift
    kept = (row >= 0) & (row < ticks)
    ids, values = _sum_by_id((true_ids + shift)[kept], spread[kept])
    labels = np.zeros(ids.size, np.uint8)
    for label in (COSMIC, NEUTRINO):  # the neutrino comes last and overwrites
        labels[np.searchsorted(ids, true_ids[by_class[:, label] > LABEL_CHARGE])] = label
    if noise > 0.0:
        rms = np.array(NOISE_RMS[plane])[(ids % ticks >= ticks // 2).astype(np.int8)]
        values = values + rms * rng.standard_normal(values.size)
    above = values > threshold
    ids = ids[above]
    values = values[above]
    labels = labels[above]

    noise_ids, noise_values = noise_hits(rng, geometry, plane, image_size, threshold, noise)
    # a signal's pixel comes before a noise hit on it, and the first of equal ids is kept
    ids, first = np.unique(np.concatenate([ids, noise_ids]), return_index=True)
    values = np.concatenate([values, noise_values])[first]
    labels = np.concatenate([labels, np.zeros(noise_ids.size, np.uint8)])[first]
    return SimulatedPlane(ids.astype(np.uint64), values.astype(np.float32), labels)
