"""The readout of cameras: night sky, electronics, charges, peak times and triggers."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from airshower.detectors.cta.simulation.light import Light
from airshower.detectors.cta.simulation.telescopes import TelescopeType

# rms of the charge of one photo-electron and of the electronics in p.e.: with 4.6 ns of 0.24 p.e./ns of an LST the
# charges of dark pixels have the rms and the quantiles of those in the official prod6 files (a fit)
SINGLE, ELECTRONICS = 0.4, 0.45
# ns, rms of the peak time of one photo-electron, with the delays of electrons in the shower: a fit to the deviations of
# peak times from a line in the official files' gammas
JITTER = 1.3
CHARGE_STEP, TIME_STEP = 1 / 16, 1 / 8  # p.e. and ns: digitised, and the files are half as large
NOISE_VALUES = 1 << 16


@dataclass(frozen=True)
class Recorded:
    """Images of telescopes of one kind that triggered, [n, pixels] each."""

    image: np.ndarray  # int64 [n], shower * telescopes + telescope
    charge: np.ndarray  # f4 p.e.
    peak_time: np.ndarray  # f4 ns
    true_image: np.ndarray  # i4 p.e.
    n_trigger_pixels: np.ndarray  # int64 [n]
    time: np.ndarray  # f8 [n] ns after the shower's front would have reached the core


@lru_cache(maxsize=4)
def dark_charges(mean: float) -> np.ndarray:
    """Charges of pixels without Cherenkov light in p.e., f4 [65536] to draw from; `mean` p.e. are of the night sky."""
    rng = np.random.default_rng(0)
    photons = rng.poisson(mean, NOISE_VALUES)
    charge = photons + SINGLE * np.sqrt(photons) * rng.standard_normal(NOISE_VALUES)
    return _digitised(charge - mean + ELECTRONICS * rng.standard_normal(NOISE_VALUES), CHARGE_STEP)


def record(
    rng: np.random.Generator,
    camera: TelescopeType,
    images: np.ndarray,
    light: Light,
    night_sky: float,
    threshold: float,
) -> Recorded:
    """The recorded images among `images` (int64, numbered as in `Light`) that trigger.

    They trigger where a pixel and its neighbours have `threshold` p.e. together, of which the pixel has the most.
    """
    shape = len(images), len(camera.geometry)
    cell, number, arrival = _fill(rng, camera, light, images)
    dark = dark_charges(night_sky * camera.night_sky * camera.integration)
    charge = dark[rng.integers(0, NOISE_VALUES, shape, np.uint16)]
    signal = number + SINGLE * np.sqrt(number) * rng.standard_normal(len(number))
    signal += dark[rng.integers(0, NOISE_VALUES, len(number), np.uint16)] - camera.largest_pulse
    largest = signal > charge.ravel()[cell]
    charge.ravel()[cell[largest]] = _digitised(signal[largest], CHARGE_STEP)
    n_trigger = _trigger(camera, charge, threshold)
    fired = n_trigger > 0

    row = cell // shape[1]
    middle = np.bincount(row, number * arrival, shape[0]) / np.maximum(np.bincount(row, number, shape[0]), 1.0)
    peak = rng.integers(0, round(camera.window / TIME_STEP), shape, np.uint16) * np.float32(TIME_STEP)
    jitter = JITTER / np.sqrt(number) * rng.standard_normal(len(number))
    times = np.clip(arrival - middle[row] + jitter + camera.trigger_time, 0.0, camera.window)
    peak.ravel()[cell[largest]] = _digitised(times[largest], TIME_STEP)
    true = np.zeros(shape, np.int32)
    true.ravel()[cell] = number
    return Recorded(images[fired], charge[fired], peak[fired], true[fired], n_trigger[fired], middle[fired])


def _fill(
    rng: np.random.Generator, camera: TelescopeType, light: Light, images: np.ndarray
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Flat indices into [images, pixels] with photo-electrons, their numbers (f8) and mean times (ns).

    Light that misses the camera is lost.
    """
    pixels = len(camera.geometry)
    row = np.full(light.images, -1)
    row[images] = np.arange(len(images))
    row = row[light.image]
    here = np.flatnonzero(row >= 0)
    blur = np.float32(np.radians(camera.spot)) * rng.standard_normal((2, len(here)), np.float32)
    pixel = camera.pixels(light.lat[here] + blur[0], light.lon[here] + blur[1])
    inside = pixel >= 0
    here = here[inside]
    cell = row[here] * pixels + pixel[inside]
    weight = light.weight[here]
    counts = np.bincount(cell, weight, len(images) * pixels)
    times = np.bincount(cell, weight * light.time[here], len(images) * pixels)
    cell = np.flatnonzero(counts)
    number = counts[cell]
    mean_time = times[cell] / number
    heavy = number != np.rint(number)  # for images whose photo-electrons represent several
    if heavy.any():
        number[heavy] = rng.poisson(number[heavy])
        kept = number > 0.0
        cell = cell[kept]
        number = number[kept]
        mean_time = mean_time[kept]
    return cell, number, mean_time


def _trigger(camera: TelescopeType, charge: np.ndarray, threshold: float) -> np.ndarray:
    """Numbers of pixels whose group of seven reaches `threshold`, int64 [n]."""
    # only groups around a pixel with at least a seventh of it can
    cell = np.flatnonzero(charge >= threshold / 7.0)
    image, pixel = np.divmod(cell, charge.shape[1])
    beside = camera.neighbours[pixel]
    group = charge.ravel()[cell] + np.where(beside < 0, 0.0, charge[image[:, None], beside]).sum(1)
    return np.bincount(image[group >= threshold], minlength=len(charge))


def _digitised(values: np.ndarray, step: float) -> np.ndarray:
    return (np.rint(values * (1.0 / step)) * step).astype(np.float32)
