"""Simulated events: the fields of real files, moments of published ones, and showers that look like showers."""

from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import yaml

from airshower.assembly.compose import conf_folder
from airshower.config.fields import check
from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.simulation import PRIMARIES, HawcSimulation, simulate_events
from airshower.detectors.hawc.simulation.event import throw
from airshower.detectors.hawc.simulation.reconstruction import reconstruct
from airshower.detectors.hawc.simulation.showers import MOLIERE, Cascades, Primaries, density, develop, greisen
from airshower.detectors.hawc.simulation.tanks import observe, promising, read_out, triggered
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.errors import UserError
from airshower.geometry.tank_array import PMTS, hawc_array

# mean and standard deviation of the gammas of hawc-deep-learning, of logarithms where a name begins with ln
PUBLISHED = {
    "rec.logNPE": (2.645, 0.562),
    "ln rec.nHit": (4.680, 0.801),
    "rec.nTankHit": (78.09, 61.45),
    "rec.zenithAngle": (0.417, 0.209),
    "rec.azimuthAngle": (-0.009, 1.806),
    "rec.coreX": (65.9, 94.1),
    "rec.coreY": (253.7, 94.0),
    "ln rec.CxPE40": (2.326, 0.999),
    "ln SimEvent.energyTrue": (7.73, 1.71),
    "SimEvent.thetaTrue": (23.9, 11.6),
    "SimEvent.phiTrue": (179.8, 103.8),
}


def events(primary: str, count: int, seed: int = 1, **config: float) -> Columns:
    parts = list(simulate_events(HawcSimulation(**config), primary, seed, count))
    joined: Columns = {}
    for name, column in parts[0].items():
        columns = [part[name] for part in parts]
        if isinstance(column, Ragged):
            joined[name] = Ragged(
                np.concatenate([c.values for c in columns]), np.concatenate([c.counts for c in columns])
            )
        else:
            joined[name] = np.concatenate(columns)
    return joined


@pytest.fixture(scope="module")
def made() -> dict[str, Columns]:
    return {primary: events(primary, count) for primary, count in zip(PRIMARIES, (1500, 400), strict=True)}


def values(columns: Columns, name: str) -> np.ndarray:
    """Of events whose direction was found."""
    found = columns[name.removeprefix("ln ")][np.abs(columns["rec.zenithAngle"] - np.pi) > 0.01]
    return np.log(found + 0.01) if name.startswith("ln ") else found


@pytest.mark.parametrize("name", PUBLISHED)
def test_gammas_have_the_published_moments(made: dict[str, Columns], name: str) -> None:
    """Of few events, so within 15 %; those of cores have long tails."""
    mean, deviation = PUBLISHED[name]
    found = values(made["gamma"], name)
    assert found.std() == pytest.approx(deviation, rel=0.15)
    assert found.mean() == pytest.approx(mean, abs=0.2 * deviation)


@pytest.mark.full
def test_many_gammas_have_the_published_moments_and_those_of_public_events() -> None:
    """Deviations within 10 %; the mean number of tanks is a little farther off. At so many hits, charge and energy are
    those of the public Crab events (2022), of which gamma-like ones were chosen: their CxPE40 has an upper limit."""
    gammas = events("gamma", 10_000)
    for name, (mean, deviation) in PUBLISHED.items():
        found = values(gammas, name)
        assert found.std() == pytest.approx(deviation, rel=0.1), name
        assert found.mean() == pytest.approx(mean, abs=0.13 * deviation), name
    off = np.stack([gammas["rec.coreX"], gammas["rec.coreY"]], 1)[:, None] - hawc_array().tank_position[:, :2]
    on_array = (np.hypot(*off.T).min(0) < 8.0) & (gammas["rec.zenithAngle"] < 0.5)
    for low, high, log_charge, compactness_charge, log_energy in (
        (380, 470, 3.71, 18.5, 0.68),
        (480, 560, 3.91, 22.6, 0.83),
    ):
        chosen = on_array & (gammas["rec.nHit"] >= low) & (gammas["rec.nHit"] < high)
        assert gammas["rec.logNPE"][chosen].mean() == pytest.approx(log_charge, abs=0.15)
        assert np.median(gammas["rec.CxPE40"][chosen]) == pytest.approx(compactness_charge, rel=0.25)
        energy = np.log10(gammas["SimEvent.energyTrue"][chosen] / 1000.0)
        assert np.median(energy) == pytest.approx(log_energy, abs=0.2)


