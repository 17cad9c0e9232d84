"""What generators have in common that learn by one loss, the mean over events of a number for each."""

from abc import abstractmethod
from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.data.tanks import TankSpec
from airshower.networks.generator import EventGenerator
from airshower.tasks.generation import Generation, Sample, check_betas
from airshower.tasks.generation_report import Generated, View
from airshower.tasks.histograms import distances
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import Phase


class OneLoss(Generation):
    """One phase: all weights, one optimizer."""

    name: str
    score: str

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
        average: float = number(0.999, low=0.0, high=0.99999)
        generate_in_validation: bool = True

    config: Config

    def __init__(self, config: Config, spec: TankSpec, view: View):
        check_betas(config.betas)
        super().__init__(config, spec, view)

    @abstractmethod
    def losses(self, module: nn.Module, network: EventGenerator, sample: Sample, training: bool) -> Tensor:
        """Of each event [n]; `module` is the network as all ranks train it. What is random follows from the events'
        entries, but for `training`."""

    def phases(self, network: EventGenerator) -> list[Phase]:
        """See the class."""

        def loss(module: nn.Module, sample: Sample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            losses = self.losses(module, network, sample, training=True)
            return LossTerms(losses.sum()[None], losses.new_full((1,), len(losses))), _counted(losses)

        betas = self.config.betas[0], self.config.betas[1]
        return [Phase(self.name, network, loss, betas=betas, average=self.config.average)]

    def evaluate(
        self, network: EventGenerator, sample: Sample, _: Callable[[Tensor], Tensor]
    ) -> tuple[Generated | None, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        loss = _counted(self.losses(network, network, sample, training=False).double())
        if self.plan or not self.config.generate_in_validation:
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
        return {"loss": loss, self.score: -loss, **apart}


def _counted(losses: Tensor) -> dict[str, Tensor]:
    total = losses.detach().sum()
    return {"loss": torch.stack([total, total.new_tensor(len(losses))]).double()}
