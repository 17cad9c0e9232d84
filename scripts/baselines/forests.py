"""Random forests (Breiman, Machine Learning 45 (2001) 5) on Hillas parameters, one for each kind of telescope."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from baselines.hillas import Axes, Ellipses, displacement, impact

LOGARITHMIC = ("hillas_intensity", "hillas_length", "hillas_width")
PLAIN = (
    "hillas_r", "hillas_skewness", "hillas_kurtosis", "timing_slope", "timing_deviation", "leakage_intensity_width_2",
    "concentration_cog", "concentration_pixel", "morphology_n_pixels", "morphology_n_islands",
)  # fmt: skip


@dataclass(frozen=True)
class Forest:
    """How many trees, how many images a leaf has at least, and where random numbers begin."""

    trees: int = 100
    leaf: int = 5
    seed: int = 1


def features(ellipses: Ellipses, axes: Axes) -> np.ndarray:
    """What forests see of each image f8 [n, features]: its parameters, how far it is from the shower's direction, its
    telescope from the core, and how many images the event has. NaN where there is nothing."""
    of = ellipses.parameters
    columns = [np.log10(of[name]) for name in LOGARITHMIC]
    columns += [np.abs(of[name]) if name == "timing_slope" else of[name] for name in PLAIN if name in of]
    multiplicity = np.bincount(ellipses.entry, minlength=len(axes.core))[ellipses.entry]
    columns += [displacement(ellipses, axes), impact(ellipses, axes), multiplicity.astype(np.float64)]
    return np.where(np.isfinite(found := np.stack(columns, 1)), found, np.nan)


def regress(
    forest: Forest, ellipses: Ellipses, seen: np.ndarray, target: np.ndarray, train: np.ndarray, learned: np.ndarray
) -> np.ndarray:
    """`target` f8 [entries] of the entries that are not in `train` (bool [entries]), learned from those in `learned`;
    NaN for those in it and without images."""
    from sklearn.ensemble import RandomForestRegressor

    def predict(known: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        model = RandomForestRegressor(forest.trees, min_samples_leaf=forest.leaf, random_state=forest.seed)
        return model.fit(known, values).predict(wanted)[:, None]

    return _of_entries(ellipses, seen, target, train, learned, predict, 1)[:, 0]


def classify(
    forest: Forest, ellipses: Ellipses, seen: np.ndarray, classes: np.ndarray, count: int, train: np.ndarray
) -> np.ndarray:
    """The same for probabilities f8 [entries, count] of `classes` int64 [entries], of which negative ones are none.
    Classes weigh the same, however many images they have."""
    from sklearn.ensemble import RandomForestClassifier

    def predict(known: np.ndarray, values: np.ndarray, wanted: np.ndarray) -> np.ndarray:
        model = RandomForestClassifier(
            forest.trees, min_samples_leaf=forest.leaf, random_state=forest.seed, class_weight="balanced"
        )
        model.fit(known, values)
        found = np.zeros((len(wanted), count))
        found[:, model.classes_] = model.predict_proba(wanted)
        return found

    return _of_entries(ellipses, seen, classes, train, train & (classes >= 0), predict, count)


def _of_entries(
    ellipses: Ellipses,
    seen: np.ndarray,
    target: np.ndarray,
    train: np.ndarray,
    learned: np.ndarray,
    predict: Callable[[np.ndarray, np.ndarray, np.ndarray], np.ndarray],
    outputs: int,
) -> np.ndarray:
    """Predictions f8 [entries, outputs]: the mean of those of an entry's images, weighted with their intensity."""
    found = np.full((len(ellipses), outputs), np.nan)
    for kind in np.unique(ellipses.kind):
        own = ellipses.kind == kind
        known = own & learned[ellipses.entry]
        wanted = own & ~train[ellipses.entry]
        if known.any() and wanted.any():
            there = np.isfinite(seen[known]).any(0)  # of files without times, say, some features have no value at all
            found[wanted] = predict(seen[known][:, there], target[ellipses.entry[known]], seen[wanted][:, there])
    weight = np.where(np.isfinite(found[:, 0]), ellipses.parameters["hillas_intensity"], 0.0)
    weighted = weight[:, None] * np.nan_to_num(found)
    sums = [np.bincount(ellipses.entry, column, len(train)) for column in (*weighted.T, weight)]
    with np.errstate(invalid="ignore"):  # 0 / 0 without images
        return np.stack(sums[:-1], 1) / sums[-1][:, None]
