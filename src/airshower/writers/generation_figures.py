"""Figures of generated events beside real ones: distributions, correlations, closure, classifiers, neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.data.table import Table
from airshower.data.tanks import Quantity
from airshower.writers.curves import COLOURS, log_ticks
from airshower.writers.figures import Figure, pyplot

PANELS_A_ROW = 4
MOST_BINS, BIN_EVENTS = 40, 20
BEYOND = 0.1  # of the range of real events, that is shown on both sides of it
REAL, GENERATED = "0.35", COLOURS[1]
WRITTEN = 10  # matrices of as many rows have their numbers written in

ROCS = COLOURS[1], COLOURS[0], COLOURS[2]

Scores = tuple[np.ndarray, np.ndarray]
Band = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Roc:
    """Scores of real and of other events, the name of the classifier, and its area as text."""

    name: str
    real: np.ndarray
    other: np.ndarray
    area: str


def histograms(real: Table, generated: Table, bins: Sequence[np.ndarray] | None = None, name: str = "events") -> Figure:
    """Of each quantity the share of events, or of what `name` says, in bins, those given or those of `bin_edges`, and
    below that the ratio of both, with errors of counts."""
    figure, panels = _panels(len(real.quantities), ratios=True)
    bins = bins or [bin_edges(quantity, own) for quantity, own in real.columns()]
    for (upper, lower), edges, (quantity, own), (_, new) in zip(
        panels, bins, real.columns(), generated.columns(), strict=True
    ):
        shown = [_in_range(quantity, values) for values in (own, new)]
        counts = _beside(upper, edges, *shown)
        if outside := np.mean((shown[1] < edges[0]) | (shown[1] > edges[-1])):
            upper.set_title(f"{100 * outside:.2g} % of generated outside", fontsize=8, color=GENERATED, loc="right")
        _ratio(lower, edges, counts, (len(own), len(new)))
        upper.set(ylabel=f"share of {name}", ylim=(0, None), xlim=(edges[0], edges[-1]))
        lower.set(xlabel=titled(quantity), ylabel="generated\n/ real", ylim=(0.4, 1.6), xlim=(edges[0], edges[-1]))
        for axis in (upper, lower):
            _log_axis(axis, quantity, edges)
        upper.tick_params(labelbottom=False, which="both")
    _legend_above(figure, panels[0])
    return figure


def cumulative(real: Table, generated: Table, values: Sequence[str]) -> Figure:
    """Of each quantity the share of events below, with what `values` says of the difference."""
    figure, panels = _panels(len(real.quantities))
    for (axis,), (quantity, own), (_, new), text in zip(
        panels, real.columns(), generated.columns(), values, strict=True
    ):
        edges = bin_edges(quantity, own)
        for column, colour, name in ((own, REAL, "real"), (new, GENERATED, "generated")):
            x = np.sort(_in_range(quantity, column))
            axis.step(x, np.arange(1, len(x) + 1) / len(x), where="post", color=colour, lw=1.3, label=name)
        axis.set(xlabel=titled(quantity), ylabel="share of events below", ylim=(0, 1), xlim=(edges[0], edges[-1]))
        _log_axis(axis, quantity, edges)
        axis.set_title(text, fontsize=9)
    _legend_above(figure, panels[0])
    return figure


def correlation_figure(names: Sequence[str], real: np.ndarray, generated: np.ndarray) -> Figure:
    """Matrices of rank correlations [features, features], and their difference."""
    side = 2.6 + 0.28 * len(names)
    figure, axes = pyplot().subplots(1, 3, figsize=(3 * side, side + 0.4), sharey=True, layout="constrained")
    titles = ("rank correlation, real", "rank correlation, generated", "generated less real")
    limits = (1.0, 1.0, max(0.1, float(np.abs(generated - real).max())))
    for axis, matrix, title, limit in zip(axes, (real, generated, generated - real), titles, limits, strict=True):
        shown = axis.imshow(matrix, vmin=-limit, vmax=limit, cmap="RdBu_r")
        axis.set_xticks(range(len(names)), names, rotation=90, fontsize=8)
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set_title(title, fontsize=10)
        if len(names) <= WRITTEN:
            for (row, column), value in np.ndenumerate(matrix.round(2) + 0.0):  # no -0.00
                colour = "white" if abs(value) > 0.6 * limit else "black"
                axis.text(column, row, f"{value:.2f}", ha="center", va="center", fontsize=7, color=colour)
        figure.colorbar(shown, ax=axis, shrink=0.8)
    return figure


def closure_figure(
    condition: Quantity, edges: np.ndarray, quantities: Sequence[Quantity], real: Sequence[Band], other: Sequence[Band]
) -> Figure:
    """Against a condition, in bins with `edges` [bins + 1], each quantity's mean, and one spread below and above it
    [bins], of real events (band) and of generated ones (points)."""
    figure, panels = _panels(len(quantities))
    low, high = edges[:-1], edges[1:]
    middle = np.sqrt(low * high) if condition.logarithmic else (low + high) / 2
    for (axis,), quantity, own, new in zip(panels, quantities, real, other, strict=True):
        axis.set(xlabel=titled(condition), ylabel=titled(quantity), xlim=(edges[0], edges[-1]))
        if quantity.logarithmic:
            axis.set_yscale("log")
        _log_axis(axis, condition, edges)
        if condition.names:
            axis.set_xticks(range(len(condition.names)), condition.names)
        if not np.isfinite(own[0]).any():
            axis.text(0.5, 0.5, "no preferred angle", ha="center", va="center", transform=axis.transAxes, color="0.4")
            axis.set_yticks([])
            continue
        axis.stairs(own[2], edges, baseline=own[1], fill=True, color="0.85", label="real: mean ± spread")
        axis.use_sticky_edges = False  # room below the band
        axis.set_xmargin(0.0)
        axis.hlines(own[0], low, high, color=REAL, lw=1.3)
        lengths = np.abs(np.stack([new[0] - new[1], new[2] - new[0]]))
        axis.errorbar(middle, new[0], lengths, fmt="o", ms=4, lw=1.2, color=GENERATED, label="generated: mean ± spread")
        if quantity.logarithmic:
            log_ticks(axis.yaxis, np.array(axis.get_ylim()))
    _legend_above(figure, [axis for (axis,) in panels])
    return figure


def classifier_figure(found: Sequence[Roc], floors: Sequence[Roc]) -> Figure:
    """The scores that the last classifier gives to real and to generated events, and the ROC curves of all; dashed,
    those of training events against real ones."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    _beside(left, np.linspace(0, 1, 41), found[-1].real, found[-1].other)
    left.set(xlabel="score of being generated", ylabel="share of events", xlim=(0, 1), title=found[-1].name)
    left.legend(*left.get_legend_handles_labels())
    for rocs, style in ((found, "-"), (floors, "--")):
        for colour, roc in zip(ROCS, rocs[::-1], strict=False):
            cuts = np.linspace(0, 1, 501)
            passed = [1 - np.searchsorted(np.sort(values), cuts) / len(values) for values in (roc.real, roc.other)]
            right.plot(*passed, style, color=colour, lw=1.3, label=f"{roc.name}: {roc.area}")
    right.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    right.set(xlabel="real events taken for generated", ylabel="generated events found", xlim=(0, 1), ylim=(0, 1.01))
    right.set_aspect("equal")
    columns = 2 if floors else 1
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", fontsize=8, ncols=columns)
    return figure


