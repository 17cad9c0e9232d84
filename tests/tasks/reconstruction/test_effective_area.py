"""The effective area, of which a part is known."""

import numpy as np
import pytest

from airshower.data.source import ThrownShowers
from airshower.statistics.bins import counts_in
from airshower.tasks.reconstruction.effective_area import effective_area, thrown_per_area


@pytest.mark.parametrize("index", [-2.7, -1.0])
def test_effective_area_of_all_that_was_thrown_is_the_area(index: float) -> None:
    """Two runs over different areas: as many per m2 as fell there are found."""
    edges = np.array([0.5, 1.0, 3.0, 10.0, 20.0])
    runs = [ThrownShowers(0, 1000, (1.0, 10.0), index, 100.0), ThrownShowers(0, 500, (1.0, 3.0), index, 50.0)]
    thrown = thrown_per_area(runs, edges)
    assert thrown.sum() == pytest.approx(1000 / 100 + 500 / 50)
    generator = np.random.default_rng(3)
    share = generator.random(200_000)
    power = index + 1
    energy = 10**share if power == 0 else (1 + share * (10**power - 1)) ** (1 / power)
    np.testing.assert_allclose(
        thrown_per_area(runs[:1], edges)[1:3] / 10, counts_in(energy, edges)[1:3] / 2e5, rtol=0.02
    )
    area, error = effective_area(np.array([0, 4, 0, 0]), thrown)
    assert area[1] == pytest.approx(4 / thrown[1])
    assert error[1] == pytest.approx(area[1] / 2)
    assert area[2] == 0.0
    assert np.isnan(area[[0, 3]]).all()
