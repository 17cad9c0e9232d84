"""The plan of entries: every entry exactly once an epoch, whatever the sizes, and exact resumption."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, DealtStep, EntryPlan
from airshower.errors import UserError
from tests.one_rank import OneOf

ORDERS = ("serial", "shuffled", "random_blocks")
BUFFERS = st.integers(1, 9).flatmap(lambda block: st.tuples(st.just(block), st.integers(block, 40)))
each_order = st.one_of(
    st.sampled_from(ORDERS).map(OrderConfig), BUFFERS.map(lambda sizes: OrderConfig("random_blocks", *sizes))
)


@given(st.integers(1, 60), st.integers(1, 70), each_order, st.integers(1, 4))
def test_every_entry_once_an_epoch(count: int, step: int, order: OrderConfig, epochs: int) -> None:
    entries = np.arange(count) * 3 + 1
    plan = EntryPlan(entries, step, order, seed=2)
    for _ in range(epochs):
        drawn = [plan.next() for _ in range(plan.steps_per_epoch)]
        assert all(0 < len(part) <= step for part in drawn)
        assert sorted(np.concatenate(drawn)) == entries.tolist()
        assert plan.position == 0


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), each_order)
def test_resumed_plan_goes_on_as_the_uninterrupted_one(count: int, step: int, before: int, order: OrderConfig) -> None:
    whole, resumed = (EntryPlan(np.arange(count), step, order, seed=7) for _ in range(2))
    state = whole.state_dict()
    for _ in range(before):
        whole.next()
        state = whole.state_dict()
    resumed.load_state_dict(state)
    for _ in range(5):
        assert whole.next().tolist() == resumed.next().tolist()


@pytest.mark.parametrize("order", ["serial", "shuffled"])
def test_these_orders_do_not_depend_on_the_step_size(order: str) -> None:
    one, many = (EntryPlan(np.arange(20), size, OrderConfig(order), seed=3) for size in (1, 8))
    assert [int(one.next()[0]) for _ in range(20)] == np.concatenate([many.next() for _ in range(3)]).tolist()


def test_orders() -> None:
    def epoch(order: str) -> list[int]:
        return EntryPlan(np.arange(96), 96, OrderConfig(order), seed=1).next().tolist()

    assert epoch("serial") == list(range(96))
    assert sorted(epoch("shuffled")) == list(range(96))
    assert epoch("shuffled") != epoch("random_blocks") != epoch("serial")


def test_epochs_and_seeds_differ() -> None:
    plan = EntryPlan(np.arange(30), 30, seed=1)
    first, second = plan.next().tolist(), plan.next().tolist()
    assert first != second
    assert EntryPlan(np.arange(30), 30, seed=2).next().tolist() != first


def test_state_of_another_number_of_entries_is_refused() -> None:
    plan = EntryPlan(np.arange(5), 2)
    with pytest.raises(ValueError, match="5 entries"):
        plan.load_state_dict({"epoch": 0, "position": 2, "entries": 6})


def test_blocks_change_between_epochs_only() -> None:
    """The state of a run before there were windows is one without blocks."""
    plan = EntryPlan(np.arange(60), 4, OrderConfig("random_blocks", 5, 20))
    other = EntryPlan(np.arange(60), 4, OrderConfig("random_blocks", 5, 40))
    plan.next()
    for state in (plan.state_dict(), {"epoch": 0, "position": 4, "entries": 60}):
        with pytest.raises(UserError, match=r"data.block, data.buffer: .* in the middle of an epoch"):
            other.load_state_dict(state)
    other.load_state_dict(plan.state_dict() | {"epoch": 1, "position": 0})
    assert (other.epoch, other.position) == (1, 0)
    shuffled = EntryPlan(np.arange(60), 4)
    shuffled.load_state_dict({"epoch": 0, "position": 4, "entries": 60})
    assert shuffled.position == 4


def deals(
    rank: int, size: int, count: int, minibatch: int, accumulation: int, steps: int, order: OrderConfig, **state: Any
) -> list[DealtStep]:
    plan = EntryPlan(np.arange(count), minibatch * accumulation, order, seed=3)
    if state:
        plan.load_state_dict(state)
    dealer = Dealer(plan, minibatch, OneOf(rank, size))
    dealt: list[DealtStep] = []
    while len(dealt) < steps:
        hand = dealer.hand(steps - len(dealt))
        assert 0 < len(hand) <= plan.steps_at_once
        dealt += hand
    return dealt


@given(st.integers(1, 40), st.integers(1, 9), st.integers(1, 4), st.integers(1, 7), each_order)
def test_ranks_share_a_step_and_no_entry_is_lost(
    count: int, minibatch: int, accumulation: int, size: int, order: OrderConfig
) -> None:
    """However many ranks: every entry once an epoch, as many pieces on each, and the minibatches of one rank."""
    steps = 2 * EntryPlan(np.arange(count), minibatch * accumulation).steps_per_epoch
    alone = deals(0, 1, count, minibatch, accumulation, steps, order)
    ranks = [deals(rank, size, count, minibatch, accumulation, steps, order) for rank in range(size)]
    for whole, *parts in zip(alone, *ranks, strict=True):
        assert {len(part.pieces) for part in parts} == {len(whole.pieces)}
        for index, piece in enumerate(whole.pieces):
            together = np.concatenate([part.pieces[index] for part in parts])
            assert together.tolist() == piece.tolist()
            assert all(len(part.pieces[index]) <= -(-minibatch // size) for part in parts)
        assert all(part.state == whole.state and part.events == whole.events for part in parts)
    first_epoch = np.concatenate([piece for whole in alone[: steps // 2] for piece in whole.pieces])
    assert sorted(first_epoch) == list(range(count))


@given(st.integers(1, 40), st.integers(1, 5), st.integers(1, 25), st.integers(1, 3), each_order)
def test_other_ranks_go_on_from_any_step(
    count: int, minibatch: int, before: int, size: int, order: OrderConfig
) -> None:
    """A run that stops within a window, on two ranks, goes on with the same entries on any number."""
    whole = deals(0, 1, count, minibatch, 2, before + 6, order)
    stopped = deals(1, 2, count, minibatch, 2, before, order)[-1].state
    assert stopped == whole[before - 1].state
    ranks = [deals(rank, size, count, minibatch, 2, 6, order, **stopped) for rank in range(size)]
    for expected, *parts in zip(whole[before:], *ranks, strict=True):
        pieces = [np.concatenate(piece).tolist() for piece in zip(*(part.pieces for part in parts), strict=True)]
        assert pieces == [piece.tolist() for piece in expected.pieces]
