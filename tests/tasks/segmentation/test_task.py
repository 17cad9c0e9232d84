"""Segmentation loss and metrics against formulas written out plainly."""

import numpy as np
import pytest
import torch

from airshower.data.dense import DensePixels
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.networks.uresnet.network import UResNet
from airshower.tasks.segmentation.lovasz import lovasz
from airshower.tasks.segmentation.metrics import METRICS, count_images, named_metrics
from airshower.tasks.segmentation.task import Segmentation, SegmentationSample

LOSSES = (("none", 0.0), ("light", 0.0), ("even", 0.0), ("focal", 0.0), ("none", 1.0), ("light", 0.5), ("focal", 2.0))
"""Schemes and weights of the Lovasz loss."""
SPEC = Spec({"images": SparseImagesSpec(2, (8, 6), 0, ("background", "cosmic", "neutrino"))})


def task(scheme: str, lovasz: float = 0.0) -> Segmentation:
    return Segmentation(Segmentation.Config(scheme, lovasz), SPEC, UResNet.view(SPEC))


def example(events: int = 3, classes: int = 3) -> tuple[torch.Tensor, SegmentationSample]:
    generator = torch.Generator().manual_seed(1)
    logits = torch.randn(events, 2, 3, 8, 6, generator=generator, dtype=torch.float64) * 2
    label = torch.randint(0, classes, (events, 2, 8, 6), generator=generator, dtype=torch.uint8)
    return logits, SegmentationSample(DensePixels(torch.zeros(events, 2, 8, 6), label), {})


def confusion(label: torch.Tensor, predicted: torch.Tensor) -> torch.Tensor:
    logits = torch.nn.functional.one_hot(predicted.long(), 3).movedim(-1, 2)
    return DensePixels(torch.zeros(label.shape), label).confusion(logits)


def plain_loss(scheme: str, lovasz_weight: float, logits: np.ndarray, label: np.ndarray) -> float:
    """Sum over planes of sum(w ce) / sum(w), pixel by pixel, and of the mean of Lovasz losses over the classes of
    images, after the formulas in the docstring of `PixelLoss`."""
    loss = 0.0
    for plane in range(label.shape[1]):
        counts = [np.sum(label[:, plane] == c) for c in range(3)]
        top = bottom = 0.0
        for event in range(label.shape[0]):
            for row, column in np.ndindex(*label.shape[2:]):
                z, y = logits[event, plane, :, row, column], label[event, plane, row, column]
                p = np.exp(z[y]) / np.exp(z).sum()
                weight = {
                    "none": 1.0,
                    "light": (1.0, 1.5, 10.0)[y],
                    "even": 1 / 3 / (counts[y] + 1),
                    "focal": (1 - p) ** 2 / 3,
                }[scheme]
                top, bottom = top - weight * np.log(p), bottom + weight
        loss += top / bottom
        if lovasz_weight:
            loss += lovasz_weight * np.mean(
                [
                    of_class
                    for event in range(len(label))
                    for of_class in lovasz_of(logits[event, plane], label[event, plane])
                ]
            )
    return loss


def lovasz_of(logits: np.ndarray, label: np.ndarray) -> list[float]:
    """The Lovasz loss of each class that an image has, logits [classes, rows, columns]."""
    flat = torch.as_tensor(logits).flatten(1).softmax(0)
    truth = torch.as_tensor(label.astype(np.int64)).flatten()
    image = torch.zeros_like(truth)
    return [float(lovasz(flat[c], truth == c, image, 1)) for c in range(3) if (truth == c).any()]


def loss_of(scheme: str, lovasz: float, logits: torch.Tensor, sample: SegmentationSample) -> torch.Tensor:
    segmentation = task(scheme, lovasz)
    terms = segmentation.loss({"pixels": logits}, sample, segmentation.totals(sample))
    return (terms.total / terms.weight).sum()


@pytest.mark.parametrize(("scheme", "weight"), LOSSES)
@pytest.mark.parametrize("classes", [1, 2, 3])
def test_loss_follows_the_formula_also_where_a_class_is_missing(scheme: str, weight: float, classes: int) -> None:
    logits, sample = example(classes=classes)
    expected = plain_loss(scheme, weight, logits.numpy(), sample.pixels.label.numpy())
    assert float(loss_of(scheme, weight, logits, sample)) == pytest.approx(expected, rel=1e-10)


@pytest.mark.parametrize(("scheme", "weight"), LOSSES)
def test_normaliser_from_the_labels_is_the_sum_of_weights(scheme: str, weight: float) -> None:
    logits, sample = example()
    segmentation = task(scheme, weight)
    totals = segmentation.totals(sample)
    of_terms = segmentation.loss({"pixels": logits}, sample, totals).weight
    normaliser = segmentation.normaliser(totals)
    if scheme == "focal":
        assert normaliser is None
    else:
        torch.testing.assert_close(normaliser, of_terms)


