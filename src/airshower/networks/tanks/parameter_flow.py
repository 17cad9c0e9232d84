"""A normalising flow for events' parameters: an exact likelihood, and one forward pass for new events."""

from dataclasses import dataclass
from types import MappingProxyType

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Table
from airshower.data.spec import Spec
from airshower.networks.generator import EventGenerator, check_parameters
from airshower.networks.layers.features import context, encoded_size
from airshower.networks.layers.perceptron import Layers, perceptron
from airshower.networks.layers.splines import monotone_spline, spline_numbers
from airshower.networks.tanks.marginals import Marginals, normal_scores

PER_RANK = 2  # features of a rank


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
    takes = MappingProxyType({"parameters": Table, "conditions": Table})
    tasks = ("likelihood",)
    generates = "parameters"
    channels_last = False

    def __init__(self, config: ParameterFlowConfig, spec: Spec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        check_parameters(spec, framework)
        self.given = spec.quantities("conditions") if config.conditional else ()
        self.periodic = [bool(quantity.period) for quantity in spec.quantities("parameters")]
        self.latent = len(spec.quantities("parameters"))
        self.marginals = Marginals(spec.quantities("parameters"))
        hidden = [config.width] * config.layers
        more = 1 + encoded_size(self.given)
        self.splines = Layers(
            perceptron(
                [more + PER_RANK * before, *hidden, spline_numbers(config.bins, periodic)], dropout=config.dropout
            )
            for before, periodic in enumerate(self.periodic)
        )
        for layers in self.splines:  # initially the flow is the product of the marginals
            for parameter in layers[-1].parameters():
                nn.init.zeros_(parameter)

    def fit(self, parameters: Tensor, _: Tensor | None = None) -> None:
        """Fit the marginals to scaled parameters [n, quantities]."""
        self.marginals.fit(parameters)

    def forward(self, parameters: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        ranks, density = self.marginals.ranks(parameters.float())
        inputs = [conditions.new_ones(len(conditions), 1), context(conditions, self.given)]
        for rank, periodic, layers in zip(ranks.unbind(1), self.periodic, self.splines, strict=True):
            _, slope = monotone_spline(rank, layers(torch.cat(inputs, 1)).float(), periodic)
            density = density + slope
            inputs.append(_rank_features(rank, periodic))
        return density

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `EventGenerator`."""
        ranks = []
        inputs = [conditions.new_ones(len(conditions), 1), context(conditions, self.given)]
        for uniform, periodic, layers in zip(noise.unbind(1), self.periodic, self.splines, strict=True):
            rank, _ = monotone_spline(uniform, layers(torch.cat(inputs, 1)).float(), periodic, inverse=True)
            ranks.append(rank)
            inputs.append(_rank_features(rank, periodic))
        return self.marginals.values(torch.stack(ranks, 1))


def _rank_features(rank: Tensor, periodic: bool) -> Tensor:
    """The features of a parameter's rank, inputs for the parameters after it, [n, `PER_RANK`]."""
    if periodic:
        return torch.stack([(2 * torch.pi * rank).cos(), (2 * torch.pi * rank).sin()], 1)
    return torch.stack([2 * rank - 1, normal_scores(rank)], 1)
