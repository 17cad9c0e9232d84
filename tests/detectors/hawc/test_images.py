"""From hits to images and back."""

from itertools import accumulate

import numpy as np
import pytest

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.detectors.hawc.image_spec import HawcImagesSpec
from airshower.detectors.hawc.images import KEEP, behind_plane, one_hit_each
from airshower.detectors.hawc.quantities import QUANTITIES, chosen, image_channels
from airshower.errors import UserError
from airshower.geometry.shower_front import LIGHT_SPEED
from airshower.geometry.tank_array import PMTS, hawc_array

NAMES = ["charge", "time"]


def spec(names: list[str]) -> HawcImagesSpec:
    array = hawc_array()
    channels = image_channels(names, 1e4, -100.0, 200.0)
    return HawcImagesSpec(channels, array.position, array.cell, array.pmt)


def hits(*rows: tuple[int, int, float, float]) -> TankHits:
    event, grid_id, charge, time = zip(*rows, strict=True)
    return TankHits(np.array(event), np.array(grid_id), np.array(charge), np.array(time))


@pytest.mark.parametrize(("keep", "charge"), [("first", 2.0), ("largest", 9.0), ("last", 1.0)])
def test_one_of_several_hits(keep: str, charge: float) -> None:
    several = hits((1, 7, 9.0, 5.0), (0, 7, 4.0, 9.0), (1, 7, 1.0, 8.0), (1, 7, 2.0, -3.0), (1, 9, 3.0, 0.0))
    kept = one_hit_each(several, keep)
    assert kept.event.tolist() == [0, 1, 1]
    assert kept.grid_id.tolist() == [7, 7, 9]
    assert kept.charge.tolist() == [4.0, charge, 3.0]


def test_plane_time_takes_the_direction_out() -> None:
    """Two planes from other directions, at other times; late light stays late."""
    position, rng = hawc_array().position, np.random.default_rng(0)
    towards = np.array([[0.3, -0.5], [0.0, 0.8]])
    grid_id, event = np.tile(np.arange(1, PMTS + 1, 7), 2), np.repeat([0, 1], 172)
    late = rng.exponential(3.0, len(event)) * (rng.random(len(event)) < 0.4)
    time = np.array([50.0, -20.0])[event] - (position[grid_id - 1, :2] * towards[event]).sum(1) / LIGHT_SPEED + late
    behind = behind_plane(TankHits(event, grid_id, np.ones(len(event)), time), towards, position)
    for own in (event == 0, event == 1):
        np.testing.assert_allclose(behind[own], late[own], atol=1e-9)


def test_plane_passes_when_half_of_the_charge_has_come() -> None:
    charge, time = [1.0, 1.0, 8.0, 1.0], [-9.0, 3.0, 10.0, 700.0]
    some = hits(*((0, 1, q, t) for q, t in zip(charge, time, strict=True)))
    behind = behind_plane(some, np.zeros((2, 2)), hawc_array().position)
    np.testing.assert_allclose(behind, [-19.0, -7.0, 0.0, 690.0])


def many(events: int) -> TankHits:
    """Charges in steps of 0.01 p.e.: halves of sums are often met exactly, or missed by rounding alone; many ties."""
    rng, size = np.random.default_rng(5), 40 * events
    event, grid_id = rng.integers(0, events, size), rng.integers(1, 30, size)
    return TankHits(event, grid_id, rng.integers(1, 60, size) * 0.01, rng.integers(0, 12, size) * 0.1)


def test_the_time_behind_the_plane_does_not_depend_on_the_events_beside() -> None:
    """To the bit; by hand for each event alone, with charges summed in the order of time."""
    whole, position, towards = many(500), hawc_array().position, np.tile([0.25, 0.5], (500, 1))
    behind = behind_plane(whole, towards, position)
    assert np.array_equal(behind_plane(whole, towards, position), behind)
    for event in range(500):
        own = whole.event == event
        alone = whole.rows(own)._replace(event=np.zeros(own.sum(), int))
        assert np.array_equal(behind_plane(alone, towards[:1], position), behind[own])
        along = position[alone.grid_id - 1, 0] * 0.25 + position[alone.grid_id - 1, 1] * 0.5
        hits = sorted(zip(alone.time + along / LIGHT_SPEED, alone.charge, strict=True))
        sums = list(accumulate(charge for _, charge in hits))
        (middle, _) = next(hit for hit, total in zip(hits, sums, strict=True) if total >= sums[-1] / 2)
        assert (alone.time + along / LIGHT_SPEED - behind[own]).tolist() == pytest.approx([middle] * own.sum())


@pytest.mark.parametrize("value", [np.inf, 1e300])
def test_a_charge_of_any_size_moves_no_other_event(value: float) -> None:
    whole, position, towards = many(50), hawc_array().position, np.zeros((50, 2))
    charge, large = whole.charge.copy(), np.flatnonzero(whole.event == 7)[3]
    charge[large] = value
    before, after = (behind_plane(hits, towards, position) for hits in (whole, whole._replace(charge=charge)))
    others = whole.event != 7
    assert np.array_equal(before[others], after[others])
    assert after[large] == 0.0
    assert np.isfinite(after).all()


