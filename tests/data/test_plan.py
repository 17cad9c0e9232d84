"""The plan of entries: every entry exactly once an epoch, whatever the sizes, and exact resumption."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airshower.data.plan import Dealer, EntryPlan
from airshower.runtime.ranks import Ranks

ORDERS = ("serial", "shuffled", "random_blocks")


@given(st.integers(1, 60), st.integers(1, 70), st.sampled_from(ORDERS), st.integers(1, 4), st.integers(1, 7))
def test_every_entry_once_an_epoch(count: int, step: int, order: str, epochs: int, block: int) -> None:
    entries = np.arange(count) * 3 + 1
    plan = EntryPlan(entries, step, order, seed=2, block=block)
    for _ in range(epochs):
        drawn = [plan.next() for _ in range(plan.steps_per_epoch)]
        assert all(0 < len(part) <= step for part in drawn)
        assert sorted(np.concatenate(drawn)) == entries.tolist()
        assert plan.position == 0


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), st.sampled_from(ORDERS))
def test_resumed_plan_goes_on_as_the_uninterrupted_one(count: int, step: int, before: int, order: str) -> None:
    whole, resumed = (EntryPlan(np.arange(count), step, order, seed=7) for _ in range(2))
    state = whole.state_dict()
    for _ in range(before):
        whole.next()
        state = whole.state_dict()
    resumed.load_state_dict(state)
    for _ in range(5):
        assert whole.next().tolist() == resumed.next().tolist()


def test_order_does_not_depend_on_the_step_size() -> None:
    one, many = EntryPlan(np.arange(20), 1, seed=3), EntryPlan(np.arange(20), 8, seed=3)
    assert [int(one.next()[0]) for _ in range(20)] == np.concatenate([many.next() for _ in range(3)]).tolist()


def test_orders() -> None:
    def epoch(order: str) -> list[int]:
        return EntryPlan(np.arange(64), 64, order, seed=1, block=4).next().tolist()

    assert epoch("serial") == list(range(64))
    blocks = np.array(epoch("random_blocks")).reshape(16, 4)
    assert (np.diff(blocks) == 1).all()
    assert blocks[:, 0].tolist() != list(range(0, 64, 4))
    assert (np.diff(epoch("shuffled")) != 1).any()


def test_epochs_and_seeds_differ() -> None:
    plan = EntryPlan(np.arange(30), 30, seed=1)
    first, second = plan.next().tolist(), plan.next().tolist()
    assert first != second
    assert EntryPlan(np.arange(30), 30, seed=2).next().tolist() != first


def test_state_of_another_number_of_entries_is_refused() -> None:
    plan = EntryPlan(np.arange(5), 2)
    with pytest.raises(ValueError, match="5 entries"):
        plan.load_state_dict({"epoch": 0, "position": 2, "entries": 6})


class OneOf(Ranks):
    """Rank `rank` of several that are not there: what the master would scatter is drawn here, on every rank."""

    def __init__(self, rank: int, size: int):
        self.rank, self.size = rank, size

    @property
    def master(self) -> bool:
        return True

    def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
        assert rows.shape == (self.size, width)
        return rows[self.rank]


def deals(rank: int, size: int, count: int, minibatch: int, accumulation: int, steps: int) -> list:
    plan = EntryPlan(np.arange(count), minibatch * accumulation, seed=3)
    dealer = Dealer(plan, minibatch, OneOf(rank, size))
    return [dealer.next() for _ in range(steps)]


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(1, 7))
def test_ranks_share_a_step_and_no_entry_is_lost(count: int, minibatch: int, accumulation: int, size: int) -> None:
    """However many ranks: every entry once an epoch, as many pieces on each, and the minibatches of one rank."""
    steps = 2 * EntryPlan(np.arange(count), minibatch * accumulation).steps_per_epoch
    alone = deals(0, 1, count, minibatch, accumulation, steps)
    ranks = [deals(rank, size, count, minibatch, accumulation, steps) for rank in range(size)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert {len(part.pieces) for part in parts} == {len(whole.pieces)}
        for index, piece in enumerate(whole.pieces):
            together = np.concatenate([part.pieces[index] for part in parts])
            assert together.tolist() == piece.tolist()
            assert all(len(part.pieces[index]) <= -(-minibatch // size) for part in parts)
        assert all(part.state == whole.state and part.events == whole.events for part in parts)
    first_epoch = np.concatenate([piece for whole in alone[: steps // 2] for piece in whole.pieces])
    assert sorted(first_epoch) == list(range(count))
