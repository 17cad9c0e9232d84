"""Bins at round values, and what is counted in them."""

import numpy as np
import pytest

from airshower.statistics.bins import bin_of, counts_in, equal_bins, linear_edges, log_edges, migration


def test_logarithmic_bins_are_five_a_decade_and_hold_all() -> None:
    edges = log_edges(np.array([0.11, 0.3, 1.0]))
    np.testing.assert_allclose(edges, 10.0 ** (np.arange(-5, 1) / 5))
    assert counts_in(np.array([0.11, 0.3, 1.0]), edges).tolist() == [1, 0, 1, 0, 1]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (np.array([2, 3, 4]), [1.5, 2.5, 3.5, 4.5]),
        (np.array([1, 30]), [-0.5, 4.5, 9.5, 14.5, 19.5, 24.5, 29.5, 34.5]),
        (np.array([0.0, 110.0, 430.0]), [0, 50, 100, 150, 200, 250, 300, 350, 400, 450]),
        (np.array([0.11, 0.31]), [0.1, 0.15, 0.2, 0.25, 0.3, 0.35]),
    ],
)
def test_linear_bins_are_at_round_places_and_hold_all(values: np.ndarray, expected: list[float]) -> None:
    edges = linear_edges(values)
    assert edges[0] <= values.min()
    assert counts_in(values, edges).sum() == len(values)
    np.testing.assert_allclose(edges, expected, atol=1e-9)


def test_lower_edges_are_excluded_but_zero() -> None:
    values = np.array([-1.0, 0.0, 1.0, 1.5, 2.0, 2.5])
    assert bin_of(values, np.array([0.0, 1.0, 2.0])).tolist() == [-1, 0, 0, 1, 1, 2]
    assert bin_of(values, np.array([1.0, 2.0, 3.0])).tolist() == [-1, -1, -1, 0, 0, 1]


def test_migration_counts() -> None:
    edges = np.array([1.0, 2.0, 4.0])
    counts = migration(np.array([1.5, 1.5, 3.0, 9.0, 2.0]), np.array([1.5, 4.0, 0.5, 3.0, 2.5]), edges)
    assert counts.tolist() == [[1, 2], [0, 0]]


def test_bins_of_equal_numbers_of_events() -> None:
    x = np.array([4.0, 1.0, 3.0, 2.0, 10.0, 8.0])
    edges, centre, mean, error, events = equal_bins(x, 2 * x, smallest=3)
    assert edges.tolist() == [1.0, 3.5, 10.0]
    assert centre.tolist() == [2.0, 22 / 3]
    assert mean.tolist() == [4.0, 44 / 3]
    assert error[0] == pytest.approx(2 / np.sqrt(3))
    assert events.tolist() == [3, 3]
    assert equal_bins(x[:1], x[:1])[3].tolist() == [0.0], "one event has no scatter"
