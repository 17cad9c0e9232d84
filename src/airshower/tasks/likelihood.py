"""A network that knows how likely an event is, and generates events by it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.data.tanks import TankSpec
from airshower.tasks.generation import Generation, Sample, check_betas
from airshower.tasks.generation_report import Generated, View
from airshower.tasks.histograms import distances
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase

HEADLINE = {"loss": "-log p", "bits_per_dimension": "bits/dim", "Wasserstein": "Wasserstein", "KS": "KS"}


class Likelihood(Generation):
    """The loss is the mean over events of -log p, in natural units; the network gives log p [n] of (events,
    conditions)."""

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
        average: float = number(0.999, low=0.0, high=0.99999)
        generate_in_validation: bool = True

    name = "likelihood"
    headline = HEADLINE
    score = "log_likelihood"

    def __init__(self, config: Config, spec: TankSpec, view: View):
        check_betas(config.betas)
        super().__init__(config, spec, view)

    def phases(self, network: nn.Module) -> list[Phase]:
        """One phase: all weights, one optimizer."""

        def loss(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            terms = self._terms(module(sample.real, sample.conditions))
            return terms, _counted(terms)

        betas = tuple(self.config.betas)
        return [Phase("likelihood", network, loss, betas=betas, average=self.config.average)]

    def evaluate(
        self, network: nn.Module, sample: Sample, _: Callable[[Tensor], Tensor]
    ) -> tuple[Generated | None, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        loss = _counted(self._terms(network(sample.real, sample.conditions)))
        if self.plan or not self.config.generate_in_validation:
            return None, loss
        generated = self.generated(network, sample)
        return generated, loss | self.apart(sample, generated)

    def count(self, _: Sample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The loss, which the phase gave as output."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """The loss, what the best has most of, and of images bits per dimension; where events were generated, distances
        between the distributions."""
        loss = float(counters["loss"][0] / counters["loss"][1].clamp_min(1))
        apart = distances(counters["real"], counters["generated"]) if "real" in counters else {}
        return {"loss": loss, "log_likelihood": -loss, **self.view.bits(-loss), **apart}

    def _terms(self, density: Tensor) -> LossTerms:
        return LossTerms(-density.sum()[None], density.new_full((1,), len(density)))


def _counted(terms: LossTerms) -> dict[str, Tensor]:
    return {"loss": torch.cat([terms.total.detach(), terms.weight]).double()}
