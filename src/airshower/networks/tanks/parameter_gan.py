"""Generators of events' parameters that are trained against a critic (Goodfellow et al. 2014), after
hawc-deep-learning."""

from dataclasses import dataclass, field
from types import MappingProxyType

import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.containers import Table
from airshower.data.spec import Spec
from airshower.errors import UserError
from airshower.networks.generator import CriticisedGenerator, check_parameters
from airshower.networks.layers.features import (
    Quantities,
    context,
    decode,
    encode,
    encoded_size,
)
from airshower.networks.layers.perceptron import perceptron
from airshower.networks.tanks.marginals import Marginals, from_normal_scores, normal_scores


@dataclass
class ParameterGanConfig:
    """`network.*`."""

    noise: int = number(50, low=1)
    generator: list[int] = field(default_factory=lambda: [512, 256, 256])
    critic: list[int] = field(default_factory=lambda: [512, 256, 256])
    conditional: bool = True
    periodic: bool = True
    marginals: str = choice("normal", "scaled")


class ParameterGan(CriticisedGenerator):
    """A `generator` (noise [n, `noise`], conditions) -> features, and a `critic` (features, conditions) -> score [n].

    Features are the scaled parameters, with `marginals` normal their normal scores (see `Marginals`), so that hard
    edges are learned from data; with `periodic` the cosine and sine of angles.
    """

    Config = ParameterGanConfig
    takes = MappingProxyType({"parameters": Table, "conditions": Table})
    tasks = ("adversarial",)
    generates = "parameters"
    channels_last = False

    def __init__(self, config: ParameterGanConfig, spec: Spec, _: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        check_parameters(spec, framework)
        if framework.compile:
            raise UserError("framework.compile=true: is not for generators with a critic; use framework.compile=false")
        for name in ("generator", "critic"):
            if not (sizes := getattr(config, name)) or min(sizes) < 1:
                raise UserError(f"network.{name}={sizes}: needs numbers of units, above 0")
        self.quantities = spec.quantities("parameters")
        self.latent = config.noise
        self.given = spec.quantities("conditions") if config.conditional else ()
        self.periodic = config.periodic
        self.marginals = Marginals(spec.quantities("parameters")) if config.marginals == "normal" else None
        size = encoded_size(spec.quantities("parameters")) if config.periodic else len(spec.quantities("parameters"))
        more = encoded_size(self.given)
        angles = spec.quantities("parameters") if config.periodic else ()
        self.generator = Generator([config.noise + more, *config.generator, size], self.given, angles)
        self.critic = Critic([size + more, *config.critic, 1], self.given)

    def fit(self, parameters: Tensor, _: Tensor | None = None) -> None:
        """Fit the marginals to scaled parameters [n, quantities]."""
        if self.marginals is not None:
            self.marginals.fit(parameters)

    def features(self, parameters: Tensor) -> Tensor:
        """The critic's input for scaled parameters."""
        if self.marginals is not None:
            parameters = self._angles_apart(parameters, normal_scores(self.marginals.ranks(parameters)[0]))
        return encode(parameters, self.quantities) if self.periodic else parameters

    def parameters_of(self, features: Tensor) -> Tensor:
        """The scaled parameters of features."""
        values = decode(features, self.quantities) if self.periodic else features
        if self.marginals is not None:
            values = self._angles_apart(values, self.marginals.values(from_normal_scores(values)))
        return values

    def generate(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See `EventGenerator`."""
        return self.parameters_of(self.generator(normal_scores(noise), conditions))

    def _angles_apart(self, scaled: Tensor, others: Tensor) -> Tensor:
        angle = torch.tensor([bool(q.period) and self.periodic for q in self.quantities], device=scaled.device)
        return torch.where(angle, scaled, others)


class Generator(nn.Module):
    """Normal noise [n, `noise`] and an event's conditions -> features; cosine and sine of an angle are normalised to
    length 1."""

    def __init__(self, sizes: list[int], given: Quantities, angles: Quantities):
        super().__init__()
        self.layers = perceptron(sizes, slope=0.01)
        self.given = given
        self.angles = angles

    def forward(self, noise: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        with torch.autocast(noise.device.type, enabled=False):  # values in files are finer than half precision
            features = self.layers(torch.cat([noise, context(conditions, self.given)], 1))
            return encode(decode(features, self.angles), self.angles) if self.angles else features


class Critic(nn.Module):
    """Features and an event's conditions -> score [n], higher for reference events than for generated ones."""

    def __init__(self, sizes: list[int], given: Quantities):
        super().__init__()
        self.layers = perceptron(sizes)
        self.given = given

    def forward(self, features: Tensor, conditions: Tensor) -> Tensor:
        """See the class."""
        return self.layers(torch.cat([features, context(conditions, self.given)], 1))[:, 0]
