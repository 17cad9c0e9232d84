"""Truth and the detector's own estimates of events, the frame that they are learned in, and files of predictions."""

from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION
from airshower.detectors.hawc.event_fields import (
    AZIMUTH,
    CORE,
    ENERGY,
    EVENT_FIELDS,
    PHI,
    THETA,
    TRUE_CORE,
    ZENITH,
)
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.source import Hawc, HawcConfig, HawcEvents
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.geometry.separation import angular_separation
from airshower.geometry.tank_array import hawc_array

COLUMNS = {
    ENERGY: [100.0, 2500.0, 3e4],
    THETA: [0.0, 30.0, 60.0],
    PHI: [0.0, 90.0, 350.0],
    TRUE_CORE[0]: [10.0, -20.0, 300.5],
    TRUE_CORE[1]: [200.0, 250.0, -4.25],
    ZENITH: [0.1, np.pi, 1.0],
    AZIMUTH: [-0.5, 0.0, 3.0],
    CORE[0]: [12.0, 0.0, 310.0],
    CORE[1]: [190.0, 0.0, 5.0],
}


def written(path: Path, *names: str) -> Path:
    """Three events with these fields of `COLUMNS`, in float64."""
    with XcdfWriter(path, [Field(name, FieldType.FLOAT, 0.0) for name in names]) as writer:
        writer.append({name: np.array(COLUMNS[name]) for name in names})
    return path


def source(*paths: Path, classes: tuple[str, ...] = ("gamma", "proton"), **config: object) -> HawcEvents:
    options = {"parameters": [], "conditions": [], "failed_fits": True, **config}
    files = {name: [path] for name, path in zip(classes, paths, strict=False)}
    return HawcEvents(HawcConfig(**options), files)


def test_truth_of_simulated_events(tmp_path: Path) -> None:
    """Zenith angle and azimuth of files are altitude and azimuth; numbers are those of the file to the bit."""
    events = source(written(tmp_path / "a.xcd", *COLUMNS), written(tmp_path / "b.xcd", *COLUMNS))
    assert events.spec.known == {"primary", "energy", "direction", "core"}
    truth = events.truth(np.array([2, 4]))
    assert truth["primary"].tolist() == [0, 1]
    assert truth["primary"].dtype == np.int64
    assert truth["energy"].tolist() == [3e4, 2500.0]
    np.testing.assert_allclose(truth["direction"], np.radians([[30.0, 350.0], [60.0, 90.0]]))
    assert truth["core"].tolist() == [[300.5, -4.25], [-20.0, 250.0]]
    assert events.truth(np.array([0]), ("core", "x_max")).keys() == {"core"}


def test_columns_of_truth_have_kinds_and_units() -> None:
    kinds = {column.name: (column.kind, column.unit) for column in Hawc.columns(Hawc.Config(gammas="a", protons="b"))}
    assert kinds == {
        "primary": (CLASS, ""),
        "energy": (NUMBER, "GeV"),
        "direction": (DIRECTION, "rad"),
        "core": (POSITION, "m"),
    }


def test_classes_do_not_depend_on_the_files(tmp_path: Path) -> None:
    """So that a network that tells gammas from protons predicts files of one of both, and observed events."""
    path = written(tmp_path / "a.xcd", *COLUMNS)
    rows = {}
    for key in ("gammas", "protons", "file"):
        config = Hawc.Config(**{key: str(path)}, parameters=[], conditions=[], failed_fits=True)
        assert Hawc.columns(config)[0].classes == ("gamma", "proton")
        events = Hawc(config, 0).source({key: [path]})
        assert events.spec.truth == Hawc.columns(config)
        rows[key] = set(events.primaries(np.arange(3)).tolist())
    assert rows == {"gammas": {0}, "protons": {1}, "file": {-1}}


@pytest.mark.parametrize(
    ("lacking", "known"),
    [
        (TRUE_CORE[1:], {"primary", "energy", "direction"}),
        ((THETA,), {"primary", "energy", "core"}),
        ((ENERGY, THETA, PHI, *TRUE_CORE), {"primary"}),
    ],
)
def test_truth_that_files_lack_is_left_out(lacking: tuple[str, ...], known: set[str], tmp_path: Path) -> None:
    events = source(written(tmp_path / "a.xcd", *(name for name in COLUMNS if name not in lacking)))
    assert events.spec.known == known
    assert events.truth(np.arange(3)).keys() == known


def test_estimates_are_those_of_the_files(tmp_path: Path) -> None:
    """Failed fits have no direction."""
    events = source(written(tmp_path / "a.xcd", *COLUMNS))
    estimates = events.estimates(np.array([2, 0, 1]))
    np.testing.assert_allclose(
        estimates["direction"], [[np.pi / 2 - 1, 3.0], [np.pi / 2 - 0.1, 2 * np.pi - 0.5], [np.nan, np.nan]]
    )
    assert estimates["core"].tolist() == [[310.0, 5.0], [12.0, 190.0], [0.0, 0.0]]
    alone = source(written(tmp_path / "b.xcd", ENERGY, *CORE))
    assert alone.estimates(np.arange(3)).keys() == {"core"}


