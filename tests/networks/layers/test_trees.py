"""Trees as arrays say what scikit-learn's say."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    GradientBoostingRegressor,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    RandomForestClassifier,
    RandomForestRegressor,
)

from airshower.networks.layers.trees import Trees

MODELS = [
    (GradientBoostingRegressor(max_leaf_nodes=8, max_depth=None, subsample=0.5, random_state=1), "predict"),
    (GradientBoostingRegressor(loss="absolute_error", random_state=1), "predict"),
    (GradientBoostingClassifier(max_leaf_nodes=8, max_depth=None, random_state=1), "decision_function"),
    (RandomForestRegressor(20, min_samples_leaf=3, random_state=1), "predict"),
    (ExtraTreesRegressor(20, max_leaf_nodes=30, random_state=1), "predict"),
    (RandomForestClassifier(20, min_samples_leaf=3, random_state=1), "predict_proba"),
    (HistGradientBoostingRegressor(max_iter=20, max_leaf_nodes=8, early_stopping=False), "predict"),
    (HistGradientBoostingClassifier(max_iter=20, max_leaf_nodes=8, early_stopping=False), "decision_function"),
]


def events(count: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Features float32 [n, 6], one of them in steps, and a number [n] that depends on them."""
    random = np.random.default_rng(seed)
    features = random.normal(size=(count, 6)).astype(np.float32)
    features[:, 5] = np.round(features[:, 5], 1)
    return features, np.sin(2 * features[:, 0]) + features[:, 1] * features[:, 5] + random.normal(0, 0.2, count)


@pytest.mark.parametrize(("model", "method"), MODELS, ids=lambda item: type(item).__name__)
def test_sums_are_those_of_scikit_learn(model: Any, method: str) -> None:
    features, target = events(800, seed=1)
    classes = "Classifier" in type(model).__name__
    model.fit(features, target > 0.3 if classes else target)
    others, _ = events(3000, seed=2)
    wanted = getattr(model, method)(others)
    sums = Trees.from_sklearn(model)(torch.from_numpy(others))
    np.testing.assert_allclose(sums.numpy().squeeze(), wanted, rtol=1e-6, atol=1e-6)


def test_each_class_of_several_has_a_sum() -> None:
    features, target = events(800, seed=1)
    model = HistGradientBoostingClassifier(max_iter=10, max_leaf_nodes=8, early_stopping=False)
    model.fit(features, np.digitize(target, [-0.5, 0.5]))
    others, _ = events(3000, seed=2)
    sums = Trees.from_sklearn(model)(torch.from_numpy(others))
    np.testing.assert_allclose(sums.numpy(), model.decision_function(others), rtol=1e-5, atol=1e-6)


def test_features_at_thresholds_go_the_same_way() -> None:
    """Neighbouring float32 numbers have a threshold between them that is none."""
    low = np.float32(1.0)
    features = np.repeat([low, np.nextafter(low, np.float32(2.0))], 50)[:, None]
    model = RandomForestRegressor(1, bootstrap=False).fit(features, np.repeat([0.0, 1.0], 50))
    sums = Trees.from_sklearn(model)(torch.from_numpy(features))
    np.testing.assert_array_equal(sums.numpy()[:, 0], model.predict(features))


@pytest.mark.parametrize(
    "model",
    [
        GradientBoostingRegressor(n_estimators=7, max_leaf_nodes=10, max_depth=None),
        HistGradientBoostingRegressor(max_iter=7, max_leaf_nodes=10, early_stopping=False),
    ],
    ids=lambda item: type(item).__name__,
)
def test_shapes_do_not_depend_on_what_was_learned(model: Any) -> None:
    features, target = events(300, seed=1)
    of_much = Trees.from_sklearn(model.fit(features, target))
    of_nothing = Trees.from_sklearn(model.fit(features, np.full(300, 2.5)))
    shapes = [{name: value.shape for name, value in trees.state_dict().items()} for trees in (of_much, of_nothing)]
    assert shapes[0] == shapes[1] == {name: value.shape for name, value in Trees(7, 10).state_dict().items()}
    np.testing.assert_allclose(of_nothing(torch.zeros(3, 6)), 2.5)


def test_trees_are_zero_before_they_are_filled_and_take_no_events() -> None:
    assert Trees(3, 4, outputs=2)(torch.ones(5, 6)).tolist() == [[0.0, 0.0]] * 5
    assert Trees(3, 4)(torch.ones(0, 6)).shape == (0, 1)