def test_protons_are_less_compact(made: dict[str, Columns]) -> None:
    """How often a gamma has the larger hits / CxPE40 than a proton: 0.84 in another HAWC-like simulation."""
    gamma, proton = (values(c, "ln rec.nHit") - values(c, "ln rec.CxPE40") for c in made.values())
    assert 0.8 < (gamma[:, None] > proton).mean() < 0.95
    pinc = [values(columns, "rec.PINC").mean() for columns in made.values()]
    assert pinc[1] > 1.2 * pinc[0]


def test_columns_are_those_of_files(made: dict[str, Columns]) -> None:
    columns = made["proton"]
    assert list(columns) == [field.name for field in EVENT_FIELDS]
    grid_id, counts = columns["event.hit.gridId"], columns["event.nHit"]
    np.testing.assert_array_equal(grid_id.counts, counts)
    assert 1 <= grid_id.values.min() <= grid_id.values.max() <= PMTS
    for name, axis in (("x", 0), ("y", 1), ("z", 2)):
        at = hawc_array().position[grid_id.values - 1, axis]
        np.testing.assert_array_equal(columns[f"event.hit.{name}PMT"].values, at)
    assert (columns["rec.nHit"] <= counts).all()
    assert (columns["rec.nTankHit"] <= columns["rec.nHit"]).all()
    assert columns["event.hit.charge"].values.min() > 0.1
    assert 1000.0 < np.ptp(columns["event.hit.time"].values) <= 1500.0
    event = np.repeat(np.arange(len(counts)), counts)
    several = np.diff(event * 2000 + grid_id.values) == 0
    assert several.any()  # noise and light of the shower in one PMT
    assert (np.diff(columns["event.hit.time"].values)[several] >= 0).all()


@pytest.mark.parametrize("primary", PRIMARIES)
def test_the_first_events_do_not_depend_on_their_number(primary: str) -> None:
    few, more, other = events(primary, 5), events(primary, 70), events(primary, 5, seed=2)
    assert (len(few["rec.nHit"]), len(more["rec.nHit"])) == (5, 70)
    for name, column in few.items():
        if isinstance(column, Ragged):
            np.testing.assert_array_equal(column.values, more[name].slice(0, 5).values)
        else:
            np.testing.assert_array_equal(column, more[name][:5])
    assert (few["rec.coreX"] != other["rec.coreX"]).all()


def test_lateral_distribution_has_all_electrons() -> None:
    """Integrated over the ground, and more of them near the axis where showers are young."""
    cascades = develop(np.random.default_rng(0), _vertical(1000.0, 3))
    edges = np.geomspace(1e-2, 1e5, 4000)
    middle = np.broadcast_to(np.sqrt(edges[1:] * edges[:-1]), (3, 1, 3999))
    rings = np.pi * np.diff(edges**2)
    found = (density(cascades, middle) * rings)[..., edges[:-1] > 1.5].sum(2)
    assert (found / cascades.size).max() < 1.0
    assert (found / cascades.size).min() > 0.85  # the rest is within 1.5 m
    young, old = (
        density(Cascades(np.ones((1, 1)), np.full((1, 1), age), np.zeros((1, 1, 2))), middle[:1]) for age in (1.0, 1.4)
    )
    ratio = (young / old)[0, 0]
    assert ratio[np.searchsorted(edges, 5.0)] > 1.0 > ratio[np.searchsorted(edges, 3.0 * MOLIERE)]


def test_greisens_maximum() -> None:
    """Age 1 at t = b, where 0.31/sqrt(b) exp(b) electrons are: 1 TeV in air."""
    b = np.log(1000.0 / 0.0857)
    depth = np.linspace(100.0, 900.0, 2001)
    size, age = greisen(np.full(2001, 1000.0), depth)
    top = size.argmax()
    assert depth[top] == pytest.approx(37.15 * b, abs=1.0)
    assert age[top] == pytest.approx(1.0, abs=0.01)
    assert size[top] == pytest.approx(0.31 / np.sqrt(b) * np.exp(b), rel=1e-3)


def test_light_falls_with_distance_and_rises_with_energy() -> None:
    array, rng = hawc_array(), np.random.default_rng(3)
    totals, near = [], []
    for energy in (500.0, 2000.0, 8000.0):
        primaries = _vertical(energy, 60)
        charge, _ = observe(rng, primaries, develop(rng, primaries), array)
        distance = np.linalg.norm(array.position[:, :2] - array.centre, axis=1)
        totals.append(charge.sum(1).mean())
        rings = [
            charge[:, (distance >= low) & (distance < high)].mean() for low, high in pairwise((0, 15, 40, 80, 130))
        ]
        near.append(rings)
    assert (np.diff(totals) > 0).all()
    assert (np.diff(near, axis=1) < 0).all()


