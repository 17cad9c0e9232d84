"""Numbers of hits, against what they are by hand."""

import numpy as np
import pytest

from airshower.data.tank_summary import charge_centroid, lateral_profile, summaries, summary_quantities
from airshower.data.tanks import TankHits
from tests.networks.pixelcnn_networks import tank_spec

SPEC = tank_spec(40)


def hits(times: bool = True) -> TankHits:
    """Three in event 0, of which two are of one tank, and one in event 2."""
    time = np.array([0.0, 10.0, 30.0, 5.0]) if times else None
    return TankHits(np.array([0, 0, 0, 2]), np.array([1, 2, 700, 5]), np.array([1.0, 2.0, 5.0, 4.0]), time)


@pytest.mark.parametrize("times", [False, True])
def test_summaries_are_those_by_hand(times: bool) -> None:
    spec = tank_spec(40, 1 + times)
    found = {quantity.name: values for quantity, values in summaries(hits(times), 3, spec).columns()}
    assert [quantity.name for quantity in summary_quantities(spec)] == list(found)
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
