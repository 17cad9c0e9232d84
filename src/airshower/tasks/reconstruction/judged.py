"""Figures of merit and observables of targets, which follow from their kind."""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np

from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION
from airshower.statistics.containment import containment, containment_radius, median_bias

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class Judged:
    """A target as figures of merit know it: its `name`, the `kind` of its column, the `unit` of its predictions, if it
    is learned as a logarithm, the `parts`, its columns in a table of events, the column of its `predicted_error`, if it
    has one (in decades of a logarithm), and the `signal` among classes."""

    name: str
    kind: str
    unit: str = ""
    log10: bool = False
    parts: tuple[str, ...] = ()
    predicted_error: str = ""
    signal: str = "gamma"

    @property
    def errors(self) -> str:
        """The name of its column of errors."""
        kinds = {CLASS: "placement", DIRECTION: "separation", POSITION: "distance"}
        return kinds.get(self.kind) or ("relative" if self.log10 else "difference")

    @property
    def error_column(self) -> str:
        """Unique among all targets."""
        return self.errors if self.kind == CLASS else f"{self.name}_{self.errors}"

    @property
    def pull_column(self) -> str:
        """Of its errors, each over the predicted one."""
        return f"{self.name}_pull"


@dataclass(frozen=True)
class Merit:
    """A statistic of the errors of many events, which are a column of `performance.event_errors`."""

    name: str
    label: str
    unit: str
    errors: str
    statistic: Callable[[np.ndarray], float]


@dataclass(frozen=True)
class Observable:
    """What curves may be against: a column, and whether its bins are logarithmic."""

    label: str
    unit: str
    log: bool


LEAKAGE = "leakage"
"""The column of errors that is 1 for events of the background that pass the cut on the score, and 0 for others."""
SHOWN_LEVELS = {"bias": 0.0, "auc": 0.5, "coverage": 0.6827}
"""Values of figures of merit that are drawn as a line, by the last word of their names."""
OBSERVED = {
    "multiplicity": Observable("telescopes with an image", "", False),
    "intensity": Observable("charge of the images", "p.e.", True),
    "second_intensity": Observable("charge of the second brightest image", "p.e.", True),
    "hits": Observable("hits", "", True),
    "charge": Observable("charge", "p.e.", True),
}
"""Of what is measured, whatever the targets."""


def merits(targets: list[Judged]) -> list[Merit]:
    """The figures of merit of these targets: of directions first, then of numbers, positions and classes."""
    order = (DIRECTION, NUMBER, POSITION, CLASS)
    ordered = sorted(targets, key=lambda target: order.index(target.kind))
    return [merit for target in ordered for merit in (*_merits(target), *_coverage(target))]


def observables(targets: list[Judged]) -> dict[str, Observable]:
    """What curves may be against, by column of a table of events."""
    named = dict(OBSERVED)
    for target in targets:
        name = target.name
        if target.kind == NUMBER:
            named[f"true_{name}"] = Observable(f"true {name}", target.unit, target.log10)
            named[name] = Observable(f"reconstructed {name}", target.unit, target.log10)
        elif target.kind == POSITION:
            named[f"true_{name}_distance"] = Observable(f"true distance of the {name}", target.unit, False)
        elif target.kind == DIRECTION:
            label = "true angle to the axis" if name == "direction" else f"true angle of the {name} to the axis"
            named[offset(name)] = Observable(label, "deg", False)
    return named


USUAL = (Judged("energy", NUMBER), Judged("direction", DIRECTION), Judged("core", POSITION), Judged("x_max", NUMBER))
"""Targets that curves may be against by default; data without them have no such curves."""
AT_ZENITH = 1e-4  # rad from the zenith, of a frame's axis in float32


def axis_label(name: str, label: str, targets: list[Judged], events: Columns) -> str:
    """The label of an observable: an angle to the frames' axes is the zenith angle where these are all the zenith."""
    angles = [offset(target.name) for target in targets if target.kind == DIRECTION]
    altitude = events.get("pointing_alt")
    if name not in angles or altitude is None or np.any(np.abs(altitude - np.pi / 2) > AT_ZENITH):
        return label
    return label.replace("true angle", "true zenith angle").removesuffix(" to the axis")


def offset(name: str) -> str:
    """The column with the true angle to the frame's axis of a target of this name."""
    return "true_offset" if name == "direction" else f"true_{name}_offset"


def _mean(values: np.ndarray) -> float:
    return float(np.mean(values))


def _within_predicted(pulls: np.ndarray) -> float:
    return float(np.mean(pulls <= 1.0))


def _coverage(target: Judged) -> list[Merit]:
    if not target.predicted_error:
        return []
    label = f"{target.name}: events within their predicted error"
    return [Merit(f"{target.name}_coverage", label, "", target.pull_column, _within_predicted)]


def _merits(target: Judged) -> list[Merit]:
    name = target.name
    errors = target.error_column
    if target.kind == CLASS:
        leakage = f"background that passes the cut on {target.signal}s"
        return [
            Merit("auc", f"AUC of {target.signal}s against all others", "", errors, _mean),
            Merit("background_leakage", leakage, "", LEAKAGE, _mean),
        ]
    if target.kind == DIRECTION:
        label = "angular" if name == "direction" else name
        return [Merit(f"{label}_resolution", f"{label} resolution (68 %)", "deg", errors, containment_radius)]
    if target.kind == POSITION:
        return [Merit(f"{name}_resolution", f"{name} resolution (68 %)", target.unit, errors, containment_radius)]
    unit = "" if target.log10 else target.unit
    return [
        Merit(f"{name}_resolution", f"{name} resolution (68 %)", unit, errors, containment),
        Merit(f"{name}_bias", f"{name} bias (median)", unit, errors, median_bias),
    ]
