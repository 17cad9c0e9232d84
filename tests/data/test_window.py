"""Steps that are read together: the same batches as one by one, few reads, bounded memory, errors of entries."""

import dataclasses
import threading
import weakref
from collections.abc import Iterator

import numpy as np
import pytest

from airshower.data.batch import Batch
from airshower.data.containers import Table
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.data.truth import Truth
from airshower.errors import DataError
from airshower.runtime.ranks import Ranks
from tests.one_rank import OneOf

BLOCKS = OrderConfig("random_blocks", 5, 20)


class Counting(Source):
    """A source that remembers its reads, which of their batches are alive, and fails at one entry."""

    def __init__(self, count: int, bad: int = -1):
        self.count = count
        self.bad = bad
        self.reads: list[list[int]] = []
        self.alive: dict[int, int] = {}

    def __len__(self) -> int:
        return self.count

    def file_ends(self) -> np.ndarray:
        """Two files."""
        return np.array([self.count // 2, self.count])

    def read(self, entries: np.ndarray) -> Batch:
        """A number for each event."""
        if self.bad in entries:
            raise DataError(f"entry {self.bad} is damaged")
        number = len(self.reads)
        self.reads.append(entries.tolist())
        values = entries.astype(np.float32)[:, None]
        self.alive[number] = len(entries)
        weakref.finalize(values, self.alive.pop, number)
        return Batch({"table": Table(values)}, entries, np.stack([entries] * 3, 1), Truth(self.truth, entries))


def plan(source: Source, step: int, order: OrderConfig = BLOCKS) -> EntryPlan:
    return EntryPlan(np.arange(len(source)), step, order, 4, source.file_ends())


def pieces(feeder: Feeder) -> Iterator[tuple[list[int], Batch]]:
    for dealt, batches in feeder:
        yield from zip([piece.tolist() for piece in dealt.pieces], batches, strict=True)


def test_batches_are_those_that_were_dealt() -> None:
    source = Counting(93)
    same = plan(source, 6)
    steps = 2 * same.steps_per_epoch
    with Feeder(source, Dealer(plan(source, 6), 4, Ranks()), steps) as feeder:
        read = list(feeder)
    assert len(read) == steps
    for dealt, batches in read:
        expected = same.next()
        assert dealt.state == same.state_dict()
        assert np.concatenate([batch.entries for batch in batches]).tolist() == expected.tolist()
        for batch in batches:
            assert batch["table"].values[:, 0].tolist() == batch.entries.tolist()
            assert batch.event_ids[:, 1].tolist() == batch.truth.entries.tolist() == batch.entries.tolist()
    assert sorted(entry for run in source.reads for entry in run) == sorted([*range(93)] * 2)
    assert all(np.ptp(run) == len(run) - 1 for run in source.reads), "each read is a run of neighbours"
    windows = 2 * -(-93 // 18)
    assert len(source.reads) <= 2 * 20 + windows, "a read for each block, and one more where a window ends in one"


@pytest.mark.parametrize("threads", [1, 3])
def test_two_windows_are_in_memory(threads: int) -> None:
    source = Counting(200)
    with Feeder(source, Dealer(plan(source, 4), 4, Ranks()), 100, threads) as feeder:
        for _ in feeder:
            assert sum(list(source.alive.values())) <= 2 * 20
    assert len(source.reads) == 400 / 5


def test_no_more_is_read_than_is_asked_for() -> None:
    source = Counting(200)
    with Feeder(source, Dealer(plan(source, 4), 4, Ranks()), 7) as feeder:
        assert len(list(feeder)) == 7
    assert sum(map(len, source.reads)) == 28


def test_an_error_names_its_entry_and_comes_after_the_windows_before() -> None:
    expected = plan(Counting(200), 4)
    order = np.concatenate([expected.next() for _ in range(expected.steps_per_epoch)])
    bad = int(order[130])
    seen: list[int] = []
    with Feeder(Counting(200, bad), Dealer(plan(Counting(200), 4), 4, Ranks())) as feeder:
        with pytest.raises(DataError, match=f"entry {bad} is damaged"):
            seen.extend(entry for dealt, _ in feeder for entry in dealt.pieces[0].tolist())
    assert seen == order[: len(seen)].tolist()
    assert 120 <= len(seen) <= 128


def test_closing_in_the_middle_of_a_window_ends_the_threads() -> None:
    before = threading.active_count()
    source = Counting(10_000)
    order = dataclasses.replace(BLOCKS, buffer=5000)
    with Feeder(source, Dealer(plan(source, 4, order), 4, Ranks())) as feeder:
        next(iter(feeder))
        assert threading.active_count() > before
    assert threading.active_count() == before


def test_a_rank_without_entries_of_a_piece_gets_an_empty_batch() -> None:
    source = Counting(30)
    with Feeder(source, Dealer(plan(source, 2), 2, OneOf(2, 3)), 15) as feeder:
        assert [len(batch) for _, batch in pieces(feeder)] == [0] * 15
    assert source.reads == [[]] * 15
