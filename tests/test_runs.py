"""Whole runs: training, resumption, inference and iotest through the command line."""

import json
import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.simulated import TEST_SEED
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.engine.average import averaged
from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY, TINY_INFERENCE, TINY_TRAIN, airshower
from tests.processes import start, wait_for
from tests.samples import simulated_file

TRAIN = (*TINY_TRAIN, "mode.checkpoint_iteration=2", "mode.validation_iteration=3", "mode.keep_checkpoints=10")


@pytest.fixture(scope="module")
def finished(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Path:
    """A run of two steps, to be left as it is."""

    def make(folder: Path) -> None:
        assert airshower(*TRAIN, f"output_dir={folder}").code == 0

    return made_once("uresnet", make)


@pytest.fixture(scope="module")
def test_file() -> Path:
    """The simulated events that inference runs over."""
    return simulated_file("test", 3, TEST_SEED + 1)


@pytest.fixture
def run(finished: Path, tmp_path: Path) -> Path:
    """A run of two steps of the test's own."""
    return shutil.copytree(finished, tmp_path / "run")


def test_train_leaves_what_the_readme_says(tmp_path: Path) -> None:
    options = ("run.iterations=4", "mode.no_summary_images=false", "run.aux_iterations=1", "run.aux_minibatch_size=1")
    outcome = airshower(*TRAIN, f"output_dir={tmp_path}", *options)
    assert outcome.code == 0, outcome.err
    for name in ("config.yaml", "provenance.json", "process.log", "metrics/train.csv", "metrics/validation.csv"):
        assert (tmp_path / name).stat().st_size
    assert {p.name for p in (tmp_path / "figures").iterdir()} >= {"training.png", "validation_event_0.png"}
    assert [row["step"] for row in read_table(tmp_path / "metrics" / "train.csv")] == [1, 2, 3, 4]
    assert [row["step"] for row in read_table(tmp_path / "metrics" / "validation.csv")] == [0, 3, 4]
    assert list((tmp_path / "tensorboard" / "train").iterdir())
    provenance = json.loads((tmp_path / "provenance.json").read_text())
    assert provenance[0]["packages"]["torch"] == torch.__version__
    assert "run.iterations=4" in provenance[0]["overrides"]
    assert str(tmp_path / "figures") in outcome.out


AUGMENTED = tuple(f"data.augmentation.{words}" for words in (
    "mirror_drift=true", "mirror_beam=true", "charge=0.1", "noise=0.5", "dropped_wires=0.1", "windowed=0.5",
    "window=[40,60]",
))  # fmt: skip
RECIPE = (*AUGMENTED, "data.share=0.6", "data.share_of=[nu_e CC]", "task.lovasz=0.5", "mode.optimizer.average=0.8")


@pytest.mark.parametrize(
    "order", [("shuffled",), ("random_blocks", "data.block=2", "data.buffer=8"), ("shuffled", *RECIPE)]
)
def test_resumed_run_is_bit_identical_to_the_uninterrupted_one(tmp_path: Path, order: tuple[str, ...]) -> None:
    """Also from the middle of a window of two steps; and with what a recipe may have."""
    command = (*TRAIN, f"data.order={order[0]}", *order[1:])
    command += ("mode.optimizer.gradient_accumulation=2", "mode.optimizer.schedule.name=constant")
    command += ("mode.checkpoint_iteration=3",)  # of a run that ends there, the best step is chosen among the same
    assert airshower(*command, f"output_dir={tmp_path / 'whole'}", "run.iterations=7").code == 0
    assert airshower(*command, f"output_dir={tmp_path / 'parts'}", "run.iterations=3").code == 0
    resumed = airshower(*command, f"output_dir={tmp_path / 'parts'}", "run.iterations=7")
    assert "resuming" in resumed.out
    assert_same(newest(tmp_path / "whole"), newest(tmp_path / "parts"))
    tables = [read_table(tmp_path / run / "metrics" / "train.csv") for run in ("whole", "parts")]
    assert [row["loss"] for row in tables[0]] == [row["loss"] for row in tables[1]]
    last = [read_table(tmp_path / run / "metrics" / "validation.csv")[-1] for run in ("whole", "parts")]
    assert last[0] == last[1]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGUSR1, signal.SIGINT])
