"""What is worth a look in a report of an inspection, in words."""

from collections.abc import Iterator
from typing import Any

from airshower.data.channels import FRAME

RARE = 0.1  # of the most frequent class
FEW = 0.5  # of the entries, left by cuts


def remarks(report: dict[str, Any]) -> list[str]:
    """One sentence for each thing that may be wrong: missing, constant or repeated values, classes that are rare or
    empty, events without light, cuts that leave little."""
    return [
        *_of_entries(report["entries"]),
        *_of_ids(report["ids"]),
        *_of_truth(report["truth"], report["entries"]["distinct"]),
        *_of_inputs(report["inputs"]),
    ]


def _of_entries(entries: dict[str, Any]) -> Iterator[str]:
    left = entries["distinct"]
    before = entries["in_files"]
    if left < FEW * before:
        removed = ", ".join(f"{name}: {count:,}" for name, count in entries["removed"].items())
        yield f"cuts leave {left:,} of {before:,} {entries['unit']} ({removed})"
    splits = entries["splits"]
    if splits["validation"]["entries"] == 0:
        yield "nothing is held out for validation: name files for it, or give data.validation_fraction"
    if (both := splits["test"]["also_in_train"]) > 0:
        yield f"{both:,} of {splits['test']['entries']:,} entries to test on are also trained on"


def _of_ids(ids: dict[str, Any]) -> Iterator[str]:
    if ids["duplicates"]:
        names = ", ".join(ids["columns"])
        yield f"{ids['duplicates']:,} entries repeat the id ({names}) of one before"


def _of_truth(truth: dict[str, Any], entries: int) -> Iterator[str]:
    if not truth:
        yield "the files have no truth: they can be predicted, not trained on"
    for name, column in truth.items():
        missing = column["missing"]
        if missing == entries:
            yield f"truth {name}: no entry has a value"
            continue
        if missing:
            what = "of no class" if column["kind"] == "class" else "without a value"
            yield f"truth {name}: {missing:,} of {entries:,} entries {what} ({100 * missing / entries:.1f} %)"
        if column["kind"] == "class":
            yield from _of_classes(f"truth {name}", column["classes"])
        else:
            for part, about in column["parts"].items():
                yield from _of_range(f"truth {name}" + (f", {part}" if part != name else ""), about, entries)


def _of_classes(where: str, counts: dict[str, int]) -> Iterator[str]:
    most = max(counts.values(), default=0)
    empty = [name for name, count in counts.items() if not count]
    rare = [f"{name} {count:,}" for name, count in counts.items() if 0 < count < RARE * most]
    if empty:
        yield f"{where}: none of {', '.join(empty)}"
    if rare:
        yield f"{where}: few of {', '.join(rare)}, against {most:,} of the most frequent"


def _of_inputs(inputs: dict[str, Any]) -> Iterator[str]:
    for container, about in inputs.items():
        for name, channel in about["channels"].items():
            where = f"{container}: {name}"
            if channel["not_finite"]:
                yield f"{where}: {channel['not_finite']:,} values are not finite"
            if "classes" in channel:
                yield from _of_classes(where, channel["classes"])
            elif not channel["values"]:
                yield f"{where}: no event has a value"
            elif container != FRAME:
                yield from _of_range(where, channel, channel["values"])
            if channel["empty"]:
                yield f"{where}: none in {channel['empty']:,} of {about['events']:,} events"


def _of_range(where: str, about: dict[str, Any], values: int) -> Iterator[str]:
    if about["min"] is None or about["min"] != about["max"] or values < 2:
        return
    yield f"{where}: all values are {about['min']:g}{' ' if about['unit'] else ''}{about['unit']}"
