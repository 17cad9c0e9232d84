"""Timers add up, and cost nothing when they are off."""

from types import SimpleNamespace

import pytest
import torch

from airshower.runtime import timers as module_of_timers
from airshower.runtime.timers import Timers

CPU = torch.device("cpu")


@pytest.fixture
def time(monkeypatch: pytest.MonkeyPatch) -> SimpleNamespace:
    """A clock on which time passes by sleeping alone."""
    clock = SimpleNamespace(now=0.0, perf_counter=lambda: clock.now)
    clock.sleep = lambda seconds: setattr(clock, "now", clock.now + seconds)
    monkeypatch.setattr(module_of_timers, "time", clock)
    return clock


def test_an_inner_timer_stops_the_outer_and_all_add_up(time: SimpleNamespace) -> None:
    timers = Timers(CPU, enabled=True)
    with timers("loss"):
        time.sleep(0.05)
        with timers("forward"):
            time.sleep(0.1)
    timers.move("forward", "reduce", 0.04)
    row = timers.row()
    assert row["loss"] == pytest.approx(0.05)
    assert row["forward"] == pytest.approx(0.06)
    assert row["reduce"] == 0.04
    assert sum(value for name, value in row.items() if name != "total") == pytest.approx(row["total"])
    timers.restart()
    assert timers.row()["loss"] == 0.0


def test_a_watched_module_is_timed_apart_from_what_calls_it(time: SimpleNamespace) -> None:
    class Slow(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            time.sleep(0.05)
            return x

    module, timers = Slow(), Timers(CPU, enabled=True)
    timers.watch(module)
    with timers("loss"):
        module(torch.zeros(1))
    assert timers.row()["forward"] == 0.05
    assert timers.row()["loss"] == 0.0
    with timers("validation"):
        module(torch.zeros(1))
    assert timers.row()["validation"] >= 0.05
    assert timers.row()["forward"] < 0.1


def test_off_nothing_is_measured() -> None:
    module, timers = torch.nn.Identity(), Timers(CPU, enabled=False)
    timers.watch(module)
    with timers("loss"):
        module(torch.zeros(1))
    assert not any(value for name, value in timers.row().items() if name not in ("other", "total"))
    assert not module._forward_hooks