def test_a_signal_stops_at_a_step_with_a_checkpoint(tmp_path: Path, number: int) -> None:
    output = tmp_path / "output"
    process = start(
        output, *TRAIN, f"output_dir={tmp_path}", "run.iterations=100000", "mode.checkpoint_iteration=100000"
    )
    wait_for(tmp_path, "metrics/train.csv", process)
    os.kill(process.pid, number)
    process.join(120)
    assert process.exitcode == 75, output.read_text()
    assert "the same command resumes it" in output.read_text()
    saved = newest(tmp_path)
    assert saved["step"] == read_table(tmp_path / "metrics" / "train.csv")[-1]["step"]


def test_a_killed_run_resumes_as_if_it_had_not_been_killed(tmp_path: Path) -> None:
    constant, killed = "mode.optimizer.schedule.name=constant", f"output_dir={tmp_path / 'killed'}"
    process = start(tmp_path / "output", *TRAIN, killed, "run.iterations=100000", constant)
    wait_for(tmp_path, "killed/checkpoints/step_00000004.ckpt", process)
    process.kill()
    process.join()
    total = newest(tmp_path / "killed")["step"] + 2
    command = (*TRAIN, f"run.iterations={total}", constant)
    assert airshower(*command, killed).code == 0
    assert airshower(*command, f"output_dir={tmp_path / 'whole'}").code == 0
    assert_same(newest(tmp_path / "killed"), newest(tmp_path / "whole"))
    steps = [row["step"] for row in read_table(tmp_path / "killed" / "metrics" / "train.csv")]
    assert steps == list(range(1, total + 1))


def test_a_finished_run_says_so_and_changes_nothing(run: Path) -> None:
    before = (run / "checkpoints" / "step_00000002.ckpt").read_bytes()
    again = airshower(*TRAIN, f"output_dir={run}")
    assert again.code == 0
    assert "raise run.iterations" in again.out
    assert (run / "checkpoints" / "step_00000002.ckpt").read_bytes() == before


def test_a_validation_that_a_stop_left_out_is_made_up_for(tmp_path: Path) -> None:
    run, common = tmp_path / "run", (*TRAIN, "run.iterations=2")
    assert airshower(*common, f"output_dir={run}", "mode.validation_iteration=0").code == 0
    assert not (run / "metrics" / "validation.csv").exists()
    assert airshower(*common, f"output_dir={run}", "mode.validation_iteration=2").code == 0
    assert [row["step"] for row in read_table(run / "metrics" / "validation.csv")] == [2]
    assert newest(run)["evaluated"] == {"validation": 2, "training_set": -1}
    assert newest(run)["best"] > 0
    assert (run / "checkpoints" / "best.ckpt").exists()


def test_the_whole_training_set_is_evaluated_after_epochs(tmp_path: Path) -> None:
    """Three steps are an epoch of six events. A run that stops in between goes on with the same rows, and what is
    trained is that of a run without."""
    command = (*TRAIN, "mode.optimizer.schedule.name=constant", "mode.validation_iteration=0")
    every_second = "mode.training_set_epochs=2"
    plain, whole, parts = (tmp_path / name for name in ("plain", "whole", "parts"))
    assert airshower(*command, f"output_dir={plain}", "run.iterations=8").code == 0
    outcome = airshower(*command, f"output_dir={whole}", "run.iterations=8", every_second)
    assert outcome.code == 0, outcome.err
    assert "training set (6 events)" in outcome.out
    for iterations in (5, 8):
        assert airshower(*command, f"output_dir={parts}", f"run.iterations={iterations}", every_second).code == 0
    rows = {run: read_table(run / "metrics" / "training_set.csv") for run in (whole, parts)}
    assert [row["step"] for row in rows[whole]] == [6, 8]
    assert [row["step"] for row in rows[parts]] == [5, 6, 8]
    assert rows[parts][1:] == rows[whole]
    assert {"loss", "Average/mIoU"} <= rows[whole][0].keys()
    assert list((whole / "tensorboard" / "training_set").iterdir())
    assert not (plain / "metrics" / "training_set.csv").exists()
    trained, evaluated = newest(plain)["model"], newest(whole)["model"]
    assert all(torch.equal(trained[name], evaluated[name]) for name in trained)


