"""Joins of tables on their whole key, with rows in any order.

Keys are int64 [rows, columns], of which the first are obs_id, event_id and, of images, tel_id.
"""

from collections.abc import Iterable

import numpy as np

KEYS = ("obs_id", "event_id", "tel_id")


def find(wanted: np.ndarray, among: np.ndarray) -> np.ndarray:
    """The row of each `wanted` key `among` others, int64; -1 where it is missing. Of equal ones it is the first."""
    codes = _codes(np.concatenate([among, wanted]))
    stored = codes[: len(among)]
    sought = codes[len(among) :]
    if not len(stored):
        return np.full(len(sought), -1)
    order = np.argsort(stored, kind="stable")
    rows = order[np.searchsorted(stored[order], sought).clip(max=len(order) - 1)]
    return np.where(stored[rows] == sought, rows, -1)


def first_repeated(keys: np.ndarray) -> int | None:
    """The first row whose key is also that of a row before it."""
    codes = _codes(keys)
    order = np.argsort(codes, kind="stable")
    again = order[1:][codes[order[1:]] == codes[order[:-1]]]
    return int(again.min()) if len(again) else None


def named(key: Iterable[int]) -> str:
    """An event, or the image of a telescope, for messages."""
    obs_id, event_id, *telescope = key
    event = f"event {event_id} of observation {obs_id}"
    return f"telescope {telescope[0]}, {event}" if telescope else event


def _codes(keys: np.ndarray) -> np.ndarray:
    """A number for each key [rows], the same for equal ones."""
    code = np.zeros(len(keys), np.int64)
    for column in keys.T:
        values, rank = np.unique(column, return_inverse=True)
        code = code * len(values) + rank
    return code
