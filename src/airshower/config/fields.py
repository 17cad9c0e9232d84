"""Fields of `Config` dataclasses that carry their own range and help."""

import dataclasses
import difflib
import math
from typing import Any

from airshower.errors import UserError


def number(default: float, low: float | None = None, high: float | None = None, above: float | None = None) -> Any:
    """A number with an inclusive `low` and `high`, or an exclusive lower bound `above`."""
    return dataclasses.field(default=default, metadata={"low": low, "high": high, "above": above})


def choice(*allowed: str, default: str | None = None) -> Any:
    """One of a few words; the first is the default. Case does not matter."""
    return dataclasses.field(default=default or allowed[0], metadata={"choices": allowed})


def folder_name(default: str) -> Any:
    """The name of a folder inside another one, or a path down from there; it can't lead out of it."""
    return dataclasses.field(default=default, metadata={"folder": True})


def section(kind: type) -> Any:
    """A nested group of fields."""
    return dataclasses.field(default_factory=kind)


def check(config: Any, where: str) -> None:
    """Raise `UserError` for the first field of `config`, or of a section in it, that is out of its range."""
    for item in dataclasses.fields(config):
        value, key = getattr(config, item.name), f"{where}.{item.name}"
        if dataclasses.is_dataclass(value):
            check(value, key)
        elif "choices" in item.metadata:
            setattr(config, item.name, _chosen(value, item.metadata["choices"], key))
        elif "folder" in item.metadata:
            _check_folder(value, key)
        elif "low" in item.metadata:
            _check_number(value, item.metadata, key)


def unknown_key(key: str, where: str, known: list[str]) -> UserError:
    """The error for a key that nothing reads, with the nearest one that something does."""
    near = difflib.get_close_matches(key, known, n=1)
    hint = f"did you mean {where}.{near[0]}?" if near else f"{where} has: {', '.join(sorted(known))}"
    return UserError(f"{where}.{key}: there is no such key; {hint}")


def _chosen(value: str, allowed: tuple[str, ...], key: str) -> str:
    if str(value).lower() not in allowed:
        raise UserError(f"{key}={value}: must be one of {', '.join(allowed)}")
    return str(value).lower()


def _check_folder(value: str, key: str) -> None:
    parts = value.split("/")
    if not value.isprintable() or any(part.strip() in ("", ".", "..") for part in parts):
        raise UserError(f"{key}={value!r}: must be the name of a folder, such as first or scan/2, without . and ..")


def _check_number(value: float, bounds: Any, key: str) -> None:
    low, high, above = bounds["low"], bounds["high"], bounds["above"]
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
