"""Segmentation of images: a class for every pixel."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import choice
from airshower.data.batch import Batch
from airshower.data.dense import Densifier
from airshower.data.source import ImageSpec, Source
from airshower.errors import DataError
from airshower.tasks.segmentation_metrics import confusion_per_image, count_images, named_metrics
from airshower.tasks.segmentation_report import SegmentationReport
from airshower.tasks.task import LossTerms, Phase

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LIGHT_WEIGHTS = (1.0, 1.5, 10.0)


@dataclass(frozen=True)
class ImageSample:
    """`image` [events, planes, rows, columns] float32 and `label` of the same shape uint8 (None without truth), on the
    device."""

    image: Tensor
    label: Tensor | None


class Segmentation:
    """Pixel classes with a balanced cross entropy.

    Per plane p the loss is sum(w * ce) / sum(w) over the step's events and pixels, and planes are added. Balance:
    `none` w = 1; `light` 1, 1.5, 10 for background, cosmic, neutrino; `even` w = 1/3 / (n + 1) with n the pixels of
    the pixel's class in the plane; `focal` w = (1 - p)^2 / 3 with p the probability of the true class, without
    gradient (Lin et al. 2017). The schemes are those of Acciarri et al., Frontiers in AI 4 (2021) 649917.
    """

    reads = "wire_images"
    headline: ClassVar[dict[str, str]] = {
        "loss": "loss",
        "Average/Non_Bkg_Accuracy": "non-background accuracy",
        "Average/Cosmic_IoU": "cosmic IoU",
        "Average/Neutrino_IoU": "neutrino IoU",
    }
    score = "Average/Dataset_mIoU"

    @dataclass
    class Config:
        """`task.*`."""

        loss_balance_scheme: str = choice("focal", "light", "even", "none")

    def __init__(self, config: Config, spec: ImageSpec, log_transform: bool):
        self.scheme, self.spec = config.loss_balance_scheme, spec
        self.densify = Densifier(spec.downsample, log_transform)

    def prepare(self, batch: Batch) -> ImageSample:
        """Dense images and, where there are, labels."""
        return ImageSample(*self.densify(batch.images))

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: the network against the labels."""

        def loss(module: nn.Module, sample: ImageSample, totals: Tensor) -> tuple[LossTerms, Tensor]:
            logits = module(sample.image).float()
            return self.loss(logits, sample, totals), logits

        return [Phase("segmentation", network, loss)]

    def totals(self, sample: ImageSample) -> Tensor:
        """Pixels per plane and class, float64 [planes, classes]. Raises `DataError` where the files have no labels."""
        if sample.label is None:
            raise DataError("data.label_producer: is empty, but training needs labels")
        labels = sample.label.flatten(2)
        counts = [(labels == index).sum((0, 2)) for index in range(1, len(self.spec.classes))]
        pixels = labels.shape[0] * labels.shape[2]
        return torch.stack([pixels - sum(counts), *counts], 1).double()

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """Sum of pixel weights per plane, or None for focal, whose weights depend on the prediction."""
        if self.scheme == "focal":
            return None
        return (self._class_weights(totals) * totals).sum(1)

    def loss(self, logits: Tensor, sample: ImageSample, totals: Tensor) -> LossTerms:
        """One term per plane; `logits` [events, planes, classes, rows, columns], `totals` of the whole step."""
        target = sample.label.flatten(0, 1).long()
        entropy = functional.cross_entropy(logits.flatten(0, 1), target, reduction="none")
        if self.scheme == "none":
            weight = torch.ones_like(entropy)
        elif self.scheme == "focal":
            # the true class's probability is exp(-entropy): no second softmax, and no rounding of 1 - p near p = 1
            weight = torch.expm1(-entropy.detach()).square_().div_(3.0)
        else:
            plane = torch.arange(self.spec.planes, device=target.device).repeat(len(logits))
            weight = self._class_weights(totals).to(entropy.dtype)[plane[:, None, None], target]
        planes = (-1, self.spec.planes)
        total = (weight * entropy).unflatten(0, planes).sum((0, 2, 3))
        return LossTerms(total, weight.unflatten(0, planes).sum((0, 2, 3)))

    def evaluate(
        self, network: nn.Module, sample: ImageSample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        logits = network(sample.image).float()
        if sample.label is None:
            return logits, {}
        return logits, self.count(sample, logits, self.loss(logits, sample, over_ranks(self.totals(sample))))

    def count(self, sample: ImageSample, logits: Tensor, terms: LossTerms) -> dict[str, Tensor]:
        """Confusion counts, per-image metrics and the loss terms."""
        confusion = confusion_per_image(sample.label, logits.argmax(2), len(self.spec.classes))
        loss = {"loss_total": terms.total.detach().double(), "loss_weight": terms.weight.double()}
        return count_images(confusion) | loss

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """`loss`, and the metrics of `segmentation_metrics` by plane and averaged."""
        if not counters:
            return {}
        loss = counters["loss_total"] / counters["loss_weight"].clamp_min(1e-300)
        return {"loss": float(loss.sum()), **named_metrics(counters)}

    def display(self, sample: ImageSample, logits: Tensor, index: int, title: str) -> "Figure":
        """Charge, prediction and, where there is truth, truth and errors, plane by plane."""
        from airshower.writers.figures import event_display  # matplotlib takes a second: only where something is drawn

        image, predicted = (array.cpu().numpy() for array in (sample.image[index], logits[index].argmax(1)))
        label = None if sample.label is None else sample.label[index].cpu().numpy()
        return event_display(image, label, predicted, self.spec.classes, title)

    def report(self, source: Source, folder: Path, provenance: dict[str, str], scores: bool) -> SegmentationReport:
        """See `Task.report`."""
        return SegmentationReport(source, folder, provenance, scores)

    def _class_weights(self, totals: Tensor) -> Tensor:
        """Weight of a pixel by plane and class [planes, classes]."""
        if self.scheme == "even":
            return 1.0 / 3.0 / (totals + 1.0)
        if self.scheme == "light":
            return torch.tensor(LIGHT_WEIGHTS, dtype=totals.dtype, device=totals.device).expand_as(totals)
        return torch.ones_like(totals)
