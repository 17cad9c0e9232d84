"""Distances of samples: known answers, other codes' answers, and that they tell what they are for."""

import numpy as np
import pytest
from scipy import stats

from airshower.statistics import distances

TURN = 2 * np.pi


def normal(seed: int, events: int = 1000, features: int = 3, mean: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).normal(mean, 1.0, (events, features))


def test_distances_of_a_quantity_are_scipys() -> None:
    one, other = normal(0)[:, 0], normal(1, 700, mean=0.3)[:, 0]
    assert distances.kolmogorov_smirnov(one, other) == pytest.approx(stats.ks_2samp(one, other).statistic)
    assert distances.wasserstein(one, other) == pytest.approx(stats.wasserstein_distance(one, other))


def test_moving_along_the_circle() -> None:
    """By hand: each event moves by 0.2, over the end of the turn, too; and half way around at most."""
    one = np.array([-3.1, -1.0, 0.5, 3.1])
    assert distances.wasserstein(one, one + 0.2, TURN) == pytest.approx(0.2)
    assert distances.wasserstein(one, (one + 0.2) % TURN, TURN) == pytest.approx(0.2)
    assert distances.wasserstein(np.zeros(3), np.full(5, 5.0), TURN) == pytest.approx(TURN - 5.0)
    assert distances.wasserstein(np.array([0.0, 1.0]), np.array([2.0, 6.0]), TURN) == pytest.approx(
        (1.0 + TURN - 6.0) / 2
    )


def test_angles_move_by_the_best_plan() -> None:
    """Of equal numbers of events the best plan is a cyclic shift of one sample against the other, both in order."""
    generator = np.random.default_rng(2)
    one, other = np.sort(generator.uniform(0, TURN, 30)), np.sort(generator.normal(0.0, 0.8, 30) % TURN)
    apart = [np.abs(one - np.roll(other, shift)) for shift in range(30)]
    plans = [np.minimum(gap, TURN - gap).mean() for gap in apart]
    assert distances.wasserstein(one, other, TURN) == pytest.approx(min(plans))
    assert min(plans) < 0.96 * stats.wasserstein_distance(one, other)


def test_where_the_turn_begins_does_not_matter() -> None:
    generator = np.random.default_rng(3)
    one, other = generator.vonmises(np.pi, 4.0, 400), generator.vonmises(np.pi, 4.0, 400)
    for measure in (distances.kolmogorov_smirnov, distances.wasserstein):
        expected = measure(one, other, TURN)
        assert measure(one + 2.0, other + 2.0, TURN) == pytest.approx(expected)
        assert measure(one, other + 5 * TURN, TURN) == pytest.approx(expected)
        assert expected < measure(one, other + 0.5, TURN)


def test_rank_correlations_are_spearmans() -> None:
    features = normal(4, 200, 4)
    features[:, 1] += np.exp(features[:, 0])
    expected = stats.spearmanr(features).statistic
    np.testing.assert_allclose(distances.rank_correlations(features), expected, atol=1e-12)
    features[:, 2] = 7.0
    assert distances.rank_correlations(features)[2].tolist() == [0.0] * 4


def test_frechet_distance_of_gaussians() -> None:
    """Of many events that of the Gaussians: means 0.5 apart in each of three features, twice as wide in one of them."""
    one, other = normal(5, 40_000), normal(6, 40_000, mean=0.5)
    other[:, 0] = 0.5 + 2 * (other[:, 0] - 0.5)
    found = distances.frechet_distance(one, other, np.arange(80_000))
    assert found.value == pytest.approx(3 * 0.25 + 1.0, abs=4 * found.error)
    assert 0.002 < found.error < 0.05


def test_frechet_distance_has_no_bias_of_few_events() -> None:
    """Its mean over many pairs of equal samples is 0, where the distance of such samples is well above; and its errors
    are about the scatter."""
    pairs = [(normal(2 * seed, 200), normal(2 * seed + 1, 300)) for seed in range(60)]
    found = np.array([distances.frechet_distance(*pair, np.arange(500)) for pair in pairs])
    scatter = found[:, 0].std(ddof=1)
    assert abs(found[:, 0].mean()) < 4 * scatter / np.sqrt(len(pairs))
    assert np.mean([distances._frechet(*pair) for pair in pairs]) > 8 * scatter / np.sqrt(len(pairs))
    assert 0.6 < np.median(found[:, 1]) / scatter < 1.8


def test_kernel_distance_by_hand() -> None:
    """Kernels are 1 between zeros and between a zero and a one, 2^4 between ones."""
    one, other = np.array([[0.0], [0.0]]), np.array([[1.0], [1.0]])
    assert distances._discrepancy((one, np.arange(2)), (other, np.arange(2, 4))) == 1.0 + 2.0**4 - 2 * 1.0
    one[0] = 2.0  # which has the kernel 3^4 with the ones, and is left out with the first of them, of its group
    found = distances._discrepancy((one, np.array([7, 1])), (other, np.array([7, 2])))
    assert found == pytest.approx(1.0 + 2.0**4 - 2 * (1.0 + 1.0 + 3.0**4) / 3)


@pytest.mark.parametrize("measure", [distances.frechet_distance, distances.kernel_distance])
def test_distances_grow_with_a_shift_and_are_at_the_floor_without(measure: object) -> None:
    real, same = normal(7, 2000), normal(8, 2000)
    groups = np.arange(4000)
    found = [measure(real, same + shift, groups) for shift in (0.0, 0.3, 1.0)]
    assert abs(found[0].value) < 4 * found[0].error
    assert found[0].value + 4 * found[0].error < found[1].value < found[2].value
    assert measure(real, same, groups) == found[0], "nothing is left to chance"


@pytest.mark.parametrize("measure", [distances.frechet_distance, distances.kernel_distance])
@pytest.mark.parametrize("repeated", [1, 2])
def test_events_of_equal_conditions_are_at_the_floor(measure: object, repeated: int) -> None:
    """Equal distributions given the same conditions: the distance is 0 in the mean, though samples differ by less than
    independent ones do."""
    found = []
    for seed in range(30):
        generator = np.random.default_rng(seed)
        asked = generator.normal(size=(200, 3))
        given = np.concatenate([asked, *[asked] * repeated])
        groups = distances.groups_of(given)
        real, other = np.split(given + 0.3 * generator.normal(size=given.shape), [200])
        found.append(measure(real, other, groups).value)
    assert abs(np.mean(found)) < 4 * np.std(found) / np.sqrt(len(found))


def test_groups() -> None:
    rows = np.tile(np.arange(12.0), 2)[:, None]
    groups = distances.groups_of(rows)
    assert (groups[:12] == groups[12:]).all()
    assert len(set(groups)) == 12
    for few in (rows % 3, np.zeros((24, 0))):
        assert distances.groups_of(few).tolist() == list(range(24))


def test_nearest_training_event() -> None:
    training = np.array([[0.0, 0.0], [3.0, 4.0]])
    assert distances.nearest(np.array([[0.0, 1.0], [3.0, 4.0]]), training).tolist() == [1.0, 0.0]
