"""A classifier of gammas and protons, of reference events and of generated ones."""

import numpy as np
import pytest

from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.tasks.generation.judgement.judge import judge
from airshower.tasks.generation.judgement.sample import LEAST, Events
from airshower.tasks.generation.judgement.transfer import transfer

SIZE = Quantity("size", "p.e.", 0.0, 1.0)
ENERGY = Quantity("energy", "GeV", 0.0, 1.0)
PRIMARY = Quantity("primary", "", 0.5, 0.5, step=1.0, names=("gamma", "proton"))


def sample(
    seed: int, events: int = 400, apart: float = 2.0, conditions: tuple[Quantity, ...] = (ENERGY, PRIMARY)
) -> Events:
    """Sizes of unit variance, of protons `apart` more."""
    rng = np.random.default_rng(seed)
    proton = np.arange(events) % 2
    size = rng.normal(0.0, 1.0, events) + apart * proton
    columns = {ENERGY: rng.normal(0.0, 1.0, events), PRIMARY: proton}
    return Events(Records((SIZE,), size[:, None]), Records(conditions, np.stack([columns[q] for q in conditions], 1)))


def test_areas_are_those_of_the_samples() -> None:
    """Of Gaussians so far apart 0.92; of generated events of which the class says nothing, 1/2."""
    found = transfer(sample(0, 2000), sample(1, 2000, apart=0.0), sample(2, 2000))
    assert found.classes == ("gamma", "proton")
    assert [len(scores) for scores in (*found.reference, *found.generated)] == [1000] * 4
    reference, generated = found.areas().values()
    assert reference.value == pytest.approx(0.92, abs=0.03)
    assert generated.value == pytest.approx(0.5, abs=4 * generated.error)
    better = transfer(sample(0, 2000), sample(1, 2000, apart=3.0), sample(2, 2000)).areas()
    assert better["gamma_hadron_AUC/generated"].value > reference.value + 0.02


def test_areas_are_among_the_metrics() -> None:
    judgement = judge(sample(3), sample(4), sample(5), 300)
    for name, area in judgement.transfer.areas().items():
        assert judgement.metrics[name] == area.value
        assert judgement.generated.errors[name] == area.error
    closures = {closure.condition.name: closure for closure in judgement.generated.closures}
    assert closures["primary"].edges.tolist() == [-0.5, 0.5, 1.5]
    assert closures["primary"].reference[0].events.tolist() == [200, 200]
    assert closures["primary"].reference[0].mean == pytest.approx([0.0, 2.0], abs=0.3)


@pytest.mark.parametrize(
    "events",
    [
        [sample(6, conditions=(ENERGY,)) for _ in range(3)],
        [sample(7), sample(8), sample(9, 0)],
        [sample(7), sample(8, 2 * LEAST - 1), sample(9)],
    ],
    ids=["no class", "no training events", "few generated events"],
)
def test_without_classes_or_events_there_is_none(events: list[Events]) -> None:
    assert transfer(*events) is None
