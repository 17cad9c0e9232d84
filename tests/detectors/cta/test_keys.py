"""Joins on whole keys."""

import numpy as np

from airshower.detectors.cta.keys import find, first_repeated, named

AMONG = np.array([(1, 5, 1), (1, 9, 1), (2, 5, 1), (2, 2**40, 1), (2, 2**40, 2)])


def test_find() -> None:
    wanted = np.array([(2, 2**40, 2), (1, 5, 1), (2, 9, 1), (3, 5, 1), (1, 9, 1), (1, 5, 2)])
    assert find(wanted, AMONG).tolist() == [4, 0, -1, -1, 1, -1]
    assert find(wanted[:, :2], AMONG[:, :2]).tolist() == [3, 0, -1, -1, 1, 0], "of equal ones the first"
    assert find(AMONG[:0], AMONG).tolist() == []
    assert find(wanted, AMONG[:0]).tolist() == [-1] * 6


def test_keys_that_differ_in_the_last_bit() -> None:
    keys = np.array([(2**63 - 1, -(2**63), 0), (2**63 - 2, -(2**63), 0), (2**63 - 1, -(2**63) + 1, 0)])
    assert find(keys[::-1], keys).tolist() == [2, 1, 0]
    assert first_repeated(keys) is None


def test_first_repeated() -> None:
    assert first_repeated(AMONG) is None
    assert first_repeated(AMONG[[3, 1, 2, 1, 3]]) == 3
    assert first_repeated(AMONG[:0]) is None


def test_named() -> None:
    assert named((7, 100, 3)) == "telescope 3, event 100 of observation 7"
    assert named((7, 100)) == "event 100 of observation 7"
