"""A step of reconstruction on five showers."""

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.showers import ShowerBatch, Showers
from airshower.data.telescopes import CameraImages
from airshower.engine.optimizer import build_optimizer
from airshower.engine.parallel import ParallelModule
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.iact import IactNetwork, IactNetworkConfig
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.reconstruction import Reconstruction
from airshower.tasks.shower_sample import Sample
from airshower.tasks.shower_targets import RegressionConfig
from tests.networks.iact_array import SPEC, double, images

DEVICE = torch.device("cpu")
ENTRIES = [3, 1, 4, 5, 9]
SEEN_BY = {3: [0, 1, 4], 1: [2], 4: [0, 3], 5: [1, 2, 3, 4], 9: [0, 2]}  # rows of the spec's telescopes


def batch(entries: list[int]) -> ShowerBatch:
    """Random showers and images, the same for the same entry; those of even entries are gammas, and the depth of the
    shower's maximum is known of one alone."""
    rows = [(place, telescope) for place, entry in enumerate(entries) for telescope in SEEN_BY[entry]]
    parts = tuple(images(camera, [row for row in rows if SPEC.camera[row[1]] == camera]) for camera in (0, 1))
    drawn = [np.random.default_rng(entry).normal(0, 1, 5) for entry in entries]
    numbers = torch.from_numpy(np.array(drawn, np.float32).reshape(-1, 5))
    depth = torch.tensor([350.0 if entry == 4 else torch.nan for entry in entries])
    showers = Showers(
        primary=torch.tensor([entry % 2 for entry in entries], dtype=torch.int64),
        energy=10 ** numbers[:, 0],
        direction=torch.tensor([1.2, 0.3]) + 0.01 * numbers[:, 1:3],
        core=100 * numbers[:, 3:],
        x_max=depth,
        weight=torch.ones(len(entries)),
    )
    return ShowerBatch(parts, showers, np.array(entries), np.zeros((len(entries), 3), int)).to(DEVICE)


class DoubleReconstruction(Reconstruction):
    """The task in float64."""

    def _outputs(self, module: torch.nn.Module, sample: Sample) -> dict[str, torch.Tensor]:
        return module(double(sample.input))


def make(normalization: str, ranks: Ranks, mode: str = "ddp", combine: str = "attention", **task: object) -> Step:
    """A step of the whole task in float64."""
    options = {"only_gammas": False, "x_max": RegressionConfig(), **task}
    made = DoubleReconstruction(Reconstruction.Config(**options), SPEC, CameraImages(SPEC))
    config = IactNetworkConfig(
        filters=[4, 6], blocks=[1, 1], width=8, head_width=4, normalization=normalization, combine=combine, grid=3
    )
    network = IactNetwork(config, SPEC, made.outputs, FrameworkConfig()).double()
    return stepping(made, network, ranks, mode, "sgd")


def stepping(task: Reconstruction, network: torch.nn.Module, ranks: Ranks, mode: str, optimizer: str) -> Step:
    """A step of the task with this network; its balance has the network's precision."""
    parallel, options = ParallelModule(network, ranks, mode), OptimizerConfig(name=optimizer)
    phases = task.phases(network)
    if phases[0].balance:
        phases[0].balance.to(next(network.parameters()).dtype)
    trained = [TrainedPhase(phase, build_optimizer(options, network), parallel) for phase in phases]
    return Step(task, trained, Precision(RunConfig(), DEVICE), ranks, 0.0, Timers(DEVICE, enabled=False))


def gradients(step: Step) -> list[torch.Tensor]:
    """Those of the network and those of the balance, if it is learned."""
    phase = step.phases[0].phase
    parameters = [*phase.module.parameters(), *(phase.balance.parameters() if phase.balance else ())]
    return [parameter.grad for parameter in parameters]


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
