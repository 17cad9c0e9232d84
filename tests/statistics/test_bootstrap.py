"""Standard errors of statistics."""

import numpy as np
import pytest

from airshower.statistics.bins import log_edges
from airshower.statistics.bootstrap import bootstrap, bootstrap_in_bins


def mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def test_empty_bins_are_nan() -> None:
    energy = np.array([0.11, 0.12, 0.13, 5.0])
    edges = log_edges(energy)
    value, error, count = bootstrap_in_bins(energy, np.array([1.0, 2.0, 3.0, 4.0]), edges, mean)
    assert count.sum() == 4
    assert value[0] == 2.0
    assert error[0] > 0
    assert np.isnan(value[1:]).all()
    assert edges[0] < 0.11
    assert edges[-1] >= 5.0


def test_the_error_of_a_mean() -> None:
    values = np.random.default_rng(1).normal(0, 2.0, 400)
    value, error = bootstrap(values, mean)
    assert value == values.mean()
    assert error == pytest.approx(2.0 / 20, rel=0.25)
    assert bootstrap(values, mean).error == error, "the draws are always the same"
    in_bins = bootstrap_in_bins(np.ones(400), values, np.array([0.5, 1.5]), mean)
    assert [column.tolist() for column in in_bins] == [[value], [error], [400]]


def test_of_one_value_nothing_is_known() -> None:
    assert np.isnan(bootstrap(np.ones(1), mean)).all()
