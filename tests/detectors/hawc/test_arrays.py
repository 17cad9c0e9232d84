"""Arrays of tanks other than HAWC: simulated, written, and read by what their files say."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airshower.data.files import FilesConfig
from airshower.detectors.hawc.event_fields import CHARGE, EVENT_FIELDS, GRID_ID, PMT_POSITION
from airshower.detectors.hawc.file_array import COMMENT, file_array
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.simulation import PRIMARIES, HawcSimulation
from airshower.detectors.hawc.simulation.event import threshold_of, throw
from airshower.detectors.hawc.simulation.reconstruction import reconstruct
from airshower.detectors.hawc.simulation.showers import Primaries, develop, ground_depth, moliere_radius
from airshower.detectors.hawc.simulation.tanks import observe, promising, read_out, triggered
from airshower.detectors.hawc.source import Hawc, HawcConfig, HawcEvents
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError, UserError
from airshower.geometry.tank_array import HawcArray, TankArray, hawc_array
from airshower.geometry.tank_layouts import array_text, swgo_array

FEATURES = ["charge", "time", "central", "lower"]
EVENTS = 60


def simulation(array: str = "swgo", **more: Any) -> SimulatedHawc:
    config = SimulatedHawc.Config(events=EVENTS, validation_events=20, proton_fraction=0.5, features=FEATURES)
    return SimulatedHawc(replace(config, simulation=HawcSimulation(array=array, **more)), 0)


@pytest.fixture(scope="module")
def swgo() -> HawcEvents:
    return simulation().open().train.source


def paths(data: SimulatedHawc) -> dict[str, Path]:
    return {primary: file.cached() for primary, file in data.files(*data.sample("train")).items()}


def rewritten(path: Path, target: Path, comments: Callable[[str], str]) -> Path:
    """The same events with other comments."""
    file = XcdfFile(path)
    with XcdfWriter(target, EVENT_FIELDS, list(map(comments, file.comments))) as writer:
        writer.append(file.columns([field.name for field in EVENT_FIELDS]))
    return target


def test_files_of_hawc_keep_their_names() -> None:
    """Of the cache, which has the hash of what events follow from: as before there were other arrays."""
    config = SimulatedHawc.Config(events=160, proton_fraction=0.5)
    file = SimulatedHawc(config, 0).files("train", 160, 2)["gamma"]
    assert file.made_from.keys().isdisjoint({"array", "altitude"})
    assert file.cached().name == "train_gamma_80_f3c327c087a2eaa6.xcd"
    assert len(XcdfFile(file.cached()).comments) == 1


def test_the_file_has_the_array(swgo: HawcEvents) -> None:
    array = swgo_array()
    for file in swgo.files:
        stated = file_array(file.file)
        for name in ("position", "tank", "tank_position", "central", "lower"):
            np.testing.assert_array_equal(getattr(stated, name), getattr(array, name))
        columns = file.file.columns([GRID_ID, *PMT_POSITION])
        pmt = columns[GRID_ID].values.astype(int) - 1
        for axis, name in enumerate(PMT_POSITION):
            np.testing.assert_allclose(columns[name].values, array.position[pmt, axis], rtol=0, atol=1e-6)
    assert not isinstance(swgo.array, HawcArray)


def test_points_have_positions_and_layers_of_the_array(swgo: HawcEvents) -> None:
    entries = np.arange(0, len(swgo), 7)
    points = swgo.read(entries)["points"]
    hits = swgo.hits(entries)
    pmt = hits.grid_id - 1
    np.testing.assert_array_equal(points.position, swgo_array().position[pmt].astype(np.float32))
    physical = swgo.points.physical(points.features)
    np.testing.assert_array_equal(physical["lower"], swgo_array().lower[pmt])
    assert 0.0 < physical["lower"].mean() < 0.5
    np.testing.assert_array_equal(points.counts, np.bincount(hits.event, minlength=len(entries)))
    np.testing.assert_allclose(swgo.points.centre[:2], 0.0, atol=1e-9)


def test_hawc_has_no_lower_cells() -> None:
    source = simulation("hawc").open().train.source
    assert not source.points.physical(source.read(np.arange(9))["points"].features)["lower"].any()


def test_numbers_beyond_those_of_hawc(tmp_path: Path) -> None:
    """A file of positions with 1300 PMTs, four in a tank."""
    middle = 8.0 * np.stack(np.meshgrid(np.arange(25), np.arange(13)), -1).reshape(-1, 2)
    corner = np.array([[-1, -1], [-1, 1], [1, -1], [1, 1]])
    rows = [f"{x},{y},0.1,{tank}" for tank, place in enumerate(middle) for x, y in place + corner]
    (tmp_path / "a.csv").write_text("\n".join(["x,y,z,tank", *rows]))
    source = simulation(str(tmp_path / "a.csv")).open().train.source
    grid_id = source.hits(np.arange(len(source))).grid_id
    assert grid_id.max() > 1290
    assert len(source.points.sensors) == 1300
    np.testing.assert_allclose(source.points.centre, [96.0, 48.0, 0.1])
    true, found = source.truth(np.arange(len(source)))["core"], source.estimates(np.arange(len(source)))["core"]
    inside = (np.abs(true - [96.0, 48.0]) < [90.0, 45.0]).all(1)
    assert np.median(np.linalg.norm((found - true)[inside], axis=1)) < 15.0


def test_the_positions_count_not_the_name_of_their_file(tmp_path: Path) -> None:
    for name in ("one.csv", "two.csv"):
        (tmp_path / name).write_text(array_text(swgo_array()))
    names = [
        simulation(array).files("train", 2, 2)["gamma"].cached().name
        for array in (str(tmp_path / "one.csv"), str(tmp_path / "two.csv"), "swgo", "hawc")
    ]
    assert names[0] == names[1] == names[2] != names[3]


def showers(array: TankArray, primary: str, energy: float, count: int, seed: int) -> Primaries:
    """Onto the array's inner 40 m, from 20 deg."""
    rng = np.random.default_rng(seed)
    core = array.centre + rng.uniform(-40.0, 40.0, (count, 2))
    return Primaries(primary, np.full(count, energy), np.full(count, 0.35), rng.uniform(-3.0, 3.0, count), core)


