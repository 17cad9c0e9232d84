"""A step on showers: the same gradients and learning rate however it is cut, and targets that can be learned."""

import numpy as np
import pytest
import torch

from airshower.geometry.separation import angular_separation
from airshower.networks.telescopes.inputs import ArrayInput
from airshower.networks.telescopes.network import TelescopeNetwork
from airshower.runtime.ranks import Ranks
from airshower.tasks.reconstruction.task import Reconstruction
from tests.engine.shower_steps import DEVICE, ENTRIES, batch, flat, gradients, make, stepping
from tests.samples import simulated_showers
from tests.targets import reconstruction


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
    step = make("group", Ranks(), balance="uncertainty", targets={"energy": {"weight": 0.5}}, balance_learning_rate=0.2)
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
        """As `TelescopeNetwork`."""
        x = torch.zeros(array.entries, 64)
        for kind, encoder in zip(array.kinds, self.encoders, strict=True):
            x = x.index_add(0, kind.event, encoder(kind.pixels.flatten(1)).tanh())
        return {name: head(x) for name, head in zip(self.names, self.heads, strict=True)}


def test_what_simulated_events_are_is_learned() -> None:
    """By heart. What is predicted is compared with the truth of the files, in their units."""
    source = simulated_showers().source
    entries = np.arange(len(source))
    events, truth = source.read(entries).to(DEVICE), source.truth(entries)
    config = reconstruction(only_gammas=False, balance="uncertainty")
    task = Reconstruction(config, source.spec, TelescopeNetwork.view(source.spec))
    sample = task.prepare(events)
    torch.manual_seed(0)
    network = LinearNetwork(sample.input, task.outputs)
    step = stepping(task, network, Ranks(), "ddp", "adam")
    for turn in range(200):
        step([events], 0.003 if turn < 100 else 0.001, measure=False)
    with torch.no_grad():
        found = sample.physical(task.targets, task._outputs(network, sample))
    (alt, az), (x, y) = truth["direction"].T, truth["core"].T
    assert (found["type"] == np.array(["gamma", "proton"])[truth["primary"]]).all()
    assert np.abs(np.log10(found["energy"] / truth["energy"])).max() < 0.1
    angle = np.degrees(angular_separation(found["alt"], found["az"], alt, az))
    assert angle.max() < 0.2 < np.degrees(angular_separation(alt, az, np.radians(70), np.pi)).min()
    assert np.hypot(found["core_x"] - x, found["core_y"] - y).max() < 40