def test_the_frame_is_the_zenith_over_the_middle_of_the_array(tmp_path: Path) -> None:
    frame = source(written(tmp_path / "a.xcd", *COLUMNS)).read(np.array([2, 0])).to(torch.device("cpu")).frame
    np.testing.assert_allclose(frame.axis.numpy(), [[np.pi / 2, 0.0]] * 2, rtol=1e-6)
    np.testing.assert_allclose(frame.origin.numpy(), [hawc_array().centre] * 2, rtol=1e-6)


def test_the_truth_of_a_batch_is_that_of_its_entries(tmp_path: Path) -> None:
    events = source(written(tmp_path / "a.xcd", *COLUMNS))
    batch = events.read(np.array([2, 0]))
    assert batch.truth.get("energy", "multiplicity").keys() == {"energy"}
    assert batch.truth.get("energy")["energy"].tolist() == [3e4, 100.0]


@pytest.fixture(scope="module")
def simulated() -> HawcEvents:
    config = SimulatedHawc.Config(events=300, validation_events=5, proton_fraction=0.2)
    return SimulatedHawc(config, 0).open().train.source


def test_simulated_files_have_the_true_core() -> None:
    """In full precision, unlike what is reconstructed."""
    simulated = SimulatedHawc(SimulatedHawc.Config(events=10, validation_events=5), 0)
    simulated.open()
    file = XcdfFile(simulated.file("train", 10, 0))
    assert set(TRUE_CORE) <= {field.name for field in EVENT_FIELDS}
    for name in TRUE_CORE:
        assert file.field(name) == Field(name, FieldType.FLOAT, 0.0)
        assert (np.round(file.columns([name])[name], 3) != file.columns([name])[name]).any()


def test_estimates_are_near_the_truth(simulated: HawcEvents) -> None:
    """Of events with much light most within 2 degrees and 20 m; so both count angles from the same axes."""
    entries = np.flatnonzero(simulated.columns["rec.logNPE"] > 2.5)
    truth, estimates = simulated.truth(entries), simulated.estimates(entries)
    angle = angular_separation(*truth["direction"].T, *estimates["direction"].T)
    assert np.nanmedian(np.degrees(angle)) < 2.0
    assert np.median(np.hypot(*(truth["core"] - estimates["core"]).T)) < 20.0


def test_predictions_come_back(simulated: HawcEvents, tmp_path: Path) -> None:
    """With the file and the number of each event in it, in the units and angles of the detector's files."""
    entries = np.array([299, 3, 7, 250])
    columns = {
        "prediction": np.array([0.1, 0.5, 1.0, 0.0], np.float32),
        "energy": np.array([1e2, 1e3, 1e4, 1e5]),
        "alt": np.array([np.pi / 2, 1.0, 0.5, 1.2]),
        "az": np.array([0.0, 1.0, 6.0, 3.0]),
        "core_x": np.array([-4.25, 0.0, 100.0, 7.0]),
        "core_y": np.array([250.0, 1.0, 2.0, 3.0]),
        "log10_energy_error": np.array([0.1, 0.2, 0.3, 0.4]),
        "direction_error": np.array([0.01, 0.02, 0.03, 0.04]),
        "core_error": np.array([5.0, 6.0, 7.0, 8.0]),
    }
    with simulated.event_writer(tmp_path / "predictions", {"step": "3"}) as writer:
        for part in (slice(0, 1), slice(1, 4)):
            writer.append(entries[part], {name: values[part] for name, values in columns.items()})
    assert [path.name for path in tmp_path.iterdir()] == ["predictions.xcd"]
    file = XcdfFile(tmp_path / "predictions.xcd")
    assert file.comments == ("airshower step: 3",)
    found = file.columns()
    assert np.array_equal(np.stack([found["event.file"], found["event.number"]], 1), simulated.event_ids[entries, :2])
    assert found["event.file"].tolist() == [1, 0, 0, 1]
    np.testing.assert_array_equal(found["airshower.prediction"], columns["prediction"].astype(float))
    np.testing.assert_array_equal(found["airshower.energy"], columns["energy"])
    np.testing.assert_allclose(found["airshower.zenithAngle"], np.pi / 2 - columns["alt"])
    np.testing.assert_array_equal(found["airshower.azimuthAngle"], columns["az"])
    np.testing.assert_array_equal(found["airshower.coreX"], columns["core_x"])
    np.testing.assert_array_equal(found["airshower.coreY"], columns["core_y"])
    np.testing.assert_array_equal(found["airshower.logEnergyError"], columns["log10_energy_error"])
    np.testing.assert_array_equal(found["airshower.directionError"], columns["direction_error"])
    np.testing.assert_array_equal(found["airshower.coreError"], columns["core_error"])
    assert len(found) == 11


def test_only_what_is_predicted_is_written(simulated: HawcEvents, tmp_path: Path) -> None:
    with simulated.event_writer(tmp_path / "a", {}) as writer:
        writer.append(np.array([4]), {"energy": np.array([50.0])})
    assert XcdfFile(tmp_path / "a.xcd").columns().keys() == {"event.file", "event.number", "airshower.energy"}
