"""What is compared of images, and what an inference writes of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.source import Selection, Splits
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.xcdf_file import XcdfFile
from airshower.errors import TrainingError
from airshower.networks.images import ImageView
from airshower.tasks.generation_report import Generated, GenerationReportConfig
from airshower.tasks.image_report import ImageReport, joined
from airshower.tasks.likelihood import Likelihood
from tests.networks.pixelcnn_networks import tank_spec


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = SimulatedHawc.Config(events=60, validation_events=20, channels=["charge", "time"])
    return SimulatedHawc(config, 0).open()


def test_levels_change_charges_by_half_a_level() -> None:
    """And a cell that is no hit stays none."""
    images = 0.1 + 0.9 * torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    config = SimulatedHawc.Config(events=20, validation_events=5, channels=["charge"])
    spec = SimulatedHawc(config, 0).open().train.source.spec
    images[:, :, torch.from_numpy(spec.dead)] = 0
    images[:, :, :20] = 0
    exact, found = spec.hits(images.numpy()), ImageView(spec).hits(ImageView(spec).levels(images))
    assert (exact.grid_id == found.grid_id).all()
    step = spec.channels[0].width / 255
    assert np.abs(np.log(found.charge / exact.charge)).max() < 0.501 * step


def test_images_are_written_as_hits_and_judged(splits: Splits, tmp_path: Path) -> None:
    """Real images given for generated ones differ in nothing."""
    source, view = splits.whole.source, ImageView(splits.whole.source.spec)
    entries = splits.whole.entries
    with ImageReport(splits, GenerationReportConfig(), tmp_path, {"step": "1"}, view) as opened:
        for part in np.array_split(entries, 3):
            batch = source.read(part)
            images, conditions = torch.from_numpy(batch.images), torch.from_numpy(batch.conditions)
            packed = opened.pack(None, None, Generated(images, conditions, torch.from_numpy(part)))
            opened.add(packed)
    figures = opened.finish(entries, {"loss": 0.5}, {})
    drawn = {
        "hit_probability",
        "lateral_profile",
        "time_residuals",
        "hit_values",
        "images",
        "events",
        "arrival",
        "distributions",
    }
    assert drawn <= {path.stem for path in figures}
    metrics = json.loads((tmp_path / "metrics.json").read_text())["metrics"]
    assert metrics["dead_cells_not_0"] == 0
    assert metrics["KS/image.nHit"] == 0
    file, stored = XcdfFile(tmp_path / "generated.xcd"), np.load(tmp_path / "generated.npz")
    assert len(file) == len(entries)
    wanted = source.hits(entries)
    found = file.columns(["event.hit.gridId", "event.hit.charge", "event.hit.time", "SimEvent.energyTrue"])
    np.testing.assert_array_equal(found["event.hit.gridId"].counts, np.bincount(wanted.event, minlength=len(entries)))
    in_file = np.lexsort(
        (found["event.hit.gridId"].values, np.repeat(np.arange(len(entries)), stored["image.nHit"].astype(int)))
    )
    np.testing.assert_array_equal(found["event.hit.gridId"].values[in_file], wanted.grid_id)
    np.testing.assert_allclose(found["event.hit.time"].values[in_file], wanted.time, atol=0.5 * 300 / 255 + 0.6 + 0.06)
    np.testing.assert_allclose(found["SimEvent.energyTrue"], stored["SimEvent.energyTrue"])
    assert len(stored["hit_charge"]) == len(wanted.charge)


def test_bits_are_of_the_cells_with_a_pmt_and_of_all(splits: Splits) -> None:
    found = ImageView(splits.whole.source.spec).bits(-2400 * np.log(2))
    assert found == pytest.approx({"bits_per_dimension": 1.0, "bits_per_dimension_of_all_cells": 0.75})


def test_light_in_dead_cells_is_counted_and_no_hit(splits: Splits) -> None:
    view = ImageView(splits.whole.source.spec)
    images = torch.zeros(2, 2, 40, 40)
    images[1, 0, torch.from_numpy(view.spec.dead)] = 0.5
    assert view.dead_cells(images).tolist() == [0, 400]
    assert len(view.hits(view.levels(images)).event) == 0


def test_what_is_no_number_is_refused(splits: Splits, tmp_path: Path) -> None:
    opened = ImageReport(splits, GenerationReportConfig(), tmp_path, {}, ImageView(splits.whole.source.spec))
    images = torch.zeros(2, 2, 40, 40)
    images[1, 0, 3, 3] = float("nan")
    with pytest.raises(TrainingError, match="in 1 of 2 events, first for entry 8"):
        opened.pack(None, None, Generated(images, torch.zeros(2, 0), torch.tensor([7, 8])))


def test_hits_of_batches_are_those_of_one(splits: Splits) -> None:
    source = splits.whole.source
    whole, pieces = source.hits(splits.whole.entries), np.array_split(splits.whole.entries, 3)
    found = joined([(source.hits(piece), len(piece)) for piece in pieces])
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_examples_are_few(splits: Splits) -> None:
    images, conditions = ImageView(splits.train.source.spec).examples(
        Selection(splits.train.source, splits.train.entries)
    )
    assert images.shape == (32, 2, 40, 40)
    assert conditions.shape == (32, 3)


def test_likelihoods_of_images_are_also_bits() -> None:
    """Each of 1193 cells with one bit."""
    spec = tank_spec(40, 1)
    task = Likelihood(Likelihood.Config(), spec, ImageView(spec))
    nats = int((~spec.dead).sum()) * math.log(2)
    found = task.metrics({"loss": torch.tensor([3 * nats, 3.0]).double()})
    assert found["bits_per_dimension"] == pytest.approx(1.0)
    assert found["bits_per_dimension_of_all_cells"] == pytest.approx((~spec.dead).mean())
    assert found["loss"] == -found["log_likelihood"] == pytest.approx(nats)
