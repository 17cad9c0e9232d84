"""Events as generators learn them and as they are compared: rows of tables, and images."""

from types import SimpleNamespace

import numpy as np
import pytest
import torch

from airshower.data.records import Records
from airshower.data.splits import Selection, Splits
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.tasks.generation.views import ImageView, TableView
from tests.networks.tanks.small_quantities import ANGLE, CHARGE, COUNT, LEAK, scaled, spec


@pytest.fixture(scope="module")
def splits() -> Splits:
    config = SimulatedHawc.Config(events=60, validation_events=20, channels=["charge", "time"])
    return SimulatedHawc(config, 0).open()


def test_dequantised_values_are_those_of_files_again_when_rounded() -> None:
    """And fill their steps: a count of 3 is anything from 2.5 to 3.5."""
    quantities = (CHARGE, COUNT, LEAK, ANGLE)
    recorded = scaled(3000, *quantities)
    view = TableView(spec(quantities), "parameters")
    dequantised = view.dequantised(recorded, view.shares(recorded, torch.Generator().manual_seed(1)))
    back = Records.of_scaled(quantities, dequantised.numpy())
    wrong = np.abs(back.scaled - recorded.numpy()) > 1e-4
    assert wrong.mean() < 1e-3  # float32 rounds some over the edge of their step
    counts = COUNT.physical(dequantised[:, 1].numpy()) - COUNT.physical(recorded[:, 1].numpy())
    assert np.abs(counts).max() <= 0.5 + 1e-4
    assert np.quantile(counts, [0.25, 0.75]) == pytest.approx([-0.25, 0.25], abs=0.03)
    torch.testing.assert_close(dequantised[:, 0], recorded[:, 0])


def test_examples_are_the_same_on_all_ranks() -> None:
    tables = {"parameters": scaled(20, CHARGE, COUNT).numpy(), "conditions": np.zeros((20, 0))}
    source = SimpleNamespace(scaled=lambda name, entries: tables[name][entries])
    view, found = TableView(spec((CHARGE, COUNT)), "parameters"), []
    for seed in (1, 2):
        torch.manual_seed(seed)
        found.append(view.examples(Selection(source, np.arange(3, 9)))[0])
    assert torch.equal(*found)
    assert found[0].shape == (6, 2)
    assert not torch.equal(view.shares(found[0]), view.shares(found[0]))


def test_levels_change_charges_by_half_a_level() -> None:
    """And a cell that is no hit stays none."""
    images = 0.1 + 0.9 * torch.rand(3, 1, 40, 40, generator=torch.Generator().manual_seed(0))
    config = SimulatedHawc.Config(events=20, validation_events=5, channels=["charge"])
    view = ImageView(SimulatedHawc(config, 0).open().train.source.spec, "images")
    images[:, :, torch.from_numpy(view.spec.dead)] = 0
    images[:, :, :20] = 0
    exact, found = view.spec.hits(images.numpy()), view.hits(view.levels(images))
    assert (exact.grid_id == found.grid_id).all()
    step = view.spec.channels[0].width / 255
    assert np.abs(np.log(found.charge / exact.charge)).max() < 0.501 * step


def test_bits_are_of_the_cells_with_a_pmt_and_of_all(splits: Splits) -> None:
    found = ImageView(splits.test.source.spec, "images").bits(-2400 * np.log(2))
    assert found == pytest.approx({"bits_per_dimension": 1.0, "bits_per_dimension_of_all_cells": 0.75})


def test_light_in_dead_cells_is_counted_and_no_hit(splits: Splits) -> None:
    view = ImageView(splits.test.source.spec, "images")
    images = torch.zeros(2, 2, 40, 40)
    images[1, 0, torch.from_numpy(view.spec.dead)] = 0.5
    assert view.dead_cells(images).tolist() == [0, 400]
    assert len(view.hits(view.levels(images)).event) == 0


def test_examples_are_few(splits: Splits) -> None:
    images, conditions = ImageView(splits.train.source.spec, "images").examples(
        Selection(splits.train.source, splits.train.entries)
    )
    assert images.shape == (32, 2, 40, 40)
    assert conditions.shape == (32, 3)
