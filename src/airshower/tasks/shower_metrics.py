"""The field's figures of merit for reconstructed showers, on arrays of events.

Definitions are those of ctaplot and pyirf: resolutions are 68.27 % containment, the bias of energy is a median, bins
exclude their lower edge. What has no events is NaN.
"""

from collections.abc import Callable

import numpy as np
from torch import Tensor

from airshower.data.source import ThrownShowers

CONTAINMENT = 68.27  # percent
BOOTSTRAPS = 100
BINS_PER_DECADE = 5  # of energies, as CTAO's performance is published
MOST_BINS = 12  # on a linear axis
ROUNDING = 1e-6  # relative, of energies that files have as float32


def angular_separation(alt: np.ndarray, az: np.ndarray, other_alt: np.ndarray, other_az: np.ndarray) -> np.ndarray:
    """The angle between directions, all in rad. In the form with arctan2 (Vincenty 1975), which is exact at all angles,
    where arccos rounds small ones away."""
    turn = np.asarray(other_az, np.float64) - az
    sine, cosine, other_sine, other_cosine = np.sin(alt), np.cos(alt), np.sin(other_alt), np.cos(other_alt)
    across = np.hypot(other_cosine * np.sin(turn), cosine * other_sine - sine * other_cosine * np.cos(turn))
    return np.arctan2(across, sine * other_sine + cosine * other_cosine * np.cos(turn))


def angular_resolution(angle: np.ndarray) -> float:
    """Within which 68.27 % of `angle` [n] lie: the root of the percentile of squares. That of distances of cores is the
    core resolution."""
    return float(np.sqrt(_percentile(np.square(angle))))


def energy_resolution(relative: np.ndarray) -> float:
    """Within which 68.27 % of the absolute relative errors, (reconstructed - true) / true, lie."""
    return _percentile(np.abs(relative))


def energy_bias(relative: np.ndarray) -> float:
    """The median of the relative errors."""
    return float(np.median(relative)) if len(relative) else np.nan


def area_under_roc(signal: Tensor, background: Tensor) -> float:
    """The probability that a signal event scores higher than one of background, ties counting half, from their counts
    in bins of rising score; NaN where one of both has no events."""
    signal, background = signal.double(), background.double()
    below = background.cumsum(0) - background / 2
    pairs = float(signal.sum() * background.sum())
    return float((signal * below).sum()) / pairs if pairs else float("nan")


