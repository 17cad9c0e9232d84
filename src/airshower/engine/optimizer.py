"""Optimizers, and the learning rate as a function of the step."""

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import nn

from airshower.config.schema import OptimizerConfig, ScheduleConfig

FITTED = ("cosine", "one_cycle")
"""Schedules whose course depends on the number of steps."""


@dataclass(frozen=True)
class Cycle:
    """The optimizer steps, `begin` inclusive and `end` exclusive, over which the schedule of the learning rate runs."""

    begin: int
    end: int

    def rate(self, config: OptimizerConfig, step: int, steps_per_epoch: int) -> float:
        """The learning rate of optimizer step `step` (from 0); from `end` on a fitted schedule stays at its floor."""
        return learning_rate(config, step - self.begin, self.end - self.begin, steps_per_epoch)

    def resumed(self, extension: str, step: int, total: int) -> "Cycle":
        """The cycle of a run that goes on at `step` up to `total` steps. If the run ends earlier, the cycle is
        shortened to it. If it ends later, `mode.extension` decides: keep, restart or stretch."""
        if step >= total or total == self.end:
            return self
        if total < self.end or extension == "stretch":
            return replace(self, end=total)
        return Cycle(step, total) if extension == "restart" else self


def build_optimizer(
    config: OptimizerConfig, module: nn.Module, betas: tuple[float, float] | None = None
) -> torch.optim.Optimizer:
    """The optimizer of a module; weight decay is for convolution weights only, not for biases and normalizations.
    `betas` replace Adam's defaults."""
    options: dict[str, Any] = {"betas": betas} if betas else {}
    trained = [parameter for parameter in module.parameters() if parameter.requires_grad]
    groups = [
        {"params": [p for p in trained if p.ndim > 1], "weight_decay": config.weight_decay},
        {"params": [p for p in trained if p.ndim <= 1], "weight_decay": 0.0},
    ]
    match config.name:
        case "adam":
            return torch.optim.Adam(groups, lr=config.learning_rate, **options)
        case "adamw":
            return torch.optim.AdamW(groups, lr=config.learning_rate, **options)
        case "rmsprop":
            return torch.optim.RMSprop(groups, lr=config.learning_rate, eps=1e-4)
        case "sgd":
            return torch.optim.SGD(groups, lr=config.learning_rate, momentum=0.9)
    raise ValueError(config.name)


def learning_rate(config: OptimizerConfig, step: int, total: int, steps_per_epoch: int) -> float:
    """The learning rate of optimizer step `step` (from 0) of `total`.

    `warmup_flat_decay`: from `floor` linearly to the peak over `warmup` epochs, flat for `flat` epochs, then towards
    `floor` as exp(-decay * epochs) (CosmicTagger's). `cosine`: the same warm-up, then half a cosine to `floor` at
    `total` (Loshchilov & Hutter 2017). `one_cycle`: cosine from peak/25 to the peak over the first 30 %, then to
    `floor` (Smith & Topin 2018). A `floor` above the peak counts as the peak.
    """
    schedule = config.schedule
    peak = config.learning_rate
    floor = min(schedule.floor, peak)
    match schedule.name:
        case "constant":
            return peak
        case "warmup_flat_decay":
            return _warmup_flat_decay(schedule, peak, floor, step / steps_per_epoch)
        case "cosine":
            warmup = min(schedule.warmup * steps_per_epoch, total / 2)
            if step < warmup:
                return floor + (peak - floor) * step / warmup
            return _half_cosine(peak, floor, (step - warmup) / max(1.0, total - warmup))
        case "one_cycle":
            rise = 0.3 * total
            if step < rise:
                return _half_cosine(peak / 25, peak, step / rise)
            return _half_cosine(peak, floor, (step - rise) / max(1.0, total - rise))
    raise ValueError(schedule.name)


def _warmup_flat_decay(schedule: ScheduleConfig, peak: float, floor: float, epoch: float) -> float:
    if epoch < schedule.warmup:
        return floor + (peak - floor) * epoch / schedule.warmup
    late = epoch - schedule.warmup - schedule.flat
    return peak if late < 0 else floor + (peak - floor) * math.exp(-schedule.decay * late)


def _half_cosine(start: float, end: float, fraction: float) -> float:
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * min(1.0, fraction)))
