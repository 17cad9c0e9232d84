"""A network that knows how likely an event is, and generates events by it."""

from torch import Tensor, nn

from airshower.networks.generator import EventGenerator
from airshower.tasks.generation import Sample
from airshower.tasks.one_loss import OneLoss

HEADLINE = {"loss": "-log p", "bits_per_dimension": "bits/dim", "Wasserstein": "Wasserstein", "KS": "KS"}


class Likelihood(OneLoss):
    """The loss is the mean over events of -log p, in natural units; the network gives log p [n] of (events,
    conditions). Of images, metrics have it also in bits per dimension."""

    name = "likelihood"
    headline = HEADLINE
    score = "log_likelihood"

    def losses(self, module: nn.Module, _: EventGenerator, sample: Sample, training: bool) -> Tensor:
        """See `OneLoss`."""
        return -module(self.spread(sample) if training else sample.real, sample.conditions)

    def metrics(self, counters: dict[str, Tensor]) -> dict[str, float]:
        """See `OneLoss`."""
        found = super().metrics(counters)
        return found | self.view.bits(found[self.score])
