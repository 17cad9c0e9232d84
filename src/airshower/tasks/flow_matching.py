"""A network that knows where events are going on their way from noise, and generates them by following it."""

import torch
from torch import Tensor, nn

from airshower.networks.generator import EventGenerator
from airshower.networks.marginals import normal_scores
from airshower.tasks.generation import Sample, event_noise
from airshower.tasks.one_loss import OneLoss

HEADLINE = {"loss": "velocity error", "Wasserstein": "Wasserstein", "KS": "KS"}


class FlowMatching(OneLoss):
    """An event's state moves straight from normal noise at time 0 to data at time 1. The network gives its velocity, of
    (states between, times [n], conditions); the loss is the mean over events and numbers of a state of the squared
    error (Lipman et al. 2023, equation 23; Liu et al. 2023).

    The network has `states` (events) -> [n, `latent`], what is learned of them.
    """

    name = "flow_matching"
    headline = HEADLINE
    score = "negative_loss"

    def losses(self, module: nn.Module, network: EventGenerator, sample: Sample, training: bool) -> Tensor:
        """See `OneLoss`: the squared error of the velocity."""
        states = network.states(sample.real)
        times, noise = self.drawn(network, sample) if training else self.known(network, sample)
        between = torch.lerp(noise, states, times[:, None])
        return (module(between, times, sample.conditions) - (states - noise)).square().mean(1)

    def drawn(self, network: EventGenerator, sample: Sample) -> tuple[Tensor, Tensor]:
        """Times [n], evenly, and normal noise [n, `latent`] for events that are trained on."""
        times = torch.rand(len(sample), dtype=sample.real.dtype, device=sample.real.device)
        return times, torch.randn(len(sample), network.latent, dtype=times.dtype, device=times.device)

    def known(self, network: EventGenerator, sample: Sample) -> tuple[Tensor, Tensor]:
        """Those that events have in each validation, on any rank."""
        numbers = event_noise(0, sample.entries, 1 + network.latent).to(sample.real)
        return numbers[:, 0], normal_scores(numbers[:, 1:])
