"""Event class: which neutrino interaction, if any, an event holds."""

from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import number
from airshower.data.batch import Batch
from airshower.data.spec import Spec
from airshower.errors import UserError
from airshower.tasks.segmentation.head import NEUTRINO
from airshower.writers.figures import Figure, confusion_figure

UNKNOWN = -1  # target of an event with an interaction that is none of the classes


@dataclass
class EventClassConfig:
    """`task.event.*`; `weight` 0 disables the head."""

    weight: float = number(0.0, low=0.0)
    classes: list[str] = field(default_factory=lambda: ["nu_e CC", "nu_mu CC", "NC", "cosmic"])
    class_weights: list[float] = field(default_factory=lambda: [1.0, 1.0, 1.0, 3.0])
    least_pixels: int = number(10, low=0)


class EventClass:
    """Cross entropy over the event's class, with a weight for each class; the last class is that of no neutrino.

    An event of fewer than `least_pixels` neutrino pixels counts as one without a neutrino. One whose interaction is
    none of the classes (charged current of a nu_tau, current not stated) has the target `UNKNOWN` and is masked in the
    loss and in metrics.
    """

    needs = ("interaction", "the neutrino (particle_<data.particle_producer>)")
    headline: ClassVar[dict[str, str]] = {"Average/EventLabel": "event accuracy"}
    units: ClassVar[dict[str, str]] = {}

    def __init__(self, config: EventClassConfig, spec: Spec):
        self.config = config
        self.names = tuple(config.classes)
        self.channels = len(config.classes)
        column = spec.column("interaction")
        rows = {name: row for row, name in enumerate(self.names)}
        self.rows = (
            None
            if column is None or column.name not in spec.known
            else np.array([*(rows.get(name, UNKNOWN) for name in column.classes), UNKNOWN])
        )
        weights = config.class_weights
        if len(weights) != len(self.names) or min(weights) < 0 or not any(weights):
            raise UserError(
                f"task.event.class_weights={weights}: needs {len(self.names)} numbers ({', '.join(self.names)}), none "
                "negative and not all 0"
            )

    def target(self, batch: Batch) -> Tensor | None:
        """True class int64 [events], or `UNKNOWN`, on the batch's device; None if the files have no truth."""
        images = batch["images"]
        if self.rows is None or batch.truth is None or images.label is None:
            return None
        device = images.label.device
        names = torch.as_tensor(self.rows[batch.truth.get("interaction")["interaction"]], device=device)
        event = torch.as_tensor(images.image_index // images.counts.shape[1], device=device)
        pixels = torch.bincount(event[images.label == NEUTRINO], minlength=len(batch))
        return torch.where(pixels < self.config.least_pixels, len(self.names) - 1, names).long()

    def name(self, target: int) -> str:
        """The name of a true class."""
        return "unknown" if target == UNKNOWN else self.names[target]

    def weights(self, target: Tensor) -> Tensor:
        """The loss term's weight of these events, float64 [1]."""
        return self._class_weights(target).double()[target[target != UNKNOWN]].sum()[None]

    def loss(self, logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
        """The term's total and weight, both [1]."""
        weights = self._class_weights(target).to(logits.dtype)
        entropy = functional.cross_entropy(logits, target, weights, reduction="sum", ignore_index=UNKNOWN)
        return self.config.weight * entropy[None], self.weights(target).to(logits.dtype)

    def count(self, logits: Tensor, target: Tensor) -> dict[str, Tensor]:
        """Counts [true, predicted]."""
        classes = len(self.names)
        cell = (target * classes + logits.argmax(1))[target != UNKNOWN]
        return {"event_confusion": torch.bincount(cell, minlength=classes**2).view(classes, classes)}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Accuracy of the event class, under CosmicTagger's name."""
        if "event_confusion" not in counters:
            return {}
        confusion = counters["event_confusion"].double()
        return {"Average/EventLabel": float(confusion.diagonal().sum() / confusion.sum())}

    def predictions(self, logits: Tensor, target: Tensor | None) -> dict[str, np.ndarray]:
        """Columns of a table of events: the true class, if known, the predicted one and the probability of each."""
        scores = logits.softmax(1).cpu().numpy()
        truth = (
            {} if target is None else {"event_class": np.array([self.name(index) for index in target.tolist()], str)}
        )
        named = {f"score_{name.replace(' ', '_')}": scores[:, index] for index, name in enumerate(self.names)}
        return {**truth, "predicted": np.array(self.names)[scores.argmax(1)], **named}

    def summary(self, counters: dict[str, Tensor]) -> dict[str, list]:
        """The confusion matrix."""
        return {"event_confusion": counters["event_confusion"].cpu().tolist()} if "event_confusion" in counters else {}

    def figures(self, counters: dict[str, Tensor], _: dict[str, np.ndarray]) -> dict[str, Figure]:
        """The confusion matrix of event classes."""
        if "event_confusion" not in counters:
            return {}
        counts = counters["event_confusion"].cpu().numpy()
        return {"event_confusion": confusion_figure(counts, self.names, "events")}

    def _class_weights(self, like: Tensor) -> Tensor:
        return torch.tensor(self.config.class_weights, device=like.device)
