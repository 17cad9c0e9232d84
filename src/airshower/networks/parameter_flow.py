"""A normalising flow for events' parameters: an exact likelihood, and events as fast as a network runs."""

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.tanks import TankSpec
from airshower.networks.generator import EventGenerator
from airshower.networks.layers import Layers, perceptron
from airshower.networks.marginals import Marginals, normal_scores
from airshower.networks.quantities import ParameterView, check_parameters, context, encoded_size
from airshower.networks.splines import monotone_spline, spline_numbers

PER_RANK = 2  # features of one rank


@dataclass
class ParameterFlowConfig:
    """`network.*`."""

    bins: int = number(24, low=2, high=1000)
    width: int = number(128, low=1)
    layers: int = number(2, low=1)
    dropout: float = number(0.0, low=0.0, high=0.9)
    conditional: bool = True


class ParameterFlow(EventGenerator):
    """(scaled parameters [n, quantities], conditions) -> logarithm of their density [n], in natural units and scaled
    parameters.

    Each parameter's rank (see `Marginals`), given those before it, has a density on [0, 1] whose integral is a monotone
    rational-quadratic spline (Durkan et al. 2019), on a circle for angles (Rezende et al. 2020). A perceptron for each
    parameter gives the spline from the conditions and the parameters before: an autoregressive flow (Papamakarios et
    al. 2017), whose edges are those of the data.
    """

    Config = ParameterFlowConfig
    reads = "tank_hits"
    task = "likelihood"
    sees = ParameterView
    channels_last = False

    def __init__(self, config: ParameterFlowConfig, spec: TankSpec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        check_parameters(config.conditional, spec, framework)
        self.given = spec.conditions if config.conditional else ()
        self.periodic = [bool(quantity.period) for quantity in spec.parameters]
        self.latent = len(spec.parameters)
        self.marginals = Marginals(spec.parameters)
        hidden, more = [config.width] * config.layers, 1 + encoded_size(self.given)
        self.splines = Layers(
            perceptron(
                [more + PER_RANK * before, *hidden, spline_numbers(config.bins, periodic)], dropout=config.dropout
            )
            for before, periodic in enumerate(self.periodic)
        )
        for layers in self.splines:  # the flow starts as the parameters' own distributions, independent of each other
            for parameter in layers[-1].parameters():
                nn.init.zeros_(parameter)

    def fit(self, parameters: Tensor, _: Tensor | None = None) -> None:
        """Take from scaled parameters [n, quantities] how each is distributed."""
        self.marginals.fit(parameters)

    def forward(self, parameters: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        ranks, density = self.marginals.ranks(parameters.float())
        known = [conditions.new_ones(len(conditions), 1), context(conditions, self.given)]
        for rank, periodic, layers in zip(ranks.unbind(1), self.periodic, self.splines, strict=True):
            _, slope = monotone_spline(rank, layers(torch.cat(known, 1)).float(), periodic)
            density = density + slope
            known.append(_rank_features(rank, periodic))
        return density

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `EventGenerator`."""
        ranks = []
        known = [conditions.new_ones(len(conditions), 1), context(conditions, self.given)]
        for uniform, periodic, layers in zip(noise.unbind(1), self.periodic, self.splines, strict=True):
            rank, _ = monotone_spline(uniform, layers(torch.cat(known, 1)).float(), periodic, inverse=True)
            ranks.append(rank)
            known.append(_rank_features(rank, periodic))
        return self.marginals.values(torch.stack(ranks, 1))


def _rank_features(rank: Tensor, periodic: bool) -> Tensor:
    """What the parameters after it see of one, [n, `PER_RANK`]."""
    if periodic:
        return torch.stack([(2 * torch.pi * rank).cos(), (2 * torch.pi * rank).sin()], 1)
    return torch.stack([2 * rank - 1, normal_scores(rank)], 1)
