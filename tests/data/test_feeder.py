"""The reading thread: same entries in the same order, bounded, and loud."""

import threading
import time

import numpy as np
import pytest

from airshower.data.batch import Batch, SparseImages
from airshower.data.feeder import Feeder
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
        return Batch(images, entries, np.zeros((len(entries), 3), int))


def dealer(count: int, step: int, minibatch: int, order: str = "shuffled") -> Dealer:
    return Dealer(EntryPlan(np.arange(count), step, order, seed=4), minibatch, Ranks())


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
