"""A step of each kind of generator on ten events."""

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.batch import Batch
from airshower.data.containers import Table
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.tanks.parameter_flow import ParameterFlow
from airshower.networks.tanks.parameter_gan import ParameterGan
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.generation.adversarial import Adversarial
from airshower.tasks.generation.generation import Generation, GenerationSample
from airshower.tasks.generation.likelihood import Likelihood
from tests.networks.tanks.small_quantities import ANGLE, CHARGE, COUNT, ENERGY, scaled, spec

CPU = torch.device("cpu")
ENTRIES = [3, 1, 4, 5, 9]
QUANTITIES = (CHARGE, COUNT, ANGLE)
SPEC = spec(QUANTITIES)
EVENTS = {"parameters": scaled(10, *QUANTITIES), "conditions": scaled(10, ENERGY, ANGLE)}


def batch(entries: list[int]) -> Batch:
    rows = np.array(entries, int)
    inputs = {name: Table(values[rows]) for name, values in EVENTS.items()}
    return Batch(inputs, rows, np.zeros((len(rows), 3), int)).to(CPU)


class Doubled:
    """A task in float64, whose random numbers belong to entries."""

    def prepare(self, events: Batch) -> GenerationSample:
        recorded, conditions = (events[name].values.double() for name in ("parameters", "conditions"))
        return GenerationSample(self.view, recorded, conditions, events.entries)

    def dequantised(self, sample: GenerationSample) -> torch.Tensor:
        return sample.recorded + 0.01 * self._drawn(sample.entries, 1, sample.recorded.shape[1])

    def noise(self, network: torch.nn.Module, sample: GenerationSample) -> torch.Tensor:
        return self._drawn(sample.entries, 2, network.latent)

    def shares(self, sample: GenerationSample) -> torch.Tensor:
        return self._drawn(sample.entries, 3, 1)[:, 0].sigmoid()

    def _drawn(self, entries: np.ndarray, stream: int, count: int) -> torch.Tensor:
        rows = [np.random.default_rng([stream, entry]).normal(size=count) for entry in entries]
        return torch.from_numpy(np.array(rows).reshape(-1, count))


class DoubledAdversarial(Doubled, Adversarial):
    """See `Doubled`."""


class DoubledLikelihood(Doubled, Likelihood):
    """See `Doubled`."""


def make(ranks: Ranks, kind: type[Generation], name: str = "sgd", **options: object) -> tuple[torch.nn.Module, Step]:
    """A network and its step."""
    if issubclass(kind, Adversarial):
        config = ParameterGan.Config(noise=4, generator=[8], critic=[8, 8], marginals="normal")
        network = ParameterGan(config, SPEC, {}, FrameworkConfig())
    else:
        network = ParameterFlow(ParameterFlow.Config(bins=4, width=8), SPEC, {}, FrameworkConfig())
    network.fit(EVENTS["parameters"])
    network = network.double() if issubclass(kind, Doubled) else network
    task = kind(kind.Config(**options), SPEC, "parameters")
    optimizer = OptimizerConfig(name=name)
    phases = [TrainedPhase.of(phase, network, optimizer, ranks) for phase in task.phases(network)]
    timers = Timers(CPU, enabled=False)
    return network, Step(task, phases, Precision(RunConfig(), CPU), ranks, 0.0, timers)


KINDS = {
    "wasserstein": (DoubledAdversarial, {"critic_steps": 1}),
    "binary": (DoubledAdversarial, {"critic_steps": 1, "loss": "binary", "penalty": 0.0}),
    "likelihood": (DoubledLikelihood, {}),
}


def gradients(kind: str, ranks: Ranks, pieces: list[list[int]]) -> torch.Tensor:
    """Of all phases after one step, which moves the critic before the generator's turn."""
    torch.manual_seed(0 if ranks.size == 1 else ranks.rank)
    network, step = make(ranks, KINDS[kind][0], **KINDS[kind][1])
    step([batch(piece) for piece in pieces], 0.1, measure=True)
    return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.requires_grad])
