"""Metrics of several runs: which can be compared, which is best, and which config keys differ."""

import csv
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np

from airshower.comparison.runs import Row, Run, data_name
from airshower.writers.tables import text_cell

HIGHER, LOWER, ZERO = "higher", "lower", "nearer to 0"
BETTER = {
    "": {"hadron"},
    HIGHER: {"accuracy", "auc", "iou", "detection", "label", "negative", "efficiency", "purity", "likelihood"},
    LOWER: {
        "loss", "error", "resolution", "distance", "difference", "closure", "ks", "kuiper", "wasserstein", "classifier",
        "leakage",
    },
    ZERO: {"bias", "fpd", "kpd"},
}  # fmt: skip
"""What is better, by a word of the metric's name; the first that is here counts, so negative_loss is better higher."""

OWN = ("run.id", "output_dir", "run.overwrite")
"""Config keys in which runs always differ, or that change nothing."""

NAMED = 6  # metrics in a sentence


@dataclass(frozen=True)
class Column:
    """A metric of all runs, NaN for runs without it; `better` is "" if the direction is unknown."""

    name: str
    better: str
    values: tuple[float, ...]

    @property
    def best(self) -> set[int]:
        """The rows with the best value; empty with fewer than two values."""
        values = np.array(self.values)
        finite = np.isfinite(values)
        if not self.better or finite.sum() < 2:
            return set()
        badness = {HIGHER: -values, LOWER: values, ZERO: np.abs(values)}[self.better]
        return set(np.flatnonzero(finite & (badness == badness[finite].min())).tolist())


@dataclass(frozen=True)
class Table:
    """Metrics that all runs with metrics have in common; `left_out` are the names of the others. Rows are runs."""

    columns: tuple[Column, ...]
    left_out: tuple[str, ...]

    @property
    def shown(self) -> tuple[Column, ...]:
        """All but the metrics of single planes."""
        return tuple(column for column in self.columns if is_overall(column.name))


def is_overall(metric: str) -> bool:
    """True for metrics of whole events; those of single planes are written to table.csv only."""
    return not re.match(r"plane\d+/", metric)


def better(metric: str) -> str:
    """The better direction of a metric: `HIGHER`, `LOWER`, `ZERO`, or "" if its name gives none."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", metric.replace("mIoU", "iou").replace("IoU", "iou"))
    for word in words:
        for direction, words_of in BETTER.items():
            if word.lower() in words_of:
                return direction
    return ""


def metrics_table(rows: Sequence[Row], ranked: dict[str, bool] | None = None) -> Table:
    """A table with one row per run, {} for one without metrics. Metrics that are False in `ranked` get no direction."""
    with_metrics = [row for row in rows if row]
    names = list(dict.fromkeys(name for row in with_metrics for name in row if name != "step"))
    shared = [name for name in names if all(name in row for row in with_metrics)]
    columns = (
        Column(
            name,
            better(name) if (ranked or {}).get(name, True) else "",
            tuple(row.get(name, np.nan) for row in rows),
        )
        for name in shared
    )
    return Table(tuple(columns), tuple(name for name in names if name not in shared))


def config_differences(runs: Sequence[Run]) -> dict[str, list[Any]]:
    """The config keys in which runs differ, with the value in each run as text; None where a run has no such key."""
    keys = sorted({key for run in runs for key in run.config if key not in OWN})
    values_of = {key: [str(run.config[key]) if key in run.config else None for run in runs] for key in keys}
    return {key: values for key, values in values_of.items() if len(set(values)) > 1}


class Comparison:
    """Runs with their tables, differences and notes."""

    def __init__(self, runs: Sequence[Run]):
        self.runs = runs
        self.differences = config_differences(runs)
        # losses with other task options or other classes are different quantities
        same_loss = not any(key.startswith("task.") for key in self.differences)
        ranked = {"loss": same_loss, "negative_loss": same_loss}
        self.predicted = metrics_table([run.inference.metrics if run.inference else {} for run in runs], ranked)
        self.validated = metrics_table([run.validation[-1] if run.validation else {} for run in runs], ranked)

    def about(self) -> list[dict[str, Any]]:
        """The description of each run, keyed by column; None if unknown."""
        return [
            {
                "run": run.name,
                "network": run.network,
                "task": run.task,
                "data": data_name(run.config),
                "weights": run.parameters,
                "step": run.step,
                "predicted data": run.inference and run.inference.data,
                "predicted at step": run.inference and run.inference.step,
                "entries": run.inference and run.inference.events,
            }
            for run in self.runs
        ]

    def notes(self) -> list[str]:
        """Warnings for the comparison of numbers, one sentence each."""
        runs = self.runs
        notes = []
        predicted = [(run.name, run.inference) for run in runs if run.inference]
        if len({run.task for run in runs}) > 1:
            notes.append(f"The tasks differ ({_grouped((run.task, run.name) for run in runs)}).")
        if len({inference.digest for _, inference in predicted}) > 1:
            same = _grouped((f"{inferred.data} {inferred.digest[:8]}".strip(), name) for name, inferred in predicted)
            notes.append(f"Predictions are of different data ({same}): their metrics say less about the networks.")
        elif len({inference.events for _, inference in predicted}) > 1:
            notes.append("Predictions are of different numbers of entries of the same data.")
        if 0 < len(predicted) < len(runs):
            missing = ", ".join(run.name for run in runs if not run.inference)
            notes.append(f"Without predictions (mode=inference makes them): {missing}.")
        for table, name in ((self.predicted, "predictions"), (self.validated, "validation")):
            if left_out := [metric for metric in table.left_out if is_overall(metric)]:
                names = ", ".join(left_out[:NAMED]) + (" and others" if len(left_out) > NAMED else "")
                notes.append(f"Not in all {name}, so in table.csv only: {names}.")
        if any(key.startswith("task.") for key in self.differences):
            notes.append("Options of the task differ, so losses are not the same quantity and none is marked as best.")
        return notes

    def csv(self) -> str:
        """CSV with a row for each run: its description, and the metrics of predictions and of the last validation."""
        rows = []
        for run, about in zip(self.runs, self.about(), strict=True):
            predicted = run.inference.metrics if run.inference else {}
            validated = {k: v for k, v in (run.validation[-1] if run.validation else {}).items() if k != "step"}
            rows.append(about | _prefixed("predictions/", predicted) | _prefixed("validation/", validated))
        return _csv(list(dict.fromkeys(key for row in rows for key in row)), rows)

    def differences_csv(self) -> str:
        """CSV with a row for each config key in which runs differ, and a column for each run."""
        names = [run.name for run in self.runs]
        rows = [{"key": key, **dict(zip(names, values, strict=True))} for key, values in self.differences.items()]
        return _csv(["key", *names], rows)


def _prefixed(prefix: str, row: Row) -> dict[str, float | None]:
    return {prefix + key: value if np.isfinite(value) else None for key, value in row.items()}


def _csv(columns: list[str], rows: list[dict[str, Any]]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(map(text_cell, columns))
    writer.writerows([text_cell(row.get(column, "")) for column in columns] for row in rows)
    return text.getvalue()


def _grouped(pairs: Any) -> str:
    """`first: one, two; second: three` of pairs (group, name)."""
    groups = groupby(sorted(pairs), key=lambda pair: pair[0])
    return "; ".join(f"{group}: {', '.join(name for _, name in members)}" for group, members in groups)
