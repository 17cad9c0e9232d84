"""Performance of reconstructed showers from tables of events."""

from pathlib import Path

import numpy as np
import pytest

from airshower.data.source import ThrownShowers
from airshower.errors import UserError
from airshower.tasks.reconstruction import performance
from airshower.tasks.reconstruction.config import asked_targets
from airshower.tasks.reconstruction.judged import observables
from airshower.tasks.reconstruction.performance import ReportConfig
from airshower.writers import figures
from airshower.writers.curves import Curve, curves_figure
from tests.networks.telescopes.arrays import SPEC
from tests.targets import reconstruction

COUNT = 400
SHOWER = [target.judged for target in asked_targets(reconstruction(), SPEC.truth).values()]
RUN = ThrownShowers(0, 1000, (0.1, 100.0), -2.0, 1e5)


@pytest.fixture
def events() -> dict[str, np.ndarray]:
    """300 gammas, reconstructed 10 % too high and half a degree off, and 100 protons."""
    generator = np.random.default_rng(1)
    gammas, energy = np.arange(COUNT) < 300, 10 ** generator.uniform(-0.99, 1.9, COUNT)
    score = np.where(gammas, generator.uniform(0.4, 1.0, COUNT), generator.uniform(0.0, 0.6, COUNT))
    return {
        "entry": np.arange(COUNT), "obs_id": np.ones(COUNT, int), "event_id": np.arange(COUNT),
        "true_type": np.where(gammas, "gamma", "proton"), "score_gamma": score, "true_energy": energy,
        "energy": 1.1 * energy, "true_alt": np.ones(COUNT), "true_az": np.zeros(COUNT),
        "alt": np.ones(COUNT) + np.radians(0.5), "az": np.zeros(COUNT), "multiplicity": np.full(COUNT, 3),
        "true_core_distance": generator.uniform(0, 500, COUNT),
    }  # fmt: skip


def test_merits_of_gammas(events: dict[str, np.ndarray]) -> None:
    errors = performance.event_errors(events, SHOWER, "gamma", only_signal=True)
    assert np.isnan(errors["direction_separation"][300:]).all()
    found = performance.summary(errors, SHOWER)
    pairs = events["score_gamma"][:300, None] > events["score_gamma"][300:]
    expected = {"angular_resolution": 0.5, "energy_resolution": 0.1, "energy_bias": 0.1, "auc": pairs.mean()}
    cut = performance.gamma_cut(events, "gamma", 0.8)
    expected["background_leakage"] = cut["background_efficiency"]
    assert 0 < cut["background_efficiency"] < 1
    other = performance.event_errors(events, SHOWER, "gamma", only_signal=True, efficiency=0.99)
    assert performance.summary(other, SHOWER)["background_leakage"] > cut["background_efficiency"]
    assert found == pytest.approx(expected)
    every = performance.event_errors(events, SHOWER, "gamma", only_signal=False)
    assert np.isfinite(every["direction_separation"]).all()
    assert np.isnan(every["placement"][300:]).all()


def test_curves_are_of_all_events_and_leave_out_what_does_not_differ(events: dict[str, np.ndarray]) -> None:
    errors = performance.event_errors(events, SHOWER, "gamma", only_signal=True)
    against = ["true_energy", "multiplicity", "true_core_distance", "true_offset"]
    found = performance.curves(events, errors, SHOWER, against)
    assert {curve.against for curve in found} == {"true_energy", "true_core_distance"}
    for curve in found:
        assert curve.events.sum() == (100 if curve.name == "background_leakage" else 300)
        assert len(curve.edges) == len(curve.value) + 1 == len(curve.error) + 1
        assert curve.log == (curve.against == "true_energy")
    record = found[0].record()
    assert list(record) == [
        "name", "label", "unit", "against", "against_label", "against_unit", "log", "edges", "value", "error", "events"
    ]  # fmt: skip
    assert record["value"] == pytest.approx([0.5] * len(record["value"]))


def test_the_angle_to_the_zenith_is_called_so(events: dict[str, np.ndarray]) -> None:
    errors = performance.event_errors(events, SHOWER, "gamma", only_signal=True)
    events["true_offset"] = np.linspace(0.0, 50.0, COUNT)
    for altitude, label in ((np.pi / 2, "true zenith angle"), (1.2, "true angle to the axis")):
        events["pointing_alt"] = np.full(COUNT, altitude, np.float32)
        found = performance.curves(events, errors, SHOWER, ["true_offset"])
        assert {curve.against_label for curve in found} == {label}
    del events["pointing_alt"]
    assert performance.curves(events, errors, SHOWER, ["true_offset"])[0].against_label == "true angle to the axis"


