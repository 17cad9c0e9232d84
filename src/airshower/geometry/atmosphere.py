"""The US standard atmosphere: depth and density at a height."""

import numpy as np

# Linsley's parametrisation of the US standard atmosphere, CORSIKA user's guide, appendix D: above each height (m) the
# depth is a + b exp(-h / c) with a, b in g/cm2 and c in m
_BASE = np.array([0.0, 4.0e3, 1.0e4, 4.0e4])
_A = np.array([-186.555305, -94.919, 0.61289, 0.0])
_B = np.array([1222.6562, 1144.9069, 1305.5948, 540.1778])
_C = np.array([9941.8638, 8781.5355, 6361.4304, 7721.7016])
TOP = 1.0e5  # m, where Linsley's fourth layer ends


def depth(height: np.ndarray | float) -> np.ndarray:
    """Vertical depth in g/cm2 above `height` in m, of any shape."""
    layer = np.searchsorted(_BASE[1:], height, "right")
    return _A[layer] + _B[layer] * np.exp(-np.asarray(height) / _C[layer])


def density(height: np.ndarray | float) -> np.ndarray:
    """Density in g/cm3 at `height` in m."""
    layer = np.searchsorted(_BASE[1:], height, "right")
    return 0.01 * _B[layer] / _C[layer] * np.exp(-np.asarray(height) / _C[layer])
