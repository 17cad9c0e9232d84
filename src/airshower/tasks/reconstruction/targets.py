"""What is learned of an event: a number, a direction or a position of its truth, each with its loss and its metrics."""

import dataclasses
import math
from abc import ABC, abstractmethod
from dataclasses import dataclass, field
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.data.source import predicted_error
from airshower.data.truth import DIRECTION, NUMBER, POSITION, Column, Frame
from airshower.data.units import factor
from airshower.errors import UserError
from airshower.geometry.sky import altitude_azimuth, direction_at, seen_from, separation, unit_vector
from airshower.networks.network import Start
from airshower.statistics.counts import contained, count_errors
from airshower.tasks.reconstruction.judged import Judged

MOST_LOG_SCALE = 12.0  # of the scale of errors, either way


@dataclass
class TargetConfig:
    """`task.targets.NAME.*`: a column of the truth and how it is learned; `weight` 0 leaves the target out."""

    column: str = ""
    weight: float = number(1.0, low=0.0)
    class_weights: Any = field(default_factory=list)
    loss: str = choice("huber", "l1", "likelihood")
    unit: str = ""
    log10: bool = False
    middle: float = number(0.0)
    scale: float = number(1.0, above=0.0)


class Target(ABC):
    """One target: a column of the truth, [entries, channels] of the network's outputs.

    Predictions, errors and metrics are in `unit`. Weights [entries] are 0 where an entry is masked: with `signal_only`
    where it is not of the signal, and always where its truth is not known.
    """

    channels: int
    signal_only: bool

    def __init__(self, name: str, config: TargetConfig, column: Column):
        self.name = name
        self.config = config
        self.column = column
        self.unit = config.unit or column.unit
        self.factor = factor(column.unit, config.unit, f"task.targets.{name}.unit")

    @property
    def judged(self) -> Judged:
        """What figures of merit need to know of it."""
        return Judged(self.name, self.column.kind, self.unit, self.config.log10, self.parts)

    @property
    def parts(self) -> tuple[str, ...]:
        """The columns of a table that a prediction has."""
        parts = self.column.parts
        if not parts:
            return (self.name,)
        return parts if self.name == self.column.name else tuple(f"{self.name}_{part}" for part in parts)

    @property
    def units(self) -> dict[str, str]:
        """The units of these columns."""
        return dict.fromkeys(self.parts, self.unit)

    @property
    @abstractmethod
    def headline(self) -> dict[str, str]:
        """Metrics for a line on the console, and their short names."""

    def check_start(self, start: Start) -> None:
        """Raise `UserError` where outputs of this target can't begin as a fit like this."""
        if self.column.kind != start.kind or self.column.whole_sky:
            sky = " of the whole sky" if self.column.whole_sky else ""
            raise UserError(
                f"task.targets.{self.name}: the column {self.column.name} is a {self.column.kind}{sky}, but "
                f"{self.name} of this network begins as the fit of a {start.kind}; give the target another name"
            )

    @abstractmethod
    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """What outputs are compared with, from the column's values, NaN where files have none."""

    @abstractmethod
    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """The weight of each entry in the loss, from that of the entry."""

    @abstractmethod
    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each entry [entries], times the target's weight."""

    @abstractmethod
    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Counters that add up."""

    @abstractmethod
    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters."""

    @abstractmethod
    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Predictions in `unit`, by name of a table's column."""

    def table(self, truth: Tensor) -> dict[str, np.ndarray]:
        """The true values in `unit`, by name of a table's column."""
        values = truth.reshape(len(truth), -1) if self.factor == 1.0 else truth.reshape(len(truth), -1) * self.factor
        return dict(zip(self.parts, values.cpu().numpy().T, strict=True))

    def in_files(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Predictions as files have the truth: in the column's unit, by its parts or its name."""
        names = self.column.parts or (self.column.name,)
        return {
            name: columns[part] if self.factor == 1.0 else columns[part] / self.factor
            for name, part in zip(names, self.parts, strict=True)
        }


class Regression(Target):
    """The loss is of an error e that is not negative, in the unit of the output: e itself (l1), or Huber's (1964),
    e^2 / 2 up to e = 1 and e - 1/2 above. Metrics are the mean of the error and within what 68.27 % of all errors lie,
    times `size`.

    With `likelihood` one more output is the logarithm of the error's scale s, and the loss is that of the density
    s^-k exp(-huber(e / s)) of an error in k = `dimensions` (Huber's least favourable one: normal, with exponential
    tails). Predictions then have a column `NAME_error`, within which an error lies with 68.27 %.
    """

    unknown: tuple[float, ...] = (0.0,)  # stands in for a target that is not known; its weight is 0

    def __init__(
        self, name: str, config: TargetConfig, column: Column, signal_only: bool, values: int, dimensions: int
    ):
        super().__init__(name, config, column)
        self.signal_only = signal_only
        self.size = config.scale
        self.values = values
        self.dimensions = dimensions
        self.likelihood = config.loss == "likelihood"
        self.channels = values + self.likelihood

    @property
    def judged(self) -> Judged:
        """See `Target`."""
        return dataclasses.replace(super().judged, predicted_error=self.error_column)

    @property
    def error_column(self) -> str:
        """The column of predicted errors, empty if there is none."""
        return f"{self.name}_error" if self.likelihood else ""

    @property
    def units(self) -> dict[str, str]:
        """See `Target`."""
        return super().units | ({self.error_column: self.error_unit} if self.likelihood else {})

    @property
    def error_unit(self) -> str:
        """The unit of predicted errors."""
        return self.unit

    @property
    def headline(self) -> dict[str, str]:
        """See `Target`."""
        return {f"{self.name}/resolution": f"{self.name} ({self.unit})" if self.unit else self.name}

    @property
    def error_in_files(self) -> tuple[str, float]:
        """The name of predicted errors in files, and the factor from `error_unit` to the unit there."""
        return predicted_error(self.column.name), 1.0 / self.factor

    def in_files(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """See `Target`: also predicted errors."""
        written = super().in_files(columns)
        if self.likelihood:
            name, in_file = self.error_in_files
            written[name] = columns[self.error_column] * in_file
        return written

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """[entries], not negative; of the values of outputs."""
        return (output - target).norm(dim=1)

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        return weight * target.isfinite().all(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Target`."""
        error = self.error(output[:, : self.values], self._finite(target))
        if self.likelihood:
            log_scale = _log_scale(output)
            return self.config.weight * (_huber(error * (-log_scale).exp()) + self.dimensions * log_scale)
        return self.config.weight * (error if self.config.loss == "l1" else _huber(error))

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Sums of weights and of errors, and the errors' distribution."""
        error = self.size * self.error(output[:, : self.values], self._finite(target)).double()
        weight = weight.double()
        sums = torch.stack([weight.sum(), (weight * error).sum()])
        return {f"{self.name}_sums": sums, f"{self.name}_errors": count_errors(error, weight)}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean error and 68 % containment."""
        count, error = counters[f"{self.name}_sums"].tolist()
        mean = error / count if count else float("nan")
        return {f"{self.name}/error": mean, f"{self.name}/resolution": contained(counters[f"{self.name}_errors"])}

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """See `Target`."""
        predicted = self.predicted(output[:, : self.values], frame)
        if not self.likelihood:
            return predicted
        scale = _log_scale(output).double().exp().cpu().numpy() * self.size
        return predicted | {self.error_column: scale * huber_containment(self.dimensions)}

    @abstractmethod
    def predicted(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Predictions in `unit` from the values of outputs, by name of a table's column."""

    def _finite(self, target: Tensor) -> Tensor:
        return torch.where(target.isfinite().all(1, keepdim=True), target, target.new_tensor(self.unknown))


class Number(Regression):
    """A number x: (x - middle) / scale."""

    def __init__(self, name: str, config: TargetConfig, column: Column, signal_only: bool):
        super().__init__(name, config, column, signal_only, values=1, dimensions=1)

    @property
    def headline(self) -> dict[str, str]:
        """See `Target`."""
        return {f"{self.name}/error": f"{self.name} ({self.unit})" if self.unit else self.name}

    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """[entries, 1]."""
        values = truth if self.factor == 1.0 else truth * self.factor
        return (values[:, None] - self.config.middle) / self.config.scale

    def predicted(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """See `Regression`."""
        return {self.name: (output[:, 0] * self.config.scale + self.config.middle).cpu().numpy()}


class LogNumber(Number):
    """A positive number x: (log10(x) - middle) / scale. `NAME/error` is in decades; bias and resolution are of the
    relative error, as the field has them of energies."""

    @property
    def headline(self) -> dict[str, str]:
        """See `Target`."""
        return {f"{self.name}/resolution": f"{self.name} resolution"}

    @property
    def error_unit(self) -> str:
        """See `Regression`."""
        return "decades"

    @property
    def error_in_files(self) -> tuple[str, float]:
        """See `Regression`."""
        return predicted_error(self.column.name, log10=True), 1.0

    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """[entries, 1]."""
        values = truth if self.factor == 1.0 else truth * self.factor
        return (values.log10()[:, None] - self.config.middle) / self.config.scale

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Beside the mean error the distributions of reconstructed over true values, and of how far that is from 1."""
        ratio = 10.0 ** (self.size * (output[:, :1] - self._finite(target))[:, 0]).double()
        return {
            **super().count(output, target, weight),
            f"{self.name}_errors": count_errors((ratio - 1).abs(), weight),
            f"{self.name}_ratios": count_errors(ratio, weight),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean absolute error in decades; the median of the relative error, and 68 % containment of its size."""
        bias = contained(counters[f"{self.name}_ratios"], 0.5) - 1
        return {**super().metrics(counters), f"{self.name}/bias": bias}

    def predicted(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """See `Regression`; f8."""
        exponent = output[:, 0].double().cpu().numpy() * self.config.scale + self.config.middle
        return {self.name: 10.0**exponent}


class Direction(Regression):
    """Where an event comes from. The output is a point of the plane that touches the sky at the frame's axis, in
    degrees towards rising altitude and rising azimuth, which is where the cameras' pixels are; angles themselves would
    jump at the north and have no meaning at the zenith. Without an axis it is a vector of any length. Any output is a
    direction, and the error is the angle in degrees between it and the true one, both unit vectors."""

    unknown = (0.0, 0.0, 1.0)

    def __init__(self, name: str, config: TargetConfig, column: Column, signal_only: bool):
        super().__init__(name, config, column, signal_only, values=3 if column.whole_sky else 2, dimensions=2)
        self.unit, self.factor = "deg", 1.0

    @property
    def headline(self) -> dict[str, str]:
        """See `Target`."""
        name = "angle" if self.name == "direction" else self.name
        return {f"{self.name}/resolution": f"{name} (deg)"}

    @property
    def units(self) -> dict[str, str]:
        """See `Target`: angles, where errors are in degrees."""
        return super().units | dict.fromkeys(self.parts, "rad")

    @property
    def error_in_files(self) -> tuple[str, float]:
        """See `Regression`: rad, as directions are."""
        return predicted_error(self.column.name), math.pi / 180

    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """Unit vectors [entries, 3], in the frame of the axis if there is one."""
        return unit_vector(truth) if self.column.whole_sky else seen_from(frame.axis, truth)

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Degrees."""
        if self.column.whole_sky:
            return separation(output, target.to(output))
        return separation(torch.cat([torch.deg2rad(output), torch.ones_like(output[:, :1])], 1), target.to(output))

    def predicted(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Altitude and azimuth (0 to 2 pi) in rad."""
        direction = altitude_azimuth(output.double()) if self.column.whole_sky else direction_at(output, frame.axis)
        return dict(zip(self.parts, direction.cpu().numpy().T, strict=True))


class Position(Regression):
    """A place: its coordinates from the frame's origin, by `scale`. The error is a distance."""

    def __init__(self, name: str, config: TargetConfig, column: Column, signal_only: bool):
        super().__init__(name, config, column, signal_only, len(column.parts), len(column.parts))

    def check_start(self, start: Start) -> None:
        """See `Target`: the fit's scale must be that of the outputs."""
        super().check_start(start)
        due = start.size * factor(start.unit, self.unit, f"task.targets.{self.name}.unit")
        if not math.isclose(self.size, due):
            raise UserError(
                f"task.targets.{self.name}.scale={self.size:g}: this network's {self.name} begins as a fit in "
                f"{start.size:g} {start.unit}; use task.targets.{self.name}.scale={due:g} with this unit, {self.unit}"
            )

    def of(self, truth: Tensor, frame: Frame) -> Tensor:
        """[entries, channels]."""
        values = truth - frame.origin
        return (values if self.factor == 1.0 else values * self.factor) / self.config.scale

    def predicted(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Coordinates in `unit`."""
        origin = frame.origin if self.factor == 1.0 else frame.origin * self.factor
        return dict(zip(self.parts, (output * self.config.scale + origin).cpu().numpy().T, strict=True))


def regression(name: str, config: TargetConfig, column: Column, signal_only: bool) -> Regression:
    """The target of a column that is no class. Raises `UserError` for positions of several images."""
    if column.kind == POSITION and not column.parts:
        raise UserError(f"task.targets.{name}.column={column.name}: is not one position of each event")
    kinds = {NUMBER: LogNumber if config.log10 else Number, DIRECTION: Direction, POSITION: Position}
    return kinds[column.kind](name, config, column, signal_only)


def _huber(error: Tensor) -> Tensor:
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")


def _log_scale(output: Tensor) -> Tensor:
    """The logarithm of the scale of errors, the last output, within bounds that keep the loss finite."""
    return output[:, -1].clamp(-MOST_LOG_SCALE, MOST_LOG_SCALE)


@cache
def huber_containment(dimensions: int, fraction: float = 0.6827) -> float:
    """The radius within which this fraction of errors lies whose density is exp(-huber(r)) in so many dimensions."""
    radius = np.linspace(0.0, 60.0, 600_001)
    density = radius ** (dimensions - 1) * np.exp(-np.where(radius < 1, radius**2 / 2, radius - 0.5))
    inside = np.cumsum(density)
    return float(np.interp(fraction, inside / inside[-1], radius))
