"""Puts runs beside each other: a table, figures, and a page that opens in any browser, without a network.

examples:
  scripts/compare output/torch/cta_mono_resnet/*          every run of a network
  scripts/compare output/torch/*/first --output first     one run id of several networks, into the folder first
  scripts/compare copied/a copied/b --overwrite           folders copied from elsewhere; replace what was there
  scripts/compare RUN HILLAS --cuts 'second_intensity >= 50'   paired differences of events with two images of 50 p.e.

What is made:
  index.html        the runs, their metrics (click a column to sort, the best is marked), what differs in their configs,
                    all figures (a box for each run hides its curves), and how each was made; mail it, print it
  table.csv         a row a run: network, data, weights, step, entries and every metric
  differences.csv   a row a config key in which runs differ
  paired.csv        where runs reconstructed the same events: the first run's figures of merit less those of each other,
                    with errors of the differences
  figures/*.png     performance with errors, ROC curves and scores, learning curves

A run needs its config.yaml and metrics/; with predictions/ (mode=inference) it takes part in all else. Runs of other
tasks or data may be given: what they do not share is left out, and the page says so. Neither torch nor the data files
are needed.
"""

import argparse
import csv
import io
import re
import sys
from pathlib import Path

from rich.console import Console
from rich.table import Table as Printed
from rich.text import Text

from airshower.comparison.curves import drawings, learning_metrics, svg
from airshower.comparison.page import ARROWS, GENERATOR, Drawn, page
from airshower.comparison.paired import Difference, differences
from airshower.comparison.runs import read_runs
from airshower.comparison.table import Comparison
from airshower.errors import UserError
from airshower.writers.figures import save
from airshower.writers.page import number


def main() -> None:
    """Parse, read, print the table, write the folder. A mistake is one line and exit code 2."""
    parser = argparse.ArgumentParser(
        prog="scripts/compare", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("runs", nargs="+", type=Path, metavar="RUN", help="a run's folder, as output/torch/uresnet/run")
    parser.add_argument("--output", type=Path, default=Path("output/comparison"), help="folder (output/comparison)")
    parser.add_argument("--overwrite", action="store_true", help="replace the comparison that is in that folder")
    parser.add_argument(
        "--cuts", default="", help="events of paired.csv, by columns of events.csv: 'second_intensity >= 50'"
    )
    arguments = parser.parse_args()
    try:
        compare(arguments.runs, arguments.output, arguments.overwrite, arguments.cuts)
    except UserError as error:
        sys.exit(_failed(str(error), error.exit_code))
    except OSError as error:
        sys.exit(_failed(f"{error.filename or arguments.output}: {error.strerror or error}", 1))


def compare(folders: list[Path], output: Path, overwrite: bool, cuts: str = "") -> None:
    """Compare the runs in `folders`; all are read before anything is written. `cuts` choose the events of the paired
    differences."""
    check_output(output, overwrite)
    comparison = Comparison(read_runs(folders))
    paired = differences(comparison.runs, cuts)
    show(comparison)
    show_paired(comparison.runs[0].name, paired)
    write(comparison, output)
    (output / "paired.csv").write_text(paired_csv(comparison.runs[0].name, paired), encoding="utf-8")
    Console(soft_wrap=True, highlight=False).print(Text(f"open {output / 'index.html'}"))


def check_output(folder: Path, overwrite: bool) -> None:
    """Raise `UserError` for a folder that holds anything but a comparison, or a comparison without `overwrite`."""
    if not folder.exists() or (folder.is_dir() and not any(folder.iterdir())):
        return
    index = folder / "index.html"
    if not index.is_file() or f'content="{GENERATOR}"' not in index.read_text(encoding="utf-8", errors="replace"):
        raise UserError(f"{folder}: holds something else than a comparison; choose another --output")
    if not overwrite:
        raise UserError(f"{folder}: holds a comparison; choose another --output, or --overwrite to replace it")


def write(comparison: Comparison, output: Path) -> None:
    """Tables, figures and the page."""
    for old in (output / "figures").glob("*.png"):
        old.unlink()
    output.mkdir(parents=True, exist_ok=True)
    drawn: list[Drawn] = []
    for section, name, draw in drawings(comparison.runs, learning_metrics(comparison.runs)):
        figure = draw()
        drawn.append((section, name, svg(figure, name)))
        save(figure, output / "figures" / (re.sub(r"[^\w.-]+", "_", name) + ".png"))
    (output / "table.csv").write_text(comparison.csv(), encoding="utf-8")
    (output / "differences.csv").write_text(comparison.differences_csv(), encoding="utf-8")
    (output / "index.html").write_text(page(comparison, drawn), encoding="utf-8")


def show(comparison: Comparison) -> None:
    """Print the descriptions of the runs and their metrics, one column per run, the best in bold; then the notes."""
    table = Printed()
    table.add_column(no_wrap=True)
    for run in comparison.runs:
        table.add_column(Text(run.name), overflow="fold")
    abouts = comparison.about()
    for key in ("network", "data", "step", "entries"):
        table.add_row(key, *(Text("–" if about[key] is None else str(about[key])) for about in abouts))
    for name, metrics in (("predictions", comparison.predicted), ("last validation", comparison.validated)):
        if metrics.shown:
            table.add_section()
            table.add_row(Text(name, style="italic"))
        for column in metrics.shown:
            cells = (
                Text(f"{number(value)} *", style="bold green") if row in column.best else Text(number(value))
                for row, value in enumerate(column.values)
            )
            table.add_row(Text(f"{column.name} {ARROWS.get(column.better, '')}"), *cells)
    console = Console(highlight=False)
    console.print(table)
    for note in comparison.notes():
        console.print(Text(note))


def show_paired(first: str, paired: list[Difference]) -> None:
    """Print the differences of the first run from others on the same events; nothing where there are none."""
    if not paired:
        return
    table = Printed(title=f"{first} less another run, on the same events")
    for name in ("other run", "metric", first, "other", "difference", "error", "events"):
        table.add_column(Text(name), justify="left" if name in ("other run", "metric") else "right", overflow="fold")
    for row in paired:
        values = (number(value) for value in (row.first, row.other, row.value, row.error))
        table.add_row(Text(row.run), Text(row.metric), *values, str(row.events))
    Console(highlight=False).print(table)


def paired_csv(first: str, paired: list[Difference]) -> str:
    """The same as a table."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["run", "other", "metric", "value", "value of other", "difference", "error", "events"])
    for row in paired:
        writer.writerow([first, row.run, row.metric, row.first, row.other, row.value, row.error, row.events])
    return text.getvalue()


def _failed(message: str, code: int) -> int:
    print(f"compare: {message}", file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
