"""A network that knows where events are going on their way from noise, and generates them by following it."""

import numpy as np
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
        times, noise = self.drawn(states) if training else self.known(sample.entries, states)
        between = torch.lerp(noise, states, times[:, None])
        return (module(between, times, sample.conditions) - (states - noise)).square().mean(1)

    def drawn(self, states: Tensor) -> tuple[Tensor, Tensor]:
        """Times [n], evenly, and normal noise like the states."""
        return torch.rand_like(states[:, 0]), torch.randn_like(states)

    def known(self, entries: np.ndarray, states: Tensor) -> tuple[Tensor, Tensor]:
        """Those that events of these entries have in each validation, on any rank."""
        numbers = event_noise(0, entries, 1 + states.shape[1]).to(states)
        return numbers[:, 0], normal_scores(numbers[:, 1:])
