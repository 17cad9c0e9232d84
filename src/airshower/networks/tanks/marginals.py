"""Marginal distributions of quantities, taken from data, so that networks only learn the dependence between
quantities."""

import math

import numpy as np
import torch
from torch import Tensor, nn

from airshower.data.quantity import Quantity
from airshower.networks.layers.features import scaled_turn

KNOTS = 257


class Marginals(nn.Module):
    """Scaled values [n, quantities] <-> ranks between 0 and 1, by the quantiles of the values of `fit`. Each
    quantity alone is then uniform, whatever edges and peaks it has (Sklar 1959). Between quantiles densities are
    constant; beyond the last ones they are zero. The rank of an angle is the fraction of a full turn.

    The quantiles are weights that are not trained, and so a part of checkpoints.
    """

    def __init__(self, quantities: tuple[Quantity, ...]):
        super().__init__()
        self.periodic = [bool(quantity.period) for quantity in quantities]
        even = torch.linspace(-4, 4, KNOTS).expand(len(quantities), KNOTS).clone()
        for row, quantity in zip(even, quantities, strict=True):
            if quantity.period:
                row *= scaled_turn(quantity) / 8
        self.knots = nn.Parameter(even, requires_grad=False)

    def fit(self, values: Tensor) -> None:
        """Take the quantiles of scaled values [n, quantities], on the CPU."""
        for row, column in enumerate(values.double().numpy().T):
            if self.periodic[row]:
                continue
            knots = np.quantile(column, np.linspace(0, 1, KNOTS))
            reach = knots[-1] - knots[0]
            # beyond the extreme values, a margin of the mean distance between two values
            knots[0], knots[-1] = knots[0] - reach / len(column), knots[-1] + reach / len(column)
            # equal quantiles are moved apart by more than float32's resolution
            knots += 1e-6 * max(reach, np.abs(column).max(), 1.0) * np.arange(-(KNOTS // 2), KNOTS // 2 + 1)
            self.knots.data[row] = torch.from_numpy(knots).to(self.knots)

    def ranks(self, values: Tensor) -> tuple[Tensor, Tensor]:
        """Ranks of values, and the logarithm of their derivative summed over quantities [n]."""
        ranks = []
        slopes = []
        for column, knots, periodic in zip(values.unbind(1), self.knots, self.periodic, strict=True):
            if periodic:
                column = (column - knots[0]) % (knots[-1] - knots[0]) + knots[0]
            cell = torch.searchsorted(knots, column.contiguous(), right=True).clamp(1, KNOTS - 1)
            low, high = knots[cell - 1], knots[cell]
            width = (high - low) * (KNOTS - 1)
            ranks.append(((cell - 1) / (KNOTS - 1) + (column - low) / width).clamp(0, 1))
            slopes.append(-width.log())
        return torch.stack(ranks, 1), torch.stack(slopes, 1).sum(1)

    def values(self, ranks: Tensor) -> Tensor:
        """The values of ranks."""
        position = ranks.clamp(0, 1) * (KNOTS - 1)
        cell = position.floor().long().clamp(0, KNOTS - 2)
        low, high = (self.knots.gather(1, (cell + side).T).T for side in (0, 1))
        return low + (high - low) * (position - cell)


def normal_scores(ranks: Tensor) -> Tensor:
    """The normal deviates of ranks, between -5.2 and 5.2, so that the edges lie in the tails of the distribution."""
    return torch.special.ndtri(ranks.clamp(1e-7, 1 - 1e-7))


def from_normal_scores(scores: Tensor) -> Tensor:
    """Inverse of `normal_scores`."""
    return 0.5 * (1 + torch.erf(scores / math.sqrt(2)))
