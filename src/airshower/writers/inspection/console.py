"""A report of an inspection as lines for the console."""

from typing import Any

from airshower.data.channels import FRAME
from airshower.writers.event_text import number_text
from airshower.writers.inspection.page import input_rows, truth_rows
from airshower.writers.inspection.record import shape_text

HEADS = ("", "unit", "min", "5 %", "median", "95 %", "max")


def lines(report: dict[str, Any]) -> list[str]:
    """Entries, the truth and inputs with range and quantiles, classes, and remarks."""
    entries = report["entries"]
    files = len(report["files"])
    splits = ", ".join(f"{name} {split['entries']:,}" for name, split in entries["splits"].items())
    removed = "".join(f"; {name} removed {count:,}" for name, count in entries["removed"].items())
    found = [
        f"{entries['in_files']:,} {entries['unit']} in {files} file{'' if files == 1 else 's'}{removed}",
        f"{entries['distinct']:,} entries ({splits}), {entries['read']:,} of them read",
        *(
            f"{name}: {about['kind']} ({shape_text(about['shape'])})"
            for name, about in report["inputs"].items()
            if about["shape"]
        ),
        *_classes(report),
    ]
    inputs = {name: about for name, about in report["inputs"].items() if name != FRAME}
    return [
        *found,
        *_table([*truth_rows(report["truth"]), *input_rows(inputs)]),
        *(f"! {remark}" for remark in report["remarks"]),
    ]


def _classes(report: dict[str, Any]) -> list[str]:
    named = {f"true {name}": column for name, column in report["truth"].items()}
    for container, about in report["inputs"].items():
        named |= {f"{container}: {name}": channel for name, channel in about["channels"].items()}
    return [
        f"{name}: " + ", ".join(f"{count:,} {of_class}" for of_class, count in about["classes"].items())
        for name, about in named.items()
        if "classes" in about
    ]


def _table(rows: list[dict[str, Any]]) -> list[str]:
    cells: list[tuple[str, ...]] = [HEADS]
    for row in rows:
        values = (row["min"], *(row["quantiles"][name] for name in ("q05", "q50", "q95")), row["max"])
        texts = ("–" if value is None else number_text(value) for value in values)
        cells.append((row["name"], row["unit"], *texts))
    widths = [max(len(row[column]) for row in cells) for column in range(len(HEADS))]
    return [
        "  "
        + "  ".join(
            cell.ljust(width) if column < 2 else cell.rjust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in cells
    ]
