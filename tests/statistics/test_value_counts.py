"""Counts of values: quantiles and histograms are right to the width of a bin, whatever the range and the order."""

import numpy as np
import pytest

from airshower.statistics.value_counts import ValueCounts

SHARES = np.array([0.0, 0.01, 0.05, 0.5, 0.95, 1.0])


def counted(*parts: np.ndarray) -> ValueCounts:
    counts = ValueCounts()
    for part in parts:
        counts.add(part)
    return counts


@pytest.mark.parametrize("scale", [1e-12, 1.0, 3e4, 1e20])
def test_quantiles_are_right_to_the_width_of_a_bin(scale: float) -> None:
    generator = np.random.default_rng(1)
    values = scale * generator.lognormal(0.0, 3.0, 20_001) * generator.choice([-1, 1, 1], 20_001)
    found = counted(values).quantiles(SHARES)
    np.testing.assert_allclose(found, np.quantile(values, SHARES), rtol=0.005)


def test_counts_of_parts_add_up() -> None:
    values = np.random.default_rng(2).normal(3.0, 40.0, 1000)
    whole = counted(values)
    one, other = counted(values[:300], values[300:301]), counted(values[301:])
    one.joined(other)
    assert np.array_equal(one.counts, whole.counts)
    assert one.total == 1000


def test_whole_numbers_have_a_bin_each() -> None:
    values = np.repeat(np.arange(-3, 512), np.arange(515) % 7)
    counts = counted(values)
    for value in range(-3, 512):
        assert counts.of(value) == np.sum(values == value)


def test_zeros_of_both_signs_are_one_value() -> None:
    assert counted(np.array([0.0, -0.0, 0.0])).of(0) == 3


def test_histograms_are_those_of_the_values() -> None:
    values = np.random.default_rng(3).normal(0.0, 5.0, 50_000)
    edges = np.array([-20.0, -8.0, -1.0, 1.0, 2.0, 20.0])
    found = counted(values).histogram(edges)
    np.testing.assert_allclose(found, np.histogram(values, edges)[0], rtol=0.02)
    assert counted(values[:0]).histogram(edges).tolist() == [0] * 5


def test_values_beyond_float32_are_its_largest() -> None:
    assert counted(np.array([1e300, -1e300])).quantiles(np.array([0.0, 1.0])) == pytest.approx(
        [-3.4e38, 3.4e38], rel=0.01
    )


def test_without_values_there_are_no_quantiles() -> None:
    assert np.isnan(counted().quantiles(SHARES)).all()
