"""A network that knows where events are going on their way from noise, and generates them by following it."""

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.data.tanks import TankSpec
from airshower.errors import UserError
from airshower.networks.marginals import normal_scores
from airshower.tasks.generation import Generation, Sample, check_betas, event_noise
from airshower.tasks.generation_report import Generated, View
from airshower.tasks.histograms import distances
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase

HEADLINE = {"loss": "velocity error", "Wasserstein": "Wasserstein", "KS": "KS"}


class FlowMatching(Generation):
    """An event's state moves straight from normal noise at time 0 to data at time 1. The network gives its velocity, of
    (states between, times [n], conditions); the loss is the mean over events and numbers of a state of the squared
    error (Lipman et al. 2023, equation 23; Liu et al. 2023). The log odds of `times` are normal, of this mean and
    standard deviation (Esser et al. 2024, section 3.1).

    The network has `states` (events) -> [n, `latent`], what is learned of them.
    """

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
        average: float = number(0.999, low=0.0, high=0.99999)
        times: list[float] = field(default_factory=lambda: [-0.8, 1.0])
        generate_in_validation: bool = True

    name = "flow_matching"
    headline = HEADLINE
    score = "negative_loss"

    def __init__(self, config: Config, spec: TankSpec, view: View):
        check_betas(config.betas)
        if len(config.times) != 2 or not all(map(math.isfinite, config.times)) or config.times[1] < 0:
            raise UserError(f"task.times={config.times}: must be a mean and a standard deviation")
        super().__init__(config, spec, view)

    def phases(self, network: nn.Module) -> list[Phase]:
        """One phase: all weights, one optimizer."""

        def loss(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            terms = self._terms(module, network.states(sample.real), *self.drawn(network, sample), sample.conditions)
            return terms, _counted(terms)

        betas = tuple(self.config.betas)
        return [Phase("flow_matching", network, loss, betas=betas, average=self.config.average)]

    def drawn(self, network: nn.Module, sample: Sample) -> tuple[Tensor, Tensor]:
        """Normal numbers for a sample that is trained on: for the times [n], and as noise [n, `latent`]."""
        drawn = torch.randn(len(sample), 1 + network.latent, dtype=sample.real.dtype, device=sample.real.device)
        return drawn[:, 0], drawn[:, 1:]

    def evaluate(
        self, network: nn.Module, sample: Sample, _: Callable[[Tensor], Tensor]
    ) -> tuple[Generated | None, dict[str, Tensor]]:
        """See `Task.evaluate`; an event has the same time and noise in each validation, and on any rank."""
        drawn = normal_scores(event_noise(0, sample.entries, 1 + network.latent).to(sample.real))
        states = network.states(sample.real)
        loss = _counted(self._terms(network, states, drawn[:, 0], drawn[:, 1:], sample.conditions))
        if self.plan is None and not self.config.generate_in_validation:
            return None, loss
        generated = self.generated(network, sample)
        return generated, loss | self.apart(sample, generated)

    def count(self, _: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The loss, which the phase gave as output."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """The loss, and what the best has most of; where events were generated, distances between the distributions."""
        loss = float(counters["loss"][0] / counters["loss"][1].clamp_min(1))
        apart = distances(counters["real"], counters["generated"]) if "real" in counters else {}
        return {"loss": loss, "negative_loss": -loss, **apart}

    def _terms(
        self, module: nn.Module, states: Tensor, moments: Tensor, noise: Tensor, conditions: Tensor
    ) -> LossTerms:
        """Of states [n, `latent`], and normal numbers for their times [n] and as noise."""
        mean, deviation = self.config.times
        times = torch.sigmoid(mean + deviation * moments)
        between = torch.lerp(noise, states, times[:, None])
        squared = (module(between, times, conditions) - (states - noise)).square().mean(1)
        return LossTerms(squared.sum()[None], squared.new_full((1,), len(squared)))


def _counted(terms: LossTerms) -> dict[str, Tensor]:
    return {"loss": torch.cat([terms.total.detach(), terms.weight]).double()}
