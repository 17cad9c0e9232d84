"""The base class of tasks with a single loss, the mean over events of a loss per event."""

from abc import abstractmethod
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.config.fields import number
from airshower.data.spec import Spec
from airshower.networks.generator import EventGenerator
from airshower.statistics.counts import mean_distances
from airshower.tasks.generation.generation import Generation, GenerationSample, check_betas
from airshower.tasks.generation.plan import Generated
from airshower.tasks.loss_terms import LossTerms
from airshower.tasks.task import OverRanks, Phase


class OneLoss(Generation):
    """One phase: all weights, one optimizer."""

    name: str
    score: str
    measures = True

    @dataclass
    class Config(Generation.Config):
        """`task.*`."""

        betas: list[float] = field(default_factory=lambda: [0.9, 0.999])
        average: float = number(0.999, low=0.0, high=0.99999)
        generate_in_validation: bool = True

    config: Config

    def __init__(self, config: Config, spec: Spec, generates: str):
        check_betas(config.betas)
        super().__init__(config, spec, generates)

    @abstractmethod
    def losses(self, module: nn.Module, network: EventGenerator, sample: GenerationSample, training: bool) -> Tensor:
        """The loss of each event [n]; `module` is the network as trained by all ranks. Random numbers are seeded by the
        events' entries, except in `training`."""

    def phases(self, network: EventGenerator) -> list[Phase]:
        """See the class."""

        def loss(module: nn.Module, sample: GenerationSample, _: Tensor) -> tuple[LossTerms, dict[str, Tensor]]:
            losses = self.losses(module, network, sample, training=True)
            return LossTerms(losses.sum()[None], losses.new_full((1,), len(losses))), _counted(losses)

        betas = self.config.betas[0], self.config.betas[1]
        return [Phase(self.name, network, loss, betas=betas, average=self.config.average)]

    def measure(
        self, network: EventGenerator, sample: GenerationSample, over_ranks: OverRanks
    ) -> tuple[None, dict[str, Tensor]]:
        """See `Generation`."""
        return None, _counted(self.losses(network, network, sample, training=False).double())

    def evaluate(
        self, network: EventGenerator, sample: GenerationSample, over_ranks: OverRanks
    ) -> tuple[Generated | None, dict[str, Tensor]]:
        """See `Task.evaluate`."""
        _, loss = self.measure(network, sample, over_ranks)
        if not self.config.generate_in_validation:
            return None, loss
        generated = self.generated(network, sample)
        return generated, loss | self.distributions(sample, generated)

    def count(self, _: GenerationSample, outputs: dict[str, Tensor], terms: LossTerms) -> dict[str, Tensor]:
        """The loss, which is the output of the phase."""
        return outputs

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """The loss and the score; with generated events also distances between distributions."""
        loss = float(counters["loss"][0] / counters["loss"][1].clamp_min(1))
        generated = "generated" in counters
        distances = mean_distances(counters["reference"], counters["generated"]) if generated else {}
        return {"loss": loss, self.score: -loss, **distances}


def _counted(losses: Tensor) -> dict[str, Tensor]:
    total = losses.detach().sum()
    return {"loss": torch.stack([total, total.new_tensor(len(losses))]).double()}