def layers(primary: str, count: int, seed: int) -> np.ndarray:
    """Summed charge in lower cells over that in upper cells, of 10 TeV protons, and of gammas with as much light."""
    array, rng = swgo_array(), np.random.default_rng(seed)
    primaries = showers(array, primary, 10_000.0 if primary == "proton" else 5000.0, count, seed)
    charge, _ = observe(rng, primaries, develop(rng, primaries), array)
    return charge[:, array.lower].sum(1) / charge[:, ~array.lower].sum(1)


def test_muons_in_lower_cells_tell_protons_from_gammas() -> None:
    gamma, proton = (layers(primary, 150, 6) for primary in PRIMARIES)
    assert (proton[:, None] > gamma).mean() > 0.9
    assert np.median(gamma) < 0.02  # hardly any light of electrons and photons


@pytest.mark.parametrize("primary", PRIMARIES)
def test_direction_and_core_are_found_in_swgo(primary: str) -> None:
    """Cores of protons, too: the light of muons is subtracted from what cores are fitted to."""
    array, rng = swgo_array(), np.random.default_rng(4)
    primaries = showers(array, primary, 20_000.0, 60, 4)
    charge, time = observe(rng, primaries, develop(rng, primaries), array)
    rows, when = triggered(rng, charge, time, array, threshold_of(array, 28), 25.0)
    assert len(rows) == 60
    found = reconstruct(read_out(rng, charge, time, when, array, 25.0), 60, array)
    assert np.degrees(np.median(np.abs(found.zenith - primaries.zenith))) < 0.6
    assert np.quantile(np.linalg.norm(found.core - primaries.core, axis=1), 0.8) < 25.0


@pytest.mark.parametrize("primary", PRIMARIES)
def test_showers_that_are_left_out_do_not_trigger_swgo(primary: str) -> None:
    array, rng = swgo_array(), np.random.default_rng(5)
    threshold = threshold_of(array, 28)
    primaries = throw(rng, HawcSimulation(), primary, 4096, array.densest)
    cascades = develop(rng, primaries)
    rows = promising(primaries, cascades, array, threshold)
    found, _ = triggered(rng, *observe(rng, primaries, cascades, array), array, threshold, 25.0)
    assert len(rows) < 500
    assert len(found) > 10
    assert len(np.setdiff1d(found, rows)) <= 0.05 * len(found)


