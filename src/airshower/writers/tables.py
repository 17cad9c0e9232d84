"""Tables of events and files of metrics."""

import csv
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from airshower.errors import DataError
from airshower.runtime.folders import whole, write_whole

FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "＝", "＋", "－", "＠")
"""Beginnings of a cell that spreadsheets take for a formula."""


def text_cell(value: Any) -> Any:
    """A cell of a CSV file that a spreadsheet does not evaluate: text that begins like a formula is prefixed with an
    apostrophe, the spreadsheets' mark for text. Numbers, also as text, are unchanged."""
    if not isinstance(value, str) or not value.lstrip(" ").startswith(FORMULA):
        return value
    try:
        float(value)
    except ValueError:
        return f"'{value}"
    return value


def write_metrics(path: Path, record: dict[str, Any]) -> None:
    """A record of numbers as JSON. JSON has no NaN: values without events are null."""
    write_whole(path, json.dumps(_no_nan(record), indent=1) + "\n")


def write_events(path: Path, columns: dict[str, np.ndarray]) -> None:
    """Columns [events] as CSV."""
    with open(path, "w", newline="") as handle:
        writer = csv.writer(handle, lineterminator="\n")
        writer.writerow(map(text_cell, columns))
        for row in zip(*columns.values(), strict=True):
            writer.writerow(f"{cell:.8g}" if isinstance(cell, np.floating) else text_cell(cell) for cell in row)


def write_arrays(path: Path, arrays: Mapping[str, np.ndarray]) -> None:
    """Write named arrays as NPZ. Raises `DataError` if that fails; an existing file is then unchanged."""
    named: dict[str, Any] = dict(arrays)
    try:
        with whole(path) as handle:
            np.savez(handle, **named)
    except OSError as error:
        raise DataError(f"{path}: can't be written ({error.strerror or error})") from None


def _no_nan(node: Any) -> Any:
    if isinstance(node, dict):
        return {key: _no_nan(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_no_nan(value) for value in node]
    return None if isinstance(node, float) and not np.isfinite(node) else node
