"""Segmentation of images: a class for every pixel; with it, if asked for, the event's class and its vertex."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.fields import choice, section
from airshower.data.batch import Batch
from airshower.data.pixels import PixelMaker, Pixels
from airshower.data.source import ImageSpec, Selection, Splits, WireSource
from airshower.errors import DataError
from airshower.tasks.event_class import EventClass, EventClassConfig
from airshower.tasks.head import Head, missing_truth
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.segmentation_metrics import count_images, named_metrics
from airshower.tasks.segmentation_report import SegmentationReport
from airshower.tasks.task import Phase
from airshower.tasks.vertex import Vertex, VertexConfig
from airshower.writers.figures import Figure, event_display

LIGHT_WEIGHTS = (1.0, 1.5, 10.0)
HEADLINE = {
    "loss": "loss",
    "Average/Non_Bkg_Accuracy": "non-background accuracy",
    "Average/Cosmic_IoU": "cosmic IoU",
    "Average/Neutrino_IoU": "neutrino IoU",
}


@dataclass(frozen=True)
class Sample:
    """The pixels of a batch, and for each head asked for the truth, if there is."""

    pixels: Pixels
    heads: dict[str, Any]


class Segmentation:
    """Pixel classes with a balanced cross entropy.

    Per plane p the loss is sum(w * ce) / sum(w) over the step's events and pixels, and planes are added. Balance:
    `none` w = 1; `light` 1, 1.5, 10 for background, cosmic, neutrino; `even` w = 1/3 / (n + 1) with n the pixels of
    the pixel's class in the plane; `focal` w = (1 - p)^2 / 3 with p the probability of the true class, without
    gradient (Lin et al. 2017). The schemes are those of Acciarri et al., Frontiers in AI 4 (2021) 649917.

    The losses of `event_class.EventClass` and `vertex.Vertex` are added where their weight is not 0. A sparse network's
    pixels are those that are not empty.
    """

    reads = "wire_images"
    score = "Average/Dataset_mIoU"
    plan = None

    @dataclass
    class Config:
        """`task.*`."""

        loss_balance_scheme: str = choice("focal", "light", "even", "none")
        event: EventClassConfig = section(EventClassConfig)
        vertex: VertexConfig = section(VertexConfig)

    def __init__(self, config: Config, spec: ImageSpec, make_pixels: PixelMaker):
        self.scheme, self.spec, self.make_pixels = config.loss_balance_scheme, spec, make_pixels
        kinds = {"event": (EventClass, config.event), "vertex": (Vertex, config.vertex)}
        self.heads: dict[str, Head] = {
            name: kind(options, spec) for name, (kind, options) in kinds.items() if options.weight
        }
        self.outputs = {"pixels": len(spec.classes)} | {name: head.channels for name, head in self.heads.items()}
        self.headline = dict(HEADLINE)
        for head in self.heads.values():
            self.headline |= head.headline

    def check(self, source: WireSource) -> None:
        """Raises `DataError` where the files do not hold what training needs of them."""
        for name, head in self.heads.items():
            if head.needs[0] not in source.truth(np.arange(0), (head.needs[0],)):
                raise missing_truth(name, head.needs)

    def fit(self, selection: Selection, _: nn.Module) -> None:
        """Nothing: classes are balanced in each step."""

    def prepare(self, batch: Batch) -> Sample:
        """Pixels and, where there are, labels."""
        return Sample(self.make_pixels(batch.images), {name: head.target(batch) for name, head in self.heads.items()})

    def products(self, batch: Batch, sample: Sample) -> dict[str, Any]:
        """Non-empty pixels as read, and images as the network sees them."""
        read, pixels = batch.images, sample.pixels
        return {"voxel value": read.value, "voxel label": read.label, "image": pixels.values, "label": pixels.label}

    def phases(self, network: nn.Module) -> list[Phase]:
        """One: the network against the labels."""

        def loss(module: nn.Module, sample: Sample, totals: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            outputs = self._outputs(module, sample)
            return self.loss(outputs, sample, totals), outputs

        return [Phase("segmentation", network, loss)]

    def totals(self, sample: Sample) -> Tensor:
        """Pixels per plane and class, and the weights of the heads' terms, float64 in a row. Raises `DataError` where
        the files have no labels."""
        if sample.pixels.label is None:
            raise DataError("data.label_producer: is empty, but training needs labels")
        parts = [sample.pixels.class_counts(len(self.spec.classes)).double().flatten()]
        return torch.cat(parts + [head.weights(sample.heads[name]) for name, head in self._known(sample)])

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """Sum of pixel weights per plane and weights of the heads, or None for focal, whose weights depend on the
        prediction."""
        if self.scheme == "focal":
            return None
        counts = self._counts(totals)
        return torch.cat([(self._class_weights(counts) * counts).sum(1), totals[counts.numel() :]])

    def loss(self, outputs: dict[str, Tensor], sample: Sample, totals: Tensor) -> LossTerms:
        """One term per plane, then those of the heads; `totals` of the whole step."""
        pixels = sample.pixels
        entropy = functional.cross_entropy(pixels.flat(outputs["pixels"]), pixels.target, reduction="none")
        if self.scheme == "none":
            weight = torch.ones_like(entropy)
        elif self.scheme == "focal":
            # the true class's probability is exp(-entropy): no second softmax, and no rounding of 1 - p near p = 1
            weight = torch.expm1(-entropy.detach()).square_().div_(3.0)
        else:
            weight = self._class_weights(self._counts(totals)).to(entropy.dtype)[pixels.plane, pixels.target]
        terms = [(pixels.sum_by_plane(weight * entropy), pixels.sum_by_plane(weight))]
        terms += [head.loss(outputs[name], sample.heads[name]) for name, head in self._known(sample)]
        return LossTerms(*(torch.cat(parts) for parts in zip(*terms, strict=True)))

    def evaluate(
        self, network: nn.Module, sample: Sample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Task.evaluate`."""
        outputs = self._outputs(network, sample)
        if sample.pixels.label is None:
            return outputs, {}
        return outputs, self.count(sample, outputs, self.loss(outputs, sample, over_ranks(self.totals(sample))))

    def count(self, sample: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """Confusion counts, per-image metrics, those of the heads, and the loss terms."""
        counters = count_images(sample.pixels.confusion(outputs["pixels"]))
        for name, head in self._known(sample):
            counters |= head.count(outputs[name], sample.heads[name])
        return counters | {"loss_total": terms.total.detach().double(), "loss_weight": terms.weight.double()}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """`loss`, and the metrics of `segmentation_metrics` by plane and averaged, and of the heads."""
        if not counters:
            return {}
        loss = counters["loss_total"] / counters["loss_weight"].clamp_min(1e-300)
        named = {"loss": float(loss.sum()), **named_metrics(counters)}
        for head in self.heads.values():
            named |= head.metrics(counters)
        return named

    def display(self, sample: Sample, outputs: dict[str, Tensor], index: int, title: str) -> Figure:
        """Charge, prediction and, where there is truth, truth and errors, plane by plane; vertices as crosses."""
        image, label, predicted = sample.pixels.event_images(outputs["pixels"], index)
        vertices = {}
        if isinstance(vertex := self.heads.get("vertex"), Vertex):
            vertices["predicted"] = vertex.position(outputs["vertex"])[index].cpu().numpy()
            if sample.heads["vertex"] is not None:
                vertices["true"] = sample.heads["vertex"][index].cpu().numpy()
        if isinstance(event := self.heads.get("event"), EventClass):
            names, scores = self.spec.event_classes, outputs["event"][index].softmax(0)
            title += f": {names[int(scores.argmax())]} ({float(scores.max()):.2f})"
            if sample.heads["event"] is not None:
                title += f", true {event.name(int(sample.heads['event'][index]))}"
        shown = image.cpu().numpy(), None if label is None else label.cpu().numpy(), predicted.cpu().numpy()
        return event_display(*shown, self.spec.classes, title, vertices)

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool) -> SegmentationReport:
        """See `Task.report`."""
        return SegmentationReport(splits.whole.source, self.heads, folder, provenance, scores)

    def _known(self, sample: Sample) -> list[tuple[str, Head]]:
        """The heads whose truth is there."""
        return [(name, head) for name, head in self.heads.items() if sample.heads[name] is not None]

    def _outputs(self, module: nn.Module, sample: Sample) -> dict[str, Tensor]:
        return {name: output.float() for name, output in module(sample.pixels.input).items()}

    def _counts(self, totals: Tensor) -> Tensor:
        return totals[: self.spec.planes * len(self.spec.classes)].view(self.spec.planes, -1)

    def _class_weights(self, totals: Tensor) -> Tensor:
        """Weight of a pixel by plane and class [planes, classes]."""
        if self.scheme == "even":
            return 1.0 / 3.0 / (totals + 1.0)
        if self.scheme == "light":
            return torch.tensor(LIGHT_WEIGHTS, dtype=totals.dtype, device=totals.device).expand_as(totals)
        return torch.ones_like(totals)
