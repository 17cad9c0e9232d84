"""The reading threads: same entries in the same order, bounded, and loud."""

import threading
import time

import numpy as np
import pytest

from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.errors import DataError
from airshower.runtime.ranks import Ranks


class Counting:
    """A source that remembers what was read and fails at one entry."""

    def __init__(self, count: int, bad: int = -1):
        self.count, self.bad, self.read_entries = count, bad, []

    def read(self, entries: np.ndarray) -> Batch:
        if self.bad in entries:
            raise DataError(f"entry {self.bad} is damaged")
        self.read_entries += entries.tolist()
        empty = np.empty(0, np.int32)
        images = SparseImages(empty, empty, empty.astype(np.float32), None, np.zeros((len(entries), 1), int), (2, 2))
        return Batch({"images": images}, entries, np.zeros((len(entries), 3), int))


def dealer(count: int, step: int, minibatch: int, order: str = "shuffled") -> Dealer:
    return Dealer(EntryPlan(np.arange(count), step, OrderConfig(order), seed=4), minibatch, Ranks())


def test_micro_batches_are_the_plan_cut_into_pieces() -> None:
    source, same = Counting(10), EntryPlan(np.arange(10), 6, seed=4)
    with Feeder(source, dealer(10, 6, 4), steps=4) as feeder:
        for dealt, batches in feeder:
            expected = same.next().tolist()
            assert dealt.events == len(expected)
            assert dealt.state == same.state_dict()
            assert [len(batch) for batch in batches] == ([4, 2] if len(expected) == 6 else [4])
            assert [int(e) for batch in batches for e in batch.entries] == expected
    assert len(source.read_entries) == 20


def test_reads_ahead_no_further_than_asked() -> None:
    source = Counting(100)
    with Feeder(source, dealer(100, 1, 1), prefetch=3) as feeder:
        next(iter(feeder))
        time.sleep(0.3)
        assert len(source.read_entries) == 4  # one taken, three waiting


def test_an_error_reaches_the_consumer_after_what_was_read_before() -> None:
    seen = []
    with Feeder(Counting(5, bad=3), dealer(5, 1, 1, "serial")) as feeder:
        with pytest.raises(DataError, match="entry 3"):
            seen.extend(int(dealt.pieces[0][0]) for dealt, _ in feeder)
    assert seen == [0, 1, 2]


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    with Feeder(Counting(50), dealer(50, 1, 1)) as feeder:
        next(iter(feeder))
    assert threading.active_count() == before


class Meeting(Counting):
    """Reading ends where two threads are at it at a time; the second of the two entries is read first."""

    def __init__(self, count: int, bad: int = -1):
        super().__init__(count, bad)
        self.both, self.second = threading.Barrier(2, timeout=20), threading.Event()

    def read(self, entries: np.ndarray) -> Batch:
        self.both.wait()
        if entries[0] % 2:
            batch = super().read(entries)
            self.second.set()
            return batch
        assert self.second.wait(20)
        self.second.clear()
        return super().read(entries)


def test_several_threads_read_at_a_time_and_keep_the_order() -> None:
    source, dealing = Meeting(8), set()

    class Watched(Ranks):
        """Dealing is collective: one thread does it."""

        def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
            dealing.add(threading.current_thread())
            return super().scatter(rows, width)

    dealt_by = Dealer(EntryPlan(np.arange(8), 1, OrderConfig("serial")), 1, Watched())
    with Feeder(source, dealt_by, steps=8, threads=2) as feeder:
        given = [(dealt.pieces[0].tolist(), batches[0].entries.tolist()) for dealt, batches in feeder]
    assert given == [([entry], [entry]) for entry in range(8)]
    assert source.read_entries == [1, 0, 3, 2, 5, 4, 7, 6]
    assert dealing == {threading.current_thread()}


def test_an_error_in_one_of_several_threads_comes_in_its_place() -> None:
    seen = []
    with Feeder(Counting(8, bad=5), dealer(8, 1, 1, "serial"), threads=3) as feeder:
        with pytest.raises(DataError, match="entry 5"):
            seen.extend(int(dealt.pieces[0][0]) for dealt, _ in feeder)
    assert seen == [0, 1, 2, 3, 4]


def test_a_piece_without_entries_gives_an_empty_batch() -> None:
    class Third(Ranks):
        """The last of three ranks, for a step of two entries."""

        def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
            row = rows[0].copy()
            row[4] = 0
            return row

    third = Dealer(EntryPlan(np.arange(3), 2), 2, Third())
    with Feeder(Counting(3), third, steps=1) as feeder:
        dealt, batches = next(iter(feeder))
    assert [len(batch) for batch in batches] == [0]
    assert dealt.events == 2
