"""From photo-electrons to what a camera records: night sky, electronics, charges, peak times and triggers."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from airshower.detectors.cta.simulation.light import Light
from airshower.detectors.cta.simulation.telescopes import TelescopeType

INTEGRATION = 4.6  # ns of night sky in a pixel's charge
# rms of the charge of one photo-electron and of the electronics in p.e.: with those 4.6 ns and 0.24 p.e./ns the
# charges of dark pixels have the rms and the quantiles of those in the official prod6 files
SINGLE, ELECTRONICS = 0.4, 0.45
# p.e.: a charge is that of the largest pulse in the window less what this is without light. Thus a pixel loses a bit of
# its light, and half of it if it is faint, as in the official files.
LARGEST_PULSE = 1.3
JITTER = 0.9  # ns, rms of the peak time of one photo-electron
CHARGE_STEP, TIME_STEP = 1 / 64, 1 / 32  # p.e. and ns: digitised, and the files are half as large
NOISE_VALUES = 1 << 16


@dataclass(frozen=True)
class Recorded:
    """Images of telescopes of one kind that triggered, [n, pixels] each."""

    telescope: np.ndarray  # int64 [n], index in the array
    charge: np.ndarray  # f4 p.e.
    peak_time: np.ndarray  # f4 ns
    true_image: np.ndarray  # i4 p.e.
    n_trigger_pixels: np.ndarray  # int64 [n]
    time: np.ndarray  # f8 [n] ns after the shower's front would have reached the core


@lru_cache(maxsize=4)
def dark_charges(night_sky: float) -> np.ndarray:
    """Charges of pixels without Cherenkov light in p.e., f4 [65536] to draw from; night sky in p.e. per ns."""
    rng = np.random.default_rng(0)
    mean = night_sky * INTEGRATION
    photons = rng.poisson(mean, NOISE_VALUES)
    charge = photons + SINGLE * np.sqrt(photons) * rng.standard_normal(NOISE_VALUES)
    return (charge - mean + ELECTRONICS * rng.standard_normal(NOISE_VALUES)).astype(np.float32)


def record(
    rng: np.random.Generator,
    camera: TelescopeType,
    telescopes: np.ndarray,
    lights: list[Light],
    night_sky: float,
    threshold: float,
) -> Recorded:
    """What those of `telescopes` (int64, indices in the array) record that trigger.

    They trigger where a pixel and its neighbours have `threshold` p.e. together, of which the pixel has the most.
    """
    shape = len(telescopes), len(camera.geometry)
    cell, number, arrival = _fill(rng, camera, lights, telescopes)
    dark = dark_charges(night_sky)
    charge = dark[rng.integers(0, NOISE_VALUES, shape, np.uint16)]
    signal = number + SINGLE * np.sqrt(number) * rng.standard_normal(len(number))
    signal += dark[rng.integers(0, NOISE_VALUES, len(number), np.uint16)] - LARGEST_PULSE
    largest = signal > charge.ravel()[cell]
    charge.ravel()[cell[largest]] = signal[largest]
    n_trigger = _trigger(camera, charge, threshold)
    fired = n_trigger > 0

    row = cell // shape[1]
    sums = np.maximum(np.bincount(row, number, shape[0]), 1.0)
    middle = np.bincount(row, number * arrival, shape[0]) / sums
    peak = rng.random(shape, np.float32) * np.float32(camera.window)
    jitter = JITTER / np.sqrt(number) * rng.standard_normal(len(number))
    times = np.maximum(np.minimum(arrival - middle[row] + jitter + camera.trigger_time, camera.window), 0.0)
    peak.ravel()[cell[largest]] = times[largest]
    true = np.zeros(shape, np.int32)
    true.ravel()[cell] = number
    charge, peak = _digitised(charge[fired], CHARGE_STEP), _digitised(peak[fired], TIME_STEP)
    return Recorded(telescopes[fired], charge, peak, true[fired], n_trigger[fired], middle[fired])


def _fill(
    rng: np.random.Generator, camera: TelescopeType, lights: list[Light], telescopes: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat places in [telescopes, pixels] that get photo-electrons, their numbers (f8) and mean times (ns).

    Light that misses the camera is lost.
    """
    size = len(telescopes) * len(camera.geometry)
    counts, times = np.zeros(size), np.zeros(size)
    spot = np.float32(np.radians(camera.spot))
    for light in lights:
        if not len(light.telescope):
            continue
        row = np.full(len(light.weight), -1)
        row[telescopes] = np.arange(len(telescopes))
        here = np.flatnonzero(row[light.telescope] >= 0)
        telescope = light.telescope[here]
        blur = spot * rng.standard_normal((2, len(here)), np.float32)
        pixel = camera.pixels(light.lat[here] + blur[0], light.lon[here] + blur[1])
        cell = row[telescope] * len(camera.geometry) + pixel
        cell[pixel < 0] = size  # one more than there is
        weight = light.weight[telescope]
        counts += np.bincount(cell, weight, size + 1)[:size]
        times += np.bincount(cell, weight * light.time[here], size + 1)[:size]
    cell = np.flatnonzero(counts)
    number = counts[cell]
    mean_time = times[cell] / number
    heavy = number != np.rint(number)  # of telescopes where each photo-electron stands for several
    if heavy.any():
        number[heavy] = rng.poisson(number[heavy])
        kept = number > 0.0
        cell, number, mean_time = cell[kept], number[kept], mean_time[kept]
    return cell, number, mean_time


def _trigger(camera: TelescopeType, charge: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers of pixels whose group of seven reaches `threshold`, int64 [n]."""
    padded = np.concatenate([charge, np.zeros((len(charge), 1), np.float32)], 1)
    fired = np.zeros(len(charge), np.int64)
    # only groups around a pixel with at least a seventh of it can
    image, pixel = np.nonzero(charge >= threshold / 7.0)
    group = charge[image, pixel] + padded[image[:, None], camera.neighbours[pixel]].sum(1)
    np.add.at(fired, image[group >= threshold], 1)
    return fired


def _digitised(values: np.ndarray, step: float) -> np.ndarray:
    return np.rint(values * np.float32(1.0 / step)) * np.float32(step)
