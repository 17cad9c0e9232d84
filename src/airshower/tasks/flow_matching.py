"""A network that knows where events are going on their way from noise, and generates them by following it."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.data.tanks import TankSpec
from airshower.errors import UserError
from airshower.networks.generator import EventGenerator, FlowGenerator
from airshower.networks.marginals import normal_scores
from airshower.tasks.generation import Sample, event_noise
from airshower.tasks.generation_report import View
from airshower.tasks.one_loss import OneLoss

HEADLINE = {"loss": "velocity error", "Wasserstein": "Wasserstein", "KS": "KS"}


class FlowMatching(OneLoss):
    """An event's state moves straight from normal noise at time 0 to data at time 1. The network gives its velocity, of
    (states between, times [n], conditions); the loss is the mean over events and numbers of a state of the squared
    error (Lipman et al. 2023, equation 23; Liu et al. 2023). The log odds of `times` are normal, of this mean and
    standard deviation (Esser et al. 2024, section 3.1).

    The network has `states` (events) -> [n, `latent`], what is learned of them.
    """

    @dataclass
    class Config(OneLoss.Config):
        """`task.*`."""

        times: list[float] = field(default_factory=lambda: [-0.8, 1.0])

    config: Config
    name = "flow_matching"
    headline = HEADLINE
    score = "negative_loss"

    def __init__(self, config: Config, spec: TankSpec, view: View):
        if len(config.times) != 2 or not all(map(math.isfinite, config.times)) or config.times[1] < 0:
            raise UserError(f"task.times={config.times}: must be a mean and a standard deviation")
        super().__init__(config, spec, view)

    def losses(self, module: nn.Module, network: FlowGenerator, sample: Sample, training: bool) -> Tensor:
        """See `OneLoss`: the squared error of the velocity. Events have the same time and noise in each validation."""
        events, (mean, deviation) = self.spread(sample) if training else sample.real, self.config.times
        states = network.states(events)
        drawn = self.drawn(network, sample) if training else self.known(network, sample)
        times, noise = torch.sigmoid(mean + deviation * drawn[:, 0]), drawn[:, 1:]
        between = torch.lerp(noise, states, times[:, None])
        return (module(between, times, sample.conditions) - (states - noise)).square().mean(1)

    def drawn(self, network: EventGenerator, sample: Sample) -> Tensor:
        """Normal numbers [n, 1 + `latent`] for events that are trained on: for the time, and as noise."""
        return torch.randn(len(sample), 1 + network.latent, dtype=sample.recorded.dtype, device=sample.recorded.device)

    def known(self, network: EventGenerator, sample: Sample) -> Tensor:
        """Those that belong to the events' entries."""
        return normal_scores(event_noise(0, sample.entries, 1 + network.latent).to(sample.recorded))
