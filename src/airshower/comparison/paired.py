"""Differences of runs that reconstructed the same events: paired, so that what the events have in common drops out.

Each figure of merit is of the class that the scores are of (all others enter the area under the ROC curve alone), as
in the reports. The error is that of the difference, by bootstrap of events.
"""

import csv
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.comparison.runs import Run
from airshower.data.cuts import Cut, check_names, parse_cuts
from airshower.errors import DataError
from airshower.geometry.separation import angular_separation
from airshower.statistics.containment import containment, containment_radius
from airshower.statistics.roc import placements

DRAWS = 400
SEED = 0
ROUNDING = 1e-4
IDS = ("obs_id", "event_id", "tel_id", "file", "event")
Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Difference:
    """A figure of merit of the first run less that of another, `run`, on `events` of both, with its error."""

    metric: str
    run: str
    first: float
    other: float
    error: float
    events: int

    @property
    def value(self) -> float:
        """The difference."""
        return self.first - self.other


def differences(runs: Sequence[Run], cuts: str = "") -> list[Difference]:
    """Of the first run and each other that predicted the same events; none where they have no such tables. Events are
    those that pass the `cuts`, see `data.cuts`, on the columns of the first run's table. Raises `UserError` for cuts on
    other columns."""
    chosen = parse_cuts(cuts, "--cuts")
    tables = [_table(run.folder / "predictions" / "events.csv") for run in runs]
    found = []
    for run, table in zip(runs[1:], tables[1:], strict=True):
        pair = _common(tables[0], table) if tables[0] and table else None
        if pair:
            pair = _cut(*pair, chosen)
            found += _differences(run.name, *pair)
    return found


def _cut(first: Columns, other: Columns, cuts: Sequence[Cut]) -> tuple[Columns, Columns]:
    """The events of two tables that pass all cuts on columns of the first."""
    numbers = [name for name, column in first.items() if column.dtype.kind == "f"]
    check_names(list(cuts), set(numbers), numbers, "--cuts")
    kept = np.ones(len(next(iter(first.values()))), bool)
    for cut in cuts:
        kept &= cut.keeps(first)
    one, two = ({name: column[kept] for name, column in table.items()} for table in (first, other))
    return one, two


def _differences(name: str, first: Columns, other: Columns) -> list[Difference]:
    merits = _merits(first)
    found = []
    for metric, (errors, statistic) in merits.items():
        if metric not in _merits(other):
            continue
        values = [errors(first), errors(other)]
        valid = np.isfinite(values[0]) & np.isfinite(values[1])
        pair = np.stack(values)[:, valid]
        if pair.shape[1] < 2:
            continue
        generator = np.random.default_rng(SEED)
        drawn = []
        for _ in range(DRAWS):
            rows = generator.integers(pair.shape[1], size=pair.shape[1])
            drawn.append(statistic(pair[0, rows]) - statistic(pair[1, rows]))
        error = float(np.std(drawn, ddof=1))
        found.append(Difference(metric, name, statistic(pair[0]), statistic(pair[1]), error, pair.shape[1]))
    return found


Merit = tuple[Callable[[Columns], np.ndarray], Callable[[np.ndarray], float]]
"""The errors of events [n], NaN where there is none, and the statistic of them."""


def _merits(events: Columns) -> dict[str, Merit]:
    """The figures of merit that a table allows, by name."""
    merits: dict[str, Merit] = {}
    if _score(events) and "true_type" in events:
        merits["AUC"] = _placements, lambda values: float(np.mean(values))
    if {"alt", "az", "true_alt", "true_az"} <= events.keys():
        merits["angular_resolution (deg)"] = _of_signal(_angles), containment_radius
    if {"energy", "true_energy"} <= events.keys():
        merits["energy_resolution"] = _of_signal(lambda e: e["energy"] / e["true_energy"] - 1), containment
    if {"core_x", "core_y", "true_core_x", "true_core_y"} <= events.keys():
        merits["core_resolution (m)"] = _of_signal(_distances), containment_radius
    return merits


def _score(events: Columns) -> str:
    return next((name for name in events if name.startswith("score_")), "")


def _is_signal(events: Columns) -> np.ndarray:
    """True for events of the class that the first score is of; for all where there are no classes."""
    score = _score(events)
    if not score or "true_type" not in events:
        return np.ones(len(next(iter(events.values()))), bool)
    return events["true_type"] == score.removeprefix("score_")


def _of_signal(errors: Callable[[Columns], np.ndarray]) -> Callable[[Columns], np.ndarray]:
    return lambda events: np.where(_is_signal(events), errors(events), np.nan)


def _placements(events: Columns) -> np.ndarray:
    score = events[_score(events)]
    signal = _is_signal(events)
    values = np.full(len(signal), np.nan)
    values[signal] = placements(score[signal], score[~signal])
    return values


def _angles(events: Columns) -> np.ndarray:
    return np.degrees(angular_separation(events["true_alt"], events["true_az"], events["alt"], events["az"]))


def _distances(events: Columns) -> np.ndarray:
    return np.hypot(events["core_x"] - events["true_core_x"], events["core_y"] - events["true_core_y"])


def _common(first: Columns, other: Columns) -> tuple[Columns, Columns] | None:
    """The events of both tables, by their whole ids, in one order; None where ids or truth differ."""
    names = [name for name in IDS if name in first]
    if not names or names != [name for name in IDS if name in other]:
        return None
    keys = [list(zip(*(table[name].tolist() for name in names), strict=True)) for table in (first, other)]
    place = {key: row for row, key in enumerate(keys[1])}
    rows = [(row, place[key]) for row, key in enumerate(keys[0]) if key in place]
    if not rows:
        return None
    one, two = (np.array(column) for column in zip(*rows, strict=True))
    pair = {name: column[one] for name, column in first.items()}, {name: column[two] for name, column in other.items()}
    shared = [name for name in pair[0] if name.startswith("true_") and name in pair[1]]
    same = all(_same(pair[0][name], pair[1][name]) for name in shared)
    return pair if same and shared else None


def _same(first: np.ndarray, other: np.ndarray) -> bool:
    """True for equal columns of truth; what is computed of it, such as offsets, is rounded differently in other
    batches."""
    if first.dtype.kind == other.dtype.kind == "f":
        return np.allclose(first, other, rtol=ROUNDING, atol=ROUNDING, equal_nan=True)
    return np.array_equal(first, other)


def _table(path: Path) -> Columns:
    """The columns of events.csv, numbers where all are; {} if there is none."""
    if not path.exists():
        return {}
    with open(path, newline="", encoding="utf-8") as handle:
        header, *rows = csv.reader(handle)
    if any(len(row) != len(header) for row in rows):
        raise DataError(f"{path}: is not a table of events; run mode=inference again")
    return {name: _numbers([row[place] for row in rows]) for place, name in enumerate(header)}


def _numbers(texts: list[str]) -> np.ndarray:
    try:
        return np.array(texts, np.float64)
    except ValueError:
        return np.array(texts)
