"""Power laws."""

import numpy as np
import pytest

from airshower.statistics import power_law


@pytest.mark.parametrize("index", [-2.7, -1.0, 0.0])
def test_a_sample_has_the_fractions_of_the_spectrum(index: float) -> None:
    edges = np.array([0.5, 1.0, 3.0, 10.0, 20.0])
    energy = power_law.energies(np.linspace(0, 1, 100_001), 1.0, 10.0, index)
    assert energy[[0, -1]] == pytest.approx([1.0, 10.0])
    fractions = power_law.fractions(edges, 1.0, 10.0, index)
    assert fractions.sum() == pytest.approx(1.0)
    np.testing.assert_allclose(np.histogram(energy, edges)[0] / len(energy), fractions, atol=1e-4)


def test_half_of_a_flat_spectrum_is_below_its_middle() -> None:
    assert power_law.energies(np.array([0.5]), 1.0, 3.0, 0.0) == pytest.approx(2.0)
    assert power_law.energies(np.array([0.5]), 1.0, 4.0, -1.0) == pytest.approx(2.0), "in the logarithm"
