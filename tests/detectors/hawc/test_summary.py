"""Numbers of hits, against what they are by hand."""

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from airshower.data.hits import TankHits
from airshower.detectors.hawc.image_spec import HawcImagesSpec
from airshower.detectors.hawc.summary import (
    charge_centroid,
    core_distance,
    lateral_profile,
    residual_profile,
)
from airshower.geometry.shower_front import CURVATURE, JITTER, LIGHT_SPEED, front_thickness
from tests.networks.pixelcnn.networks import tank_spec


def images(channels: int = 2) -> HawcImagesSpec:
    return tank_spec(40, channels)["images"]


SPEC = images()


def hits(times: bool = True) -> TankHits:
    """Three in event 0, of which two are of one tank, and one in event 2."""
    time = np.array([0.0, 10.0, 30.0, 5.0]) if times else None
    return TankHits(np.array([0, 0, 0, 2]), np.array([1, 2, 700, 5]), np.array([1.0, 2.0, 5.0, 4.0]), time)


@pytest.mark.parametrize("times", [False, True])
def test_summaries_are_those_by_hand(times: bool) -> None:
    spec = images(1 + times)
    found = {quantity.name: values for quantity, values in spec.summaries(hits(times), 3).columns()}
    assert [quantity.name for quantity in spec.summary_quantities] == list(found)
    assert found["image.nHit"].tolist() == [3, 0, 1]
    assert found["image.nTankHit"].tolist() == [2, 0, 1]
    assert found["image.charge"].tolist() == [8, 0, 4]
    assert found["image.largestCharge"].tolist() == [5, 0, 4]
    place = SPEC.position[[0, 1, 699], :2]
    core = np.average(place, axis=0, weights=[1, 2, 5])
    assert (found["image.coreX"][0], found["image.coreY"][0]) == pytest.approx(tuple(core))
    distance = np.hypot(*(place - core).T)
    assert found["image.width"][0] == pytest.approx(np.sqrt(np.average(distance**2, weights=[1, 2, 5])))
    far = [charge for charge, away in zip([1, 2, 5], distance, strict=True) if away > 40]
    assert found["image.CxPE40"].tolist() == [max(far, default=0), 0, 0]
    if times:
        mean = np.average([0, 10, 30], weights=[1, 2, 5])
        spread = np.sqrt(np.average((np.array([0, 10, 30]) - mean) ** 2, weights=[1, 2, 5]))
        assert found["image.meanTime"][0] == pytest.approx(mean)
        assert found["image.timeSpread"][0] == pytest.approx(spread)


def test_tanks_have_four_pmts() -> None:
    tanks, counts = np.unique(SPEC.tank, return_counts=True)
    assert len(tanks) == 300
    assert (counts == 4).all()


def test_lateral_profile_counts_pmts_without_hits() -> None:
    """All light, shared among all PMTs, is the mean of all."""
    core = charge_centroid(hits(), 3, SPEC)
    found = lateral_profile(hits(), core, np.array([0.0, 1000.0]), SPEC)
    assert found == pytest.approx([12 / 3600])


DIRECTION = np.array([0.3, -0.4])


def front(towards: np.ndarray, jitter: float = 0.0) -> TankHits:
    """Every third PMT of two events, in showers' fronts from this direction; and an event of one hit."""
    rng, grid_id = np.random.default_rng(0), np.arange(1, 1201, 3)
    event = np.repeat([0, 1, 2], [400, 400, 1])
    shown = TankHits(event, np.r_[grid_id, grid_id, 7], rng.uniform(1, 50, 801), np.zeros(801))
    distance = core_distance(shown, charge_centroid(shown, 3, SPEC), SPEC)
    thickness = front_thickness(distance, shown.charge)
    time = np.array([20.0, -5.0, 0.0])[event] - SPEC.position[shown.grid_id - 1, :2] @ towards / LIGHT_SPEED
    time += CURVATURE * distance + thickness + jitter * np.hypot(thickness, JITTER) * rng.standard_normal(801)
    return shown._replace(time=time)


def of_front(hits: TankHits, time: str) -> dict[str, np.ndarray]:
    spec = replace(images(), time=time)
    return {quantity.name: values for quantity, values in spec.summaries(hits, 3).columns()}


def test_the_front_gives_the_direction() -> None:
    found = of_front(front(DIRECTION), "absolute")
    assert found["image.planeAngle"] == pytest.approx([30.0, 30.0, 0.0], abs=1e-3)
    assert found["image.planeAzimuth"] == pytest.approx([*2 * [np.arctan2(-0.4, 0.3)], 0.0], abs=1e-4)
    assert found["image.planeChi2"] == pytest.approx(0.0, abs=1e-5)


@pytest.mark.parametrize("jitter", [1.0, 2.0])
def test_chi2_says_how_thick_the_front_is(jitter: float) -> None:
    """Also with some noise, which the fit leaves out."""
    hits, rng = front(np.array([0.02, 0.0]), jitter), np.random.default_rng(1)
    noise = rng.random(801) < 0.05
    found = of_front(hits._replace(time=np.where(noise, hits.time + 300.0, hits.time)), "plane")
    assert "image.planeAzimuth" not in found
    assert found["image.planeAngle"][:2] == pytest.approx(np.degrees(np.arcsin(0.02)), abs=0.4)
    assert found["image.planeChi2"][:2] == pytest.approx(jitter**2, rel=0.2)


def test_residuals_show_curvature_and_thickness() -> None:
    hits, edges = front(DIRECTION), np.array([0.0, 40.0, 70.0, 110.0, 200.0])
    core = charge_centroid(hits, 3, SPEC)
    mean, low, high = residual_profile(hits, core, edges, SPEC)
    distance = core_distance(hits, core, SPEC)
    expected = CURVATURE * distance + front_thickness(distance, hits.charge)
    for ring, (inner, outer) in enumerate(pairwise(edges[:-1])):
        inside = expected[(distance >= inner) & (distance < outer) & (hits.event < 2)]
        assert mean[ring] == pytest.approx(inside.mean(), abs=0.1)
        assert (low[ring], high[ring]) == pytest.approx(tuple(np.percentile(inside, [15.87, 84.13])), abs=0.15)
    assert np.isnan([mean[3], low[3], high[3]]).all()
