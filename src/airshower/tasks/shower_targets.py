"""What is learned of a shower: its primary, energy, direction and core, each with its loss, metrics and units."""

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.data.showers import IactSpec, Showers
from airshower.data.telescopes import LENGTH_UNIT, unit_vector
from airshower.errors import UserError
from airshower.tasks.shower_metrics import area_under_roc

SCORE_RANGE, SCORE_BINS = 15.0, 3000  # of log odds, in which scores are counted
MOST_OFFSET = 60.0  # deg from the pointing; directions further away are brought there


@dataclass
class TypeConfig:
    """`task.type.*`; `weight` 0 leaves the target out."""

    weight: float = number(1.0, low=0.0)
    class_weights: list[float] = field(default_factory=list)


@dataclass
class RegressionConfig:
    """`task.energy.*` and its like; `weight` 0 leaves the target out."""

    weight: float = number(1.0, low=0.0)
    loss: str = choice("huber", "l1")


@dataclass(frozen=True)
class Frame:
    """Where entries are seen from: `pointing` [entries, 2], altitude and azimuth in rad, and `origin` [entries, 2] of
    cores in m."""

    pointing: Tensor
    origin: Tensor


class Target(Protocol):
    """One target. `of` gives what the network's output [entries, channels] is compared with; weights [entries] are 0
    where an entry has no part."""

    channels: int
    only_gammas: bool
    columns: tuple[str, ...]

    def of(self, showers: Showers, frame: Frame) -> Tensor:
        """The target of each entry, NaN where the files have none."""
        ...

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """The weight of each entry in the loss, from that of the entry."""
        ...

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each entry [entries], times the target's weight."""
        ...

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Counters that add up."""
        ...

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters."""
        ...

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Predictions in physical units, by name of a table's column."""
        ...


class PrimaryType:
    """Cross entropy over the classes of `data.classes`. The score of the first class, gamma by default, is what ROC
    curves are of."""

    only_gammas = False
    columns = ("type",)

    def __init__(self, config: TypeConfig, spec: IactSpec):
        self.config, self.names, self.channels = config, spec.classes, len(spec.classes)
        if config.class_weights and len(config.class_weights) != self.channels:
            raise UserError(
                f"task.type.class_weights: needs {self.channels} numbers ({', '.join(self.names)}), or none"
            )

    def of(self, showers: Showers, _: Frame) -> Tensor:
        """int64 [entries]: the class, -1 where the primary is in none."""
        return showers.primary

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        of_class = self.config.class_weights or [1.0] * self.channels
        return weight * torch.tensor(of_class, device=weight.device)[target.clamp_min(0)] * (target >= 0)

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


