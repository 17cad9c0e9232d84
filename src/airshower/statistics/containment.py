"""Containment of errors and their bias, as ctaplot and pyirf define them: 68.27 % containment, median bias."""

import numpy as np

CONTAINMENT = 0.6827
ONE_SIGMA = 15.87, 84.13  # percent of a Gaussian below its mean less and plus a standard deviation


def containment(errors: np.ndarray) -> float:
    """The absolute value within which 68.27 % of `errors` [n] lie; NaN of none. Of relative errors of the energy,
    (reconstructed - true) / true, this is the energy resolution."""
    return _percentile(np.abs(errors))


def containment_radius(distances: np.ndarray) -> float:
    """The radius within which 68.27 % of `distances` [n] lie, as the root of the percentile of their squares; NaN of
    none. Of angles to the true direction this is the angular resolution, of distances of cores the core resolution."""
    return float(np.sqrt(_percentile(np.square(distances))))


def median_bias(errors: np.ndarray) -> float:
    """The median of `errors` [n]; NaN of none."""
    return float(np.median(errors)) if len(errors) else np.nan


def central_interval(values: np.ndarray) -> np.ndarray:
    """The ends of the central 68.27 % of `values` [n], f8 [2]: of a Gaussian one standard deviation around the mean."""
    return np.percentile(values, ONE_SIGMA)


def _percentile(values: np.ndarray) -> float:
    return float(np.percentile(values, 100 * CONTAINMENT)) if len(values) else np.nan
