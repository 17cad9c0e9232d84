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
    ) -> tuple[Generated, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        generated = self.generated(network, sample)
        loss = _counted(self._terms(network(sample.real, sample.conditions)))
        return generated, loss | self.apart(sample, generated)

    def count(self, _: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The loss, which the phase gave as output."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """The loss; of an evaluation, distances between the distributions."""
        loss = float(counters["loss"][0] / counters["loss"][1].clamp_min(1))
        named = {"loss": loss}
        if "real" in counters:
            named |= distances(counters["real"], counters["generated"])
            named["log_likelihood"] = -loss
        return named

    def _terms(self, density: Tensor) -> LossTerms:
        return LossTerms(-density.sum()[None], density.new_full((1,), len(density)))


def _counted(terms: LossTerms) -> dict[str, Tensor]:
    return {"loss": torch.cat([terms.total.detach(), terms.weight]).double()}
