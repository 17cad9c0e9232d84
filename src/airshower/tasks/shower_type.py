"""Which primary a shower is of."""

from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import number
from airshower.data.showers import IactSpec, Showers
from airshower.errors import UserError
from airshower.tasks.shower_metrics import area_under_roc
from airshower.tasks.shower_targets import Frame

SCORE_RANGE, SCORE_BINS = 15.0, 3000  # of log odds, in which scores are counted
BALANCED = "balanced"


@dataclass
class TypeConfig:
    """`task.type.*`; `weight` 0 leaves the target out."""

    weight: float = number(1.0, low=0.0)
    class_weights: Any = field(default_factory=list)


class PrimaryType:
    """Cross entropy over the classes of `data.classes`. The score of the first class, gamma by default, is what ROC
    curves are of.

    With balanced class weights each class has the same part in the loss: that of a class with n_c of the n entries to
    train on is n / (classes * n_c) (King & Zeng 2001). Without training, in an inference, they are 1.
    """

    only_gammas = False
    columns: tuple[str, ...] = ("type",)
    needs: tuple[str, ...] = ()

    def __init__(self, config: TypeConfig, spec: IactSpec):
        self.config, self.names, self.channels = config, spec.classes, len(spec.classes)
        self.class_weights = _class_weights(config.class_weights, spec.classes)

    def fit(self, counts: list[int]) -> None:
        """Balance the classes, if this is asked for, by their numbers of entries; those without any have no weight."""
        if self.config.class_weights == BALANCED:
            share = [count * sum(n > 0 for n in counts) / sum(counts) for count in counts]
            self.class_weights = [1 / part if part else 0.0 for part in share]

    def of(self, showers: Showers, _: Frame) -> Tensor:
        """int64 [entries]: the class, -1 where the primary is in none."""
        return showers.primary

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        of_class = torch.tensor(self.class_weights, device=weight.device)
        return weight * of_class[target.clamp_min(0)] * (target >= 0)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Target`."""
        return self.config.weight * functional.cross_entropy(output, target, reduction="none", ignore_index=-1)

    def count(self, output: Tensor, target: Tensor, _: Tensor) -> dict[str, Tensor]:
        """Confusion counts [true, predicted] and the scores of each true class [classes, SCORE_BINS], unweighted."""
        known, classes = target >= 0, self.channels
        output, target = output[known], target[known]
        cell = target * classes + output.argmax(1)
        place = ((log_odds(output) / SCORE_RANGE).clamp(-1, 1) + 1) * (SCORE_BINS - 1) / 2
        score = target * SCORE_BINS + place.round().long()
        return {
            "type_confusion": torch.bincount(cell, minlength=classes**2).view(classes, classes),
            "type_scores": torch.bincount(score, minlength=classes * SCORE_BINS).view(classes, SCORE_BINS),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Share that is right, and area under the ROC curve of the first class against all others (NaN with one class
        only), from scores in steps of 0.01 of the log odds."""
        confusion, scores = counters["type_confusion"].double(), counters["type_scores"].double()
        return {
            "accuracy": float(confusion.diagonal().sum() / confusion.sum()),
            "AUC": area_under_roc(scores[0], scores[1:].sum(0)),
        }

    def physical(self, output: Tensor, _: Frame) -> dict[str, np.ndarray]:
        """The predicted class and the probability of each."""
        scores = output.softmax(1).cpu().numpy()
        named = {f"score_{name}": scores[:, index] for index, name in enumerate(self.names)}
        return {"type": np.array(self.names)[scores.argmax(1)], **named}


def log_odds(logits: Tensor) -> Tensor:
    """Of the first class [entries], from logits [entries, classes]; with one class 0."""
    if logits.shape[1] == 1:
        return torch.zeros_like(logits[:, 0])
    return logits[:, 0] - logits[:, 1:].logsumexp(1)


def _class_weights(given: Any, classes: tuple[str, ...]) -> list[float]:
    """One for each class; all 1 until they are balanced."""
    if given in ([], BALANCED):
        return [1.0] * len(classes)
    numbers = isinstance(given, list) and all(isinstance(item, int | float) for item in given)
    if not numbers or len(given) != len(classes) or not all(0 <= item < np.inf for item in given) or not any(given):
        wanted = f"{len(classes)} numbers from 0 on ({', '.join(classes)}), {BALANCED}, or [] for none"
        raise UserError(f"task.type.class_weights={given}: must be {wanted}")
    return [float(item) for item in given]
