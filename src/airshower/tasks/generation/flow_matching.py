"""Flow matching: the network is the velocity field of a flow from noise to data."""

import math
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from airshower.data.spec import Spec
from airshower.errors import UserError
from airshower.networks.generator import EventGenerator, FlowGenerator
from airshower.networks.tanks.marginals import normal_scores
from airshower.tasks.generation.generation import GenerationSample
from airshower.tasks.generation.one_loss import OneLoss
from airshower.tasks.generation.plan import event_noise

HEADLINE = {"loss": "velocity error", "Wasserstein": "Wasserstein", "KS": "KS"}


class FlowMatching(OneLoss):
    """An event's state moves on a straight line from normal noise at time 0 to data at time 1. The network predicts its
    velocity from (states on the line, times [n], conditions). The loss is the mean squared error over events and
    components of states (Lipman et al. 2023, equation 23; Liu et al. 2023). The log odds of times are normal with the
    mean and standard deviation `times` (Esser et al. 2024, section 3.1).

    The network has `states` (events) -> [n, `latent`].
    """

    @dataclass
    class Config(OneLoss.Config):
        """`task.*`."""

        times: list[float] = field(default_factory=lambda: [-0.8, 1.0])

    config: Config
    name = "flow_matching"
    headline = HEADLINE
    score = "negative_loss"

    def __init__(self, config: Config, spec: Spec, generates: str):
        if len(config.times) != 2 or not all(map(math.isfinite, config.times)) or config.times[1] < 0:
            raise UserError(f"task.times={config.times}: must be a mean and a standard deviation")
        super().__init__(config, spec, generates)

    def losses(self, module: nn.Module, network: FlowGenerator, sample: GenerationSample, training: bool) -> Tensor:
        """See `OneLoss`: the squared error of the velocity. An event has the same time and noise in each validation."""
        mean, deviation = self.config.times
        states = network.states(self.dequantised(sample) if training else sample.evaluated)
        drawn = self.training_noise(network, sample) if training else self.entry_noise(network, sample)
        times = torch.sigmoid(mean + deviation * drawn[:, 0])
        noise = drawn[:, 1:]
        between = torch.lerp(noise, states, times[:, None])
        return (module(between, times, sample.conditions) - (states - noise)).square().mean(1)

    def training_noise(self, network: EventGenerator, sample: GenerationSample) -> Tensor:
        """Normal numbers [n, 1 + `latent`] for training events: for the time, and as noise."""
        return torch.randn(len(sample), 1 + network.latent, dtype=sample.recorded.dtype, device=sample.recorded.device)

    def entry_noise(self, network: EventGenerator, sample: GenerationSample) -> Tensor:
        """The same, seeded by the events' entries."""
        return normal_scores(event_noise(0, sample.entries, 1 + network.latent).to(sample.recorded))
