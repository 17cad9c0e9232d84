"""Whole runs of sparse networks and of the event and vertex heads."""

import csv
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.writers.scalars import read_table
from tests.checkpoints import newest
from tests.command import TINY, TINY_INFERENCE, TINY_TRAIN, airshower
from tests.samples import simulated_file

HEADS = ("task=neutrino", "network.vertex_depth=1", "network.event_filters=4", "network.event_blocks=1")


@pytest.fixture(scope="module")
def trained(made_once: Callable[[str, Callable[[Path], None]], Path]) -> Callable[[str], Path]:
    """A run of two steps of a network with both heads, to be left as it is."""

    def find(network: str) -> Path:
        def make(folder: Path) -> None:
            outcome = airshower(*TINY_TRAIN, f"network={network}", *HEADS, f"output_dir={folder}")
            assert outcome.code == 0, outcome.err

        return made_once(f"{network}_heads", make)

    return find


@pytest.mark.parametrize("network", ["uresnet", "uresnet_sparse"])
def test_heads_train_and_predict(trained: Callable[[str], Path], tmp_path: Path, network: str) -> None:
    """Inference leaves a table, figures and the file that a dense network leaves."""
    run = trained(network)
    row = read_table(run / "metrics" / "validation.csv")[-1]
    assert 0 <= row["Average/EventLabel"] <= 1
    assert 0 <= row["Average/VertexDetection"] <= 1
    assert 0 < row["Average/VertexResolution"] < 1000
    where = (f"mode.weights_location={run}", f"output_dir={tmp_path}", "mode.displays=1")
    outcome = airshower(*TINY_INFERENCE[:-1], f"network={network}", *HEADS, *where)
    assert outcome.code == 0, outcome.err
    folder = tmp_path / "predictions"
    with open(folder / "events.csv") as handle:
        events = list(csv.DictReader(handle))
    assert [int(event["entry"]) for event in events] == [0, 1, 2]
    for event in events:
        assert event["predicted"] in ("nu_e CC", "nu_mu CC", "NC", "cosmic")
        assert sum(float(value) for name, value in event.items() if name.startswith("score_")) == pytest.approx(1, 1e-5)
        assert 0 <= float(event["vertex2_row"]) <= 96
        assert 0 <= float(event["vertex2_column"]) <= 128
    metrics = json.loads((folder / "metrics.json").read_text())
    assert np.sum(metrics["event_confusion"]) == 3
    assert np.sum(metrics["confusion"]) == 3 * 3 * 96 * 128
    for name in ("event_confusion", "vertex_distance", "event_0"):
        assert (folder / "figures" / f"{name}.png").stat().st_size > 5000
    names = [f"airshower_{name}" for name in ("cosmic", "label", "neutrino")]
    assert LarcvFile(folder / "predictions.h5").products == [("sparse2d", name) for name in names]


def test_weights_of_a_dense_run_start_a_sparse_one_and_back(tmp_path: Path) -> None:
    still = ("mode.optimizer.learning_rate=1e-12", "run.iterations=1")
    kinds = ("uresnet3d", "uresnet3d_sparse", "uresnet3d")
    for number, network in enumerate(kinds):
        start = f"mode.weights_location={tmp_path / str(number - 1)}" if number else "mode.weights_location=''"
        options = (f"network={network}", *(still if number else ()), start, f"output_dir={tmp_path / str(number)}")
        outcome = airshower(*TINY_TRAIN, *options)
        assert outcome.code == 0, outcome.err
    first, last = (newest(tmp_path / name)["model"] for name in "02")
    for name in (name for name in first if name.endswith("conv.weight")):
        torch.testing.assert_close(last[name], first[name])


def test_sparse_inference_needs_no_labels(trained: Callable[[str], Path], tmp_path: Path) -> None:
    common = ("network=uresnet_sparse", *HEADS, f"mode.weights_location={trained('uresnet_sparse')}")
    path = simulated_file("validation", 3, 3)
    tiny = [item for item in TINY if not item.startswith(("data.sim", "data.events", "data.valid", "data.test"))]
    data = ("data=lartpc", f"data.file={path}", "data.label_producer=''", "data.particle_producer=''")
    outcome = airshower("mode=inference", *tiny, *common, *data, f"output_dir={tmp_path}", "mode.displays=1")
    assert outcome.code == 0, outcome.err
    assert len(LarcvFile(tmp_path / "predictions" / "predictions.h5")) == 3
    with open(tmp_path / "predictions" / "events.csv") as handle:
        assert [row["vertex0_distance"] for row in csv.DictReader(handle)] == ["nan"] * 3
    data = (*data[:-2], "data.particle_producer=''")
    refused = airshower("mode=train", *tiny, *common[:-1], *data, f"output_dir={tmp_path / 'train'}")
    assert refused.code == 2
    assert "task.event.weight: is not 0, but the files do not hold the neutrino (particle_<data" in refused.err
    assert not (tmp_path / "train").exists()


def test_iotest_of_sites(tmp_path: Path) -> None:
    outcome = airshower("mode=iotest", *TINY, "network=uresnet_sparse", f"output_dir={tmp_path}", "run.iterations=5")
    assert outcome.code == 0, outcome.err
    report = json.loads((tmp_path / "iotest" / "report.json").read_text())
    assert report["images"] == 8, "2 and 1 of three events to test on"
    assert report["products"]["image"]["max"] > 0


@pytest.mark.full
def test_a_real_event_is_learned_with_its_class_and_vertex(tmp_path: Path, sbnd_file: Path) -> None:
    """The loss falls tenfold, and the vertex is found in each plane."""
    data = ("data=lartpc", f"data.file={sbnd_file}", "data.validation_fraction=0.8", "data.downsample=2")
    small = [item for item in TINY if not item.startswith(("data.", "network.n_init", "network.depth", "run."))]
    options = ("network=uresnet_sparse", "task=neutrino", "network.event_filters=8", "network.event_blocks=1")
    options += ("network.n_initial_filters=8", "network.depth=4", "network.vertex_depth=2", "run.iterations=60")
    options += ("run.minibatch_size=1", "mode.validation_iteration=0", "mode.optimizer.learning_rate=1e-2")
    options += ("task.loss_balance_scheme=light", "mode.checkpoint_iteration=1000", "run.compute_mode=cpu")
    assert airshower("mode=train", *small, *data, *options, f"output_dir={tmp_path}").code == 0
    rows = read_table(tmp_path / "metrics" / "train.csv")
    assert min(row["loss"] for row in rows[-10:]) < rows[0]["loss"] / 10
    assert rows[-1]["Average/EventLabel"] == 1.0
    assert rows[-1]["Average/VertexDetection"] == 1.0
    assert rows[-1]["Average/VertexResolution"] < 2.0
