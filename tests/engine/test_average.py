"""Averages of weights and of the running statistics that belong to them."""

from pathlib import Path

import torch
from torch import nn

from airshower.config.schema import OptimizerConfig
from airshower.engine.average import WeightAverage
from airshower.engine.checkpoint import load_weights
from airshower.engine.step import TrainedPhase
from airshower.runtime.ranks import Ranks
from airshower.tasks.task import Phase


class Normalised(nn.Module):
    """A layer with running statistics, a constant that is no part of its state, and a counter."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.register_buffer("constant", torch.ones(2), persistent=False)


def test_running_statistics_are_averaged_with_the_weights() -> None:
    network, other = Normalised(), Normalised()
    average = WeightAverage(network, network, 0.5)
    expected = network.inner[1].running_mean.clone()
    for step in range(1, 30):
        network.inner(torch.randn(8, 3) + step)
        average.update()
        kept = min(0.5, step / (10 + step))
        expected = kept * expected + (1 - kept) * network.inner[1].running_mean
    assert {name for name in average.names if "running" in name} == {"inner.1.running_mean", "inner.1.running_var"}
    with average.used():
        torch.testing.assert_close(network.inner[1].running_mean, expected)
    state = {"model": network.state_dict(), "averages": [average.state_dict(True)]}
    load_weights(other, state, Path("a.ckpt"))
    torch.testing.assert_close(other.inner[1].running_mean, expected)
    assert not torch.equal(other.inner[1].running_mean, network.inner[1].running_mean)


def test_a_phase_without_its_own_takes_the_average_of_the_optimizer() -> None:
    network = Normalised()
    for own, of_all, used in ((0.0, 0.9, 0.9), (0.5, 0.9, 0.5), (0.0, 0.0, None)):
        phase = Phase("any", network, lambda *_: None, average=own)
        average = TrainedPhase.of(phase, network, OptimizerConfig(average=of_all), Ranks()).average
        assert (average and average.decay) == used
