"""Spectra that follow a power law, E^index between two energies."""

import numpy as np


def energies(uniform: np.ndarray, low: float, high: float, index: float) -> np.ndarray:
    """The energies at the quantiles `uniform` [n] of a spectrum; for uniform random numbers a sample of the
    spectrum."""
    power = 1.0 + index
    if abs(power) < 1e-6:
        return low * (high / low) ** uniform
    return (low**power + uniform * (high**power - low**power)) ** (1.0 / power)


def fractions(edges: np.ndarray, low: float, high: float, index: float) -> np.ndarray:
    """The fraction of a spectrum in bins with these `edges` [bins + 1], f8 [bins]."""
    inside = np.clip(edges, low, high)
    power = index + 1
    below = np.log(inside / low) if power == 0 else inside**power - low**power
    total = np.log(high / low) if power == 0 else high**power - low**power
    return np.diff(below) / total