def test_another_config_is_refused_or_overwrites_when_told(run: Path) -> None:
    other = airshower(*TRAIN, f"output_dir={run}", "task.loss_balance_scheme=light", "run.iterations=1")
    assert other.code == 2
    assert "task.loss_balance_scheme: focal -> light" in other.err
    assert "run.overwrite=true" in other.err
    assert newest(run)["step"] == 2
    assert airshower(*TRAIN, f"output_dir={run}", "run.overwrite=true", "run.iterations=1").code == 0
    assert newest(run)["step"] == 1


@pytest.mark.parametrize("mistake", ["network.depth=6", "mode.weights_location=nowhere", "data.downsample=7"])
def test_a_mistake_with_overwrite_costs_nothing(run: Path, mistake: str) -> None:
    assert airshower(*TRAIN, f"output_dir={run}", "run.overwrite=true", mistake).code == 2
    assert newest(run)["step"] == 2


def test_training_starts_from_the_averages_of_given_weights(finished: Path, tmp_path: Path) -> None:
    start = (f"output_dir={tmp_path}", f"mode.weights_location={finished}")
    assert airshower(*TRAIN, *start, "run.iterations=1", "mode.optimizer.learning_rate=1e-12").code == 0
    first, second = averaged(newest(finished)), newest(tmp_path)["model"]
    weights = [name for name in first if name.endswith("conv.weight")]
    assert weights
    for name in weights:
        torch.testing.assert_close(second[name], first[name])


@pytest.fixture(scope="module")
def confusion_of_single_events(finished: Path, tmp_path_factory: pytest.TempPathFactory) -> list:
    folder = tmp_path_factory.mktemp("one")
    one = (*TINY_INFERENCE, f"output_dir={folder}", "run.minibatch_size=1", f"mode.weights_location={finished}")
    assert airshower(*one).code == 0
    return json.loads((folder / "predictions" / "metrics.json").read_text())["confusion"]


@pytest.mark.parametrize("size", [1, 2, 4])
def test_inference_covers_every_event_once_whatever_the_batch_size(
    run: Path, confusion_of_single_events: list, size: int
) -> None:
    outcome = airshower(*TINY_INFERENCE, f"output_dir={run}", f"run.minibatch_size={size}", "run.overwrite=true")
    assert outcome.code == 0, outcome.err
    predictions = LarcvFile(run / "predictions" / "predictions.h5")
    assert predictions.event_ids["event"].tolist() == [0, 1, 2]
    metrics = json.loads((run / "predictions" / "metrics.json").read_text())
    assert np.sum(metrics["confusion"]) == 3 * 3 * 128 * 96
    assert metrics["confusion"] == confusion_of_single_events


def test_inference_of_labels_from_file_equals_what_the_network_said(run: Path, test_file: Path) -> None:
    """The confusion matrix recomputed from the written file and the truth is that of metrics.json."""
    assert airshower(*TINY_INFERENCE, f"output_dir={run}").code == 0
    predicted = LarcvFile(run / "predictions" / "predictions.h5").images("airshower_label")
    truth = LarcvFile(test_file).images("sbnd_cosmicseg")
    confusion = np.zeros((3, 3, 3), int)
    for entry in range(3):
        dense = []
        for table in (truth, predicted):
            raw, image = table.read(entry), np.zeros((3, 128 * 96), int)
            image[np.repeat(np.arange(3), raw.counts), raw.ids.astype(int)] = raw.values
            dense.append(image)
        for plane in range(3):
            np.add.at(confusion[plane], (dense[0][plane], dense[1][plane]), 1)
    assert confusion.tolist() == json.loads((run / "predictions" / "metrics.json").read_text())["confusion"]


