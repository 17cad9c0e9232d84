"""Curves: a figure of merit in bins of another quantity, as a record for other tools and as a figure."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from airshower.writers.figures import Figure, pyplot

PANELS_A_ROW = 3
FEW_DECADES = 300.0  # ratio of the ends of an axis with extra ticks
COLOURS = ("#4477aa", "#cc3311", "#228833", "#aa3377", "#ccbb44", "#66ccee")


@dataclass(frozen=True, eq=False)
class Curve:
    """`value` and its standard `error` [bins] (NaN: too few events) in bins with these `edges` [bins + 1], lower edge
    excluded, and the number of `events` [bins]. Names are for programs, labels for figures; a unit may be empty. `log`:
    the edges are shown on a logarithmic axis."""

    name: str
    label: str
    unit: str
    against: str
    against_label: str
    against_unit: str
    log: bool
    edges: np.ndarray
    value: np.ndarray
    error: np.ndarray
    events: np.ndarray

    def record(self) -> dict[str, Any]:
        """The fields, arrays as lists."""
        return {
            name: value.tolist() if isinstance(value, np.ndarray) else value for name, value in asdict(self).items()
        }


def is_logarithmic(name: str) -> bool:
    """True for a figure of merit that is drawn on a logarithmic axis: resolutions, as the field has them."""
    return name.endswith("_resolution")


def curves_figure(panels: Sequence[dict[str, Curve]], log: bool = False, level: float | None = None) -> Figure:
    """A panel for each quantity on the x axis, with curves keyed by name, such as a run's. Curves without values are
    not drawn. `log` makes the y axis logarithmic; `level` draws a thin horizontal line."""
    columns = 2 if len(panels) == 4 else min(len(panels), PANELS_A_ROW)
    rows = -(-len(panels) // PANELS_A_ROW)
    size = (4.6 * columns + 0.6, 3.7 * rows + 0.2)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained", sharey=True)
    for axis in axes.flat[len(panels) :]:
        axis.set_axis_off()
    for axis, curves in zip(axes.flat, panels, strict=False):
        for colour, (name, curve) in zip(COLOURS, curves.items(), strict=False):
            _draw(axis, curve, colour, name)
        some = next(iter(curves.values()))
        axis.set(xlabel=_titled(some.against_label, some.against_unit), xlim=(some.edges[0], some.edges[-1]))
        if some.log:
            axis.set_xscale("log")
            log_ticks(axis.xaxis, some.edges)
        if level is not None:
            axis.axhline(level, color="0.7", lw=0.8, zorder=0)
        if len(curves) > 1:
            axis.legend(*axis.get_legend_handles_labels(), fontsize=8)
    for axis in axes[:, 0]:
        axis.set_ylabel(_titled(some.label, some.unit))
    if log and any((curve.value > 0).any() for curves in panels for curve in curves.values()):
        axes[0, 0].set_yscale("log")
        drawn = np.concatenate([curve.value for curves in panels for curve in curves.values()])
        log_ticks(axes[0, 0].yaxis, np.sort(drawn[drawn > 0]))
    elif level is None:
        axes[0, 0].set_ylim(0)
    return figure


def log_ticks(axis: Any, edges: np.ndarray) -> None:
    """Ticks at 1, 2 and 5 on a logarithmic axis that spans few decades."""
    from matplotlib.ticker import FormatStrFormatter, LogLocator, NullFormatter

    if edges[-1] < FEW_DECADES * edges[0]:
        axis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        axis.set_major_formatter(FormatStrFormatter("%g"))
        axis.set_minor_formatter(NullFormatter())


def _draw(axis: Any, curve: Curve, colour: str, name: str) -> None:
    low, high = curve.edges[:-1], curve.edges[1:]
    middle = np.sqrt(low * high) if curve.log else (low + high) / 2
    finite = np.isfinite(curve.value)
    across = np.stack([middle - low, high - middle])[:, finite]
    axis.errorbar(
        middle[finite], curve.value[finite], curve.error[finite], across, fmt="o", ms=4, color=colour, label=name
    )


def _titled(label: str, unit: str) -> str:
    return f"{label} ({unit})" if unit else label
