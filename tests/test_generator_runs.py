"""Whole runs of generators of events."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY_TANKS, Outcome, airshower


def command(mode: str, network: str, folder: Path, *more: str) -> Outcome:
    outcome = airshower(f"mode={mode}", f"network={network}", *TINY_TANKS, f"output_dir={folder}", *more)
    assert outcome.code == 0, outcome.err
    return outcome


def test_a_run_resumes_bit_identically_and_generates(tmp_path: Path) -> None:
    """With what random numbers it draws, its averages and the turns of its phases; inference leaves events in two
    formats, metrics and figures."""
    network = "hawc_param_wgan"
    options = ("mode.checkpoint_iteration=3", "mode.validation_iteration=3", "mode.optimizer.schedule.name=constant")
    quiet = "mode.no_summary_images=true"
    options += ("mode.optimizer.gradient_accumulation=2", "task.critic_steps=2")
    command("train", network, tmp_path / "whole", *options, "run.iterations=7", quiet)
    for iterations, more in ((3, (quiet,)), (7, ())):
        command("train", network, tmp_path / "run", *options, f"run.iterations={iterations}", *more)
    one, other = newest(tmp_path / "run"), newest(tmp_path / "whole")
    assert one["step"] == 7
    assert_same(one, other)
    (average,) = one["averages"]
    assert average["steps"] == 3
    assert average["means"]
    for name, mean in average["means"].items():
        assert mean.ndim < 2 or not torch.equal(mean, one["model"][name])
    tables = [read_table(tmp_path / run / "metrics" / "train.csv") for run in ("run", "whole")]
    for column in ("critic_loss", "generator_loss"):
        np.testing.assert_equal([row[column] for row in tables[0]], [row[column] for row in tables[1]])
        assert np.isfinite([row[column] for row in tables[0]]).sum() == (3 if column == "generator_loss" else 7)
    drawn = {path.name for path in (tmp_path / "run" / "figures").iterdir()}
    assert drawn == {"training.png", "validation_event_0.png"}, "one figure of all events"
    command("inference", network, tmp_path / "run", "task.generate.events=150")
    folder = tmp_path / "run" / "predictions"
    record, made = json.loads((folder / "metrics.json").read_text()), np.load(folder / "generated.npz")
    assert record["events"] == 150
    assert 55 <= record["real_events"] <= 60  # without failed fits
    assert {"classifier_AUC", "KS/rec.nHit", "Wasserstein"} <= record["metrics"].keys()
    assert {"distributions", "classifier"} <= {path.stem for path in (folder / "figures").iterdir()}
    file = XcdfFile(folder / "generated.xcd")
    assert len(file) == 150
    for name in ("rec.nHit", "rec.zenithAngle", "SimEvent.energyTrue"):
        np.testing.assert_allclose(file.columns([name])[name], made[name], rtol=1e-9, atol=1e-9)


def test_iotest_shows_parameters_in_their_units(tmp_path: Path) -> None:
    """What the preset says of training is not in the way."""
    command("iotest", "hawc_param_flow", tmp_path, "run.iterations=3", "data.channels=[charge]")
    report = json.loads((tmp_path / "iotest" / "report.json").read_text())
    shown = report["products"]
    assert shown["image charge"]["shape"] == [2, 40, 40]
    assert 0 < shown["image charge"]["mean"] < shown["image charge"]["max"] <= 1
    assert 0 < shown["rec.zenithAngle"]["min"] < shown["rec.zenithAngle"]["max"] < np.pi / 2
    assert shown["SimEvent.energyTrue"]["min"] >= 50


@pytest.mark.parametrize(
    ("mistake", "says"),
    [
        ("data.conditions=[]", "network.conditional: this data has no conditions"),
        ("data.parameters=[rec.nope]", "data.parameters: there is no rec.nope"),
        ("framework.distributed_mode=fsdp", "framework.distributed_mode=fsdp"),
        ("task.generate.conditions=some", "task.generate.conditions=some"),
        ("task=segmentation", "task: this network is trained with task=likelihood"),
        ("task=adversarial", "task: this network is trained with task=likelihood"),
        ("network=hawc_map_flow network.channels=[time]", "data.channels=['time']: can be [], [charge] or"),
        ("network=hawc_pixelcnn_small data.channels=[]", "data.channels=[]: but network.channels=[charge]"),
    ],
)
def test_what_does_not_fit_is_one_line(tmp_path: Path, mistake: str, says: str) -> None:
    outcome = airshower(
        "mode=train", "network=hawc_param_flow", *TINY_TANKS, f"output_dir={tmp_path}", *mistake.split()
    )
    assert outcome.code == 2
    assert says in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not list(tmp_path.iterdir())
