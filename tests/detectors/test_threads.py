"""Sources are read by several threads at a time, as by one."""

import numpy as np
import pytest

from airshower.data.feeder import Feeder
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.runtime.ranks import Ranks
from tests.sources import SOURCES, arrays

EPOCHS, THREADS = 4, 4


def read(source: Source, threads: int) -> list[list[np.ndarray]]:
    plan = EntryPlan(np.arange(len(source)), 2, seed=1)
    with Feeder(source, Dealer(plan, 2, Ranks()), EPOCHS * plan.steps_per_epoch, threads) as feeder:
        return [[*arrays(batch)] for _, batches in feeder for batch in batches]


@pytest.mark.parametrize("name", SOURCES)
def test_several_threads_read_what_one_reads(name: str) -> None:
    expected, batches = read(SOURCES[name](), 1), read(SOURCES[name](), THREADS)
    assert len(batches) == len(expected) > EPOCHS
    for one, other in zip(expected, batches, strict=True):
        assert len(one) > 4
        assert all(np.array_equal(a, b, equal_nan=a.dtype.kind == "f") for a, b in zip(one, other, strict=True))
