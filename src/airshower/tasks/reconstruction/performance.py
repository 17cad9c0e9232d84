"""How well events were reconstructed: figures of merit over all events, and as curves against what they may depend on.

Events are columns [events] as in `events.csv`: predictions, and with the prefix true_ the truth.
"""

import difflib
import importlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from airshower.config.fields import number
from airshower.data.source import ThrownShowers
from airshower.data.truth import CLASS, DIRECTION, POSITION
from airshower.errors import UserError
from airshower.geometry.separation import angular_separation
from airshower.statistics import bins
from airshower.statistics.bootstrap import bootstrap_in_bins
from airshower.statistics.roc import RocCurve, cut_for_efficiency, placements, roc_curve, thinned
from airshower.tasks.reconstruction.effective_area import at_thrown_energies, effective_area, thrown_per_area
from airshower.tasks.reconstruction.judged import LEAKAGE, USUAL, Judged, axis_label, merits, observables
from airshower.writers.curves import Curve
from airshower.writers.figures import Figure

Columns = dict[str, np.ndarray]
OwnMetric = Callable[[Columns], tuple[dict[str, float], dict[str, Figure]]]
"""(columns of events) -> (numbers by name, figures by name)."""
ROC_POINTS = 500  # that are kept of a curve
MIGRATION_BEYOND = 10.0  # factor beyond the true energies up to which reconstructed ones are shown


@dataclass
class BinsConfig:
    """`task.report.bins.OBSERVABLE.*`: the bins of curves against it; 0 bins: as the events have it."""

    low: float = number(0.0)
    high: float = number(1.0)
    bins: int = number(0, low=0, high=1000)


@dataclass
class ReportConfig:
    """`task.report.*`: outputs of inference beside the predictions."""

    observables: list[str] = field(
        default_factory=lambda: ["true_energy", "multiplicity", "true_core_distance", "true_offset"]
    )
    bins: dict[str, BinsConfig] = field(default_factory=dict)
    gamma_efficiency: float = number(0.8, low=0.01, high=1.0)
    worst: int = number(2, low=0)
    metrics: list[str] = field(default_factory=list)


def check_report(config: ReportConfig, targets: list[Judged]) -> None:
    """Raise `UserError` for unknown observables, bins that can't be and metrics that can't be imported. Observables of
    usual targets may be named that these data lack."""
    possible_names = observables([*USUAL, *targets])
    for key, names in (("observables", config.observables), ("bins", list(config.bins))):
        for name in names:
            if name not in possible_names:
                near = difflib.get_close_matches(name, possible_names, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(possible_names)}"
                raise UserError(f"task.report.{key}: there is no {name}; {hint}")
    for name, given in config.bins.items():
        if given.bins and not (given.low < given.high and (given.low > 0 or not possible_names[name].log)):
            above = " above 0" if possible_names[name].log else ""
            raise UserError(f"task.report.bins.{name}: needs low{above} and a higher high")
    for path in config.metrics:
        own_metric(path)


def own_metric(path: str) -> Any:
    """The `OwnMetric` at a dotted path. Raises `UserError` if it can't be imported."""
    module, _, name = path.rpartition(".")
    try:
        function = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError) as error:
        raise UserError(f"task.report.metrics: {path} can't be imported ({error})") from None
    if not callable(function):
        raise UserError(f"task.report.metrics: {path} is no function")
    return function


def event_errors(
    events: Columns, targets: list[Judged], signal: str, only_signal: bool, efficiency: float = 0.8
) -> Columns:
    """Errors of each event, a column for each target (see `Judged.error_column`): the angle in deg, relative errors or
    differences of numbers, distances, and `placement`, the share of other classes' events with a lower score (of the
    signal alone); `LEAKAGE` (of the others alone) is 1 for those that pass the cut on the score which this share of the
    signal passes, else 0. Where errors are predicted, `Judged.pull_column` is the size of the error over the predicted
    one. NaN where the truth is not known and, with `only_signal`, for other classes."""
    is_signal = events["true_type"] == signal if "true_type" in events else np.ones(len(events["entry"]), bool)
    judged = is_signal | (not only_signal)
    if "true_energy" in events:
        judged = judged & (events["true_energy"] > 0)
    errors: Columns = {}
    for target in targets:
        if target.kind != CLASS and {*target.parts, *(f"true_{part}" for part in target.parts)} <= events.keys():
            error = np.where(judged, _errors(events, target), np.nan)
            errors[target.error_column] = error
            if target.predicted_error in events:
                size = np.abs(np.log10(1.0 + error)) if target.log10 else np.abs(error)
                errors[target.pull_column] = size / events[target.predicted_error]
    if f"score_{signal}" in events and "true_type" in events:
        score = events[f"score_{signal}"]
        placement = np.full(len(is_signal), np.nan)
        placement[is_signal] = placements(score[is_signal], score[~is_signal])
        errors["placement"] = placement
        if is_signal.any():
            passes = score >= cut_for_efficiency(score[is_signal], efficiency)
            errors[LEAKAGE] = np.where(is_signal, np.nan, passes)
    return errors