def test_areas(events: dict[str, np.ndarray]) -> None:
    """Twice the share of the simulation, half the area; an event of several images counts once."""
    cut = performance.gamma_cut(events, "gamma", 0.5)
    assert cut["efficiency"] == pytest.approx(0.5)
    whole, part = performance.areas(events, "gamma", cut, [RUN], 1.0).values()
    half, _ = performance.areas(events, "gamma", cut, [RUN, RUN], 1.0).values()
    np.testing.assert_allclose(half.value, whole.value / 2)
    assert whole.events.sum() == 300
    assert part.events.sum() == 150
    twice = {name: np.concatenate([column, column]) for name, column in events.items()}
    np.testing.assert_array_equal(performance.areas(twice, "gamma", cut, [RUN], 1.0)["all events"].value, whole.value)
    assert performance.areas(events, "gamma", cut, [], 1.0) == {}


def test_migration_counts_what_is_far_off(events: dict[str, np.ndarray]) -> None:
    events["energy"][:5] = 1e9
    found = performance.migration(events, performance.event_errors(events, SHOWER, "gamma", only_signal=True))
    assert found["outside"] == 5
    assert found["counts"].sum() == 295


def test_no_background_has_no_roc(events: dict[str, np.ndarray]) -> None:
    gammas = {name: column[:300] for name, column in events.items()}
    assert performance.roc(gammas, "gamma") is None
    assert "auc" not in performance.summary(performance.event_errors(gammas, SHOWER, "gamma", only_signal=True), SHOWER)
    assert np.isnan(performance.gamma_cut(gammas, "gamma", 0.9)["background_efficiency"])
    assert performance.gamma_cut({name: column[300:] for name, column in events.items()}, "gamma", 0.9) == {}


def test_observables_are_checked() -> None:
    performance.check_report(ReportConfig(list(observables(SHOWER))), SHOWER)
    with pytest.raises(UserError, match="did you mean true_energy"):
        performance.check_report(ReportConfig(["true_enrgy"]), SHOWER)


def test_what_curves_are_against_by_default_may_be_missing(events: dict[str, np.ndarray]) -> None:
    """As usual targets may be, whose column data lack."""
    energy = [target for target in SHOWER if target.name == "energy"]
    config = ReportConfig(["true_energy", "true_offset", "true_core_distance"])
    performance.check_report(config, energy)
    errors = performance.event_errors(events, energy, "gamma", only_signal=True)
    found = performance.curves(events, errors, energy, config.observables)
    assert {curve.against for curve in found} == {"true_energy"}


def test_areas_of_one_energy(events: dict[str, np.ndarray]) -> None:
    """At an edge of bins, which rounding puts the events on the other side of: 300 of 1000 in 1e5 m2."""
    events["true_energy"] = np.full(COUNT, 0.1, np.float32)
    for energy in (0.1, float(np.float32(0.1)), 0.1 * (1 - 3e-8)):
        line = ThrownShowers(0, 1000, (energy, energy), -2.0, 1e5)
        (area,) = performance.areas(events, "gamma", {}, [line], 1.0).values()
        assert area.value[np.isfinite(area.value)] == pytest.approx([3e4])
        assert area.events.sum() == 300
    events["true_energy"] = np.full(COUNT, 0.2, np.float32)
    runs = [ThrownShowers(0, 1000, (0.2, 0.2), -2.0, 1e5), RUN]
    area = performance.areas(events, "gamma", {}, runs, 1.0)["all events"]
    edges = area.edges[area.events.argmax() :][:2]
    law = (1 / edges[0] - 1 / edges[1]) / (1 / 0.1 - 1 / 100)  # of E^-2
    assert np.nanmax(area.value) == pytest.approx(300 / (1000 + 1000 * law) * 1e5)


def test_an_area_of_nothing_is_drawn(tmp_path: Path) -> None:
    """An axis without a value above 0 is not logarithmic."""
    edges = np.array([0.1, 1.0, 10.0])
    for values in ([np.nan, np.nan], [0.0, np.nan]):
        numbers = np.array(values)
        curve = Curve("a", "area", "m²", "e", "energy", "TeV", True, edges, numbers, numbers, np.zeros(2))
        assert figures.save(curves_figure([{"all": curve}], log=True), tmp_path / "a.png").exists()


def test_estimates_without_truth_have_no_errors(events: dict[str, np.ndarray]) -> None:
    """Of cores that files estimate, but whose truth they lack."""
    estimated = events | {"core_x": np.zeros(COUNT), "core_y": np.zeros(COUNT)}
    errors = performance.event_errors(estimated, SHOWER, "gamma", only_signal=True)
    assert "core_distance" not in errors
    assert "direction_separation" in errors
