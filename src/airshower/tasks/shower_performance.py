"""How well showers were reconstructed: figures of merit over all events, and as curves against what they may depend on.

Events are columns [events] as in `events.csv`: predictions, and with the prefix true_ the truth.
"""

import difflib
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from airshower.config.fields import number
from airshower.data.source import ThrownShowers
from airshower.errors import UserError
from airshower.tasks import shower_metrics as metrics
from airshower.writers.curves import Curve

Columns = dict[str, np.ndarray]
ROC_POINTS = 500  # that are kept of a curve
MIGRATION_BEYOND = 10.0  # reconstructed energies are shown so many times beyond the true ones


@dataclass
class ReportConfig:
    """`task.report.*`: what inference says beside the predictions."""

    observables: list[str] = field(default_factory=lambda: ["true_energy", "multiplicity", "true_core_distance"])
    gamma_efficiency: float = number(0.8, low=0.01, high=1.0)
    worst: int = number(2, low=0)


@dataclass(frozen=True)
class Observable:
    """What curves may be against: a column, and whether its bins are logarithmic."""

    label: str
    unit: str
    log: bool


@dataclass(frozen=True)
class Merit:
    """A statistic of the errors of many events, which are a column of `event_errors`."""

    label: str
    unit: str
    errors: str
    statistic: Callable[[np.ndarray], float]


OBSERVABLES = {
    "true_energy": Observable("true energy", "TeV", True),
    "energy": Observable("reconstructed energy", "TeV", True),
    "multiplicity": Observable("telescopes with an image", "", False),
    "intensity": Observable("charge of the images", "p.e.", True),
    "true_core_distance": Observable("true distance of the core", "m", False),
    "true_offset": Observable("true angle to the pointing", "deg", False),
}
MERITS = {
    "angular_resolution": Merit("angular resolution (68 %)", "deg", "separation", metrics.angular_resolution),
    "energy_resolution": Merit("energy resolution (68 %)", "", "relative_energy", metrics.energy_resolution),
    "energy_bias": Merit("energy bias (median)", "", "relative_energy", metrics.energy_bias),
    "core_resolution": Merit("core resolution (68 %)", "m", "distance", metrics.angular_resolution),
    "auc": Merit("AUC of gammas against all others", "", "placement", lambda values: float(np.mean(values))),
}


def check_observables(names: list[str]) -> None:
    """Raise `UserError` for a name that is none of `OBSERVABLES`."""
    for name in names:
        if name not in OBSERVABLES:
            near = difflib.get_close_matches(name, OBSERVABLES, n=1)
            hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(OBSERVABLES)}"
            raise UserError(f"task.report.observables: there is no {name}; {hint}")


def event_errors(events: Columns, signal: str, only_signal: bool) -> Columns:
    """Of each event: `separation` in deg, `relative_energy`, `distance` of the core in m, and `placement`, the share of
    other classes' events with a lower score (of signal alone); what was reconstructed. NaN where the truth is not known
    and, with `only_signal`, for other classes."""
    is_signal = events["true_type"] == signal
    judged = (events["true_energy"] > 0) & (is_signal | (not only_signal))
    found = {}
    if "alt" in events:
        angle = metrics.angular_separation(events["true_alt"], events["true_az"], events["alt"], events["az"])
        found["separation"] = np.degrees(angle)
    if "energy" in events:
        found["relative_energy"] = events["energy"] / events["true_energy"] - 1.0
    if "core_x" in events:
        found["distance"] = np.hypot(*(events[f"core_{axis}"] - events[f"true_core_{axis}"] for axis in "xy"))
    found = {name: np.where(judged, column, np.nan) for name, column in found.items()}
    if f"score_{signal}" in events:
        score, found["placement"] = events[f"score_{signal}"], np.full(len(is_signal), np.nan)
        found["placement"][is_signal] = metrics.placements(score[is_signal], score[~is_signal])
    return found