def _errors(events: Columns, target: Judged) -> np.ndarray:
    predicted = [events[part] for part in target.parts]
    true = [events[f"true_{part}"] for part in target.parts]
    if target.kind == DIRECTION:
        return np.degrees(angular_separation(*true, *predicted))
    if target.kind == POSITION:
        return np.hypot(*(one - other for one, other in zip(predicted, true, strict=True)))
    return predicted[0] / true[0] - 1.0 if target.log10 else predicted[0] - true[0]


def summary(errors: Columns, targets: list[Judged]) -> dict[str, float]:
    """Each figure of merit over all events."""
    return {
        merit.name: merit.statistic(_finite(errors[merit.errors]))
        for merit in merits(targets)
        if merit.errors in errors and np.isfinite(errors[merit.errors]).any()
    }


def curves(
    events: Columns,
    errors: Columns,
    targets: list[Judged],
    against: list[str],
    given: Mapping[str, BinsConfig] | None = None,
) -> list[Curve]:
    """Each figure of merit against each observable, but those that are the same for all events."""
    drawn = []
    for name in against:
        observable = observables(targets).get(name)
        x = events.get(name)
        if x is None or observable is None:
            continue
        possible = np.isfinite(x) & ((x > 0) | (not observable.log))
        if not possible.any() or np.ptp(x[possible]) == 0:
            continue
        axis = name, axis_label(name, observable.label, targets, events), observable.unit, observable.log
        for merit in merits(targets):
            valid = possible & np.isfinite(errors.get(merit.errors, np.nan))
            if valid.any():
                edges = _edges(x[valid], observable.log, (given or {}).get(name))
                value, error, count = bootstrap_in_bins(x[valid], errors[merit.errors][valid], edges, merit.statistic)
                drawn.append(Curve(merit.name, merit.label, merit.unit, *axis, edges, value, error, count))
    return drawn


def _edges(values: np.ndarray, log: bool, config: BinsConfig | None) -> np.ndarray:
    if config is None or not config.bins:
        return bins.log_edges(values) if log else bins.linear_edges(values)
    space = np.geomspace if log else np.linspace
    return space(config.low, config.high, config.bins + 1)


def roc(events: Columns, signal: str) -> RocCurve | None:
    """Efficiencies of all other classes and of the signal, of all events; None where one of both has none."""
    score = events[f"score_{signal}"]
    is_signal = events["true_type"] == signal
    if not 0 < is_signal.sum() < len(is_signal):
        return None
    return thinned(roc_curve(score[is_signal], score[~is_signal]), ROC_POINTS)


def gamma_cut(events: Columns, signal: str, efficiency: float) -> dict[str, float]:
    """The cut on the score that at least this share of the signal passes, and the shares that do."""
    score = events[f"score_{signal}"]
    is_signal = events["true_type"] == signal
    if not is_signal.any():
        return {}
    cut = cut_for_efficiency(score[is_signal], efficiency)
    others = float(np.mean(score[~is_signal] >= cut)) if (~is_signal).any() else np.nan
    return {"score": cut, "efficiency": float(np.mean(score[is_signal] >= cut)), "background_efficiency": others}


def areas(
    events: Columns, signal: str, cut: dict[str, float], thrown: list[ThrownShowers], share: float
) -> dict[str, Curve]:
    """The effective area for the signal against true energy, of all its events and of those that pass a cut. `thrown`
    is what was simulated of it, `share` the part of that which `events` come from. In mono an event counts once,
    whichever of its images passes."""
    is_signal = (events["true_type"] == signal) & (events["true_energy"] > 0)
    if not thrown or not is_signal.any():
        return {}
    energy = at_thrown_energies(events["true_energy"], thrown)
    edges = bins.log_edges(np.append(energy[is_signal], [run.energy_range for run in thrown]))
    density = share * thrown_per_area(thrown, edges)
    chosen = {"effective_area": ("all events", is_signal)}
    if cut:
        text = f"{100 * cut['efficiency']:.0f} % of {signal}s by score"
        chosen["effective_area_after_cut"] = (text, is_signal & (events[f"score_{signal}"] >= cut["score"]))
    ids = np.stack([events["obs_id"], events["event_id"]], 1)
    drawn = {}
    for name, (text, rows) in chosen.items():
        first = np.unique(ids[rows], axis=0, return_index=True)[1]
        counts = bins.counts_in(energy[rows][first], edges)
        axis = "true_energy", "true energy", "TeV", True, edges
        label = f"effective area, {text}" if name == "effective_area_after_cut" else "effective area"
        drawn[text] = Curve(name, label, "m²", *axis, *effective_area(counts, density), counts)
    return drawn


def migration(events: Columns, errors: Columns) -> dict[str, Any]:
    """`edges` (TeV) and `counts` [true, reconstructed] of the events that errors are of, and how many lie `outside`."""
    valid = np.isfinite(errors["energy_relative"])
    if not valid.any():
        return {}
    true = events["true_energy"][valid]
    reconstructed = events["energy"][valid]
    low, high = true.min() / MIGRATION_BEYOND, true.max() * MIGRATION_BEYOND
    edges = bins.log_edges(np.append(true, np.clip(reconstructed, low, high)))
    counts = bins.migration(true, reconstructed, edges)
    return {"edges": edges, "counts": counts, "outside": len(true) - int(counts.sum())}


def _finite(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
