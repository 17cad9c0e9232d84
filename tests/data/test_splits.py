"""Splits of events: which are held out, and what is opened for them."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airshower.config.fields import check
from airshower.data.simulated import SimulatedConfig, SimulatedData, SimulatedFile
from airshower.data.splits import Selection, Splits, split_by_shower
from airshower.errors import UserError


class Events:
    """A source of n events."""

    def __init__(self, events: int):
        self.events = events

    def __len__(self) -> int:
        return self.events


class Simulated(SimulatedData[Any]):
    """Records what is simulated."""

    def __init__(self, config: SimulatedConfig):
        super().__init__(config, seed=0)
        self.made: list[tuple[str, int, int]] = []

    def source(self, name: str, events: int, seed: int) -> Any:
        self.made.append((name, events, seed))
        return Events(events)

    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        return {}


def test_what_learns_from_a_trained_network_has_halves_of_the_held_out_showers() -> None:
    class Showers(Events):
        showers = np.repeat([b"a", b"b", b"c", b"d", b"e"], 4)

    source: Any = Showers(20)
    held_out = Selection(source, np.arange(4, 20))
    splits = Splits(Selection(source, np.arange(4)), held_out, held_out).held_out(seed=1)
    assert splits.validation is not None
    parts = [splits.train.entries, splits.validation.entries]
    assert sorted(np.concatenate(parts)) == list(range(4, 20))
    assert [len(part) for part in parts] == [8, 8]
    assert not set(source.showers[parts[0]]) & set(source.showers[parts[1]])
    assert splits.test is held_out
    with pytest.raises(UserError, match="validation_fraction"):
        Splits(held_out, None, held_out).held_out(seed=1)


def test_simulated_events_are_made_when_they_are_first_used() -> None:
    data = Simulated(SimulatedConfig(events=5, validation_events=3, test_events=2, seed=4))
    splits = data.open()
    assert data.made == []
    assert splits.train.entries.tolist() == [0, 1, 2, 3, 4]
    assert splits.train is splits.train
    assert data.made == [("train", 5, 8)]
    assert [len(part.entries) for part in splits.selections(("validation", "test"))] == [3, 2]
    assert data.made[1:] == [("validation", 3, 9), ("test", 2, 2**30 + 4)]


def test_of_processes_that_simulate_the_same_file_the_first_is_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path))

    def write(path: Path, text: str) -> None:
        path.write_text(text)

    def write_slowly(path: Path, text: str) -> None:
        file = SimulatedFile("toy", "train", ".txt", {"events": 1}, write).cached()
        opened.append((file, file.stat()))
        write(path, text)

    opened: list[tuple[Path, os.stat_result]] = []
    last = SimulatedFile("toy", "train", ".txt", {"events": 1}, write_slowly).cached()
    ((first, state),) = opened
    assert first == last
    assert first.stat().st_ino == state.st_ino
    assert first.read_text() == '{"events": 1}'
    assert [path.name for path in first.parent.iterdir()] == [first.name]


def test_no_two_files_have_a_seed_in_common() -> None:
    most = 2**29 - 1
    for seeds in ((0, 1, 2), (most - 1, most)):
        used = []
        for seed in seeds:
            data = Simulated(SimulatedConfig(seed=seed))
            data.open().selections(("train", "validation", "test"))
            used += [seed for *_, seed in data.made]
        assert len(set(used)) == len(used)
        assert {seed < 2**30 for seed in used[::3]} == {True}
    with pytest.raises(UserError, match=f"data.seed={most + 1}: must be at least 0 and at most {most}"):
        check(SimulatedConfig(seed=most + 1), "data")


def test_splits_of_other_events_to_test_on() -> None:
    every, few = (Selection[Any](Events(n), np.arange(n)) for n in (5, 2))
    splits = Splits[Any](every, None, every)
    assert splits.tested_on(few).test is few
    assert splits.tested_on(few).train is splits.test is every
    assert splits.selections(("train", "validation")) == [every]


def test_entries_of_a_shower_are_in_one_part() -> None:
    entries, showers = np.arange(10, 40), np.repeat(np.arange(10), 3)
    seen = set()
    for seed in range(5):
        parts = split_by_shower(entries, showers, 0.21, 0.1, seed)
        assert [len(part) for part in parts] == [18, 9, 3]
        assert sorted(np.concatenate(parts)) == entries.tolist()
        assert [len({(entry - 10) // 3 for entry in part.tolist()}) for part in parts] == [6, 3, 1]
        seen.add(tuple(parts[2]))
    assert len(seen) > 1
    nothing = split_by_shower(entries[:1], showers[:1], 0.0, 0.0, 1)
    assert [part.tolist() for part in nothing] == [[10], [], []]
    with pytest.raises(UserError, match="leave none of 10 showers to train on"):
        split_by_shower(entries, showers, 0.5, 0.5, 1)
