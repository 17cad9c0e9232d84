"""What a record is made of: arrays with all their values, and lines of text; and how two of them differ."""

import base64
import hashlib
import zlib
from collections import Counter
from dataclasses import dataclass
from typing import Any

import numpy as np

LISTED = 100  # values up to which an array can be read in the record


def array(values: Any) -> dict[str, Any]:
    """An array of numbers as JSON: type, shape, SHA-256 of its bytes, and its values, packed if there are many."""
    values = np.asarray(values)
    about = {
        "dtype": str(values.dtype),
        "shape": list(values.shape),
        "sha256": hashlib.sha256(values.tobytes()).hexdigest(),
    }
    if values.size <= LISTED:
        return {**about, "values": values.ravel().tolist()}
    return {**about, "packed": base64.b64encode(zlib.compress(values.tobytes())).decode()}


def numbers(value: dict[str, Any]) -> np.ndarray:
    """The array that `array` was given."""
    if "values" in value:
        return np.array(value["values"], value["dtype"]).reshape(value["shape"])
    return np.frombuffer(zlib.decompress(base64.b64decode(value["packed"])), value["dtype"]).reshape(value["shape"])


@dataclass(frozen=True)
class Difference:
    """In words; of arrays also the largest difference of two numbers, and this over the largest number before."""

    words: str
    largest: float = 0.0
    relative: float = 0.0


def difference(before: Any, now: Any) -> Difference | None:
    """How one value, an array or lines, differs from another; None if all its bits are the same."""
    if isinstance(before, list) and isinstance(now, list):
        return None if before == now else Difference(_lines(before, now))
    if isinstance(before, list) or isinstance(now, list):
        return Difference("numbers -> lines" if isinstance(now, list) else "lines -> numbers")
    for key in ("dtype", "shape"):
        if before[key] != now[key]:
            return Difference(f"{key} {before[key]} -> {now[key]}")
    return None if before["sha256"] == now["sha256"] else _arrays(numbers(before), numbers(now))


def _arrays(before: np.ndarray, now: np.ndarray) -> Difference:
    a = before.ravel().astype(np.float64)
    b = now.ravel().astype(np.float64)
    differ = np.flatnonzero((a != b) & ~(np.isnan(a) & np.isnan(b)))
    if not len(differ):
        return Difference("the sign of zeros or the bits of NaN alone")
    first = int(differ[0])
    with np.errstate(invalid="ignore"):
        away = np.nan_to_num(np.abs(a[differ] - b[differ]), nan=np.inf)
    largest = float(away.max())
    scale = float(np.max(np.abs(a[np.isfinite(a)]), initial=0.0))
    words = f"{len(differ)} of {a.size} values, first [{first}] {a[first]:.9g} -> {b[first]:.9g}"
    return Difference(words, largest, largest / scale if scale else np.inf)


def _lines(before: list[str], now: list[str]) -> str:
    pairs = enumerate(zip(before, now, strict=False))
    first = next((index for index, (a, b) in pairs if a != b), min(len(before), len(now)))
    where = f"first [{first}] {_short(before[first : first + 1])} -> {_short(now[first : first + 1])}"
    gone = Counter(before) - Counter(now)
    come = Counter(now) - Counter(before)
    if not gone and not come:
        return f"another order, {where}"
    return f"{gone.total()} of {len(before)} are gone, {come.total()} are new, {where}"


def _short(lines: list[str]) -> str:
    text = lines[0] if lines else "nothing"
    return text if len(text) <= 40 else f"{text[:37]}..."
