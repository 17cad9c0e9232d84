"""Containment and bias by hand."""

import numpy as np
import pytest
from scipy import stats

from airshower.statistics.containment import ONE_SIGMA, central_interval, containment, containment_radius, median_bias


def test_containment_is_a_percentile() -> None:
    values = np.arange(1.0, 102.0)
    position = 0.6827 * 100
    low = int(position)
    squares = values**2
    radius = np.sqrt(squares[low] + (position - low) * (squares[low + 1] - squares[low]))
    assert containment_radius(values) == pytest.approx(radius)
    assert containment(-values) == pytest.approx(1 + position)
    assert median_bias(np.array([-1.0, 0.5, 9.0])) == 0.5
    assert np.isnan([statistic(values[:0]) for statistic in (containment, containment_radius, median_bias)]).all()


def test_the_central_interval_is_one_standard_deviation_of_a_gaussian() -> None:
    assert pytest.approx([15.87, 84.13], abs=0.01) == 100 * stats.norm.cdf([-1.0, 1.0])
    assert central_interval(np.arange(101.0)).tolist() == pytest.approx(ONE_SIGMA)
