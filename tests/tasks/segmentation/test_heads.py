"""Event class and vertex against formulas written out plainly."""

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.detectors.lartpc.source import COLUMNS, INTERACTIONS
from airshower.errors import DataError, UserError
from airshower.networks.uresnet.network import UResNet
from airshower.networks.uresnet.sparse import EMPTY
from airshower.tasks.segmentation.event_class import EventClass, EventClassConfig
from airshower.tasks.segmentation.task import Segmentation
from airshower.tasks.segmentation.vertex import Vertex, VertexConfig
from tests.targets import truth_of

NAMES = ("nu_e CC", "nu_mu CC", "NC", "cosmic")
IMAGES = SparseImagesSpec(2, (16, 32), 1, ("background", "cosmic", "neutrino"), pixel_size=(0.5, 2.0))
SPEC = Spec({"images": IMAGES}, COLUMNS, frozenset({"interaction", "energy", "vertex"}))
NAN = float("nan")


def batch(interactions: list[str], neutrino_pixels: list[int], **truth: np.ndarray) -> Batch:
    """Events with so many neutrino pixels, in the first plane."""
    counts = np.array([[n + 3, 1] for n in neutrino_pixels])
    label = np.concatenate([[2] * n + [1] * 4 for n in neutrino_pixels]).astype(np.uint8)
    row = np.concatenate([[*range(n + 3), 0] for n in neutrino_pixels]).astype(np.int32)
    images = SparseImages(row % 16, row // 16, np.ones(len(row), np.float32), label, counts, (16, 32))
    columns = {"interaction": np.array([INTERACTIONS.index(name) for name in interactions]), **truth}
    events = len(counts)
    made = Batch({"images": images}, np.arange(events), np.zeros((events, 3)), truth_of(columns))
    return made.to(torch.device("cpu"))


def test_event_class_of_too_few_pixels_is_cosmic() -> None:
    head = EventClass(EventClassConfig(weight=1.0, least_pixels=10), SPEC)
    target = head.target(batch(["nu_mu CC", "nu_e CC", "NC", "cosmic"], [10, 9, 30, 20]))
    assert target.tolist() == [1, 3, 2, 3]


def test_event_loss_is_the_weighted_cross_entropy() -> None:
    weights = [1.0, 2.0, 3.0, 4.0]
    head = EventClass(EventClassConfig(weight=0.5, class_weights=weights), SPEC)
    logits, target = torch.randn(5, 4, generator=torch.Generator().manual_seed(0)).double(), [0, 3, 2, 2, 1]
    total, weight = head.loss(logits, torch.tensor(target))
    pairs = zip(logits.numpy(), target, strict=True)
    expected = sum(-weights[y] * math.log(np.exp(z[y]) / np.exp(z).sum()) for z, y in pairs)
    assert float(total) == pytest.approx(0.5 * expected)
    assert weight.tolist() == head.weights(torch.tensor(target)).tolist() == [13.0]


def test_event_accuracy_and_table() -> None:
    head = EventClass(EventClassConfig(weight=1.0), SPEC)
    logits = 5.0 * torch.eye(4)[[0, 1, 1, 3]]
    counters = head.count(logits, torch.tensor([0, 1, 2, 3]))
    assert counters["event_confusion"].tolist() == [[1, 0, 0, 0], [0, 1, 0, 0], [0, 1, 0, 0], [0, 0, 0, 1]]
    assert head.metrics(counters) == {"Average/EventLabel": 0.75}
    table = head.predictions(logits, None)
    assert "event_class" not in table
    truth = head.predictions(logits, torch.tensor([3, 2, 1, 0]))["event_class"]
    assert truth.tolist() == ["cosmic", "NC", "nu_mu CC", "nu_e CC"]
    assert table["predicted"].tolist() == ["nu_e CC", "nu_mu CC", "nu_mu CC", "cosmic"]
    assert sum(table[f"score_{name.replace(' ', '_')}"][0] for name in NAMES) == pytest.approx(1.0)


def test_events_of_no_class_are_masked() -> None:
    """A nu_tau's charged current and an unknown interaction are in neither loss nor metrics, unless they have too few
    neutrino pixels to be told from none."""
    head = EventClass(EventClassConfig(weight=0.5, class_weights=[1.0, 2.0, 3.0, 4.0]), SPEC)
    names = ["nu_tau CC", "NC", "unknown", "nu_tau CC"]
    target = head.target(batch(names, [10, 10, 30, 9]))
    assert target.tolist() == [-1, 2, -1, 3]
    logits = torch.randn(4, 4, generator=torch.Generator().manual_seed(0)).double().requires_grad_()
    total, weight = head.loss(logits, target)
    kept_total, kept_weight = head.loss(logits[[1, 3]], target[[1, 3]])
    assert total.tolist() == pytest.approx(kept_total.tolist())
    assert weight.tolist() == kept_weight.tolist() == [7.0]
    total.sum().backward()
    assert not logits.grad[[0, 2]].any()
    logits = logits.detach()
    assert head.count(logits, target)["event_confusion"].sum() == 2
    assert head.predictions(logits, target)["event_class"].tolist() == ["unknown", "NC", "unknown", "cosmic"]
    none = head.target(batch(["unknown"], [20]))
    assert [float(value) for value in head.loss(logits[:1], none)] == [0.0, 0.0]


@pytest.mark.parametrize("weights", [[1.0], [1.0, 1.0, 1.0, -3.0], [0.0] * 4])
def test_class_weights_that_weigh_nothing_are_refused(weights: list[float]) -> None:
    with pytest.raises(UserError, match=r"task\.event\.class_weights=\[.*: needs 4 numbers \(nu_e CC, "):
        EventClass(EventClassConfig(weight=1.0, class_weights=weights), SPEC)


REACH = 1.5


def vertex_example(reach: float = REACH) -> tuple[Vertex, torch.Tensor, torch.Tensor]:
    """Two events of two planes, images of 8 x 16 pixels with cells of 4 x 4; plane 0 of the second has no vertex."""
    head = Vertex(VertexConfig(weight=0.5, offset_weight=3.0, reach=reach, same_tick=False), SPEC)
    truth = np.array([[[5.0, 9.0], [15.9, 31.0]], [[NAN, NAN], [0.2, 16.0]]], np.float32)  # as read, twice as fine
    target = head.target(batch(["NC", "NC"], [20, 20], vertex=truth))
    logits = torch.randn(2, 2, 3, 2, 4, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    return head, logits, target


def test_vertex_loss_follows_the_formula() -> None:
    head, logits, target = vertex_example()
    assert target[0].tolist() == [[2.5, 4.5], [pytest.approx(7.95), 15.5]]
    cells = {(0, 0): (0, 1), (0, 1): (1, 3), (1, 1): (0, 2)}
    presence = place = 0.0
    for event, plane in np.ndindex(2, 2):
        for row, column in np.ndindex(2, 4):
            p = 1 / (1 + math.exp(-logits[event, plane, 0, row, column]))
            p = p if cells.get((event, plane)) == (row, column) else 1 - p
            presence -= (1 - p) ** 2 * math.log(p)
        if (event, plane) in cells:
            row, column = cells[event, plane]
            for axis, corner in ((0, row), (1, column)):
                inside = 1 / (1 + math.exp(-logits[event, plane, 1 + axis, row, column]))
                predicted = (1 + 2 * REACH) * inside - REACH
                place += (predicted - (float(target[event, plane, axis]) / 4 - corner)) ** 2
    total, weight = head.loss(logits, target)
    assert total.tolist() == pytest.approx([0.5 * presence, 0.5 * 3.0 * place], rel=1e-6)
    assert weight.tolist() == head.weights(target).tolist() == [4.0, 3.0]


def test_a_vertex_that_is_found_exactly() -> None:
    head, logits, target = vertex_example()
    logits.zero_()
    for event, plane, row, column in ((0, 0, 0, 1), (0, 1, 1, 3), (1, 1, 0, 2)):
        logits[event, plane, 0, row, column] = 9.0
        inside = target[event, plane].double() / 4 - torch.tensor([row, column])
        logits[event, plane, 1:, row, column] = torch.logit((inside + REACH) / (1 + 2 * REACH), 1e-9)
    counters = head.count(logits, target)
    assert counters["vertex_count"].tolist() == counters["vertex_found"].tolist() == [1, 2]
    named = head.metrics(counters)
    assert named["Average/VertexDetection"] == named["Average/VertexWithin5cm"] == 1.0
    assert named["Average/VertexResolution"] == pytest.approx(0.0, abs=1e-4)
    torch.testing.assert_close(head.position(logits)[0], target[0], rtol=0, atol=1e-5)


def test_planes_find_a_vertex_at_the_same_tick() -> None:
    """A plane that is a little surer of another tick follows the one that is sure; the score is that of its cell."""
    logits = torch.full((2, 2, 3, 4, 4), -4.0)
    logits[0, 0, 0, 2, 1] = 5.0
    logits[0, 1, 0, 2, 3] = 0.5
    logits[0, 1, 0, 0, 0] = 1.0
    logits[1, :, 0, 3, 2] = torch.tensor([-1.0, 1.0])
    logits[1, :, 0, 1, 1] = torch.tensor([EMPTY, 2.0])
    logits[:, :, 1:] = 0.0  # the middle of a cell, at any reach
    joined, alone = (Vertex(VertexConfig(weight=1.0, same_tick=same), SPEC) for same in (True, False))
    assert (joined.position(logits) / 2 - 0.5).tolist() == [[[2, 1], [2, 3]], [[3, 2], [3, 2]]]
    assert (alone.position(logits) / 2 - 0.5).tolist() == [[[2, 1], [0, 0]], [[3, 2], [1, 1]]]
    scores = joined.predictions(logits, None)["vertex1_score"]
    assert scores == pytest.approx(torch.tensor([0.5, 1.0]).sigmoid().numpy())


def test_resolution_is_in_cm() -> None:
    """Pixels are 1 cm x 4 cm after downsampling by 2."""
    head, logits, target = vertex_example()
    position = target[0, 0] + torch.tensor([3.0, 1.0])
    assert float(head.distance(position, target[0, 0])) == pytest.approx(5.0)
    table = head.predictions(logits, target)
    assert np.isnan(table["vertex0_distance"]).tolist() == [False, True]
    assert np.isnan(head.predictions(logits, None)["vertex1_distance"]).all()
    expected = 2.0 * head.position(logits)[1, 0, 1]
    assert table["vertex0_column"][1] == pytest.approx(float(expected))


def test_a_head_without_truth_is_refused_in_training_and_left_out_elsewhere() -> None:
    config = Segmentation.Config(event=EventClassConfig(weight=1.0), vertex=VertexConfig(weight=1.0))
    without_vertex = replace(SPEC, known=frozenset({"interaction", "energy"}))
    task = Segmentation(config, without_vertex, UResNet.view(SPEC))
    assert task.outputs == {"pixels": 3, "event": 4, "vertex": 3}
    with pytest.raises(DataError, match=r"task\.vertex\.weight: is not 0, but the files do not hold the neutrino's"):
        task.check(SimpleNamespace(spec=without_vertex))
    outputs = {"pixels": torch.zeros(1, 2, 3, 8, 16), "event": torch.zeros(1, 4), "vertex": torch.zeros(1, 2, 3, 2, 4)}
    found, counters = task.evaluate(lambda _: outputs, task.prepare(batch(["NC"], [20])), lambda totals: totals)
    assert found.keys() == outputs.keys()
    named = task.metrics(counters)
    assert {"loss", "Average/mIoU", "Average/EventLabel"} <= named.keys()
    assert "Average/VertexDetection" not in named


def test_the_nearest_site_finds_a_vertex_in_a_cell_without() -> None:
    """The vertex at (2.5, 4.5) lies in the cell (0, 1), of which (1, 1) is the nearest."""
    head, logits, target = vertex_example()
    logits[0, 0] = EMPTY
    logits[0, 0, :, 1, 1] = torch.tensor([9.0, *torch.logit((torch.tensor([2.5 / 4 - 1, 4.5 / 4 - 1]) + 1.5) / 4)])
    torch.testing.assert_close(head.position(logits)[0, 0], target[0, 0], rtol=0, atol=1e-5)
    counters = head.count(logits, target)
    assert counters["vertex_found"][0] == counters["vertex_near"][0] == 1
    logits.requires_grad_()
    total, _ = head.loss(logits, target)
    total.sum().backward()
    assert logits.grad[0, 0, 1:, 1, 1].abs().max() < 1e-6, "it is where it should be"
    assert set(map(tuple, logits.grad[0, 0, 1:].nonzero()[:, 1:].tolist())) <= {(1, 1)}


def test_a_vertex_beyond_reach_is_not_learned() -> None:
    head, logits, target = vertex_example(reach=0.0)
    logits[0, 0, :, 0, 1] = EMPTY
    logits.requires_grad_()
    total, weight = head.loss(logits, target)
    assert float(total[0].detach()) < 20 * 0.5
    total.sum().backward()
    assert not logits.grad[0, 0, 1:].any(), "no place"
    assert weight.tolist() == [4.0, 3.0]
    assert head.count(logits.detach(), target)["vertex_found"][0] == 0


@pytest.mark.parametrize("lovasz", [0.0, 0.7])
@pytest.mark.parametrize("scheme", ["none", "light", "even", "focal"])
def test_loss_terms_of_pieces_add_up_to_those_of_the_whole(scheme: str, lovasz: float) -> None:
    """The weights of the heads, as those of the pixels, are the same however a batch is cut."""
    config = Segmentation.Config(scheme, lovasz, EventClassConfig(weight=0.3), VertexConfig(weight=0.2))
    task = Segmentation(config, SPEC, UResNet.view(SPEC))
    truth = np.array([[[5.0, 9.0], [15.9, 31.0]], [[NAN, NAN], [0.2, 16.0]]], np.float32)
    names, pixels = ["NC", "nu_e CC"], [20, 12]
    generator = torch.Generator().manual_seed(0)
    outputs = {
        "pixels": torch.randn(2, 2, 3, 8, 16, generator=generator, dtype=torch.float64),
        "event": torch.randn(2, 4, generator=generator, dtype=torch.float64),
        "vertex": torch.randn(2, 2, 3, 2, 4, generator=generator, dtype=torch.float64),
    }

    def terms(events: slice, totals: torch.Tensor | None):
        sample = task.prepare(batch(names[events], pixels[events], vertex=truth[events]))
        totals = task.totals(sample) if totals is None else totals
        return totals, task.loss({name: value[events] for name, value in outputs.items()}, sample, totals)

    totals, whole = terms(slice(None), None)
    parts = [terms(slice(i, i + 1), totals)[1] for i in range(2)]
    torch.testing.assert_close(sum(part.total for part in parts), whole.total)
    torch.testing.assert_close(sum(part.weight for part in parts), whole.weight)
    if scheme != "focal":
        torch.testing.assert_close(task.normaliser(totals), whole.weight.double())
