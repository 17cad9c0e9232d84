"""Separation of signal and background by a score: ROC curve, area under it, and cuts. Signal has higher scores."""

import numpy as np

from airshower.statistics.measured import Measured

RocCurve = tuple[np.ndarray, np.ndarray]  # efficiencies of background and of signal


def roc_curve(signal: np.ndarray, background: np.ndarray) -> RocCurve:
    """Efficiencies of background and of signal for decreasing cuts on the score, both from 0 to 1 [cuts + 1], from the
    scores of signal [n] and background [m]; equal scores are one step."""
    scores = np.concatenate([signal, background])
    order = np.argsort(-scores, kind="stable")
    is_signal = (order < len(signal)).astype(np.float64)
    last_of_equal = np.append(np.diff(scores[order]) != 0, True)
    true_positives = np.cumsum(is_signal)[last_of_equal]
    false_positives = np.cumsum(1 - is_signal)[last_of_equal]
    return (
        np.append(0, false_positives / max(len(background), 1)),
        np.append(0, true_positives / max(len(signal), 1)),
    )


def thinned(curve: RocCurve, points: int) -> RocCurve:
    """At most `points` points of a curve, evenly spaced by index, with both ends."""
    background, signal = curve
    kept = np.unique(np.linspace(0, len(background) - 1, points).round().astype(int))
    return background[kept], signal[kept]


def placements(signal: np.ndarray, background: np.ndarray) -> np.ndarray:
    """For each signal event [n] the fraction of background [m] with lower scores, ties counting half. The mean over any
    subset of the signal is the exact area under its ROC curve against all of the background. NaN without background."""
    ordered = np.sort(background)
    below, not_above = (np.searchsorted(ordered, signal, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(ordered)) if len(ordered) else np.full(len(signal), np.nan)


def area_under_roc(signal: np.ndarray, background: np.ndarray) -> Measured:
    """The probability that an event of the signal [n] scores higher than one of the background [m], ties counting half,
    with its standard error (DeLong et al., Biometrics 44 (1988) 837)."""
    of_signal = placements(signal, background)
    of_background = placements(background, signal)
    variance = np.var(of_signal, ddof=1) / len(signal) + np.var(of_background, ddof=1) / len(background)
    return Measured(float(of_signal.mean()), float(np.sqrt(variance)))


def cut_for_efficiency(scores: np.ndarray, efficiency: float) -> float:
    """The highest cut that at least the fraction `efficiency` of `scores` [n] passes; scores equal to the cut pass."""
    needed = int(np.ceil(efficiency * len(scores) - 1e-9))
    return float(np.sort(scores)[len(scores) - needed])