def transfer_figure(classes: Sequence[str], real: Scores, generated: Scores, curves: Mapping[str, Scores]) -> Figure:
    """Scores of being of the first class, of events of the second and of the first, real and generated; the efficiency
    of the second class against that of the first as a cut goes down, by name, of real events and of generated ones."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    edges = np.linspace(0, 1, 41)
    for name, colour, own, new in zip(classes[::-1], (COLOURS[1], COLOURS[0]), real, generated, strict=True):
        shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (own, new)]
        left.stairs(shares[0], edges, fill=True, color=colour, alpha=0.25, label=f"real {name}s ({len(own):,})")
        left.stairs(shares[1], edges, color=colour, lw=1.4, label=f"generated {name}s ({len(new):,})")
    left.set(xlabel=f"score of being a {classes[0]}, learned from real events", ylabel="share of events", xlim=(0, 1))
    left.legend(*left.get_legend_handles_labels(), fontsize=8)
    for (name, (background, signal)), colour in zip(curves.items(), (REAL, GENERATED), strict=True):
        right.plot(signal, background, color=colour, lw=1.4, label=name)
    least = 1 / max(len(scores[0]) for scores in (real, generated))
    right.set(xlabel=f"efficiency of {classes[0]}s", ylabel=f"efficiency of {classes[1]}s", xlim=(0, 1))
    right.set(yscale="log", ylim=(0.8 * least, 1.1))
    right.legend(*right.get_legend_handles_labels(), loc="lower right")
    return figure


def nearest_figure(real: np.ndarray, generated: np.ndarray, near: float, text: str) -> Figure:
    """Distances [n], [m] to the nearest training event, in standard deviations; a line at what is `near`."""
    figure, axis = pyplot().subplots(figsize=(6.4, 4.6))
    figure.subplots_adjust(left=0.11, right=0.97, bottom=0.11, top=0.86)
    both = np.concatenate([real, generated])
    least = both[both > 0].min(initial=max(float(both.max()), 1e-6))  # where distances of 0 are shown
    _beside(axis, np.geomspace(least, 1.01 * max(both.max(), 2 * least), 51), real.clip(least), generated.clip(least))
    axis.axvline(near, color="0.5", lw=0.9, ls="--", label="1 % of real are nearer")
    axis.set(xlabel="distance to the nearest training event (standard deviations)", ylabel="share of events")
    axis.set_xscale("log")
    axis.set_title(text, fontsize=9)
    log_ticks(axis.xaxis, np.array(axis.get_xlim()))
    _legend_above(figure, [axis])
    return figure


def bin_edges(quantity: Quantity, real: np.ndarray) -> np.ndarray:
    """Edges of bins of a histogram of real events [n] and more: equal ones as scaled, between the values that there may
    be where these have steps; angles are shown for a turn."""
    scaled = quantity.scaled(real).astype(np.float64)
    low, high = float(scaled.min()), float(scaled.max())
    margin = BEYOND * (high - low) or 0.5
    bins = int(np.clip(len(real) / BIN_EVENTS, 8, MOST_BINS))
    if quantity.period:
        half = quantity.period / quantity.width / 2
        return quantity.middle + quantity.width * np.linspace(-half, half, bins + 1)
    edges = np.linspace(low - margin, high + margin, bins + 1) * quantity.width + quantity.middle
    if quantity.logarithmic:
        edges = np.exp(edges)
    if quantity.step:
        edges = np.unique(np.round(edges / quantity.step - 0.5) + 0.5) * quantity.step
        edges = edges[edges > 0] if quantity.logarithmic else edges
    return edges


def titled(quantity: Quantity) -> str:
    """Name and unit."""
    return f"{quantity.name} ({quantity.unit})" if quantity.unit else quantity.name


def _in_range(quantity: Quantity, values: np.ndarray) -> np.ndarray:
    """As they are shown: on a logarithmic axis what is below the floor is at it."""
    return np.maximum(values, quantity.floor) if quantity.logarithmic else values


def _beside(axis: Any, edges: np.ndarray, real: np.ndarray, generated: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Shares of real events (filled) and generated ones (a line) in bins; returns the counts."""
    counts = np.histogram(real, edges)[0], np.histogram(generated, edges)[0]
    axis.stairs(counts[0] / len(real), edges, fill=True, color="0.85", label=f"real ({len(real):,})")
    axis.stairs(counts[0] / len(real), edges, color=REAL, lw=0.8)
    axis.stairs(counts[1] / len(generated), edges, color=GENERATED, lw=1.4, label=f"generated ({len(generated):,})")
    return counts


