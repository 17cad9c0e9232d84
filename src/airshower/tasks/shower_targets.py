"""What is learned of a shower: its energy, direction, core and depth, each with its loss, metrics and units."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from airshower.config.fields import choice, number
from airshower.data.showers import Showers, TelescopeImages
from airshower.data.telescopes import LENGTH_UNIT, altitude_azimuth, rising, unit_vector
from airshower.tasks.error_counts import contained, count_errors

DEPTH_UNIT, DEPTH_MIDDLE = 100.0, 300.0  # g/cm2; showers of TeV are brightest around there
MOST_OFFSET = 60.0  # deg from the pointing; directions further away are drawn nearer


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
    """One target. `channels` is the size of the network's output [entries, channels]; `needs` are the numbers that
    `Source.truth` has to give, `columns` those that a prediction has in a table. Weights [entries] are 0 where an entry
    has no part: with `only_gammas` where it is of another primary, and always where its truth is not known."""

    channels: int
    only_gammas: bool
    needs: tuple[str, ...]
    columns: tuple[str, ...]

    def of(self, showers: Showers, frame: Frame, /) -> Tensor:
        """What outputs are compared with, NaN where the files have none."""
        ...

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """The weight of each entry in the loss, from that of the entry."""
        ...

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """The loss of each entry [entries], times the target's weight."""
        ...

    def count(self, output: Tensor, target: Tensor, weight: Tensor, /) -> dict[str, Tensor]:
        """Counters that add up."""
        ...

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Named values from summed counters."""
        ...

    def physical(self, output: Tensor, frame: Frame, /) -> dict[str, np.ndarray]:
        """Predictions in physical units, by name of a table's column."""
        ...


class _Regression:
    """The loss is of an error e that is not negative, in the unit of the output: e itself (l1), or Huber's (1964),
    e^2 / 2 up to e = 1 and e - 1/2 above. Metrics are the mean of the error and within what 68.27 % of all errors lie,
    times `unit`."""

    name, unit = "", 1.0
    unknown: tuple[float, ...] = (0.0,)  # stands in for a target that is not known; its weight is 0

    def __init__(self, config: RegressionConfig, only_gammas: bool):
        self.config, self.only_gammas = config, only_gammas

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """[entries], not negative."""
        return (output - target).norm(dim=1)

    def weights(self, target: Tensor, weight: Tensor) -> Tensor:
        """See `Target`."""
        return weight * target.isfinite().all(1)

    def loss(self, output: Tensor, target: Tensor) -> Tensor:
        """See `Target`."""
        error = self.error(output, self._known(target))
        huber = self.config.loss == "huber"
        return self.config.weight * (_huber(error) if huber else error)

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Sums of weights and of errors, and the errors' distribution."""
        error, weight = self.unit * self.error(output, self._known(target)).double(), weight.double()
        sums = torch.stack([weight.sum(), (weight * error).sum()])
        return {f"{self.name}_sums": sums, f"{self.name}_errors": count_errors(error, weight)}

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean error and 68 % containment."""
        count, error = counters[f"{self.name}_sums"].tolist()
        mean = error / count if count else float("nan")
        return {f"{self.name}/error": mean, f"{self.name}/resolution": contained(counters[f"{self.name}_errors"])}

    def _known(self, target: Tensor) -> Tensor:
        return torch.where(target.isfinite().all(1, keepdim=True), target, target.new_tensor(self.unknown))


class Energy(_Regression):
    """log10 of the energy in TeV. `energy/error` is in decades; bias and resolution are of the relative error, as the
    field has them."""

    name, channels = "energy", 1
    needs = columns = ("energy",)

    def of(self, showers: Showers, _: Frame) -> Tensor:
        """[entries, 1]."""
        return showers.energy.log10()[:, None]

    def count(self, output: Tensor, target: Tensor, weight: Tensor) -> dict[str, Tensor]:
        """Beside the mean error the distributions of reconstructed over true energy, and of how far that is from 1."""
        ratio = 10.0 ** (output - self._known(target))[:, 0].double()
        return {
            **super().count(output, target, weight),
            "energy_errors": count_errors((ratio - 1).abs(), weight),
            "energy_ratios": count_errors(ratio, weight),
        }

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """Mean absolute error in decades; the median of the relative error, and 68 % containment of its size."""
        return {**super().metrics(counters), "energy/bias": contained(counters["energy_ratios"], 0.5) - 1}

    def physical(self, output: Tensor, _: Frame) -> dict[str, np.ndarray]:
        """TeV."""
        return {"energy": 10.0 ** output[:, 0].double().cpu().numpy()}


class Direction(_Regression):
    """Where the shower comes from. The output is a point of the plane tangential to the sky at the pointing, in degrees
    towards rising altitude and rising azimuth, which is where the cameras' pixels are; angles themselves would jump at
    the north and have no meaning at the zenith. Any output is a direction, and the error is the angle in degrees
    between it and the true one, both unit vectors: the same in all places and ways."""

    name, channels = "direction", 2
    needs = columns = ("alt", "az")
    unknown = (0.0, 0.0, 1.0)

    def of(self, showers: Showers, frame: Frame) -> Tensor:
        """Unit vectors in the frame of the pointing [entries, 3]."""
        return seen_from(frame.pointing, showers.direction)

    def error(self, output: Tensor, target: Tensor) -> Tensor:
        """Degrees."""
        return separation(torch.cat([torch.deg2rad(output), torch.ones_like(output[:, :1])], 1), target.to(output))

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """Altitude and azimuth (0 to 2 pi) in rad."""
        alt, az = direction_at(output, frame.pointing).cpu().numpy().T
        return {"alt": alt, "az": az}


class Core(_Regression):
    """Where the shower's axis meets the ground: x and y in 100 m from the frame's origin. The error is a distance."""

    name, channels, unit = "core", 2, LENGTH_UNIT
    needs = columns = ("core_x", "core_y")

    def of(self, showers: Showers, frame: Frame) -> Tensor:
        """[entries, 2]."""
        return (showers.core - frame.origin) / LENGTH_UNIT

    def physical(self, output: Tensor, frame: Frame) -> dict[str, np.ndarray]:
        """x (north) and y (west) in m."""
        x, y = (output * LENGTH_UNIT + frame.origin).cpu().numpy().T
        return {"core_x": x, "core_y": y}


class Depth(_Regression):
    """The depth of the shower's maximum, in 100 g/cm2 from 300 g/cm2."""

    name, channels, unit = "x_max", 1, DEPTH_UNIT
    needs = columns = ("x_max",)

    def of(self, showers: Showers, _: Frame) -> Tensor:
        """[entries, 1]."""
        return (showers.x_max[:, None] - DEPTH_MIDDLE) / DEPTH_UNIT

    def physical(self, output: Tensor, _: Frame) -> dict[str, np.ndarray]:
        """g/cm2."""
        return {"x_max": (output[:, 0] * DEPTH_UNIT + DEPTH_MIDDLE).cpu().numpy()}


