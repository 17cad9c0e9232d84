"""Which changes of a config make another run, and which may differ between ranks."""

from dataclasses import dataclass

import pytest
from omegaconf import MISSING, OmegaConf

from airshower.config import record
from airshower.config.fields import choice, location, number, section, value
from airshower.config.record import Resolved
from airshower.errors import UserError


@dataclass
class Reading:
    buffer: int = number(3)
    unit: str = choice("p.e.", "dc", free=False)


@dataclass
class Own:
    """A user's own source of data."""

    file: str = location(MISSING)
    scratch: str = location(free=True)
    threads: int = number(1, free=True)
    bands: list[int] = value([1, 2])
    shown: list[int] = value([1], free=True)
    reading: Reading = section(Reading, free=True)


BEFORE = {
    "run": {"id": "first", "minibatch_size": 2, "iterations": 5, "precision": "float32"},
    "mode": {"name": "train", "checkpoint_iteration": 3, "optimizer": {"name": "adam", "schedule": {"warmup": 1.0}}},
    "framework": {"seed": 1, "compile": False},
    "data": {
        "file": "a", "scratch": "b", "threads": 1, "bands": [1, 2], "shown": [1],
        "reading": {"buffer": 3, "unit": "dc"},
    },
    "network": {"depth": 3},
    "output_dir": "out",
}  # fmt: skip


def resolved(*changes: str) -> Resolved:
    config = OmegaConf.merge(OmegaConf.create(BEFORE), OmegaConf.from_dotlist([*changes]))
    return Resolved.of(OmegaConf.to_yaml(config), {"data": Own})


@pytest.mark.parametrize(
    "change",
    [
        "run.id=second", "run.iterations=9", "mode.checkpoint_iteration=5", "framework.compile=true",
        "output_dir=other", "data.scratch=c", "data.threads=4", "data.shown=[2]", "data.reading.buffer=5",
        "run.of_another_version=1", "mode.displays=2", "framework.environment_variables.A=b",
    ],
)  # fmt: skip
def test_a_run_goes_on_with_another_value(change: str) -> None:
    assert resolved(change).text != resolved().text
    assert resolved(change).changes(resolved().text) == []
    assert resolved().changes(resolved(change).text) == []


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ("run.minibatch_size=4", "run.minibatch_size: 2 -> 4"),
        ("run.precision=bfloat16", "run.precision: float32 -> bfloat16"),
        ("mode.name=inference", "mode.name: train -> inference"),
        ("mode.optimizer.schedule.warmup=2", "mode.optimizer.schedule.warmup: 1.0 -> 2"),
        ("mode.optimizer.new=2", "mode.optimizer.new: None -> 2"),
        ("framework.seed=2", "framework.seed: 1 -> 2"),
        ("data.file=b", "data.file: a -> b"),
        ("data.bands=[3]", "data.bands: [1, 2] -> [3]"),
        ("data.reading.unit=pe", "data.reading.unit: dc -> pe"),
        ("network.depth=4", "network.depth: 3 -> 4"),
        ("data.unknown=1", "data.unknown: None -> 1"),
    ],
)
def test_another_value_makes_another_run(change: str, line: str) -> None:
    assert resolved(change).changes(resolved().text) == [line]


def test_ranks_may_have_their_files_in_different_places() -> None:
    record.check_same([resolved().identity(), resolved("data.file=/scratch/a", "data.scratch=/tmp").identity()])


@pytest.mark.parametrize("key", ["run.id", "data.threads", "network.depth"])
def test_all_else_is_the_same_on_all_ranks(key: str) -> None:
    other = resolved(f"{key}=9").identity()
    with pytest.raises(UserError, match=rf"^rank 2 does not see what rank 0 sees \({key}: "):
        record.check_same([resolved().identity(), resolved().identity(), other])
