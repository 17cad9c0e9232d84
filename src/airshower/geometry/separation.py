"""The angle between directions of arrays; without torch, unlike `sky`."""

import numpy as np


def angular_separation(alt: np.ndarray, az: np.ndarray, other_alt: np.ndarray, other_az: np.ndarray) -> np.ndarray:
    """The angle between directions [...]. In the form with arctan2 (Vincenty 1975), which is exact at all angles, where
    arccos rounds small ones away."""
    turn = np.asarray(other_az, np.float64) - az
    sine = np.sin(alt)
    cosine = np.cos(alt)
    other_sine = np.sin(other_alt)
    other_cosine = np.cos(other_alt)
    across = np.hypot(other_cosine * np.sin(turn), cosine * other_sine - sine * other_cosine * np.cos(turn))
    return np.arctan2(across, sine * other_sine + cosine * other_cosine * np.cos(turn))