def seen_from(pointing: Tensor, direction: Tensor) -> Tensor:
    """A direction (both altitude and azimuth in rad [n, 2]) as a unit vector towards rising altitude, rising azimuth
    and the pointing [n, 3]; made in float64, as small offsets are differences."""
    seen = unit_vector(direction.double())
    return (seen[:, None] * _axes(pointing.double())).sum(2).to(direction.dtype)


def tangent_offset(direction: Tensor, pointing: Tensor) -> Tensor:
    """A direction (altitude and azimuth in rad [n, 2]) in the plane tangential at the pointing: degrees towards rising
    altitude and rising azimuth [n, 2]."""
    seen = seen_from(pointing, direction)
    return torch.rad2deg(seen[:, :2] / seen[:, 2:].clamp_min(float(np.cos(np.radians(MOST_OFFSET)))))


def direction_at(offset: Tensor, pointing: Tensor) -> Tensor:
    """The inverse of `tangent_offset`, azimuth from 0 to 2 pi; float64."""
    up, along, ahead = _axes(pointing.double()).unbind(1)
    tangent = torch.deg2rad(offset.double())
    return altitude_azimuth(ahead + tangent[:, :1] * up + tangent[:, 1:] * along)


def in_fields_of_view(direction: Tensor, images: Sequence[TelescopeImages], row: int) -> np.ndarray:
    """A direction (altitude and azimuth in rad [2]) as each telescope with an image of this row of a batch sees it:
    degrees towards rising altitude and azimuth from its own pointing, f8 [images, 2]."""
    pointing = torch.cat([kind.pointing[kind.event == row] for kind in images]).double()
    return tangent_offset(direction.to(pointing).expand_as(pointing), pointing).cpu().numpy()


def separation(a: Tensor, b: Tensor) -> Tensor:
    """The angle in degrees between vectors of any length [n, 3]. By sine and cosine, which is exact at all angles also
    in float32, where arccos rounds those below 0.02 deg away."""
    return torch.rad2deg(torch.atan2(torch.linalg.cross(a, b).norm(dim=1), (a * b).sum(1)))


def _axes(pointing: Tensor) -> Tensor:
    """Unit vectors towards rising altitude, rising azimuth and the pointing [n, 3, 3]."""
    return torch.cat([rising(pointing), unit_vector(pointing)[:, None]], 1)


def _huber(error: Tensor) -> Tensor:
    return functional.huber_loss(error, torch.zeros_like(error), reduction="none")