def test_focal_weight_carries_no_gradient() -> None:
    """d(loss)/d(logits) must be w (p - onehot) / sum(w) with w held constant."""
    logits, sample = example(events=1)
    logits.requires_grad_()
    loss_of("focal", 0.0, logits, sample).backward()
    p = logits.detach().softmax(2)
    onehot = torch.nn.functional.one_hot(sample.pixels.label.long(), 3).movedim(-1, 2)
    weight = (1 - (p * onehot).sum(2, keepdim=True)) ** 2 / 3
    expected = weight * (p - onehot) / weight.sum((2, 3, 4), keepdim=True)
    torch.testing.assert_close(logits.grad, expected)


@pytest.mark.parametrize(("scheme", "weight"), LOSSES)
def test_sure_and_right_predictions_stay_finite(scheme: str, weight: float) -> None:
    _, sample = example()
    logits = 200.0 * torch.nn.functional.one_hot(sample.pixels.label.long(), 3).movedim(-1, 2).float()
    logits.requires_grad_()
    segmentation = task(scheme, weight)
    terms = segmentation.loss({"pixels": logits}, sample, segmentation.totals(sample))
    loss = (terms.total / terms.weight.clamp_min(1e-38)).sum()
    loss.backward()
    assert float(loss.detach()) == pytest.approx(0.0, abs=1e-6)
    assert logits.grad.isfinite().all()


def test_metrics_of_one_image_by_hand() -> None:
    truth = torch.tensor([[[[0, 1, 1, 2]]]], dtype=torch.uint8)
    predicted = torch.tensor([[[[0, 1, 2, 2]]]])
    named = named_metrics(count_images(confusion(truth, predicted)))
    assert named["plane0/Total_Accuracy"] == 3 / 4
    assert named["plane0/Non_Bkg_Accuracy"] == pytest.approx(2 / 3)
    assert named["plane0/Cosmic_IoU"] == named["plane0/Neutrino_IoU"] == 1 / 2
    assert named["Average/mIoU"] == named["Average/Dataset_mIoU"] == 1 / 2


def test_image_without_foreground_has_no_accuracy_and_full_iou() -> None:
    empty = torch.zeros(1, 1, 2, 2, dtype=torch.uint8)
    full = torch.ones(1, 1, 2, 2, dtype=torch.uint8)
    label = torch.cat([empty, full])
    named = named_metrics(count_images(confusion(label, label)))
    assert named["plane0/Non_Bkg_Accuracy"] == 1.0  # the mean over the one image that has foreground
    assert named["plane0/Neutrino_IoU"] == 1.0
    alone = named_metrics(count_images(confusion(empty, empty)))
    assert np.isnan(alone["plane0/Non_Bkg_Accuracy"])


def test_per_image_values_are_means_over_images() -> None:
    generator = torch.Generator().manual_seed(5)
    label = torch.randint(0, 3, (4, 2, 8, 6), generator=generator, dtype=torch.uint8)
    predicted = torch.randint(0, 3, (4, 2, 8, 6), generator=generator)
    named = named_metrics(count_images(confusion(label, predicted)))
    iou = []
    for event in range(4):
        a, b = label[event, 1].numpy() == 1, predicted[event, 1].numpy() == 1
        iou.append((a & b).sum() / (a | b).sum())
    assert named["plane1/Cosmic_IoU"] == pytest.approx(np.mean(iou))


@pytest.mark.parametrize("sizes", [(4,), (1, 3), (2, 1, 1)])
def test_metrics_do_not_depend_on_the_batch_size(sizes: tuple[int, ...]) -> None:
    logits, sample = example(events=4)
    segmentation = task("light")

    def counters(cut: slice) -> dict[str, torch.Tensor]:
        part = SegmentationSample(DensePixels(sample.pixels.input[cut], sample.pixels.label[cut]), {})
        outputs = {"pixels": logits[cut]}
        return segmentation.count(part, outputs, segmentation.loss(outputs, part, segmentation.totals(part)))

    whole, start, summed = counters(slice(None)), 0, {}
    for size in sizes:
        for name, value in counters(slice(start, start + size)).items():
            summed[name] = summed.get(name, 0) + value
        start += size
    expected = segmentation.metrics(whole)
    assert len(expected) == 1 + 2 * 3 * len(METRICS)
    assert segmentation.metrics(summed) == pytest.approx(expected, rel=1e-12)
