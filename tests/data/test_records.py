"""Rows of quantities: units, steps, and scaled values."""

import numpy as np
import pytest

from airshower.data.quantity import Quantity
from airshower.data.records import Records

HITS = Quantity("hits", "", 4.0, 0.5, logarithmic=True, step=1.0)
TANKS = Quantity("tanks", "", 78.0, 61.0, step=1.0)
CHARGE = Quantity("charge", "p.e.", 2.0, 1.0, logarithmic=True, floor=0.01, step=0.01)
AZIMUTH = Quantity("azimuth", "rad", 0.0, 1.8, period=2 * np.pi)


def test_there_and_back() -> None:
    values = np.array([[28.0, 0.01, -3.0], [1.0, 0.0, 3.0], [1200.0, 999.99, 0.5]])
    table = Records((HITS, CHARGE, AZIMUTH), values)
    back = Records.of_scaled(table.quantities, table.scaled)
    np.testing.assert_allclose(back.values, values, atol=1e-6)
    assert (back.values[:, 0] == values[:, 0]).all(), "whole numbers are whole again"
    assert back.rows(np.array([2, 0])).values[:, 0].tolist() == [1200.0, 28.0]


@pytest.mark.parametrize(("quantity", "least"), [(HITS, 1.0), (TANKS, 0.0), (CHARGE, 0.0)])
def test_counts_and_what_has_a_logarithm(quantity: Quantity, least: float) -> None:
    table = Records.of_scaled((quantity,), np.array([[-40.0], [0.0]], np.float32))
    assert table.values[0, 0] == least
    assert np.isfinite(table.scaled).all()


def test_other_turns_are_the_same_angle() -> None:
    scaled = np.array([[0.3], [0.3 + 2 * np.pi / 1.8]])
    assert np.ptp(Records.of_scaled((AZIMUTH,), scaled).values) < 1e-12


def test_no_quantities() -> None:
    table = Records.of_scaled((), np.zeros((5, 0), np.float32))
    assert (len(table), table.scaled.shape) == (5, (5, 0))
