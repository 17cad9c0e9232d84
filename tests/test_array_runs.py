"""Whole runs on simulated tanks of another array than HAWC."""

import csv
import json
import math
from pathlib import Path

import pytest

from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.writers.scalars import read_table
from tests.command import TINY, Outcome, airshower

SWGO = (
    "data.simulation.array=swgo",
    "data.events=40",
    "data.validation_events=20",
    "data.test_events=20",
    *TINY[-5:],
)
POINTS = ("network=points_latent", "network.features=[charge,time,central,lower]", "network.width=16")


def run(*words: str) -> Outcome:
    outcome = airshower(*words, *SWGO)
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_run_on_swgo_trains_and_predicts(tmp_path: Path) -> None:
    run("mode=train", *POINTS, f"output_dir={tmp_path}")
    assert len(read_table(tmp_path / "metrics" / "train.csv")) == 2
    run("mode=inference", *POINTS, f"output_dir={tmp_path}", "mode.displays=1")
    record = json.loads((tmp_path / "predictions" / "metrics.json").read_text())
    assert 15 <= record["events"] <= 20
    drawn = {curve["against"]: curve["against_label"] for curve in record["curves"]}
    assert drawn["true_offset"] == "true zenith angle"
    assert {"true_energy", "hits", "true_core_distance"} <= drawn.keys()
    assert "true zenith angle" in {curve["against_label"] for curve in record["estimates"]["curves"]}
    fields = XcdfFile(tmp_path / "predictions" / "predictions.xcd").columns()
    with (tmp_path / "predictions" / "events.csv").open() as table:
        rows = list(csv.DictReader(table))
    for field, column, factor in (
        ("logEnergyError", "energy_error", 1.0),
        ("directionError", "direction_error", math.pi / 180),
        ("coreError", "core_error", 1.0),
        ("coreX", "core_x", 1.0),
    ):
        expected = [factor * float(row[column]) for row in rows]
        assert fields[f"airshower.{field}"].tolist() == pytest.approx(expected, rel=1e-5)
    assert (tmp_path / "predictions" / "figures" / "event_0.png").exists()


def test_simulated_files_are_inspected_without_the_name_of_their_array(tmp_path: Path) -> None:
    run("mode=simulate", "data=hawc_mixed_simulated", f"mode.file={tmp_path / 'events.xcd'}")
    files = [f"data.{name}s={tmp_path / f'events_{name}.xcd'}" for name in ("gamma", "proton")]
    outcome = airshower("mode=inspect", "data=hawc", *files, f"output_dir={tmp_path}", "mode.displays=1")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "inspect" / "report.json").read_text())
    points = report["inputs"]["points"]
    assert points["kind"] == "points"
    assert points["shape"] == {"features": 4, "axes": 3, "sensors": 1094}
    assert set(points["channels"]["lower of points"]["classes"]) == {"upper", "lower"}
    assert "images" not in report["inputs"]
    figures = {path.name for path in (tmp_path / "inspect" / "figures").iterdir()}
    assert {"inputs_points_sensors.png", "event_1.png"} <= figures


@pytest.mark.parametrize(
    ("words", "line"),
    [
        (("network=tank_resnet",), "data.channels=[charge,time]: images are of HAWC alone"),
        ((*POINTS, "data.simulation.array=absent.csv"), "absent.csv: there is no such file; give hawc, swgo, or one"),
        (
            (*POINTS, "data.simulation.altitude=9000"),
            "data.simulation.altitude=9000.0: must be at least 0.0",
        ),
        ((*POINTS, "network.features=[charge,time,upper]"), "data.features: there is no upper; there are charge, time"),
    ],
)
def test_mistakes_are_one_line(words: tuple[str, ...], line: str, tmp_path: Path) -> None:
    outcome = airshower("mode=train", *SWGO, *words, f"output_dir={tmp_path}")
    assert outcome.code == 2
    (said,) = outcome.err.splitlines()
    assert line in said