def test_cores_are_thrown_around_the_array() -> None:
    rng = np.random.default_rng(0)
    for array in (hawc_array(), swgo_array()):
        core = throw(rng, HawcSimulation(radius=200.0), "gamma", 4000, array.densest).core
        assert np.linalg.norm(core - array.densest, axis=1).max() < 200.0
        np.testing.assert_allclose(core.mean(0), array.densest, atol=8.0)
    assert threshold_of(hawc_array(), 28) == 28
    assert threshold_of(swgo_array(), 28) == round(28 * len(swgo_array().position) / 1200)


def test_depth_and_light_follow_the_altitude() -> None:
    """The ratio of depths is that of pressures in the standard atmosphere (1976), to 0.5 %."""
    assert ground_depth(4100.0) == 637.0
    pressure = [(1.0 - 2.25577e-5 * altitude) ** 5.25588 for altitude in (4770.0, 4100.0)]
    assert ground_depth(4770.0) == pytest.approx(637.0 * pressure[0] / pressure[1], rel=0.005)
    assert moliere_radius(4770.0) > moliere_radius(4100.0) > moliere_radius(2000.0)
    primaries = showers(hawc_array(), "gamma", 2000.0, 200, 1)
    light = []
    for altitude in (3000.0, 4100.0, 5000.0):
        rng = np.random.default_rng(2)
        light.append(observe(rng, primaries, develop(rng, primaries, altitude), hawc_array())[0].sum())
    assert (np.diff(light) > 0.2 * light[1]).all()
    names = {simulation(altitude=altitude).files("train", 2, 2)["gamma"].cached().name for altitude in (4100.0, 4770.0)}
    assert len(names) == 2


def test_images_are_of_hawc_alone() -> None:
    config = SimulatedHawc.Config(channels=["charge"], simulation=HawcSimulation(array="swgo"))
    with pytest.raises(UserError, match=r"data.channels=\[charge\]: images are of HAWC alone, but data.simulation"):
        SimulatedHawc.gives(config)
    files = {primary: [path] for primary, path in paths(simulation()).items()}
    with pytest.raises(UserError, match=r"data.channels=\[charge,time\]: images are of HAWC alone, but .*\.xcd is"):
        HawcEvents(HawcConfig(channels=["charge", "time"]), files)


def test_arrays_are_not_mixed(tmp_path: Path) -> None:
    swgo, hawc = paths(simulation()), paths(simulation("hawc"))
    mixed = HawcEvents(HawcConfig(features=FEATURES), {"gamma": [swgo["gamma"]], "proton": [hawc["proton"]]})
    with pytest.raises(DataError, match=r"proton.*\.xcd: is of another array of tanks than .*gamma"):
        mixed.read(np.array([0, len(mixed) - 1]))
    config = Hawc.Config(file="", gammas=str(swgo["gamma"]), aux_gammas=str(hawc["gamma"]), features=FEATURES)
    assert isinstance(config, FilesConfig)
    with pytest.raises(UserError, match="files for validation are of another array of tanks"):
        Hawc(config, 0).open()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda text: text[: len(COMMENT) + 500], r"b.xcd: array in its comments: line \d+: has \d values for 6"),
        (lambda text: text.replace("x,y", "u,v"), "b.xcd: array in its comments: its columns are u, v, z"),
        (lambda text: COMMENT, "b.xcd: array in its comments: has 0 PMTs"),
        (lambda text: "\n".join(text.splitlines()[:700]), r"b.xcd: event \d+: .*gridId is \d+, PMTs have 1 to 698"),
    ],
)
def test_damaged_arrays_are_named(change: Callable[[str], str], message: str, tmp_path: Path) -> None:
    def comments(text: str) -> str:
        return change(text) if text.startswith(COMMENT) else text

    path = rewritten(paths(simulation())["gamma"], tmp_path / "b.xcd", comments)
    with pytest.raises(DataError, match=message):
        HawcEvents(HawcConfig(features=FEATURES), {"gamma": [path]}).read(np.arange(20))


def test_charges_are_written_in_both_layers(swgo: HawcEvents) -> None:
    """Also noise and muons of other showers, which are in both."""
    columns = swgo.files[0].file.columns([GRID_ID, CHARGE])
    lower = swgo_array().lower[columns[GRID_ID].values.astype(int) - 1]
    assert columns[CHARGE].values[lower].max() > 10.0
    assert columns[CHARGE].values[~lower].max() > 10.0
