"""Which class an event is of."""

import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.data.truth import Column, Frame
from airshower.errors import UserError
from airshower.statistics.counts import area_under_roc
from airshower.tasks.reconstruction.judged import Judged
from airshower.tasks.reconstruction.targets import Target, TargetConfig

SCORE_RANGE, SCORE_BINS = 15.0, 3000  # of log odds, in which scores are counted
BALANCED = "balanced"


class ClassTarget(Target):
    """Cross entropy over the classes of a column. ROC curves are of the scores of class `signal`. Names of metrics
    begin with `prefix`, which is empty for one class target.

    With balanced class weights each class has the same part in the loss: that of a class with n_c of the n entries to
    train on is n / (classes * n_c) (King & Zeng 2001). Without training, in an inference, they are 1.
    """

    signal_only = False

    def __init__(self, name: str, config: TargetConfig, column: Column, signal: int, prefix: str = ""):
        super().__init__(name, config, column)
        self.names = column.classes
        self.channels = len(column.classes)
        self.signal = signal
        self.prefix = prefix
        self.class_weights = _class_weights(config.class_weights, column.classes, name)

    @property
    def judged(self) -> Judged:
        """See `Target`."""
        return dataclasses.replace(super().judged, signal=self.names[self.signal])

    @property
    def headline(self) -> dict[str, str]:
        """See `Target`."""
        return {f"{self.prefix}{name}": f"{self.prefix}{name}" for name in ("accuracy", "AUC")}

    def fit(self, counts: list[int]) -> None:
        """Balance the classes, if this is asked for, by their numbers of entries; those without any have no weight."""
        if self.config.class_weights == BALANCED:
            share = [count * sum(n > 0 for n in counts) / sum(counts) for count in counts]
            self.class_weights = [1 / part if part else 0.0 for part in share]

    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """int64 [entries]: the class, -1 where an entry is of none."""
        return truth

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        of_class = torch.tensor(self.class_weights, device=weight.device)
        return weight * of_class[target.clamp_min(0)] * (target >= 0)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Target`."""
        return self.config.weight * functional.cross_entropy(output, target, reduction="none", ignore_index=-1)

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Confusion counts [true, predicted] and the scores of each true class [classes, SCORE_BINS], unweighted."""
        valid = target >= 0
        classes = self.channels
        output = output[valid]
        target = target[valid]
        cell = target * classes + output.argmax(1)
        position = ((log_odds(output, self.signal) / SCORE_RANGE).clamp(-1, 1) + 1) * (SCORE_BINS - 1) / 2
        score = target * SCORE_BINS + position.round().long()
        return {
            f"{self.name}_confusion": torch.bincount(cell, minlength=classes**2).view(classes, classes),
            f"{self.name}_scores": torch.bincount(score, minlength=classes * SCORE_BINS).view(classes, SCORE_BINS),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Share that is right, and area under the ROC curve of the signal against all others (NaN with one class
        only), from scores in steps of 0.01 of the log odds."""
        confusion = counters[f"{self.name}_confusion"].double()
        scores = counters[f"{self.name}_scores"].double()
        others = torch.arange(self.channels, device=scores.device) != self.signal
        return {
            f"{self.prefix}accuracy": float(confusion.diagonal().sum() / confusion.sum()),
            f"{self.prefix}AUC": area_under_roc(scores[self.signal], scores[others].sum(0)),
        }

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """The predicted class and the probability of each."""
        scores = output.softmax(1).cpu().numpy()
        named = {self.score(name): scores[:, index] for index, name in enumerate(self.names)}
        return {self.name: np.array(self.names)[scores.argmax(1)], **named}

    def score(self, name: str) -> str:
        """The column of a table with the probabilities of a class."""
        prefix = self.prefix.replace("/", "_")
        return f"{prefix}score_{name}"

    def table(self, truth: Tensor) -> dict[str, np.ndarray]:
        """Names of the true classes; "other" where an entry is of none."""
        return {self.name: np.array([*self.names, "other"])[truth.cpu().numpy()]}

    def in_files(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The score of the signal, of the task's own classes."""
        return {} if self.prefix else {"prediction": columns[self.score(self.names[self.signal])]}


def log_odds(logits: Tensor, row: int) -> Tensor:
    """Of the class of this row [entries], from logits [entries, classes]; with one class 0."""
    if logits.shape[1] == 1:
        return torch.zeros_like(logits[:, 0])
    others = torch.arange(logits.shape[1], device=logits.device) != row
    return logits[:, row] - logits[:, others].logsumexp(1)


def _class_weights(given: Any, classes: tuple[str, ...], name: str) -> list[float]:
    """One for each class; all 1 until they are balanced."""
    if given in ([], BALANCED):
        return [1.0] * len(classes)
    numbers = isinstance(given, list) and all(isinstance(item, int | float) for item in given)
    if not numbers or len(given) != len(classes) or not all(0 <= item < np.inf for item in given) or not any(given):
        wanted = f"{len(classes)} numbers from 0 on ({', '.join(classes)}), {BALANCED}, or [] for none"
        raise UserError(f"task.targets.{name}.class_weights={given}: must be {wanted}")
    return [float(item) for item in given]
