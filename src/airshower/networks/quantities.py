"""Numbers of an event as a network takes them in and gives them out."""

import math

import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.source import Selection
from airshower.data.table import Table
from airshower.data.tanks import Quantity, TankBatch, TankSpec
from airshower.errors import UserError

Quantities = tuple[Quantity, ...]


def context(conditions: Tensor, given: Quantities) -> Tensor:
    """Features of an event's scaled conditions, all of which are `given` to the network, or none."""
    return encode(conditions[:, : len(given)], given)


def encode(scaled: Tensor, quantities: Quantities) -> Tensor:
    """Scaled values [n, quantities] as features [n, `encoded_size`]: angles as cosine and sine, so that a turn ends
    where it begins; others as they are. There may be none."""
    features = []
    for column, quantity in zip(scaled.unbind(1), quantities, strict=True):
        if quantity.period:
            angle = column * (2 * math.pi / scaled_turn(quantity))
            features += [angle.cos(), angle.sin()]
        else:
            features.append(column)
    return torch.stack(features, 1) if features else scaled.new_zeros(len(scaled), 0)


def decode(features: Tensor, quantities: Quantities) -> Tensor:
    """The other way around; cosine and sine of an angle may have any length."""
    columns, place = [], 0
    for quantity in quantities:
        if quantity.period:
            angle = torch.atan2(features[:, place + 1], features[:, place])
            columns.append(angle * (scaled_turn(quantity) / (2 * math.pi)))
            place += 2
        else:
            columns.append(features[:, place])
            place += 1
    return torch.stack(columns, 1)


def encoded_size(quantities: Quantities) -> int:
    """The number of features that `encode` makes."""
    return sum(2 if quantity.period else 1 for quantity in quantities)


def scaled_turn(quantity: Quantity) -> float:
    """The period of an angle in scaled units."""
    return quantity.period / quantity.width


class ParameterView:
    """The parameters of events as generators learn them, from batches of this `spec`.

    Files have them in steps. A density can't be learned of such values, so they are spread evenly over their steps
    (Theis et al. 2016, section 3.1). An event takes `draws` random numbers for that.
    """

    def __init__(self, spec: TankSpec):
        self.quantities = spec.parameters
        self.draws = len(spec.parameters)

    def recorded(self, batch: TankBatch) -> Tensor:
        """As files have them, scaled, float32 [n, quantities]."""
        return batch.parameters

    def examples(self, selection: Selection) -> tuple[Tensor, Tensor]:
        """Those of all entries, spread, and their conditions; the same on all ranks."""
        scaled, conditions = map(torch.from_numpy, selection.source.scalars(selection.entries))
        return self.spread(scaled, self.shares(scaled, torch.Generator().manual_seed(0))), conditions

    def table(self, scaled: Tensor) -> Table:
        """In the steps and the turn that files have."""
        return Table.of_scaled(self.quantities, scaled.float().cpu().numpy())

    def bits(self, _: float) -> dict[str, float]:
        """Nothing: densities of numbers depend on their units."""
        return {}

    def spread(self, scaled: Tensor, shares: Tensor) -> Tensor:
        """Recorded values anywhere within their steps: at these `shares` of them [n, `draws`], between 0 and 1."""
        columns = []
        for column, share, q in zip(scaled.double().unbind(1), shares.double().unbind(1), self.quantities, strict=True):
            values, by = column * q.width + q.middle, q.step * (share - 0.5)
            values = (values.exp() + by).log() if q.logarithmic else values + by
            columns.append((values - q.middle) / q.width)
        return torch.stack(columns, 1).to(scaled.dtype)

    def shares(self, scaled: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Random shares f8 for `spread`, from `generator` or from torch's random numbers."""
        drawn = [
            torch.rand(len(scaled), generator=generator, dtype=torch.float64, device=scaled.device)
            for _ in range(self.draws)
        ]
        return torch.stack(drawn, 1)


def check_parameters(conditional: bool, spec: TankSpec, framework: FrameworkConfig) -> None:
    """Raise `UserError` for what generators of parameters can't be made for."""
    if not spec.parameters:
        raise UserError("data.parameters=[]: there is nothing to generate; name parameters")
    check_generator(conditional, spec, framework)


def check_generator(conditional: bool, spec: TankSpec, framework: FrameworkConfig) -> None:
    """Raise `UserError` for a network that is to be given what there is not, and for how none can be distributed."""
    if conditional and not spec.conditions:
        raise UserError("network.conditional: this data has no conditions; use network.conditional=false, or name some")
    if framework.distributed_mode == "fsdp":
        raise UserError("framework.distributed_mode=fsdp: is not for generators; use framework.distributed_mode=ddp")
