"""One optimizer step: however a batch is cut, the gradient is the same."""

import copy

import numpy as np
import pytest
import torch

from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.errors import TrainingError
from airshower.tasks.segmentation.task import Segmentation
from tests.engine.wire_steps import batch, make


def gradients(network: torch.nn.Module) -> torch.Tensor:
    return torch.cat([p.grad.flatten() for p in network.parameters()])


@pytest.mark.parametrize("scheme", ["none", "light", "even", "focal"])
@pytest.mark.parametrize("normalization", ["none", "group"])
def test_accumulation_gives_the_gradient_of_the_whole_batch(scheme: str, normalization: str) -> None:
    entries = [3, 1, 4, 5, 9]
    network, step = make(scheme, normalization)
    counters = step([batch(entries)], 0.1, measure=True)
    expected = gradients(network)
    for cut in ([1, 4], [2, 2, 1], [1, 1, 1, 1, 1]):
        other, step = make(scheme, normalization)
        start, pieces = 0, []
        for size in cut:
            pieces.append(batch(entries[start : start + size]))
            start += size
        summed = step(pieces, 0.1, measure=True)
        difference = (gradients(other) - expected).norm() / expected.norm()
        assert difference < 1e-12
        torch.testing.assert_close(summed["confusion"], counters["confusion"])
        torch.testing.assert_close(summed["loss_total"], counters["loss_total"])
        for a, b in zip(network.parameters(), other.parameters(), strict=True):
            torch.testing.assert_close(a, b, rtol=1e-10, atol=1e-13)


def test_finding_focal_weights_first_leaves_batch_statistics_alone() -> None:
    network, step = make("focal", "batch")
    step([batch([1]), batch([2])], 0.1, measure=False)
    assert int(network.initial.norm.num_batches_tracked) == 2


def test_overfitting_one_batch_lowers_the_loss_tenfold() -> None:
    network, step = make("focal", "batch", Segmentation, name="adam")
    losses = []
    for _ in range(120):
        counters = step([batch([1, 2])], 0.02, measure=True)
        losses.append(step.task.metrics(counters)["loss"])
    assert losses[-1] < losses[0] / 10
    assert sum(p.numel() for p in network.parameters()) < 20_000


@pytest.mark.parametrize("scheme", ["none", "light", "even", "focal"])
def test_empty_events_train_without_nan(scheme: str) -> None:
    network, step = make(scheme, "batch", Segmentation)
    empty = batch([1])
    images = empty["images"]
    nothing = SparseImages(
        images.row[:0], images.column[:0], images.value[:0], images.label[:0], np.zeros((1, 3), int), images.shape
    )
    before = copy.deepcopy(network.state_dict())
    counters = step([Batch({"images": nothing}, empty.entries, empty.event_ids)], 0.1, measure=True)
    assert np.isfinite(step.task.metrics(counters)["loss"])
    assert all(value.isfinite().all() for value in network.state_dict().values())
    assert any((value != before[name]).any() for name, value in network.state_dict().items())


def test_a_loss_that_is_not_finite_moves_nothing_and_names_the_entries() -> None:
    network, step = make("light", "none", Segmentation)
    with torch.no_grad():
        network.classify.bias[0] = torch.inf
    before = copy.deepcopy(network.state_dict())
    with pytest.raises(TrainingError, match=r"entries 7, 8.*learning_rate"):
        step([batch([7, 8])], 0.1, measure=False)
    assert all((value == before[name]).all() for name, value in network.state_dict().items())


def test_clipping_bounds_the_move() -> None:
    network, step = make("light", "none", Segmentation, clip_norm=1e-3)
    before = torch.cat([p.detach().flatten().clone() for p in network.parameters()])
    step([batch([1])], 1.0, measure=False)
    after = torch.cat([p.detach().flatten() for p in network.parameters()])
    assert float((after - before).norm()) == pytest.approx(1e-3, rel=1e-2)
