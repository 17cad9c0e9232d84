"""Segmentation of images: a class for every pixel; optionally also the event's class and its vertex."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number, section
from airshower.data.batch import Batch
from airshower.data.event_table import EventTable
from airshower.data.pixels import Pixels, found_pixels
from airshower.data.source import Source
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.data.splits import Splits
from airshower.errors import DataError
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.segmentation.event_class import EventClass, EventClassConfig
from airshower.tasks.segmentation.head import Head, missing_truth
from airshower.tasks.segmentation.metrics import count_images, named_metrics
from airshower.tasks.segmentation.pixel_loss import PixelLoss
from airshower.tasks.segmentation.report import SegmentationReport
from airshower.tasks.segmentation.vertex import Vertex, VertexConfig
from airshower.tasks.task import Phase, PredictionTask
from airshower.writers.figures import Figure, event_display

PLACES = ("plane", "row", "column")  # of a pixel
HEADLINE = {
    "loss": "loss",
    "Average/Non_Bkg_Accuracy": "non-background accuracy",
    "Average/Cosmic_IoU": "cosmic IoU",
    "Average/Neutrino_IoU": "neutrino IoU",
}


@dataclass(frozen=True)
class SegmentationSample:
    """The pixels of a batch, and the truth of each enabled head, if any."""

    pixels: Pixels
    heads: dict[str, Any]


class Segmentation(PredictionTask):
    """Pixel classes: a balanced cross entropy, and the Lovasz loss with the weight `lovasz`, see `PixelLoss`; planes
    are added.

    The losses of `event_class.EventClass` and `vertex.Vertex` are added where their weight is not 0. The pixels of
    a sparse network are the non-empty ones.
    """

    name = "segmentation"
    score = "Average/Dataset_mIoU"

    @dataclass
    class Config:
        """`task.*`."""

        loss_balance_scheme: str = choice("focal", "light", "even", "none")
        lovasz: float = number(0.0, low=0.0)
        event: EventClassConfig = section(EventClassConfig)
        vertex: VertexConfig = section(VertexConfig)

    def __init__(self, config: Config, spec: Spec, view: Callable[[Batch], Pixels]):
        images: SparseImagesSpec = spec["images"]
        self.pixel_loss = PixelLoss(config.loss_balance_scheme, config.lovasz, images.planes, len(images.classes))
        self.spec = images
        self.view = view
        kinds = {"event": (EventClass, config.event), "vertex": (Vertex, config.vertex)}
        self.heads: dict[str, Head] = {
            name: kind(options, spec) for name, (kind, options) in kinds.items() if options.weight
        }
        self.outputs = {"pixels": len(images.classes)} | {name: head.channels for name, head in self.heads.items()}
        self.headline = dict(HEADLINE)
        for head in self.heads.values():
            self.headline |= head.headline

    def check(self, source: Source) -> None:
        """Raise `DataError` if the files lack truth that training needs."""
        for name, head in self.heads.items():
            if head.needs[0] not in source.spec.known:
                raise missing_truth(name, head.needs)

    def prepare(self, batch: Batch) -> SegmentationSample:
        """Pixels and, where there are, labels."""
        return SegmentationSample(self.view(batch), {name: head.target(batch) for name, head in self.heads.items()})

    def products(self, batch: Batch, sample: SegmentationSample) -> dict[str, Any]:
        """Non-empty pixels as read, and images as network inputs."""
        read = batch["images"]
        pixels = sample.pixels
        return {"voxel value": read.value, "voxel label": read.label, "image": pixels.values, "label": pixels.label}

    def phases(self, network: nn.Module) -> list[Phase]:
        """A single phase that trains the network on the labels."""

        def loss(module: nn.Module, sample: SegmentationSample, totals: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            outputs = self._outputs(module, sample)
            return self.loss(outputs, sample, totals), outputs

        return [Phase("segmentation", network, loss)]

    def totals(self, sample: SegmentationSample) -> Tensor:
        """What the losses of pixels and heads count, float64 in a row. Raises `DataError` where the files have no
        labels."""
        if sample.pixels.label is None:
            raise DataError("data.label_producer: is empty, but training needs labels")
        parts = [self.pixel_loss.totals(sample.pixels)]
        return torch.cat(parts + [head.weights(sample.heads[name]) for name, head in self._known(sample)])

    def normaliser(self, totals: Tensor) -> Tensor | None:
        """Weights of the pixels' terms and of the heads', or None for focal, whose weights depend on the prediction."""
        weight = self.pixel_loss.normaliser(totals)
        return None if weight is None else torch.cat([weight, totals[self.pixel_loss.size :]])

    def loss(self, outputs: dict[str, Tensor], sample: SegmentationSample, totals: Tensor) -> LossTerms:
        """Terms of the pixels, then those of the heads; `totals` of the whole step."""
        terms = [self.pixel_loss.terms(outputs["pixels"], sample.pixels, totals)]
        terms += [head.loss(outputs[name], sample.heads[name]) for name, head in self._known(sample)]
        return LossTerms(*(torch.cat(parts) for parts in zip(*terms, strict=True)))

    def evaluate(
        self, network: nn.Module, sample: SegmentationSample, over_ranks: Callable[[Tensor], Tensor]
    ) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """See `Task.evaluate`."""
        outputs = self._outputs(network, sample)
        if sample.pixels.label is None:
            return outputs, {}
        return outputs, self.count(sample, outputs, self.loss(outputs, sample, over_ranks(self.totals(sample))))

    def count(self, sample: SegmentationSample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
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

    def display(self, sample: SegmentationSample, outputs: dict[str, Tensor], index: int, title: str) -> Figure:
        """Charge, prediction and, where there is truth, truth and errors, plane by plane; vertices as crosses."""
        image, label, predicted = sample.pixels.event_images(outputs["pixels"], index)
        vertices = {}
        if isinstance(vertex := self.heads.get("vertex"), Vertex):
            vertices["predicted"] = vertex.position(outputs["vertex"])[index].cpu().numpy()
            if sample.heads["vertex"] is not None:
                vertices["true"] = sample.heads["vertex"][index].cpu().numpy()
        if isinstance(event := self.heads.get("event"), EventClass):
            names = event.names
            scores = outputs["event"][index].softmax(0)
            title += f": {names[int(scores.argmax())]} ({float(scores.max()):.2f})"
            if sample.heads["event"] is not None:
                title += f", true {event.name(int(sample.heads['event'][index]))}"
        shown = image.cpu().numpy(), None if label is None else label.cpu().numpy(), predicted.cpu().numpy()
        return event_display(*shown, self.spec.classes, title, vertices)

    def predicted(self, batch: Batch, sample: SegmentationSample, outputs: dict[str, Tensor], spec: Spec) -> EventTable:
        """See `PredictionTask.predicted`: what the heads find, and as `parts` the pixels that are not background, with
        the row of their class among the spec's, and the probability of each class."""
        found = found_pixels(sample.pixels, outputs["pixels"], len(batch), self.spec.planes)
        columns = {"entry": batch.entries, **dict(zip(spec.ids, batch.event_ids.T, strict=False))}
        units: dict[str, str] = {}
        for name, head in self.heads.items():
            columns |= head.predictions(outputs[name], sample.heads[name])
            units |= head.units
        parts = {"event": np.repeat(np.arange(len(found)), [len(pixels.plane) for pixels in found])}
        parts |= {name: np.concatenate([getattr(pixels, name) for pixels in found]) for name in PLACES}
        parts["class"] = np.concatenate([pixels.label for pixels in found])
        scores = np.concatenate([pixels.scores for pixels in found if pixels.scores is not None])
        parts |= {f"score_{name}": column for name, column in zip(self.spec.classes, scores.T, strict=True)}
        return EventTable(columns, units, EventTable(parts, {}))

    def report(self, splits: Splits, folder: Path, provenance: dict[str, str], scores: bool) -> SegmentationReport:
        """See `PredictionTask.report`."""
        return SegmentationReport(splits.test.source, self.heads, folder, provenance, scores)

    def _known(self, sample: SegmentationSample) -> list[tuple[str, Head]]:
        """The heads with truth in the sample."""
        return [(name, head) for name, head in self.heads.items() if sample.heads[name] is not None]

    def _outputs(self, module: nn.Module, sample: SegmentationSample) -> dict[str, Tensor]:
        return {name: output.float() for name, output in module(sample.pixels.input).items()}