@pytest.mark.parametrize("keep", KEEP)
def test_the_order_of_hits_decides_nothing(keep: str) -> None:
    whole, position, towards = many(60), hawc_array().position, np.tile([0.25, 0.5], (60, 1))
    kept, timed = one_hit_each(whole, keep), whole._replace(time=behind_plane(whole, towards, position))
    for seed in range(5):
        order = np.random.default_rng(seed).permutation(len(whole.event))
        assert all(map(np.array_equal, one_hit_each(whole.rows(order), keep), kept))
        again = behind_plane(whole.rows(order), towards, position)
        assert np.array_equal(again, timed.time[order])


def test_hits_of_equal_charge_or_time() -> None:
    """Of the largest, the first; of the first or the last, the largest."""
    equal = hits((0, 7, 2.0, 5.0), (0, 7, 2.0, 4.0), (0, 7, 1.0, 4.0), (0, 7, 1.5, 5.0))
    for keep, charge, time in (("largest", 2.0, 4.0), ("first", 2.0, 4.0), ("last", 2.0, 5.0)):
        for order in ([0, 1, 2, 3], [3, 2, 1, 0], [2, 0, 3, 1]):
            kept = one_hit_each(equal.rows(np.array(order)), keep)
            assert (kept.charge.tolist(), kept.time.tolist()) == ([charge], [time])
    untimed = one_hit_each(equal._replace(time=None), "largest")
    assert (untimed.charge.tolist(), untimed.time) == ([2.0], None)


@pytest.mark.parametrize("names", [NAMES[:1], NAMES])
def test_images_come_back_in_photoelectrons_and_nanoseconds(names: list[str]) -> None:
    rng, count = np.random.default_rng(1), 40
    grid_id = np.concatenate([rng.permutation(PMTS)[:count] + 1 for _ in range(3)])
    event = np.repeat([0, 1, 3], count)
    charge, time = 10 ** rng.uniform(-0.9, 3.9, 3 * count), rng.uniform(-100.0, 200.0, 3 * count)
    own = spec(names)
    images = own.images(TankHits(event, grid_id, charge, time), 4)
    assert images.shape == (4, len(names), 40, 40)
    assert images.dtype == np.float32
    assert images.min() == 0.0
    assert images.max() <= 1.0
    assert not images[2].any()
    assert not images[:, :, own.dead].any()
    found = own.hits(images)
    order, same = np.lexsort((grid_id, event)), np.lexsort((found.grid_id, found.event))
    assert found.event[same].tolist() == event[order].tolist()
    assert found.grid_id[same].tolist() == grid_id[order].tolist()
    np.testing.assert_allclose(found.charge[same], charge[order], rtol=1e-5)
    if len(names) == 2:
        np.testing.assert_allclose(found.time[same], time[order], atol=1e-3)
    else:
        assert found.time is None


def test_hits_of_generated_images_are_on_pmts() -> None:
    own = spec(NAMES)
    assert len(own.hits(np.full((2, 2, 40, 40), 0.5, np.float32)).event) == 2 * PMTS
    assert len(own.hits(np.full((2, 2, 40, 40), -0.1, np.float32)).event) == 0


def test_charge_ends_at_both_ends() -> None:
    images = spec(NAMES[:1]).images(hits((0, 1, 0.1, 0.0), (0, 2, 1e4, 0.0), (0, 3, 1e6, 0.0)), 1)
    row, column = hawc_array().cell[:3].T
    np.testing.assert_allclose(images[0, 0, row, column], [0.0, 1.0, 1.0], atol=1e-6)


@pytest.mark.parametrize("name", QUANTITIES)
def test_quantities_come_back_in_their_units(name: str) -> None:
    quantity = QUANTITIES[name]
    values = {"deg": [0.5, 179.0, 359.0], "rad": [-3.1, 0.1, 3.1]}.get(quantity.unit, [0.2, 30.0, 500.0])
    np.testing.assert_allclose(quantity.physical(quantity.scaled(np.array(values))), values, rtol=1e-4, atol=1e-4)


def test_angles_turn_around() -> None:
    quantity = Quantity("angle", "rad", 0.0, 2.0, period=2 * np.pi)
    np.testing.assert_allclose(quantity.physical(np.array([1.75, -1.75])), [3.5 - 2 * np.pi, 2 * np.pi - 3.5])


@pytest.mark.parametrize("names", [["time"], ["time", "charge"], ["charge", "charge"], ["light"]])
def test_other_channels_are_refused(names: list[str]) -> None:
    with pytest.raises(UserError, match=r"data\.channels"):
        image_channels(names, 1e4, 0.0, 1.0)


@pytest.mark.parametrize(
    ("names", "message"), [(["rec.nHits"], "there is no rec.nHits"), (["rec.nHit"] * 2, "rec.nHit twice")]
)
def test_other_quantities_are_refused(names: list[str], message: str) -> None:
    with pytest.raises(UserError, match=f"data.parameters: .*{message}"):
        chosen(names, "data.parameters")
