"""What is compared of images, and what an inference writes of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.splits import Splits
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import TrainingError
from airshower.tasks.generation.image_report import ImageReport, joined
from airshower.tasks.generation.likelihood import Likelihood
from airshower.tasks.generation.plan import Generated
from airshower.tasks.generation.report import GenerationReportConfig
from airshower.tasks.generation.views import ImageView
from tests.networks.pixelcnn.networks import tank_spec


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = SimulatedHawc.Config(events=60, test_events=20, channels=["charge", "time"])
    return SimulatedHawc(config, 0).open()


def test_images_are_written_as_hits_and_judged(splits: Splits, tmp_path: Path) -> None:
    """Reference images in place of generated ones differ in nothing."""
    source, view = splits.test.source, ImageView(splits.test.source.spec, "images")
    entries = splits.test.entries
    with ImageReport(splits, GenerationReportConfig(), tmp_path, {"step": "1"}, view) as opened:
        for part in np.array_split(entries, 3):
            batch = source.read(part)
            images, conditions = (torch.from_numpy(batch[name].values) for name in ("images", "conditions"))
            opened.add(opened.pack(Generated(images, conditions, torch.from_numpy(part))))
    figures = opened.finish({"loss": 0.5})
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


def test_what_is_no_number_is_refused(splits: Splits, tmp_path: Path) -> None:
    opened = ImageReport(splits, GenerationReportConfig(), tmp_path, {}, ImageView(splits.test.source.spec, "images"))
    images = torch.zeros(2, 2, 40, 40)
    images[1, 0, 3, 3] = float("nan")
    with pytest.raises(TrainingError, match="in 1 of 2 events, first for entry 8"):
        opened.pack(Generated(images, torch.zeros(2, 0), torch.tensor([7, 8])))


def test_hits_of_batches_are_those_of_one(splits: Splits) -> None:
    source = splits.test.source
    whole, pieces = source.hits(splits.test.entries), np.array_split(splits.test.entries, 3)
    found = joined([(source.hits(piece), len(piece)) for piece in pieces])
    for one, other in zip(whole, found, strict=True):
        np.testing.assert_array_equal(one, other)


def test_likelihoods_of_images_are_also_bits() -> None:
    """Each of 1193 cells with one bit."""
    spec = tank_spec(40, 1)
    task = Likelihood(Likelihood.Config(), spec, "images")
    dead = spec["images"].dead
    nats = int((~dead).sum()) * math.log(2)
    found = task.metrics({"loss": torch.tensor([3 * nats, 3.0]).double()})
    assert found["bits_per_dimension"] == pytest.approx(1.0)
    assert found["bits_per_dimension_of_all_cells"] == pytest.approx((~dead).mean())
    assert found["loss"] == -found["log_likelihood"] == pytest.approx(nats)
