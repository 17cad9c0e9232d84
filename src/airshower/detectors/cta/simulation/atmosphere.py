"""The US standard atmosphere: depth above a height, refraction and absorption of light."""

import numpy as np

# Linsley's parametrisation of the US standard atmosphere, CORSIKA user's guide, appendix D: above each height (m) the
# depth is a + b exp(-h / c) with a, b in g/cm2 and c in m
_BASE = np.array([0.0, 4.0e3, 1.0e4, 4.0e4])
_A = np.array([-186.555305, -94.919, 0.61289, 0.0])
_B = np.array([1222.6562, 1144.9069, 1305.5948, 540.1778])
_C = np.array([9941.8638, 8781.5355, 6361.4304, 7721.7016])
TOP = 1.0e5  # m, where Linsley's fourth layer ends

REFRACTIVITY = 2.83e-4  # n - 1 at sea level, proportional to the density: CORSIKA user's guide, section on IACT options
# extinction of 370 nm light, about the middle of what is detected: Rayleigh's mean free path of 2974 g/cm2 at 400 nm
# times (wavelength / 400 nm)^4 (Sokolsky, Introduction to Ultrahigh Energy Cosmic Ray Physics, section 4.4)
RAYLEIGH = 2974.0 * (370.0 / 400.0) ** 4
AEROSOL_DEPTH, AEROSOL_SCALE = 0.1, 1200.0  # vertical optical depth above a clean site, scale height in m (as there)
LIGHT = 0.299792458  # m/ns


def depth(height: np.ndarray | float) -> np.ndarray:
    """Vertical depth in g/cm2 above `height` in m, of any shape."""
    layer = np.searchsorted(_BASE[1:], height, "right")
    return _A[layer] + _B[layer] * np.exp(-np.asarray(height) / _C[layer])


_HEIGHTS = np.linspace(TOP, 0.0, 4001)
_LOG_DEPTHS = np.log(depth(_HEIGHTS))


def height(vertical: np.ndarray | float) -> np.ndarray:
    """Height in m with `vertical` g/cm2 above it, to 0.1 m; between 0 and `TOP`."""
    return np.interp(np.log(vertical), _LOG_DEPTHS, _HEIGHTS)


def density(height: np.ndarray | float) -> np.ndarray:
    """Density in g/cm3 at `height` in m."""
    layer = np.searchsorted(_BASE[1:], height, "right")
    return 0.01 * _B[layer] / _C[layer] * np.exp(-np.asarray(height) / _C[layer])


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
