"""What the presets compute, before a change and after it, on one machine.

scripts/golden record FILE             record these sources
scripts/golden compare FILE            compute the same now; one table of what differs, exit code 1 if anything does
scripts/golden compare FILE OTHER      compare two records
scripts/golden --list                  the cases

A case trains a preset for 12 steps on a few events and predicts others. A record has names, shapes and order of the
state dict, initial and trained weights, the entries of each split and those read, losses, metrics, validations and
predictions. Sample files are looked for in AIRSHOWER_SAMPLE_DATA.
"""

import argparse
import json
import sys
from pathlib import Path

from goldens import record
from goldens.compare import Row, differences, other_machine, state
from rich.console import Console
from rich.table import Table

from airshower.errors import UserError
from airshower.runtime.log import logger, start_log


def main() -> None:
    """Parse and dispatch."""
    parser = argparse.ArgumentParser(
        "scripts/golden", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("command", choices=["record", "compare"], nargs="?")
    parser.add_argument("file", type=Path, nargs="?", help="the record, JSON")
    parser.add_argument("other", type=Path, nargs="?", help="compare: another record, instead of computing")
    parser.add_argument(
        "--only", default="", metavar="PATTERN", help="cases whose names have this in them, as 'hawc_*flow'"
    )
    parser.add_argument("--source", type=Path, default=record.ROOT, help="another checkout to compute with")
    parser.add_argument("--list", action="store_true", help="print the cases, compute nothing")
    arguments = parser.parse_args()
    source = arguments.source.resolve()
    start_log(speaks=True)
    try:
        if arguments.list:
            list_cases(source, arguments.only)
        elif not arguments.file:
            parser.error("record FILE, compare FILE or --list")
        elif arguments.command == "record":
            sys.exit(make(arguments.file, source, arguments.only))
        else:
            sys.exit(compare(arguments.file, arguments.other, source, arguments.only))
    except UserError as error:
        print(f"golden: {error}", file=sys.stderr)
        sys.exit(error.exit_code)


def list_cases(source: Path, only: str) -> None:
    """Print names, and why some can't be run."""
    for case in record.chosen(source, only):
        why = record.skipped(case)
        print(f"{case.name}  (skipped: {why})" if why else case.name)


def make(path: Path, source: Path, only: str) -> int:
    """Write a record; returns the exit code, 1 if a case failed."""
    if path.exists():
        raise UserError(f"{path}: is there already; give another name, or delete it")
    if not path.absolute().parent.is_dir():
        raise UserError(f"{path}: there is no folder {path.absolute().parent}")
    new = record.make(source, only)
    path.write_text(json.dumps(new, indent=1) + "\n")
    seconds = sum(case.get("seconds", 0.0) for case in new["cases"].values())
    logger.info("%s: %d cases of %s, %.0f s of CPU", path, len(new["cases"]), new["revision"], seconds)
    return 1 if report_missing(new) else 0


def compare(path: Path, other: Path | None, source: Path, only: str) -> int:
    """Print how the sources, or another record, differ from a record; returns the exit code."""
    before = record.read(path)
    now = record.read(other) if other else record.make(source, only)
    for each in (before, now):
        each["cases"] = {name: case for name, case in each["cases"].items() if record.fits(name, only)}
    if not before["cases"] | now["cases"]:
        raise UserError(f"--only {only}: no case has such a name")
    failed = report_missing(now)
    rows = differences(before, now)
    console = Console(width=None if sys.stdout.isatty() else 160)
    if rows:
        console.print(table(rows, f"{before['revision']} -> {now['revision']}"))
    if others := other_machine(before, now):
        print("The record was made elsewhere, so last digits may differ without a change of the sources:")
        print("\n".join(f"  {line}" for line in others))
    compared = before["cases"].keys() & now["cases"].keys()
    logger.info("%d cases of %s and %s: %d differences", len(compared), before["revision"], now["revision"], len(rows))
    return 1 if rows or failed else 0


def report_missing(new: record.Record) -> int:
    """Print which cases have no result, and why; returns how many failed."""
    states = {name: state(case) for name, case in new["cases"].items()}
    for name, text in states.items():
        if text != "computed":
            logger.info("%s: %s", name, text)
    return sum(text.startswith("failed") for text in states.values())


def table(rows: list[Row], title: str) -> Table:
    """The differences; names of cases once."""
    drawn = Table(title=title)
    for name in ("case", "of it", "differ", "first: before -> now", "largest difference"):
        drawn.add_column(name, overflow="fold")
    for index, row in enumerate(rows):
        name = "" if index and rows[index - 1].case == row.case else row.case
        drawn.add_row(name, row.part, row.count, row.first, row.largest)
    return drawn


if __name__ == "__main__":
    main()
