"""A step of each kind of generator on ten events."""

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.tanks import TankBatch
from airshower.engine.average import WeightAverage
from airshower.engine.optimizer import build_optimizer
from airshower.engine.parallel import ParallelModule
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.parameter_flow import ParameterFlow
from airshower.networks.parameter_gan import ParameterGan
from airshower.networks.quantities import ParameterView
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.adversarial import Adversarial
from airshower.tasks.generation import Generation, Sample
from airshower.tasks.likelihood import Likelihood
from tests.networks.tank_quantities import ANGLE, CHARGE, COUNT, ENERGY, scaled, spec

CPU = torch.device("cpu")
ENTRIES = [3, 1, 4, 5, 9]
QUANTITIES = (CHARGE, COUNT, ANGLE)
SPEC = spec(QUANTITIES)
EVENTS = {kind: scaled(10, *quantities) for kind, quantities in (("own", QUANTITIES), ("given", (ENERGY, ANGLE)))}


def batch(entries: list[int]) -> TankBatch:
    rows = np.array(entries, int)
    images, ids = np.zeros((len(rows), 0, 4, 4), np.float32), np.zeros((len(rows), 3), int)
    return TankBatch(images, EVENTS["own"][rows], EVENTS["given"][rows], np.zeros(len(rows), int), rows, ids).to(CPU)


class Doubled:
    """A task in float64, whose random numbers belong to entries."""

    def prepare(self, events: TankBatch) -> Sample:
        return Sample(self.view, events.parameters.double(), events.conditions.double(), events.entries)

    def spread(self, sample: Sample) -> torch.Tensor:
        return sample.recorded + 0.01 * self._drawn(sample.entries, 1, sample.recorded.shape[1])

    def noise(self, network: torch.nn.Module, sample: Sample) -> torch.Tensor:
        return self._drawn(sample.entries, 2, network.latent)

    def shares(self, sample: Sample) -> torch.Tensor:
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
    network.fit(EVENTS["own"])
    network = network.double() if issubclass(kind, Doubled) else network
    task = kind(kind.Config(**options), SPEC, ParameterView(SPEC))
    optimizer = OptimizerConfig(name=name)
    phases = [
        TrainedPhase(
            phase,
            build_optimizer(optimizer, phase.module, phase.betas),
            ParallelModule(phase.module, ranks, "ddp"),
            WeightAverage(network, phase.module, phase.average) if phase.average else None,
        )
        for phase in task.phases(network)
    ]
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
