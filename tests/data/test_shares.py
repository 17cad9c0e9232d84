"""Shares of classes in an epoch: how many of each, drawn anew, and the same after a resumption."""

import numpy as np
import pytest

from airshower.data.order import OrderConfig
from airshower.data.plan import EntryPlan
from airshower.data.shares import Shares
from airshower.data.spec import Spec
from airshower.data.truth import CLASS, NUMBER, Column
from airshower.errors import UserError

OF_CLASS = np.tile([0, 1, 1, 1, -1], 8)  # -1: none of the classes
NAMES = ("rare", "frequent")


class Known:
    """A source of 40 entries with a class each."""

    spec = Spec({}, (Column("energy", NUMBER), Column("kind", CLASS, classes=NAMES)), frozenset({"energy", "kind"}))

    def truth(self, entries, names):
        assert names == ("kind",)
        return {"kind": OF_CLASS[entries]}


def plan(share: float, of: list[str], order: str = "shuffled") -> EntryPlan:
    entries = np.arange(10, 40)
    config = OrderConfig(order, share=share, share_of=of)
    return EntryPlan(entries, 4, config, 3, shares=Shares(entries, Known(), config))


def epoch(of: EntryPlan) -> np.ndarray:
    return np.concatenate([of.next() for _ in range(of.steps_per_epoch)])


@pytest.mark.parametrize("order", ["shuffled", "serial"])
def test_an_epoch_has_the_shares_of_classes_and_no_entry_twice(order: str) -> None:
    part = plan(0.5, ["frequent"], order)
    first, second = epoch(part), epoch(part)
    for drawn in (first, second):
        assert len(set(drawn)) == len(drawn) == part.count == 6 + 9 + 6
        assert np.bincount(OF_CLASS[drawn] + 1).tolist() == [6, 6, 9]
    assert set(first) != set(second)
    assert part.position == 0
    if order == "serial":
        assert first.tolist() == sorted(first)


def test_a_resumed_plan_draws_the_same() -> None:
    whole, resumed = plan(0.4, [*NAMES]), plan(0.4, [*NAMES])
    for _ in range(7):
        whole.next()
    resumed.load_state_dict(whole.state_dict())
    assert epoch(whole).tolist() == epoch(resumed).tolist()


@pytest.mark.parametrize(
    ("of", "order", "message"),
    [
        (["common"], "shuffled", r"must name classes of one column of truth \(kind: rare, frequent\)"),
        ([], "shuffled", "data.share_of"),
        (["rare"], "random_blocks", "data.order=shuffled"),
    ],
)
def test_what_can_not_be_drawn_is_refused(of: list[str], order: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        plan(0.5, of, order)
