"""Classifiers that distinguish two samples of events: the better they perform, the more the samples differ.

`groups` int64 [n + m], from 0 on, is the group of each event of both samples. Events of a group have something in
common, such as the conditions that they were generated for. Random numbers have a seed. scikit-learn is imported where
it is used, as that takes long.
"""

from typing import Any

import numpy as np

FOLDS = 5
UNITS, PATIENCE = (64,), 3  # of the perceptron: hidden layers, and epochs without improvement before training stops

Scores = tuple[np.ndarray, np.ndarray]  # of events of two samples


def classifier_scores(reference: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Scores:
    """The probability that each event [n], [m] is of the other sample, by boosted trees that were trained on events of
    other groups (cross validation)."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    return _cross_validated(HistGradientBoostingClassifier(random_state=seed), reference, other, groups, seed)


def image_classifier_scores(reference: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int = 0) -> Scores:
    """The same from numbers of each tank, float32 [n, numbers], by a perceptron with early stopping on a tenth of the
    events. Trees take ten times as long for so many numbers; single PMTs separate less than tanks."""
    from sklearn.neural_network import MLPClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    perceptron = MLPClassifier(UNITS, early_stopping=True, n_iter_no_change=PATIENCE, random_state=seed)
    return _cross_validated(make_pipeline(StandardScaler(), perceptron), reference, other, groups, seed)


def _cross_validated(
    classifier: Any, reference: np.ndarray, other: np.ndarray, groups: np.ndarray, seed: int
) -> Scores:
    from sklearn.model_selection import PredefinedSplit, cross_val_predict

    label = np.repeat([0, 1], [len(reference), len(other)])
    split = PredefinedSplit(_folds(groups, label, seed))
    features = np.concatenate([reference, other])
    scores = np.asarray(cross_val_predict(classifier, features, label, cv=split, method="predict_proba"))[:, 1]
    return scores[: len(reference)], scores[len(reference) :]


def _folds(groups: np.ndarray, label: np.ndarray, seed: int) -> np.ndarray:
    """The fold of each event: that of its group. Groups of similar composition are distributed in turn, so that all
    folds have about the same fractions of both samples."""
    count = int(groups.max()) + 1
    share = np.bincount(groups, label) / np.bincount(groups)
    order = np.lexsort([np.random.default_rng(seed).random(count), share])
    fold = np.empty(count, np.int64)
    fold[order] = np.arange(count) % FOLDS
    return fold[groups]