def roc_curve(signal: np.ndarray, background: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Efficiencies of background and of signal as a cut on the score goes down, both from 0 to 1 [n + 1]; equal scores
    are one step."""
    scores = np.concatenate([signal, background])
    order = np.argsort(-scores, kind="stable")
    is_signal = (order < len(signal)).astype(np.float64)
    last = np.append(np.diff(scores[order]) != 0, True)  # of equal scores
    found, false = np.cumsum(is_signal)[last], np.cumsum(1 - is_signal)[last]
    return np.append(0, false / max(len(background), 1)), np.append(0, found / max(len(signal), 1))


def placements(signal: np.ndarray, background: np.ndarray) -> np.ndarray:
    """Of each signal event [n], the share of background that scores lower, ties counting half: their mean over some of
    the signal is the exact area under its ROC curve against all of the background. NaN without background."""
    ordered = np.sort(background)
    below, not_above = (np.searchsorted(ordered, signal, side) for side in ("left", "right"))
    return (below + not_above) / (2 * len(ordered)) if len(ordered) else np.full(len(signal), np.nan)


def cut_for_efficiency(scores: np.ndarray, efficiency: float) -> float:
    """The highest cut that at least this share of `scores` [n] pass, which must not be lower."""
    needed = int(np.ceil(efficiency * len(scores) - 1e-9))
    return float(np.sort(scores)[len(scores) - needed])


def thrown_per_area(runs: list[ThrownShowers], edges: np.ndarray) -> np.ndarray:
    """Simulated showers per m2 in bins of energy (TeV) [bins], from the runs' power laws; those of a run of one energy
    are all in the bin of it."""
    found = np.zeros(len(edges) - 1)
    for run in runs:
        low, high = run.energy_range
        found += run.showers / run.area * (counts_in(np.array([low]), edges) if low == high else _shares(run, edges))
    return found


def at_thrown_energies(energy: np.ndarray, runs: list[ThrownShowers]) -> np.ndarray:
    """Energies f8 [n] in TeV, those of runs of one energy as the runs have them: rounded otherwise, they could be in
    the bin beside that of what was thrown."""
    energy = energy.astype(np.float64)
    for line in (run.energy_range[0] for run in runs if run.energy_range[0] == run.energy_range[1]):
        energy[np.isclose(energy, line, rtol=ROUNDING, atol=0)] = line
    return energy


def effective_area(selected: np.ndarray, thrown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The area times the share of its showers that are selected, m2, and its error by Poisson statistics, [bins] each,
    from numbers of events and `thrown_per_area`; NaN where nothing was thrown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        area, error = (np.where(thrown > 0, numbers / thrown, np.nan) for numbers in (selected, np.sqrt(selected)))
    return area, error


def log_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins, five a decade at the same places for all data, that hold all of `values` (above 0)."""
    place = BINS_PER_DECADE * np.log10(values)
    low, high = np.ceil(place.min()) - 1, np.ceil(place.max())
    return 10.0 ** (np.arange(low, high + 1) / BINS_PER_DECADE)


def linear_edges(values: np.ndarray) -> np.ndarray:
    """Edges of bins that hold all of `values` (0 and above), 1, 2 or 5 times a power of ten wide; of whole numbers they
    lie half way between these."""
    whole = np.issubdtype(values.dtype, np.integer)
    least = max(float(values.max()) / MOST_BINS, 1.0 if whole else 1e-9)
    power = 10.0 ** np.floor(np.log10(least))
    step = next(factor * power for factor in (1, 2, 5, 10) if factor * power >= least * (1 - 1e-9))
    first = step * np.floor(values.min() / step) - (0.5 if whole else 0.0)
    return first + step * np.arange(int(np.ceil((values.max() - first) / step)) + 1)


def bin_of(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """The bin of each value, -1 and `len(edges) - 1` outside; lower edges are excluded, but the lowest if it is 0."""
    return np.where((values == 0) & (edges[0] == 0), 0, np.digitize(values, edges, right=True) - 1)


def counts_in(values: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """How many of `values` [n] are in each bin [bins]."""
    place = bin_of(values, edges)
    return np.bincount(place[(place >= 0) & (place < len(edges) - 1)], minlength=len(edges) - 1)


def migration(true: np.ndarray, reconstructed: np.ndarray, edges: np.ndarray) -> np.ndarray:
    """Counts [bins of true, bins of reconstructed energy]; events outside of `edges` are left out."""
    bins = len(edges) - 1
    row, column = bin_of(true, edges), bin_of(reconstructed, edges)
    inside = (np.minimum(row, column) >= 0) & (np.maximum(row, column) < bins)
    return np.bincount(row[inside] * bins + column[inside], minlength=bins**2).reshape(bins, bins)


def binned(
    x: np.ndarray, values: np.ndarray, edges: np.ndarray, statistic: Callable[[np.ndarray], float]
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """In bins of `x` [n]: a statistic of `values` [n], its standard error by bootstrap (Efron 1979, always the same
    draws), and the number of events [bins]; statistics of fewer than two events are NaN."""
    generator = np.random.default_rng(0)
    place = bin_of(x, edges)
    groups = [values[place == index] for index in range(len(edges) - 1)]
    found = np.full((2, len(groups)), np.nan)
    for index, group in enumerate(groups):
        if len(group) > 1:
            drawn = [statistic(generator.choice(group, len(group))) for _ in range(BOOTSTRAPS)]
            found[:, index] = statistic(group), np.std(drawn, ddof=1)
    return found[0], found[1], np.array([len(group) for group in groups])


def _shares(run: ThrownShowers, edges: np.ndarray) -> np.ndarray:
    """The share of a run's power law in each bin [bins]."""
    low, high = run.energy_range
    inside = np.clip(edges, low, high)
    power = run.spectral_index + 1
    below = np.log(inside / low) if power == 0 else inside**power - low**power
    total = np.log(high / low) if power == 0 else high**power - low**power
    return np.diff(below) / total


def _percentile(values: np.ndarray) -> float:
    return float(np.percentile(values, CONTAINMENT)) if len(values) else np.nan
