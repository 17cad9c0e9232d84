"""Runs of a network that is fitted to all events at once, without optimizer steps."""

import csv
import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

import airshower as library
from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY_FITS, TINY_HILLAS, airshower

TRAIN = ("mode=train", *TINY_FITS, "mode.no_summary_images=true")
INFERENCE = ("mode=inference", "mode.displays=0", "task.report.worst=0")

PARAMETERS = [f"rec.{name}" for name in ("logNPE", "nHit", "nTankHit", "zenithAngle", "azimuthAngle")]
PARAMETERS += [f"rec.{name}" for name in ("coreX", "coreY", "CxPE40", "PINC")]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("fits") / "run"
    outcome = airshower(*TRAIN, f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return folder


def test_a_fit_is_validated_and_saved_as_step_0(run: Path) -> None:
    state = newest(run)
    assert state["step"] == 0
    assert {"AUC", "energy/resolution", "direction/resolution", "core/resolution"} <= set(
        read_table(run / "metrics" / "validation.csv")[0]
    )
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_checkpoints_hold_arrays_alone(run: Path) -> None:
    state = torch.load(run / "checkpoints" / "best.ckpt", weights_only=True)
    assert state["model"]
    assert all(isinstance(value, torch.Tensor) for value in state["model"].values())


def test_the_same_command_gives_the_same_checkpoint(run: Path, tmp_path: Path) -> None:
    assert airshower(*TRAIN, f"output_dir={tmp_path / 'again'}").code == 0
    assert_same(newest(tmp_path / "again")["model"], newest(run)["model"])
    shutil.copytree(run, tmp_path / "run")
    resumed = airshower(*TRAIN, f"output_dir={run}")
    assert resumed.code == 0, resumed.err
    assert_same(newest(run), newest(tmp_path / "run"))


def test_inference_and_the_library_predict_from_the_folder(run: Path, tmp_path: Path) -> None:
    for name in ("one", "two"):
        outcome = airshower(*INFERENCE, f"run.folder={run}", f"output_dir={tmp_path / name}")
        assert outcome.code == 0, outcome.err
    one, two = (tmp_path / name / "predictions" for name in ("one", "two"))
    assert (one / "events.csv").read_bytes() == (two / "events.csv").read_bytes()
    record = json.loads((one / "metrics.json").read_text())
    for name, value in record["estimates"]["metrics"].items():  # the files' own fits
        assert record["metrics"][name] == pytest.approx(value, rel=1e-4)
    files = library.open(
        data="hawc_mixed_simulated", events=40, channels=["charge"], time="absolute", parameters=PARAMETERS
    )
    table = library.load(run).predict(files)
    assert np.isfinite(table["energy"]).all()
    assert np.isfinite(table["score_gamma"]).all()


def test_events_whose_direction_was_not_found_are_predicted(run: Path, tmp_path: Path) -> None:
    outcome = airshower(
        *INFERENCE, f"run.folder={run}", f"output_dir={tmp_path}", "data.failed_fits=true", "data.test_events=300"
    )
    assert outcome.code == 0, outcome.err
    with open(tmp_path / "predictions" / "events.csv") as file:
        altitudes = [float(row["alt"]) for row in csv.DictReader(file)]
    assert len(altitudes) == 300
    assert max(altitudes) == pytest.approx(np.pi / 2)


def test_linear_estimators_run_too(tmp_path: Path) -> None:
    estimators = ("network.energy=annuli", "network.type=cuts", f"output_dir={tmp_path}")
    assert airshower(*TRAIN, *estimators).code == 0
    outcome = airshower(*INFERENCE, *TINY_FITS, *estimators)
    assert outcome.code == 0, outcome.err


def test_targets_may_be_left_out(tmp_path: Path) -> None:
    outcome = airshower(*TRAIN, f"output_dir={tmp_path}", "task.type.weight=0", "task.core.weight=0")
    assert outcome.code == 0, outcome.err
    assert newest(tmp_path)["outputs"] == ["energy", "direction"]


def test_single_images_of_telescopes_are_fitted_by_the_same_command(tmp_path: Path) -> None:
    """With another number than the usual ones, and without one of them."""
    mono = ("data.mode=mono", "data.telescope_types=[LST]", "task.core.weight=0", "task.x_max.weight=1")
    where = (*TINY_HILLAS, *mono, f"output_dir={tmp_path / 'run'}")
    trained = airshower("mode=train", *where, "mode.no_summary_images=true")
    assert trained.code == 0, trained.err
    assert newest(tmp_path / "run")["outputs"] == ["type", "energy", "direction", "x_max"]
    outcome = airshower(*INFERENCE, *where)
    assert outcome.code == 0, outcome.err
    with open(tmp_path / "run" / "predictions" / "events.csv") as file:
        rows = list(csv.DictReader(file))
    assert all(0 < float(row["x_max"]) < 1000 and np.isfinite(float(row["alt"])) for row in rows)
    assert (tmp_path / "run" / "predictions" / "predictions.dl2.h5").exists()
    refused = airshower("mode=train", *TINY_HILLAS, "task.energy.loss=likelihood", f"output_dir={tmp_path / 'none'}")
    assert refused.code == 2
    assert "task.targets.energy: the classical reconstruction gives type, direction, core" in refused.err
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize(
    ("word", "line"),
    [
        ("run.iterations=5", "run.iterations=5: this network has no weights to optimise"),
        ("data.parameters=[rec.nHit]", "data.parameters: classical fits need rec.nTankHit, "),
        ("network.channels=[charge,time]", "network.channels=[charge,time]: must be [charge]"),
    ],
)
def test_what_does_not_fit_is_refused_before_files_are_opened(word: str, line: str, tmp_path: Path) -> None:
    outcome = airshower(*TRAIN, word, f"output_dir={tmp_path / 'none'}")
    assert outcome.code == 2
    assert line in outcome.err
    assert not (tmp_path / "none").exists()
