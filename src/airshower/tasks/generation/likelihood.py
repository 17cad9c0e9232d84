"""Maximum-likelihood training of generators with a tractable likelihood."""

from torch import Tensor, nn

from airshower.networks.generator import EventGenerator
from airshower.tasks.generation.generation import GenerationSample
from airshower.tasks.generation.one_loss import OneLoss

HEADLINE = {"loss": "-log p", "bits_per_dimension": "bits/dim", "Wasserstein": "Wasserstein", "KS": "KS"}


class Likelihood(OneLoss):
    """The loss is the mean over events of -log p, in natural units; the network gives log p [n] of (events,
    conditions). For images, metrics also have it in bits per dimension."""

    name = "likelihood"
    headline = HEADLINE
    score = "log_likelihood"

    def losses(self, module: nn.Module, _: EventGenerator, sample: GenerationSample, training: bool) -> Tensor:
        """See `OneLoss`."""
        return -module(self.dequantised(sample) if training else sample.evaluated, sample.conditions)

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """See `OneLoss`."""
        metrics = super().metrics(counters)
        return metrics | self.view.bits(metrics[self.score])
