"""Detectors, networks and tasks are added without a change of the package: the toy in `tests/toy`."""

import json
import re
from pathlib import Path

import numpy as np

from tests.command import airshower

TOY = Path(__file__).parent / "toy"
README = Path(__file__).parents[1] / "README.md"
CONF = ("--config-dir", str(TOY / "conf"))
SMALL = (
    *CONF,
    "network=toy",
    "data.events=200",
    "data.validation_events=50",
    "data.test_events=60",
    "run.minibatch_size=20",
    "run.compute_mode=cpu",
    "framework.intra_op_parallelism_threads=1",
)


def losses(folder: Path) -> list[str]:
    """The rows of a run's training table: steps and losses."""
    return [",".join(line.split(",")[:2]) for line in (folder / "metrics" / "train.csv").read_text().splitlines()]


def test_the_shared_task_reconstructs_its_events(tmp_path: Path) -> None:
    """The targets whose columns it has: no direction and no depth."""
    run = f"output_dir={tmp_path / 'run'}"
    trained = airshower(*SMALL, "run.iterations=30", run)
    assert trained.code == 0, trained.err
    inferred = airshower(*SMALL, "mode=inference", run)
    assert inferred.code == 0, inferred.err
    record = json.loads((tmp_path / "run" / "predictions" / "metrics.json").read_text())
    assert record["events"] == 60
    assert {"AUC", "energy_resolution", "core_resolution"} <= record["metrics"].keys()
    assert "angular_resolution" not in record["metrics"]
    header = (tmp_path / "run" / "predictions" / "events.csv").read_text().splitlines()[0].split(",")
    assert {"event", "type", "score_gamma", "energy", "core_x", "core_y", "true_core_distance"} <= set(header)


def test_its_own_task_trains_resumes_and_predicts(tmp_path: Path) -> None:
    """A resumed run has the losses of one that was not interrupted, to the bit."""
    whole, halves = tmp_path / "whole", tmp_path / "halves"
    constant = "mode.optimizer.schedule.name=constant"
    for folder, steps in ((whole, 40), (halves, 20), (halves, 40)):
        outcome = airshower(*SMALL, "task=median", constant, f"run.iterations={steps}", f"output_dir={folder}")
        assert outcome.code == 0, outcome.err
    assert losses(halves) == losses(whole)
    inferred = airshower(*SMALL, "mode=inference", "task=median", f"output_dir={halves}")
    assert inferred.code == 0, inferred.err
    lines = (halves / "predictions" / "events.csv").read_text().splitlines()
    energy = np.array([float(line.split(",")[1]) for line in lines[1:]])
    assert lines[0] == "entry,energy"
    assert len(energy) == 60
    assert np.isfinite(energy).all()


def test_what_does_not_fit_is_refused_from_the_config() -> None:
    """No file is made."""
    wrong = airshower(*CONF, "network=cta_mono_resnet", "data=toy")
    assert wrong.code == 2
    assert "network: takes images (camera images), but this data gives signals (table)" in wrong.err
    column = airshower(*SMALL, "task=median", "task.column=core")
    assert column.code == 2
    assert "task.column=core: is no number of this data's truth" in column.err


def test_the_readme_shows_the_network_whole() -> None:
    """Its example is the toy's network and yaml, to the letter."""
    shown = dict(re.findall(r"```(python|yaml)\n(.*?)```", README.read_text(), re.S))
    assert shown["python"] == (TOY / "network.py").read_text()
    assert shown["yaml"] == (TOY / "conf" / "network" / "toy.yaml").read_text()
