"""A step of reconstruction on five showers."""

import numpy as np
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.telescopes.network import TelescopeNetwork, TelescopeNetworkConfig
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.reconstruction.sample import ReconstructionSample
from airshower.tasks.reconstruction.task import Reconstruction
from tests.networks.telescopes.arrays import ARRAY, SPEC, double, frame_of, images
from tests.targets import Options, reconstruction, truth_of

DEVICE = torch.device("cpu")
ENTRIES = [3, 1, 4, 5, 9]
SEEN_BY = {3: [0, 1, 4], 1: [2], 4: [0, 3], 5: [1, 2, 3, 4], 9: [0, 2]}  # rows of the spec's telescopes


def batch(entries: list[int]) -> Batch:
    """Random showers and images, the same for the same entry; those of even entries are gammas, and the depth of the
    shower's maximum is known of one alone."""
    rows = [(place, telescope) for place, entry in enumerate(entries) for telescope in SEEN_BY[entry]]
    parts = tuple(images(camera, [row for row in rows if ARRAY.camera[row[1]] == camera]) for camera in (0, 1))
    drawn = [np.random.default_rng(entry).normal(0, 1, 5) for entry in entries]
    numbers = np.array(drawn, np.float32).reshape(-1, 5)
    showers = {
        "primary": np.array([entry % 2 for entry in entries], np.int64),
        "energy": 10 ** numbers[:, 0],
        "direction": np.array([1.2, 0.3], np.float32) + 0.01 * numbers[:, 1:3],
        "core": 100 * numbers[:, 3:],
        "x_max": np.array([350.0 if entry == 4 else np.nan for entry in entries]),
    }
    inputs, ids = {"images": CameraImages(parts)}, np.zeros((len(entries), 3), int)
    return Batch(inputs, np.array(entries), ids, truth_of(showers), frame_of(parts, len(entries))).to(DEVICE)


class DoubleReconstruction(Reconstruction):
    """The task in float64."""

    def _outputs(self, module: torch.nn.Module, sample: ReconstructionSample) -> dict[str, torch.Tensor]:
        return module(double(sample.input))


def make(
    normalization: str,
    ranks: Ranks,
    mode: str = "ddp",
    combine: str = "attention",
    targets: dict[str, Options] | None = None,
    **task: object,
) -> Step:
    """A step of the whole task in float64."""
    options = reconstruction({"x_max": {"weight": 1.0}, **(targets or {})}, **{"only_gammas": False, **task})
    made = DoubleReconstruction(options, SPEC, TelescopeNetwork.view(SPEC))
    config = TelescopeNetworkConfig(
        filters=[4, 6], blocks=[1, 1], width=8, head_width=4, normalization=normalization, combine=combine, grid=3
    )
    network = TelescopeNetwork(config, SPEC, made.outputs, FrameworkConfig()).double()
    return stepping(made, network, ranks, mode, "sgd")


def stepping(task: Reconstruction, network: torch.nn.Module, ranks: Ranks, mode: str, optimizer: str) -> Step:
    """A step of the task with this network; its balance has the network's precision."""
    phases = task.phases(network)
    if phases[0].balance:
        phases[0].balance.to(next(network.parameters()).dtype)
    options = OptimizerConfig(name=optimizer)
    trained = [TrainedPhase.of(phase, network, options, ranks, mode) for phase in phases]
    return Step(task, trained, Precision(RunConfig(), DEVICE), ranks, 0.0, Timers(DEVICE, enabled=False))


def gradients(step: Step) -> list[torch.Tensor]:
    """Those of the network and those of the balance, if it is learned."""
    phase = step.phases[0].phase
    parameters = [*phase.module.parameters(), *(phase.balance.parameters() if phase.balance else ())]
    return [parameter.grad for parameter in parameters]


def flat(tensors: list[torch.Tensor]) -> torch.Tensor:
    return torch.cat([tensor.flatten() for tensor in tensors])
