"""A network that knows how likely an event is, and generates events by it."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.tasks.generation import Generation, Sample
from airshower.tasks.generation_report import Generated
from airshower.tasks.histograms import distances
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase

HEADLINE = {"loss": "-log p", "Wasserstein": "Wasserstein", "KS": "KS"}


class Likelihood(Generation):
    """The loss is the mean over events of -log p, in natural units; the network gives log p [n] of (events,
    conditions)."""

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        average: float = number(0.999, low=0.0, high=0.99999)
        generate_in_validation: bool = True

    name = "likelihood"
    headline = HEADLINE
    score = "log_likelihood"

    def phases(self, network: nn.Module) -> list[Phase]:
        """One phase: all weights, one optimizer."""

        def loss(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            terms = self._terms(module(sample.real, sample.conditions))
            return terms, _counted(terms)

        return [Phase("likelihood", network, loss, average=self.config.average)]

    def evaluate(
        self, network: nn.Module, sample: Sample, _: Callable[[Tensor], Tensor]
    ) -> tuple[Generated | None, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        loss = _counted(self._terms(network(sample.real, sample.conditions)))
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
        return {"loss": loss, "log_likelihood": -loss, **apart}

    def _terms(self, density: Tensor) -> LossTerms:
        return LossTerms(-density.sum()[None], density.new_full((1,), len(density)))


def _counted(terms: LossTerms) -> dict[str, Tensor]:
    return {"loss": torch.cat([terms.total.detach(), terms.weight]).double()}