def summary(errors: Columns) -> dict[str, float]:
    """Each figure of merit over all events."""
    return {
        name: merit.statistic(_known(errors[merit.errors]))
        for name, merit in MERITS.items()
        if merit.errors in errors and np.isfinite(errors[merit.errors]).any()
    }


def curves(events: Columns, errors: Columns, observables: list[str]) -> list[Curve]:
    """Each figure of merit against each observable, but those that are the same for all events."""
    found = []
    for against in observables:
        seen, x = OBSERVABLES[against], events.get(against)
        if x is None or not (possible := np.isfinite(x) & ((x > 0) | (not seen.log))).any() or np.ptp(x[possible]) == 0:
            continue
        place = against, seen.label, seen.unit, seen.log
        for name, merit in MERITS.items():
            there = possible & np.isfinite(errors.get(merit.errors, np.nan))
            if there.any():
                edges = metrics.log_edges(x[there]) if seen.log else metrics.linear_edges(x[there])
                value, error, count = metrics.binned(x[there], errors[merit.errors][there], edges, merit.statistic)
                found.append(Curve(name, merit.label, merit.unit, *place, edges, value, error, count))
    return found


def roc(events: Columns, signal: str) -> tuple[np.ndarray, np.ndarray] | None:
    """Efficiencies of all other classes and of the signal, of all events; None where one of both has none."""
    score, is_signal = events[f"score_{signal}"], events["true_type"] == signal
    if not 0 < is_signal.sum() < len(is_signal):
        return None
    false, found = metrics.roc_curve(score[is_signal], score[~is_signal])
    kept = np.unique(np.linspace(0, len(false) - 1, ROC_POINTS).round().astype(int))
    return false[kept], found[kept]


def gamma_cut(events: Columns, signal: str, efficiency: float) -> dict[str, float]:
    """The cut on the score that at least this share of the signal passes, and the shares that do."""
    score, is_signal = events[f"score_{signal}"], events["true_type"] == signal
    if not is_signal.any():
        return {}
    cut = metrics.cut_for_efficiency(score[is_signal], efficiency)
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
    energy = metrics.at_thrown_energies(events["true_energy"], thrown)
    edges = metrics.log_edges(np.append(energy[is_signal], [run.energy_range for run in thrown]))
    density = share * metrics.thrown_per_area(thrown, edges)
    chosen = {"effective_area": ("all events", is_signal)}
    if cut:
        text = f"{100 * cut['efficiency']:.0f} % of {signal}s by score"
        chosen["effective_area_after_cut"] = (text, is_signal & (events[f"score_{signal}"] >= cut["score"]))
    ids = np.stack([events["obs_id"], events["event_id"]], 1)
    found = {}
    for name, (text, rows) in chosen.items():
        first = np.unique(ids[rows], axis=0, return_index=True)[1]
        counts = metrics.counts_in(energy[rows][first], edges)
        place = "true_energy", "true energy", "TeV", True, edges
        label = f"effective area, {text}" if name == "effective_area_after_cut" else "effective area"
        found[text] = Curve(name, label, "m²", *place, *metrics.effective_area(counts, density), counts)
    return found


def migration(events: Columns, errors: Columns) -> dict[str, Any]:
    """`edges` (TeV) and `counts` [true, reconstructed] of the events that errors are of, and how many lie `outside`."""
    there = np.isfinite(errors["relative_energy"])
    if not there.any():
        return {}
    true, found = events["true_energy"][there], events["energy"][there]
    low, high = true.min() / MIGRATION_BEYOND, true.max() * MIGRATION_BEYOND
    edges = metrics.log_edges(np.append(true, np.clip(found, low, high)))
    counts = metrics.migration(true, found, edges)
    return {"edges": edges, "counts": counts, "outside": len(true) - int(counts.sum())}


def _known(values: np.ndarray) -> np.ndarray:
    return values[np.isfinite(values)]
