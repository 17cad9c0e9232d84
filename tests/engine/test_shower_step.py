"""A step on showers: the same gradients and learning rate however it is cut, and targets that can be learned."""

import numpy as np
import pytest
import torch

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.showers import ShowerBatch, Showers
from airshower.data.telescopes import ArrayInput, CameraImages
from airshower.engine.optimizer import build_optimizer
from airshower.engine.parallel import ParallelModule
from airshower.engine.step import Step, TrainedPhase
from airshower.networks.iact import IactNetwork, IactNetworkConfig
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.reconstruction import Reconstruction
from airshower.tasks.shower_metrics import angular_separation
from airshower.tasks.shower_sample import Sample
from airshower.tasks.shower_targets import RegressionConfig
from tests.networks.iact_array import SPEC, double, images
from tests.samples import simulated_showers

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


@pytest.mark.parametrize("cut", [(4, 1), (1, 1, 1, 1, 1), (0, 5)])
@pytest.mark.parametrize("balance", ["fixed", "uncertainty"])
def test_accumulation_gives_the_gradient_of_the_whole_batch(cut: tuple[int, ...], balance: str) -> None:
    """Also where a micro-batch is empty or has no gamma; and the learning rate by triggers is that of the step."""
    found = []
    for sizes in ((5,), cut):
        torch.manual_seed(0)
        step = make("group", Ranks(), balance=balance, only_gammas=True, scale_learning_rate=True)
        pieces = [batch(ENTRIES[end - size : end]) for size, end in zip(sizes, np.cumsum(sizes), strict=True)]
        counters = step(pieces, 0.1, measure=True)
        found.append((flat(gradients(step)), counters))
        assert step.phases[0].optimizer.param_groups[0]["lr"] == pytest.approx(0.1 / (12 / 25))
    (whole, counters), (pieces, summed) = found
    assert (pieces - whole).norm() < 1e-12 * whole.norm()
    for name, value in counters.items():
        torch.testing.assert_close(summed[name], value, check_dtype=False)


def test_learning_rates_grow_tenfold_at_most() -> None:
    step = make("group", Ranks(), scale_learning_rate=True)
    assert step.task._rate_scale(torch.tensor([1.0, 1.0, 3.0, 100.0])) == pytest.approx(10)
    step([batch([1])], 0.1, measure=False)
    assert step.phases[0].optimizer.param_groups[0]["lr"] == pytest.approx(0.5)


def test_gradient_of_the_learned_balance() -> None:
    """That of s is 1 - c exp(-s) L, and Adam moves it against that by its own learning rate."""
    torch.manual_seed(0)
    step = make("group", Ranks(), balance="uncertainty", energy=RegressionConfig(0.5), balance_learning_rate=0.2)
    counters = step([batch(ENTRIES[:2]), batch(ENTRIES[2:])], 0.1, measure=True)
    loss = counters["loss_total"] / counters["loss_weight"]
    balance = step.phases[0].phase.balance
    torch.testing.assert_close(balance.log_variance.grad, 1 - loss, rtol=1e-6, atol=1e-7)
    moved = 0.2 * (loss - 1).sign()
    torch.testing.assert_close(balance.log_variance.detach(), moved, rtol=1e-5, atol=0)
    metrics = step.task.metrics(counters)
    assert metrics["loss"] == pytest.approx(float(loss.sum()))
    assert metrics["balance/energy"] == pytest.approx(0.5 * np.exp(-float(moved[1])))


class LinearNetwork(torch.nn.Module):
    """Sums over pixels and telescopes, then a layer for each output."""

    def __init__(self, array: ArrayInput, outputs: dict[str, int]):
        super().__init__()
        self.encoders = torch.nn.ModuleList(torch.nn.Linear(kind.pixels[0].numel(), 64) for kind in array.kinds)
        self.names, sizes = tuple(outputs), outputs.values()
        self.heads = torch.nn.ModuleList(torch.nn.Linear(64, size) for size in sizes)

    def forward(self, array: ArrayInput) -> dict[str, torch.Tensor]:
        """As `IactNetwork`."""
        x = torch.zeros(array.entries, 64)
        for kind, encoder in zip(array.kinds, self.encoders, strict=True):
            x = x.index_add(0, kind.event, encoder(kind.pixels.flatten(1)).tanh())
        return {name: head(x) for name, head in zip(self.names, self.heads, strict=True)}


def test_what_simulated_events_are_is_learned() -> None:
    """By heart. What is predicted is compared with the truth of the files, in their units."""
    source = simulated_showers().source
    entries = np.arange(len(source))
    events, truth = source.read(entries).to(DEVICE), source.truth(entries)
    task = Reconstruction(
        Reconstruction.Config(only_gammas=False, balance="uncertainty"), source.spec, CameraImages(source.spec)
    )
    sample = task.prepare(events)
    torch.manual_seed(0)
    network = LinearNetwork(sample.input, task.outputs)
    step = stepping(task, network, Ranks(), "ddp", "adam")
    for turn in range(200):
        step([events], 0.003 if turn < 100 else 0.001, measure=False)
    with torch.no_grad():
        found = sample.physical(task.targets, task._outputs(network, sample))
    assert (found["type"] == truth["interaction"]).all()
    assert np.abs(np.log10(found["energy"] / truth["energy"])).max() < 0.1
    angle = np.degrees(angular_separation(found["alt"], found["az"], truth["alt"], truth["az"]))
    assert angle.max() < 0.2 < np.degrees(angular_separation(truth["alt"], truth["az"], np.radians(70), np.pi)).min()
    assert np.hypot(found["core_x"] - truth["core_x"], found["core_y"] - truth["core_y"]).max() < 40