class _Regression:
    """Huber loss (delta 1) or absolute errors, summed over components, in the units of the output."""

    columns: tuple[str, ...] = ()

    def __init__(self, config: RegressionConfig, only_gammas: bool):
        self.config, self.only_gammas = config, only_gammas

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        return weight * target.isfinite().all(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Target`."""
        target = torch.where(target.isfinite(), target, output.detach())
        function = functional.huber_loss if self.config.loss == "huber" else functional.l1_loss
        return self.config.weight * function(output, target, reduction="none").sum(1)


class Energy(_Regression):
    """log10 of the energy in TeV."""

    channels = 1
    columns = ("energy",)

    def of(self, showers: Showers, _: Frame) -> Tensor:
        """[entries, 1]."""
        return showers.energy.log10()[:, None]

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Sums of weights, of errors and of absolute errors."""
        error, weight = (output - torch.nan_to_num(target))[:, 0].double(), weight.double()
        return {"energy_sums": torch.stack([weight.sum(), (weight * error).sum(), (weight * error.abs()).sum()])}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean error and mean absolute error in decades."""
        count, error, absolute = counters["energy_sums"].tolist()
        return {"energy/bias": _ratio(error, count), "energy/error": _ratio(absolute, count)}

    def physical(self, output: Tensor, _: Frame) -> dict[str, np.ndarray]:
        """TeV."""
        return {"energy": 10.0 ** output[:, 0].double().cpu().numpy()}


class Direction(_Regression):
    """Where the shower comes from, in the plane tangential to the sky at the pointing: degrees towards rising altitude
    and rising azimuth. Angles themselves would jump at the north and have no meaning at the zenith."""

    channels = 2
    columns = ("alt", "az")

    def of(self, showers: Showers, frame: Frame) -> Tensor:
        """[entries, 2]."""
        return tangent_offset(showers.direction, frame.pointing)

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Sums of weights and of angles between true and predicted direction."""
        angle = separation_of_offsets(output, torch.nan_to_num(target)).double()
        return {"direction_sums": torch.stack([weight.double().sum(), (weight * angle).sum()])}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean angle between true and predicted direction in degrees."""
        count, angle = counters["direction_sums"].tolist()
        return {"direction/error": _ratio(angle, count)}

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Altitude and azimuth (0 to 2 pi) in rad."""
        alt, az = direction_at(output, frame.pointing).cpu().numpy().T
        return {"alt": alt, "az": az}


class Core(_Regression):
    """Where the shower's axis meets the ground: x and y in 100 m from the frame's origin."""

    channels = 2
    columns = ("core_x", "core_y")

    def of(self, showers: Showers, frame: Frame) -> Tensor:
        """[entries, 2]."""
        return (showers.core - frame.origin) / LENGTH_UNIT

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Sums of weights and of distances."""
        distance = (output - torch.nan_to_num(target)).norm(dim=1).double() * LENGTH_UNIT
        return {"core_sums": torch.stack([weight.double().sum(), (weight * distance).sum()])}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean distance between true and predicted core in m."""
        count, distance = counters["core_sums"].tolist()
        return {"core/error": _ratio(distance, count)}

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """x (north) and y (west) in m."""
        x, y = (output * LENGTH_UNIT + frame.origin).cpu().numpy().T
        return {"core_x": x, "core_y": y}


def log_odds(logits: Tensor) -> Tensor:
    """Of the first class [entries], from logits [entries, classes]; with one class 0."""
    if logits.shape[1] == 1:
        return torch.zeros_like(logits[:, 0])
    return logits[:, 0] - logits[:, 1:].logsumexp(1)


def tangent_offset(direction: Tensor, pointing: Tensor) -> Tensor:
    """A direction (altitude and azimuth in rad [n, 2]) in the plane tangential at the pointing: degrees towards rising
    altitude and rising azimuth [n, 2]."""
    up, along, ahead = _axes(pointing)
    seen = unit_vector(direction)
    depth = (seen * ahead).sum(1).clamp_min(float(np.cos(np.radians(MOST_OFFSET))))
    return torch.rad2deg(torch.stack([(seen * up).sum(1) / depth, (seen * along).sum(1) / depth], 1))


def direction_at(offset: Tensor, pointing: Tensor) -> Tensor:
    """The inverse of `tangent_offset`, azimuth from 0 to 2 pi; float64."""
    up, along, ahead = _axes(pointing.double())
    tangent = torch.deg2rad(offset.double())
    x, y, z = (ahead + tangent[:, :1] * up + tangent[:, 1:] * along).unbind(1)
    return torch.stack([torch.atan2(z, torch.hypot(x, y)), torch.atan2(y, x) % (2 * torch.pi)], 1)


def separation_of_offsets(a: Tensor, b: Tensor) -> Tensor:
    """The angle in degrees between two directions [n] given as offsets [n, 2] from the same pointing."""
    ones = torch.ones_like(a[:, :1])
    first, second = (torch.cat([torch.deg2rad(offset), ones], 1) for offset in (a, b))
    return torch.rad2deg(torch.atan2(torch.linalg.cross(first, second).norm(dim=1), (first * second).sum(1)))


def _axes(pointing: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Unit vectors [n, 3] towards rising altitude, rising azimuth and the pointing."""
    alt, az = pointing.unbind(1)
    up = torch.stack([-alt.sin() * az.cos(), -alt.sin() * az.sin(), alt.cos()], 1)
    along = torch.stack([-az.sin(), az.cos(), torch.zeros_like(az)], 1)
    return up, along, unit_vector(pointing)


def _ratio(total: float, count: float) -> float:
    return total / count if count else float("nan")
