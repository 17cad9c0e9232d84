"""The reading thread: same entries in the same order, bounded, and loud."""

import threading
import time

import numpy as np
import pytest

from airshower.data.batch import Batch, SparseImages
from airshower.data.feeder import Feeder
from airshower.data.plan import EntryPlan
from airshower.errors import DataError


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


def test_micro_batches_are_the_plan_cut_into_pieces() -> None:
    source = Counting(10)
    plan, same = (EntryPlan(np.arange(10), 6, seed=4) for _ in range(2))
    with Feeder(source, plan, minibatch_size=4, steps=4) as feeder:
        for planned, batches in feeder:
            expected = same.next().entries.tolist()
            assert planned.entries.tolist() == expected
            assert [len(batch) for batch in batches] == ([4, 2] if len(expected) == 6 else [4])
            assert [int(e) for batch in batches for e in batch.entries] == expected
    assert len(source.read_entries) == 20


def test_reads_ahead_no_further_than_asked() -> None:
    source = Counting(100)
    with Feeder(source, EntryPlan(np.arange(100), 1), 1, prefetch=3) as feeder:
        next(iter(feeder))
        time.sleep(0.3)
        assert len(source.read_entries) <= 5  # one taken, three waiting, one in hand


def test_an_error_reaches_the_consumer_after_what_was_read_before() -> None:
    seen = []
    with Feeder(Counting(5, bad=3), EntryPlan(np.arange(5), 1, "serial"), 1) as feeder:
        with pytest.raises(DataError, match="entry 3"):
            seen.extend(planned.entries[0] for planned, _ in feeder)
    assert seen == [0, 1, 2]


def test_closing_ends_the_thread() -> None:
    before = threading.active_count()
    with Feeder(Counting(50), EntryPlan(np.arange(50), 1), 1) as feeder:
        next(iter(feeder))
    assert threading.active_count() == before


def test_a_rank_without_entries_gets_an_empty_batch() -> None:
    with Feeder(Counting(3), EntryPlan(np.arange(3), 2), 1, share=lambda entries: entries[:0], steps=1) as feeder:
        _, batches = next(iter(feeder))
    assert [len(batch) for batch in batches] == [0]
