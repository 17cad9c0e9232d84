"""Means and spreads in bins of a condition."""

import numpy as np
import pytest

from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.tasks.generation.judgement.closure import closures, deviation

ENERGY = Quantity("energy", "GeV", 7.0, 2.0, logarithmic=True)
HITS = Quantity("hits", "", 4.0, 0.5, logarithmic=True)
AZIMUTH = Quantity("azimuth", "rad", 0.0, 1.8, period=2 * np.pi)
EVENTS = 2000


def sample(seed: int, factor: float = 1.0, turn: float = 0.0, spread: float = 0.3) -> tuple[Records, Records]:
    """Hits that rise with the energy, angles around pi; of all energies the same."""
    generator = np.random.default_rng(seed)
    energy = 10 ** generator.uniform(2, 5, EVENTS)
    hits = factor * 30 * energy**0.25 * np.exp(generator.normal(0, spread, EVENTS))
    azimuth = (generator.vonmises(np.pi + turn, 8.0, EVENTS) + np.pi) % (2 * np.pi) - np.pi
    return Records((HITS, AZIMUTH), np.stack([hits, azimuth], 1)), Records((ENERGY,), energy[:, None])


def test_means_and_spreads() -> None:
    (closure,) = closures(*sample(0), *sample(1, factor=1.2, turn=0.2, spread=0.45))
    assert len(closure.edges) == 9
    assert (closure.reference[0].events == EVENTS // 8).all()
    unit = np.std(np.log(sample(0)[0].values[:, 0]))
    (hits, hits_error), (azimuth, azimuth_error) = closure.mean_differences()
    np.testing.assert_allclose(hits, np.log(1.2) / unit, atol=4 * hits_error.max())
    np.testing.assert_allclose(azimuth * 1.8 * closure.units[1], 0.2, atol=0.15)
    assert (np.abs(azimuth - 0.2 / 1.8 / closure.units[1]) < 4 * azimuth_error).all()
    (hits, error), (azimuth, azimuth_error) = closure.spread_differences()
    # a bin's spread has what the energies in it add
    assert (np.abs(hits - (0.45 - 0.3) / unit) < 4 * error + 0.05).all()
    assert (np.abs(azimuth) < 4 * azimuth_error).all()


def test_equal_samples_differ_by_their_errors() -> None:
    (closure,) = closures(*sample(2), *sample(3))
    for value, error in [*closure.mean_differences(), *closure.spread_differences()]:
        assert 0.2 < np.mean((value / error) ** 2) < 3.0


def test_angles_that_jump_at_the_end_of_the_turn_are_no_difference() -> None:
    (closure,) = closures(*sample(4), *sample(4, turn=0.001))
    assert np.abs(closure.mean_differences()[1][0]).max() < 0.01
    centre, low, high = closure.reference[1].band(closure.reference[1].directed)
    assert (np.abs(np.abs(centre) - np.pi) < 0.15).all()
    np.testing.assert_allclose(high - low, 2 / np.sqrt(8.0), rtol=0.25)


def test_angles_all_around_have_no_mean() -> None:
    (reference, asked), (table, _) = sample(5), sample(6)
    around = Records(
        reference.quantities, reference.values * [1.0, 0.0] + [0.0, 1.0] * np.linspace(-3, 3, EVENTS)[:, None]
    )
    (closure,) = closures(around, asked, table, asked)
    assert np.isnan(closure.mean_differences()[1][0]).all()
    assert np.isnan(closure.reference[1].band(closure.reference[1].directed)[0]).all()
    assert (closure.spread_differences()[1][0] < -0.4).all(), "of generated ones in one direction, the spread tells"
    (closure,) = closures(table, asked, around, asked)
    assert np.nanmean(np.abs(closure.mean_differences()[1][0])) > 1.0, "that there is none, where there should be one"


def test_curves_and_bands_are_in_physical_units() -> None:
    (closure,) = closures(*sample(7), *sample(8))
    names = [curve.name for curve in closure.curves()]
    assert names == ["closure_mean/hits", "closure_mean/azimuth", "closure_spread/hits", "closure_spread/azimuth"]
    curve = closure.curves()[0]
    assert (curve.against, curve.against_unit, curve.log) == ("energy", "GeV", True)
    assert len(curve.edges) == len(curve.value) + 1 == len(curve.error) + 1
    centre, low, high = closure.reference[0].band(closure.reference[0].directed)
    middle = np.sqrt(closure.edges[1:] * closure.edges[:-1])
    np.testing.assert_allclose(centre, 30 * middle**0.25, rtol=0.1)
    np.testing.assert_allclose(np.sqrt(high / low), np.exp(0.31), rtol=0.1)


@pytest.mark.parametrize(("step", "edges"), [(1.0, [0.5, 1.5, 3.0, 4.5]), (0.0, [1.0, 2.0, 4.0])])
def test_each_of_a_few_steps_has_a_bin(step: float, edges: list[float]) -> None:
    """Of numbers without steps, bins of equal numbers of events, which end at values that repeat."""
    table, asked = sample(9)
    asked = Records((Quantity("telescopes", "", 0.0, 1.0, step=step),), np.resize([1.0, 2.0, 4.0], (EVENTS, 1)))
    (closure,) = closures(table, asked, table, asked)
    assert closure.edges.tolist() == edges
    assert closure.reference[0].events.sum() == EVENTS


@pytest.mark.parametrize("conditions", [[], [5.0], [5.0, 6.0]])
def test_what_does_not_vary_or_has_few_values(conditions: list[float]) -> None:
    table, asked = sample(9)
    asked = Records((ENERGY,) if conditions else (), np.resize(conditions, (EVENTS, 1 if conditions else 0)))
    found = closures(table, asked, table, asked)
    assert [len(closure.edges) for closure in found] in ([], [2], [3])
    assert all((value == 0).all() for closure in found for value, _ in closure.spread_differences())


def test_deviation() -> None:
    assert deviation(HITS, np.array([1.0, 3.0])) == 1.0
    assert deviation(HITS, np.array([2.0, 2.0])) == 1.0
    assert deviation(AZIMUTH, np.array([np.pi, -np.pi]) / 1.8) == pytest.approx(1.0), "the same angle does not vary"
    assert deviation(AZIMUTH, np.array([0.0, np.pi]) / 1.8) == pytest.approx(np.sqrt(2) / 1.8)