def test_direction_and_core_are_found() -> None:
    """Of bright showers on the array, to a degree and a few metres; the sign of both axes is right."""
    array, rng = hawc_array(), np.random.default_rng(4)
    zenith, azimuth = np.full(40, 0.5), rng.uniform(-np.pi, np.pi, 40)
    core = array.centre + rng.uniform(-40.0, 40.0, (40, 2))
    primaries = Primaries("gamma", np.full(40, 10_000.0), zenith, azimuth, core)
    charge, time = observe(rng, primaries, develop(rng, primaries), array)
    rows, when = triggered(rng, charge, time, array, 28, 25.0)
    assert len(rows) == 40
    found = reconstruct(read_out(rng, charge, time, when, array, 25.0), 40, array)
    off = np.arccos(
        np.cos(zenith) * np.cos(found.zenith) + np.sin(zenith) * np.sin(found.zenith) * np.cos(azimuth - found.azimuth)
    )
    assert np.degrees(np.median(off)) < 1.0
    assert np.median(np.linalg.norm(found.core - core, axis=1)) < 6.0


def test_trigger_counts_pmts_within_150_ns() -> None:
    charge, time = np.zeros((3, PMTS)), np.zeros((3, PMTS))
    charge[:, :30] = 1.0
    time[0, :30] = np.linspace(0.0, 120.0, 30)
    time[1, :30] = np.linspace(0.0, 400.0, 30)
    charge[2, 25:] = 0.0
    rows, when = triggered(np.random.default_rng(0), charge, time, hawc_array(), 28, 0.0)
    assert rows.tolist() == [0]
    assert when[0] == pytest.approx(27 / 29 * 120.0)


@pytest.mark.parametrize("primary", PRIMARIES)
def test_showers_that_are_left_out_do_not_trigger(primary: str) -> None:
    array, rng = hawc_array(), np.random.default_rng(5)
    primaries = throw(rng, HawcSimulation(), primary, 4096, array.densest)
    cascades = develop(rng, primaries)
    rows = promising(primaries, cascades, array, 28)
    found, _ = triggered(rng, *observe(rng, primaries, cascades, array), array, 28, 25.0)
    assert len(rows) < 500
    assert len(found) > 10
    assert len(np.setdiff1d(found, rows)) <= 0.05 * len(found)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"energy_max": 0.05}, "data.simulation.energy_max=0.05: must be above"),
        ({"threshold": 1000, "energy_max": 0.2}, "data.simulation.threshold=1000: none of"),
    ],
)
def test_impossible_configurations(config: dict, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airshower.detectors.hawc.simulation.event.MOST_THROWN", 3000)
    with pytest.raises(UserError, match=message):
        next(simulate_events(HawcSimulation(**config), "gamma", 1, 1))


@pytest.mark.parametrize(
    ("key", "value"), [("zenith_max", 95.0), ("radius", 0.0), ("threshold", 1300), ("energy_min", 0.0), ("noise", -1.0)]
)
def test_values_out_of_range_are_named(key: str, value: float) -> None:
    with pytest.raises(UserError, match=f"data.simulation.{key}={value}: must be"):
        check(HawcSimulation(**{key: value}), "data.simulation")


def test_events_without_hits_fail_the_fits() -> None:
    """Beside one with hits, and alone."""
    one = TankHits(np.full(60, 1), np.arange(1, 61), np.ones(60), np.full(60, 100.0))
    none = TankHits(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))
    for hits, events in ((one, 3), (none, 2), (none, 0)):
        found = reconstruct(hits, events, hawc_array())
        assert all(np.isfinite(column).all() for column in vars(found).values())
        assert found.hits.tolist() == np.bincount(hits.event, minlength=events).tolist()
        assert ((found.zenith == np.pi) == (found.hits == 0)).all()


def test_yaml_has_the_defaults() -> None:
    section = yaml.safe_load(Path(conf_folder() / "data" / "hawc_simulated.yaml").read_text())["simulation"]
    assert section == vars(HawcSimulation())


def _vertical(energy: float, count: int) -> Primaries:
    """Gammas onto the middle of the array."""
    core = np.tile(hawc_array().centre, (count, 1))
    return Primaries("gamma", np.full(count, energy), np.zeros(count), np.zeros(count), core)
