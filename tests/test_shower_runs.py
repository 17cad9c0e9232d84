"""Whole runs on the images of simulated telescopes."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.cta.simulated import SimulatedCta
from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY_SHOWERS, Outcome, airshower


def command(mode: str, network: str, folder: Path, *more: str) -> Outcome:
    outcome = airshower(f"mode={mode}", f"network={network}", *TINY_SHOWERS, f"output_dir={folder}", *more)
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_run_trains_resumes_and_predicts(tmp_path: Path) -> None:
    """With a learned balance and dropout a resumed run is bit-identical; inference leaves a table, metrics and
    figures, a row an entry."""
    network = "cta_stereo_alexnet"
    options = ("mode.checkpoint_iteration=2", "mode.optimizer.schedule.name=constant", "mode.no_summary_images=true")
    options += ("mode.validation_iteration=2", "mode.optimizer.gradient_accumulation=2", "task.balance=uncertainty")
    options += ("task.type.class_weights=balanced", "task.scale_learning_rate=true")
    command("train", network, tmp_path / "whole", *options, "run.iterations=4")
    for iterations in (2, 4):
        command("train", network, tmp_path / "run", *options, f"run.iterations={iterations}")
    one, other = newest(tmp_path / "run"), newest(tmp_path / "whole")
    assert one["step"] == other["step"] == 4
    assert_same(one, other)
    (balance,) = one["balances"]
    assert balance["weights"]["log_variance"].all()
    assert not any("log_variance" in name for name in one["model"])
    tables = [read_table(tmp_path / run / "metrics" / "train.csv") for run in ("run", "whole")]
    for column in ("loss", "balance/energy", "learning_rate"):
        assert [row[column] for row in tables[0]] == [row[column] for row in tables[1]]
    rates = {row["learning_rate"] for row in tables[0]}
    assert max(rates) > 1.01e-3
    command("inference", network, tmp_path / "run", "mode.displays=1", "task.report.worst=1")
    folder = tmp_path / "run" / "predictions"
    with open(folder / "events.csv") as handle:
        rows = list(csv.DictReader(handle))
    record = json.loads((folder / "metrics.json").read_text())
    assert [int(row["entry"]) for row in rows] == list(range(record["events"]))
    assert sum(map(sum, record["confusion"])) == len(rows)
    assert all(float(row["score_gamma"]) + float(row["score_proton"]) == pytest.approx(1, abs=1e-6) for row in rows)
    assert all(0 <= float(row["az"]) < 2 * np.pi and abs(float(row["alt"])) <= np.pi / 2 for row in rows)
    expected = {"confusion", "scores", "event_0", "effective_area", "migration", "worst_direction_1", "worst_type_1"}
    assert {path.stem for path in (folder / "figures").iterdir()} >= expected
    assert {"angular_resolution", "effective_area"} <= {curve["name"] for curve in record["curves"]}
    assert (folder / "predictions.dl2.h5").exists()


def test_iotest_of_telescopes(tmp_path: Path) -> None:
    command("iotest", "cta_stereo_hex", tmp_path)
    report = json.loads((tmp_path / "iotest" / "report.json").read_text())
    assert report["images"] == 4
    assert report["products"]["LSTCam charge"]["shape"][1] == 1855
    assert report["products"]["energy"]["min"] >= 0.5


def test_showers_to_train_validate_and_test_on_differ() -> None:
    config = SimulatedCta.Config(events=4, validation_events=4, test_events=4, mode="stereo")
    config.simulation.energy_min = 1.0
    splits = SimulatedCta(config, seed=0).open()
    sources = [part.source for part in (splits.train, splits.validation, splits.test)]
    assert [len(source) for source in sources] == [4, 4, 4]
    assert len(np.unique(np.concatenate([source.showers for source in sources]))) == 12


def test_wires_and_telescopes_do_not_fit(tmp_path: Path) -> None:
    outcome = airshower("network=cta_mono_resnet", "data=lartpc_simulated", f"output_dir={tmp_path}")
    assert outcome.code == 2
    assert "takes images (camera images), but this data gives images (sparse images)" in outcome.err
    assert "cta_simulated" in outcome.err
    assert not any(tmp_path.iterdir())


def test_a_target_of_the_command_line_is_learned_and_predicted(tmp_path: Path) -> None:
    """The height of the first interaction in km, beside the energy alone."""
    first = "+task.targets.first={column: h_first_interaction, unit: km, middle: 20, scale: 10}"
    targets = (first, *(f"task.{name}.weight=0" for name in ("type", "direction", "core")), "task.only_gammas=false")
    command("train", "cta_stereo_hex", tmp_path, *targets, "mode.no_summary_images=true")
    assert {"first/error", "energy/error"} <= read_table(tmp_path / "metrics" / "train.csv")[0].keys()
    command("inference", "cta_stereo_hex", tmp_path, *targets, "mode.displays=0")
    with open(tmp_path / "predictions" / "events.csv") as handle:
        rows = list(csv.DictReader(handle))
    assert rows
    assert all(5 < float(row["true_first"]) < 120 for row in rows)
    assert all(abs(float(row["first"]) - 20) < 100 for row in rows)
    assert "alt" not in rows[0]
    record = json.loads((tmp_path / "predictions" / "metrics.json").read_text())
    assert {"first_resolution", "first_bias", "energy_resolution"} <= record["metrics"].keys()
