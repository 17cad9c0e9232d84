"""Linear models as arrays say what scikit-learn's say."""

from typing import Any

import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from airshower.networks.layers.weighted_sum import WeightedSum


@pytest.mark.parametrize(("linear", "method"), [(Ridge(), "predict"), (LogisticRegression(), "decision_function")])
def test_sums_are_those_of_scikit_learn(linear: Any, method: str) -> None:
    random = np.random.default_rng(1)
    features = random.normal([1.0, -3.0, 0.0], [2.0, 0.1, 5.0], (500, 3))
    target = features @ [0.5, 4.0, 0.1] + random.normal(size=500)
    model = make_pipeline(StandardScaler(), linear).fit(
        features, target > target.mean() if method != "predict" else target
    )
    sums = WeightedSum.from_sklearn(model)(torch.from_numpy(features).float())
    np.testing.assert_allclose(sums.numpy()[:, 0], getattr(model, method)(features), rtol=1e-5, atol=1e-5)
