"""The plan of entries: every entry exactly once an epoch, whatever the sizes, and exact resumption."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airshower.data.plan import EntryPlan

ORDERS = ("serial", "shuffled", "random_blocks")


@given(st.integers(1, 60), st.integers(1, 70), st.sampled_from(ORDERS), st.integers(1, 4), st.integers(1, 7))
def test_every_entry_once_an_epoch(count: int, step: int, order: str, epochs: int, block: int) -> None:
    entries = np.arange(count) * 3 + 1
    plan = EntryPlan(entries, step, order, seed=2, block=block)
    for _ in range(epochs):
        drawn = [plan.next().entries for _ in range(plan.steps_per_epoch)]
        assert all(0 < len(part) <= step for part in drawn)
        assert sorted(np.concatenate(drawn)) == entries.tolist()
        assert plan.position == 0


@given(st.integers(1, 40), st.integers(1, 9), st.integers(0, 30), st.sampled_from(ORDERS))
def test_resumed_plan_goes_on_as_the_uninterrupted_one(count: int, step: int, before: int, order: str) -> None:
    whole, resumed = (EntryPlan(np.arange(count), step, order, seed=7) for _ in range(2))
    state = whole.state_dict()
    for _ in range(before):
        state = whole.next().state
    resumed.load_state_dict(state)
    for _ in range(5):
        assert whole.next().entries.tolist() == resumed.next().entries.tolist()


def test_order_does_not_depend_on_the_step_size() -> None:
    one, many = EntryPlan(np.arange(20), 1, seed=3), EntryPlan(np.arange(20), 8, seed=3)
    assert [int(one.next().entries[0]) for _ in range(20)] == np.concatenate(
        [many.next().entries for _ in range(3)]
    ).tolist()


def test_orders() -> None:
    def epoch(order: str) -> list[int]:
        return EntryPlan(np.arange(64), 64, order, seed=1, block=4).next().entries.tolist()

    assert epoch("serial") == list(range(64))
    blocks = np.array(epoch("random_blocks")).reshape(16, 4)
    assert (np.diff(blocks) == 1).all()
    assert blocks[:, 0].tolist() != list(range(0, 64, 4))
    assert (np.diff(epoch("shuffled")) != 1).any()


def test_epochs_and_seeds_differ() -> None:
    plan = EntryPlan(np.arange(30), 30, seed=1)
    first, second = plan.next().entries.tolist(), plan.next().entries.tolist()
    assert first != second
    assert EntryPlan(np.arange(30), 30, seed=2).next().entries.tolist() != first


def test_state_of_another_number_of_entries_is_refused() -> None:
    plan = EntryPlan(np.arange(5), 2)
    with pytest.raises(ValueError, match="5 entries"):
        plan.load_state_dict({"epoch": 0, "position": 2, "entries": 6})
