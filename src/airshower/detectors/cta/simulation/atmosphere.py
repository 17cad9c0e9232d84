"""Light in the US standard atmosphere: refraction, delay and absorption."""

import numpy as np

from airshower.geometry.atmosphere import TOP, density, depth

REFRACTIVITY = 2.83e-4  # n - 1 at sea level, proportional to the density: CORSIKA user's guide, section on IACT options
# extinction of 370 nm light, about the middle of what is detected: Rayleigh's mean free path of 2974 g/cm2 at 400 nm
# times (wavelength / 400 nm)^4 (Sokolsky, Introduction to Ultrahigh Energy Cosmic Ray Physics, section 4.4)
RAYLEIGH = 2974.0 * (370.0 / 400.0) ** 4
AEROSOL_DEPTH, AEROSOL_SCALE = 0.1, 1200.0  # vertical optical depth above a clean site, scale height in m (as there)
LIGHT = 0.299792458  # m/ns


_HEIGHTS = np.linspace(TOP, 0.0, 4001)
_LOG_DEPTHS = np.log(depth(_HEIGHTS))


def height(vertical: np.ndarray | float) -> np.ndarray:
    """Height in m with `vertical` g/cm2 above it, to 0.1 m; between 0 and `TOP`."""
    return np.interp(np.log(vertical), _LOG_DEPTHS, _HEIGHTS)


def refractivity(height: np.ndarray | float) -> np.ndarray:
    """n - 1 at `height` in m."""
    return REFRACTIVITY * density(height) / density(0.0)


def optical_delay(vertical: np.ndarray) -> np.ndarray:
    """Integral of n - 1 along a vertical path in m, through `vertical` g/cm2."""
    return REFRACTIVITY * 0.01 * vertical / density(0.0)


def transmission(height: np.ndarray, ground: float, cosine: np.ndarray | float) -> np.ndarray:
    """Fraction of the light that is transmitted from `height` down to the height `ground` (m) at a zenith angle's
    `cosine`."""
    aerosols = AEROSOL_DEPTH * (1.0 - np.exp(-np.maximum(height - ground, 0.0) / AEROSOL_SCALE))
    return np.exp(-((depth(ground) - depth(height)) / RAYLEIGH + aerosols) / cosine)
