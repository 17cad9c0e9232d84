"""Classifiers of two samples: they see what differs, and nothing else."""

import numpy as np
import pytest

from airshower.statistics.measured import Measured
from airshower.statistics.roc import area_under_roc
from airshower.tasks.generation.judgement.classifiers import _folds, classifier_scores, image_classifier_scores


def normal(seed: int, events: int) -> np.ndarray:
    return np.random.default_rng(seed).normal(0.0, 1.0, (events, 3))


def area(of_reference: np.ndarray, of_other: np.ndarray) -> Measured:
    return area_under_roc(of_other, of_reference)


def test_classifier_tells_samples_apart_as_far_as_they_are() -> None:
    reference, groups = normal(9, 400), np.arange(800)
    same = area(*classifier_scores(reference, normal(10, 400), groups))
    assert abs(same.value - 0.5) < 4 * same.error
    other = normal(10, 400)
    other[:, 1] = other[:, 0] + 0.1 * other[:, 1]  # each feature alone is distributed as before
    assert area(*classifier_scores(reference, other, groups)).value > 0.75


def test_a_pair_of_equal_conditions_tells_nothing_of_each_other() -> None:
    """With the conditions as inputs alone there is nothing to find; in other folds, the one event would tell that the
    next of its conditions is of the other sample."""
    asked = normal(11, 300)
    pairs = np.tile(np.arange(300), 2)
    together = area(*classifier_scores(asked, asked, pairs))
    assert together.value == pytest.approx(0.5, abs=1e-9)
    apart = area(*classifier_scores(asked, asked, np.arange(600)))
    assert apart.value < 0.4


def test_folds_keep_groups_and_share_both_samples() -> None:
    groups, label = np.repeat(np.arange(40), 3), np.tile([0, 1, 1], 40)
    fold = _folds(groups, label, 0)
    assert all(len(set(fold[groups == group])) == 1 for group in range(40))
    assert np.bincount(fold).tolist() == [24] * 5
    alone = _folds(np.arange(50), np.repeat([0, 1], 25), 0)
    assert np.bincount(alone[:25]).tolist() == [5] * 5, "events are dealt out, sample by sample"


def test_a_classifier_of_images_sees_where_light_is() -> None:
    """Of images that have the same light, but not in the same place; of equal ones it sees nothing."""
    generator = np.random.default_rng(12)
    one, other = (generator.random((400, 30)).astype(np.float32) ** 4 for _ in range(2))
    groups = np.arange(800)
    value, error = area(*image_classifier_scores(one, other, groups))
    assert abs(value - 0.5) < 4 * error
    other.sort(1)
    moved = np.roll(other, 1, 1)  # in both samples brighter to the right
    assert area(*image_classifier_scores(other, moved, groups)).value > 0.9
    copies = np.tile(np.arange(400), 2)
    # scores of equal events may round apart, by their places in a batch
    assert area(*image_classifier_scores(one, one, copies)).value == pytest.approx(0.5, abs=1e-3)
