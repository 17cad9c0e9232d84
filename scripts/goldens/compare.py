"""Differences between two records."""

from dataclasses import dataclass
from typing import Any

from goldens.values import Difference, difference

Part = dict[str, Any]


@dataclass(frozen=True)
class Row:
    """What differs in a part of a case: how many quantities, the first of them, and the largest difference of two
    numbers, also relative to the largest number of that quantity."""

    case: str
    part: str
    count: str
    first: str
    largest: str = ""


def differences(before: dict[str, Any], now: dict[str, Any]) -> list[Row]:
    """All differences between the cases of two records, in their order."""
    rows: list[Row] = []
    for name in dict.fromkeys([*before["cases"], *now["cases"]]):
        old = before["cases"].get(name)
        new = now["cases"].get(name)
        if old is None or new is None:
            rows.append(Row(name, "case", "", "only in the record" if new is None else "only now"))
        elif "parts" in old and "parts" in new:
            rows += _of_parts(name, old["parts"], new["parts"])
        elif state(old) != state(new):
            rows.append(Row(name, "case", "", f"{state(old)} -> {state(new)}"))
    return rows


def state(case: dict[str, Any]) -> str:
    """How it went with a case: computed, or why not."""
    return next((f"{key}: {case[key]}" for key in ("skipped", "failed") if key in case), "computed")


def other_machine(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """What is not the same of machine and versions, as `key: before -> now`."""
    old = before["machine"]
    new = now["machine"]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in old | new if old.get(key) != new.get(key)]


def _of_parts(name: str, before: dict[str, Part], now: dict[str, Part]) -> list[Row]:
    rows = [_row(name, part, before.get(part, {}), now.get(part, {})) for part in before | now]
    return [row for row in rows if row]


def _row(name: str, part: str, before: Part, now: Part) -> Row | None:
    compared = {key: _difference(key, before, now) for key in before | now}
    differ = {key: value for key, value in compared.items() if value}
    if not differ:
        return None
    first = next(iter(differ))
    most = max(differ, key=lambda key: differ[key].largest)
    largest = ""
    if differ[most].largest:
        largest = f"{differ[most].largest:.1e}, relative {differ[most].relative:.0e}"
        largest += f", of {most}" if most != first else ""
    return Row(name, part, f"{len(differ)} of {len(compared)}", f"{first}: {differ[first].words}", largest)


def _difference(key: str, before: Part, now: Part) -> Difference | None:
    if key not in now:
        return Difference("is gone")
    if key not in before:
        return Difference("is new")
    return difference(before[key], now[key])