def _ratio(axis: Any, edges: np.ndarray, counts: tuple[np.ndarray, np.ndarray], events: tuple[int, int]) -> None:
    """Points of generated by real shares, with both samples' errors of counts; where one is empty, none."""
    both = (counts[0] > 0) & (counts[1] > 0)
    ratio = counts[1][both] / events[1] / (counts[0][both] / events[0])
    error = ratio * np.sqrt(1 / counts[0][both] + 1 / counts[1][both])
    middle = ((edges[1:] + edges[:-1]) / 2)[both]
    axis.errorbar(middle, ratio, error, fmt=".", ms=4, lw=0.8, color=GENERATED)
    axis.axhline(1.0, color="0.5", lw=0.8, zorder=0)


def _panels(count: int, ratios: bool = False) -> tuple[Figure, list[list[Any]]]:
    """Panels of one axis each, or two of which the lower is for ratios."""
    columns, heights = min(count, PANELS_A_ROW), [3, 1] if ratios else [1]
    rows = -(-count // columns)
    width, height = 3.9 * columns + 0.4, (4.0 if ratios else 3.3) * rows + 0.5
    # fixed margins: laying so many axes out by itself would take matplotlib seconds
    figure = pyplot().figure(figsize=(width, height))
    margins = {"left": 0.9 / width, "right": 1 - 0.15 / width, "bottom": 0.55 / height, "top": 1 - 0.7 / height}
    outer = figure.add_gridspec(rows, columns, **margins, wspace=0.3, hspace=0.27 if ratios else 0.33)
    panels = []
    for index in range(count):
        inner = outer[index // columns, index % columns].subgridspec(
            len(heights), 1, height_ratios=heights, hspace=0.05
        )
        panels.append([figure.add_subplot(inner[row]) for row in range(len(heights))])
    return figure, panels


def _legend_above(figure: Figure, axes: Sequence[Any]) -> None:
    """One legend for all panels, above them, of the first that has entries."""
    handles, labels = next((found for axis in axes if (found := axis.get_legend_handles_labels())[0]), ([], []))
    figure.legend(handles, labels, loc="upper center", ncols=max(len(labels), 1), frameon=False)


def _log_axis(axis: Any, quantity: Quantity, edges: np.ndarray) -> None:
    if quantity.logarithmic:
        axis.set_xscale("log")
        log_ticks(axis.xaxis, edges)
