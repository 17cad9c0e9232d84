"""Fields of `Config` dataclasses that carry their own range, and marks of what a change of them means.

The mark `free` says whether a run may go on with another value: True if its result is then the same or is meant to
differ, False if it would be another run. Without the mark a field is as the section that it is in; `run`, `mode`,
`framework` and `output_dir` are free, the components `data`, `network` and `task` are not.
"""

import copy
import dataclasses
import difflib
import math
from typing import Any

from airshower.config import renamed
from airshower.errors import UserError


def number(
    default: float,
    low: float | None = None,
    high: float | None = None,
    above: float | None = None,
    free: bool | None = None,
) -> Any:
    """A number with an inclusive `low` and `high`, or an exclusive lower bound `above`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "above": above, "free": free})


def choice(*allowed: str, default: str | None = None, free: bool | None = None) -> Any:
    """One of a few words; the first is the default. Case does not matter."""
    return dataclasses.field(default=default or allowed[0], metadata={"choices": allowed, "free": free})


def folder_name(default: str) -> Any:
    """The name of a folder inside another one, or a path down from there; it can't lead out of it."""
    return dataclasses.field(default=default, metadata={"folder": True})


def location(default: Any = "", free: bool | None = None) -> Any:
    """Where files are: a path, a pattern, or a list of them. The ranks of a run may have different ones, as their hosts
    may hold the same files in different places."""
    return dataclasses.field(default=default, metadata={"location": True, "free": free})


def value(default: Any, free: bool | None = None) -> Any:
    """Any value of the field's type; of a list each config has its own copy."""
    return dataclasses.field(default_factory=lambda: copy.copy(default), metadata={"free": free})


def section(kind: type, free: bool | None = None) -> Any:
    """A nested group of fields."""
    return dataclasses.field(default_factory=kind, metadata={"free": free})


def marked(kind: Any, mark: str, where: str = "") -> dict[str, bool]:
    """The fields of a `Config`, and of sections in it, that have a mark (`free` or `location`), by key."""
    marks: dict[str, bool] = {}
    for item in dataclasses.fields(kind):
        key = f"{where}.{item.name}" if where else item.name
        if item.metadata.get(mark) is not None:
            marks[key] = item.metadata[mark]
        if dataclasses.is_dataclass(item.type):
            marks |= marked(item.type, mark, key)
    return marks


def check(config: Any, where: str) -> None:
    """Raise `UserError` for the first field of `config`, or of a section in it, that is out of its range."""
    for item in dataclasses.fields(config):
        value = getattr(config, item.name)
        key = f"{where}.{item.name}"
        if dataclasses.is_dataclass(value):
            check(value, key)
        elif isinstance(value, dict):
            for name, section in value.items():
                if dataclasses.is_dataclass(section):
                    check(section, f"{key}.{name}")
        elif "choices" in item.metadata:
            setattr(config, item.name, _chosen(value, item.metadata["choices"], key))
        elif "folder" in item.metadata:
            _check_folder(value, key)
        elif "low" in item.metadata:
            _check_number(value, item.metadata, key)


def unknown_key(key: str, where: str, known: list[str]) -> UserError:
    """The error for a key that nothing reads, with what it is called here, or the nearest one that something reads."""
    if advice := renamed.advice(f"{where}.{key}"):
        return UserError(advice)
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {where}.{near[0]}?" if near else f"{where} has: {', '.join(sorted(known))}"
    return UserError(f"{where}.{key}: there is no such key; {hint}")


def _chosen(value: str, allowed: tuple[str, ...], key: str) -> str:
    """One of `allowed`, also as programs with enumerations print it: LossBalanceScheme.focal, FeatureMap."""
    words = {word.replace("_", ""): word for word in allowed}
    word = str(value).rpartition(".")[2].lower()
    if word.replace("_", "") in words:
        return words[word.replace("_", "")]
    if word in renamed.VALUES.get(key, {}):
        raise UserError(f"{key}={value}: is {key}={renamed.VALUES[key][word]} here")
    raise UserError(f"{key}={value}: must be one of {', '.join(allowed)}")


def _check_folder(value: str, key: str) -> None:
    parts = value.split("/")
    if not value.isprintable() or any(part.strip() in ("", ".", "..") for part in parts):
        raise UserError(f"{key}={value!r}: must be the name of a folder, such as first or scan/2, without . and ..")


def _check_number(value: float, bounds: Any, key: str) -> None:
    low = bounds["low"]
    high = bounds["high"]
    above = bounds["above"]
    wanted = []
    if above is not None:
        wanted.append(f"above {above}")
    if low is not None:
        wanted.append(f"at least {low}")
    if high is not None:
        wanted.append(f"at most {high}")
    fits = (above is None or value > above) and (low is None or value >= low) and (high is None or value <= high)
    if not math.isfinite(value) or not fits:
        raise UserError(f"{key}={value}: must be {' and '.join(wanted) or 'a finite number'}")
