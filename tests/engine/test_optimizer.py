"""Optimizers and schedules."""

import pytest
import torch

from airshower.config.schema import OptimizerConfig, ScheduleConfig
from airshower.engine.optimizer import Cycle, build_optimizer, learning_rate


def rates(name: str, total: int = 100, per_epoch: int = 10, **schedule: float) -> list[float]:
    config = OptimizerConfig(learning_rate=1.0, schedule=ScheduleConfig(name=name, **{"floor": 0.1, **schedule}))
    return [learning_rate(config, step, total, per_epoch) for step in range(total)]


def test_constant() -> None:
    assert set(rates("constant")) == {1.0}


def test_warmup_flat_decay_is_that_of_cosmictagger() -> None:
    values = rates("warmup_flat_decay", warmup=1.0, flat=2.0, decay=0.999)
    assert values[0] == pytest.approx(0.1)
    assert values[5] == pytest.approx(0.55)
    assert values[10:31] == [1.0] * 21
    assert values[40] == pytest.approx(0.1 + 0.9 * 2.718281828 ** (-0.999 * 1.0))


def test_cosine_rises_then_falls_to_the_floor() -> None:
    values = rates("cosine", warmup=1.0)
    assert values[10] == pytest.approx(1.0)
    assert values[:11] == sorted(values[:11])
    assert values[10:] == sorted(values[10:], reverse=True)
    assert values[-1] == pytest.approx(0.1, abs=1e-3)


def test_one_cycle_peaks_at_thirty_percent() -> None:
    values = rates("one_cycle")
    assert values[0] == pytest.approx(1 / 25)
    assert max(values) == pytest.approx(values[30]) == pytest.approx(1.0)
    assert values[-1] == pytest.approx(0.1, abs=2e-3)


@pytest.mark.parametrize("name", ["constant", "warmup_flat_decay", "cosine", "one_cycle"])
def test_a_floor_above_the_peak_does_not_raise_the_rate(name: str) -> None:
    assert max(rates(name, floor=5.0)) <= 1.0


@pytest.mark.parametrize("name", ["constant", "warmup_flat_decay", "cosine", "one_cycle"])
@pytest.mark.parametrize("extension", ["keep", "restart", "stretch"])
def test_a_run_that_is_not_extended_has_the_rates_of_the_uninterrupted_one(name: str, extension: str) -> None:
    config = OptimizerConfig(schedule=ScheduleConfig(name=name))
    for step in range(30):
        cycle = Cycle(0, 30).resumed(extension, step, 30)
        assert cycle.rate(config, step, 10) == learning_rate(config, step, 30, 10)


def test_an_extended_run_keeps_restarts_or_stretches_its_schedule() -> None:
    config = OptimizerConfig(learning_rate=1.0, schedule=ScheduleConfig(name="one_cycle", floor=0.1))
    whole = Cycle(0, 20)
    rates = {
        extension: [whole.resumed(extension, 20, 60).rate(config, step, 10) for step in range(20, 60)]
        for extension in ("keep", "restart", "stretch")
    }
    assert set(rates["keep"]) == {0.1}
    assert rates["restart"] == [learning_rate(config, step, 40, 10) for step in range(40)]
    assert rates["stretch"] == [learning_rate(config, step, 60, 10) for step in range(20, 60)]
    assert rates["stretch"][0] > 0.9


@pytest.mark.parametrize(
    ("cycle", "extension", "step", "total", "expected"),
    [
        (Cycle(0, 20), "keep", 10, 60, Cycle(0, 20)),  # stopped half-way: to the old end first
        (Cycle(0, 20), "restart", 10, 60, Cycle(10, 60)),
        (Cycle(20, 60), "restart", 30, 60, Cycle(20, 60)),  # goes on after a restart
        (Cycle(20, 60), "stretch", 30, 80, Cycle(20, 80)),
        (Cycle(0, 20), "keep", 12, 15, Cycle(0, 15)),  # made shorter
        (Cycle(0, 20), "restart", 60, 60, Cycle(0, 20)),  # finished
    ],
)
def test_the_cycle_of_a_resumed_run(cycle: Cycle, extension: str, step: int, total: int, expected: Cycle) -> None:
    assert cycle.resumed(extension, step, total) == expected


@pytest.mark.parametrize("name", ["adam", "adamw", "rmsprop", "sgd"])
def test_optimizers_learn_and_decay_only_convolution_weights(name: str) -> None:
    torch.manual_seed(0)
    module = torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.BatchNorm2d(2))
    optimizer = build_optimizer(OptimizerConfig(name=name, learning_rate=0.01, weight_decay=0.1), module)
    decayed, free = optimizer.param_groups
    assert [p.ndim for p in decayed["params"]] == [4]
    assert (decayed["weight_decay"], free["weight_decay"]) == (0.1, 0.0)
    x = torch.randn(4, 1, 6, 6)
    losses = []
    for _ in range(20):
        optimizer.zero_grad()
        loss = (module(x) - 1.0).square().mean()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < losses[0]
