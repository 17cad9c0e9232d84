"""ROC curves, areas under them and cuts."""

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from airshower.statistics.roc import area_under_roc, cut_for_efficiency, placements, roc_curve, thinned

SIGNAL, BACKGROUND = np.repeat(np.arange(4.0), [0, 2, 5, 1]), np.repeat(np.arange(4.0), [4, 3, 1, 0])
PAIRS = (SIGNAL[:, None] > BACKGROUND) + 0.5 * (SIGNAL[:, None] == BACKGROUND)


def test_the_curve_has_a_step_a_score() -> None:
    background, signal = roc_curve(SIGNAL, BACKGROUND)
    assert signal.tolist() == [0, 1 / 8, 6 / 8, 1, 1]
    assert background.tolist() == [0, 0, 1 / 8, 4 / 8, 1]


def test_placements_and_the_area_are_those_of_the_curve() -> None:
    background, signal = roc_curve(SIGNAL, BACKGROUND)
    np.testing.assert_allclose(placements(SIGNAL, BACKGROUND), PAIRS.mean(1))
    assert (np.diff(background) * (signal[1:] + signal[:-1]) / 2).sum() == pytest.approx(PAIRS.mean())
    assert area_under_roc(SIGNAL, BACKGROUND).value == pytest.approx(PAIRS.mean())
    assert area_under_roc(BACKGROUND, SIGNAL).value == pytest.approx(1 - PAIRS.mean()), "never turned round"
    assert np.isnan(placements(SIGNAL, BACKGROUND[:0])).all()


def test_the_error_is_the_scatter_of_areas() -> None:
    generator = np.random.default_rng(12)
    areas = []
    for _ in range(300):
        background, signal = generator.normal(0, 1, 60), generator.normal(0.7, 1, 80)
        areas.append(area_under_roc(signal, background))
    expected = roc_auc_score(np.repeat([0, 1], [60, 80]), np.concatenate([background, signal]))
    assert areas[-1].value == pytest.approx(expected)
    values, errors = np.array(areas).T
    assert errors.mean() == pytest.approx(values.std(ddof=1), rel=0.15)


def test_a_thinned_curve_keeps_its_ends() -> None:
    generator = np.random.default_rng(3)
    curve = roc_curve(generator.normal(1, 1, 300), generator.normal(0, 1, 300))
    background, signal = thinned(curve, 20)
    assert len(background) == len(signal) == 20
    assert (background[0], signal[0], background[-1], signal[-1]) == (0, 0, 1, 1)
    assert set(zip(background, signal, strict=True)) <= set(zip(*curve, strict=True))
    assert all((kept == all_).all() for kept, all_ in zip(thinned(curve, 1000), curve, strict=True))


@pytest.mark.parametrize("efficiency", [0.05, 0.5, 0.8, 1.0])
def test_a_cut_keeps_the_share(efficiency: float) -> None:
    scores = np.random.default_rng(2).random(99)
    cut = cut_for_efficiency(scores, efficiency)
    assert (scores >= cut).mean() >= efficiency
    assert (scores > cut).mean() < efficiency
