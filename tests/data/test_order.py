"""Runs of neighbouring entries that are mixed: where they end, who reads them, and how well they are mixed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from airshower.data.order import OrderConfig, RandomBlocks
from airshower.errors import UserError


def blocks(entries: int, step: int, block: int, buffer: int, ends: list[int] | None = None) -> RandomBlocks:
    order = OrderConfig("random_blocks", block, buffer)
    return RandomBlocks(np.arange(entries), step, order, np.array(ends or [entries]))


def windows(drawn: np.ndarray, made: RandomBlocks) -> list[np.ndarray]:
    return np.split(drawn, range(made.window, len(drawn), made.window))


def test_a_window_is_whole_steps() -> None:
    assert [blocks(1000, step, 16, 100).steps for step in (1, 30, 100, 101)] == [100, 3, 1, 1]
    assert [blocks(1000, step, 16, 100).window for step in (1, 30, 100, 101)] == [100, 90, 100, 101]


def test_a_buffer_holds_a_block() -> None:
    with pytest.raises(UserError, match=r"data.buffer=10: must be at least data.block=11"):
        blocks(100, 4, 11, 10)


@given(st.lists(st.integers(0, 30), min_size=1, max_size=6), st.integers(1, 9), st.integers(1, 9))
def test_no_run_crosses_a_file(files: list[int], block: int, step: int) -> None:
    """Files may be empty; blocks are the longest that fit in."""
    entries, ends = sum(files), np.cumsum(files)
    runs = blocks(max(entries, 1), step, block, 9, [*ends.tolist(), *[1] * (not entries)]).runs(np.arange(entries))
    assert np.concatenate([[], *runs]).tolist() == list(range(entries))
    assert all(np.unique(np.searchsorted(ends, run, side="right")).size == 1 for run in runs)
    assert len(runs) == sum(-(-file // block) for file in files)
    assert all(len(run) <= block for run in runs)


def test_runs_are_those_of_the_entries_that_are_left() -> None:
    """After cuts and splits, neighbours are those that are next in the list."""
    left = np.array([3, 40, 41, 42, 90, 97, 98])
    made = RandomBlocks(left[::-1], 2, OrderConfig("random_blocks", 2, 4), np.array([95, 100]))
    assert [run.tolist() for run in made.runs(left)] == [[3, 40], [41, 42], [90], [97, 98]]
    assert [run.tolist() for run in made.runs(np.array([98, 42, 3, 40, 42]))] == [[3, 40], [42], [98]]
    assert made.runs(np.array([], np.int64)) == []


def test_entries_that_are_repeated_are_read_once() -> None:
    made = RandomBlocks(np.array([1, 1, 1, 1, 2, 2]), 2, OrderConfig("random_blocks", 2, 4), np.array([9]))
    drawn = made.draw(np.random.default_rng(0))
    assert sorted(drawn) == [1, 1, 1, 1, 2, 2]
    assert [run.tolist() for run in made.runs(drawn)] == [[1], [2]]


@given(st.integers(1, 4), st.integers(1, 6), st.integers(2, 6), st.integers(1, 3), st.integers(0, 3))
def test_each_rank_reads_whole_runs(ranks: int, block: int, lanes: int, accumulation: int, seed: int) -> None:
    """Of a window, each rank has a contiguous part for each micro-batch: no more runs than blocks fit into it, and one
    more for each end that is inside of a block."""
    minibatch = ranks * lanes
    step = minibatch * accumulation
    made = blocks(4 * step * block, step, block, step * block)
    drawn = made.draw(np.random.default_rng(seed))
    for window in windows(drawn, made):
        slots = window.reshape(-1, accumulation, ranks, lanes)
        for rank in range(ranks):
            runs = made.runs(slots[:, :, rank].reshape(-1))
            assert len(runs) == accumulation * lanes  # a slot has a block in each window
            assert all((np.diff(run) == 1).all() and len(run) == block for run in runs)


@pytest.mark.parametrize(("ranks", "most"), [(1, 17), (2, 10), (3, 8)])
def test_runs_of_a_window_are_few(ranks: int, most: int) -> None:
    """Shuffled, a window of 256 entries is nearly as many runs."""
    made = blocks(10_000, 12, 16, 256)
    for window in windows(made.draw(np.random.default_rng(1)), made)[:-1]:
        for part in window.reshape(-1, ranks, 12 // ranks).swapaxes(0, 1):
            assert len(made.runs(part.reshape(-1))) <= most


def test_the_entries_of_a_step_come_from_many_runs() -> None:
    made = blocks(6400, 16, 16, 256, [3200, 6400])
    drawn = made.draw(np.random.default_rng(5))
    numbers = [len(np.unique(step // 16)) for step in drawn.reshape(-1, 16)]
    assert set(numbers) == {16}
    same_file = np.mean([np.mean(step < 3200) for step in drawn.reshape(-1, 16)])
    assert same_file == 0.5
    assert (np.diff(drawn) == 1).mean() < 0.01
    neighbours = [np.corrcoef(drawn[:-lag], drawn[lag:])[0, 1] for lag in (1, 5)]
    assert max(map(abs, neighbours)) < 0.05