def test_inference_needs_no_labels(run: Path, test_file: Path) -> None:
    tiny = [item for item in TINY if not item.startswith(("data.sim", "data.events", "data.valid", "data.test"))]
    data = ("data=lartpc", f"data.file={test_file}", "data.label_producer=''", "data.particle_producer=''")
    outcome = airshower("mode=inference", *tiny, *data, f"output_dir={run}", "mode.displays=1")
    assert outcome.code == 0, outcome.err
    assert len(LarcvFile(run / "predictions" / "predictions.h5")) == 3
    assert not (run / "predictions" / "metrics.json").exists()
    refused = airshower("mode=train", *tiny, *data, f"output_dir={run / 'train'}")
    assert refused.code == 2
    assert refused.err == "airshower: data.label_producer: is empty, but training needs labels\n"


@pytest.mark.full
def test_a_real_event_can_be_overfitted(tmp_path: Path, sbnd_file: Path) -> None:
    """The loss of one real event falls tenfold."""
    small = [item for item in TINY if not item.startswith(("data.", "network.n_init", "network.depth", "run."))]
    data = ("data=lartpc", f"data.file={sbnd_file}", "data.validation_fraction=0.8", "data.downsample=3")
    options = ("network.n_initial_filters=8", "network.depth=3", "run.iterations=20", "run.minibatch_size=1")
    options += (
        "mode.validation_iteration=0",
        "mode.checkpoint_iteration=1000",
        "mode.optimizer.learning_rate=3e-2",
        "task.loss_balance_scheme=light",
    )
    assert airshower("mode=train", *small, *data, *options, f"output_dir={tmp_path}").code == 0
    loss = [row["loss"] for row in read_table(tmp_path / "metrics" / "train.csv")]
    assert min(loss[-10:]) < loss[0] / 10


def test_iotest_reports_what_the_data_hold(tmp_path: Path) -> None:
    outcome = airshower("mode=iotest", *TINY, f"output_dir={tmp_path}", "run.iterations=5")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "iotest" / "report.json").read_text())
    assert report["images"] == 8, "2 and 1 of three events to test on"
    assert report["products"]["image"]["shape"] == [2, 3, 96, 128]
    assert report["products"]["voxel value"]["min"] >= 5.0
    assert report["products"]["label"]["max"] == 2
    assert not (tmp_path / "checkpoints").exists()


def test_real_events_train_and_predict(tmp_path: Path, sbnd_file: Path) -> None:
    small = [item for item in TINY if not item.startswith("data.")]
    data = ("data=lartpc", f"data.file={sbnd_file}", "data.validation_fraction=0.3", "data.downsample=3")
    train = (*small, "run.iterations=1", "mode.no_summary_images=true")
    assert airshower("mode=train", *train, *data, f"output_dir={tmp_path}").code == 0
    predict = ("mode=inference", *small, *data, f"output_dir={tmp_path}", "mode.displays=1", "run.overwrite=true")
    held_out = airshower(*predict)
    assert held_out.code == 0, held_out.err
    assert "(data.validation_fraction=0 for all of the files)" in held_out.out
    assert json.loads((tmp_path / "predictions" / "metrics.json").read_text())["events"] == 2
    outcome = airshower(*predict, "data.validation_fraction=0")
    assert outcome.code == 0, outcome.err
    metrics = json.loads((tmp_path / "predictions" / "metrics.json").read_text())
    assert metrics["events"] == 5
    assert (tmp_path / "predictions" / "figures" / "event_0.png").exists()
    assert (tmp_path / "predictions" / "figures" / "metrics_against_energy.png").exists()
    assert sum(item["events"] for item in metrics["interactions"].values()) == 5
