"""Figures that compare generated with reference events: distributions, closure, classifiers, neighbours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.statistics.roc import roc_curve, thinned
from airshower.writers.curves import COLOURS, log_ticks
from airshower.writers.figures import Figure, pyplot

PANELS_A_ROW = 4
MOST_BINS, BIN_EVENTS = 40, 20
BEYOND = 0.1  # margin on both sides, as a fraction of the range of reference events
REFERENCE = "0.35"
GENERATED = COLOURS[1]
WRITTEN = 10  # matrices up to this number of rows show their values as text
ROC_POINTS = 500  # of a curve in a figure
ROCS = COLOURS[1], COLOURS[0], COLOURS[2]

Scores = tuple[np.ndarray, np.ndarray]
Band = tuple[np.ndarray, np.ndarray, np.ndarray]


@dataclass(frozen=True, eq=False)
class Roc:
    """Scores of reference and of other events, the name of the classifier, and the area under its ROC curve as text."""

    name: str
    reference: np.ndarray
    other: np.ndarray
    area: str


def histograms(
    reference: Records, generated: Records, bins: Sequence[np.ndarray] | None = None, name: str = "events"
) -> Figure:
    """For each quantity the fraction of events, or of the items that `name` names, in the given bins or those of
    `bin_edges`. Below, the ratio of both samples with Poisson errors."""
    figure, panels = _panels(len(reference.quantities), ratios=True)
    bins = bins or [bin_edges(quantity, reference_values) for quantity, reference_values in reference.columns()]
    for (upper, lower), edges, (quantity, reference_values), (_, generated_values) in zip(
        panels, bins, reference.columns(), generated.columns(), strict=True
    ):
        shown = [_in_range(quantity, values) for values in (reference_values, generated_values)]
        counts = _beside(upper, edges, *shown)
        if outside := np.mean((shown[1] < edges[0]) | (shown[1] > edges[-1])):
            upper.set_title(f"{100 * outside:.2g} % of generated outside", fontsize=8, color=GENERATED, loc="right")
        _ratio(lower, edges, counts, (len(reference_values), len(generated_values)))
        upper.set(ylabel=f"share of {name}", ylim=(0, None), xlim=(edges[0], edges[-1]))
        lower.set(xlabel=titled(quantity), ylabel="generated\n/ reference", ylim=(0.4, 1.6), xlim=(edges[0], edges[-1]))
        for axis in (upper, lower):
            _log_axis(axis, quantity, edges)
        upper.tick_params(labelbottom=False, which="both")
    _legend_above(figure, panels[0])
    return figure


def cumulative(reference: Records, generated: Records, values: Sequence[str]) -> Figure:
    """The cumulative distribution of each quantity; `values` are the titles of the panels."""
    figure, panels = _panels(len(reference.quantities))
    for (axis,), (quantity, reference_values), (_, generated_values), text in zip(
        panels, reference.columns(), generated.columns(), values, strict=True
    ):
        edges = bin_edges(quantity, reference_values)
        for column, colour, name in (
            (reference_values, REFERENCE, "reference"),
            (generated_values, GENERATED, "generated"),
        ):
            x = np.sort(_in_range(quantity, column))
            axis.step(x, np.arange(1, len(x) + 1) / len(x), where="post", color=colour, lw=1.3, label=name)
        axis.set(xlabel=titled(quantity), ylabel="share of events below", ylim=(0, 1), xlim=(edges[0], edges[-1]))
        _log_axis(axis, quantity, edges)
        axis.set_title(text, fontsize=9)
    _legend_above(figure, panels[0])
    return figure


def correlation_figure(names: Sequence[str], reference: np.ndarray, generated: np.ndarray) -> Figure:
    """Matrices of rank correlations [features, features], and their difference."""
    side = 2.6 + 0.28 * len(names)
    figure, axes = pyplot().subplots(1, 3, figsize=(3 * side, side + 0.4), sharey=True, layout="constrained")
    titles = ("rank correlation, reference", "rank correlation, generated", "generated less reference")
    limits = (1.0, 1.0, max(0.1, float(np.abs(generated - reference).max())))
    for axis, matrix, title, limit in zip(
        axes, (reference, generated, generated - reference), titles, limits, strict=True
    ):
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
    condition: Quantity,
    edges: np.ndarray,
    quantities: Sequence[Quantity],
    reference: Sequence[Band],
    other: Sequence[Band],
) -> Figure:
    """Each quantity against a condition in bins with `edges` [bins + 1]: the mean, and the mean less and plus the
    spread [bins], of reference events (band) and generated events (points)."""
    figure, panels = _panels(len(quantities))
    low, high = edges[:-1], edges[1:]
    middle = np.sqrt(low * high) if condition.logarithmic else (low + high) / 2
    for (axis,), quantity, band, points in zip(panels, quantities, reference, other, strict=True):
        axis.set(xlabel=titled(condition), ylabel=titled(quantity), xlim=(edges[0], edges[-1]))
        if quantity.logarithmic:
            axis.set_yscale("log")
        _log_axis(axis, condition, edges)
        if condition.names:
            axis.set_xticks(range(len(condition.names)), condition.names)
        if not np.isfinite(band[0]).any():
            axis.text(0.5, 0.5, "no preferred angle", ha="center", va="center", transform=axis.transAxes, color="0.4")
            axis.set_yticks([])
            continue
        axis.stairs(band[2], edges, baseline=band[1], fill=True, color="0.85", label="reference: mean ± spread")
        axis.use_sticky_edges = False  # room below the band
        axis.set_xmargin(0.0)
        axis.hlines(band[0], low, high, color=REFERENCE, lw=1.3)
        lengths = np.abs(np.stack([points[0] - points[1], points[2] - points[0]]))
        axis.errorbar(
            middle, points[0], lengths, fmt="o", ms=4, lw=1.2, color=GENERATED, label="generated: mean ± spread"
        )
        if quantity.logarithmic:
            log_ticks(axis.yaxis, np.array(axis.get_ylim()))
    _legend_above(figure, [axis for (axis,) in panels])
    return figure


def classifier_figure(classifiers: Sequence[Roc], floors: Sequence[Roc]) -> Figure:
    """The last classifier's scores of reference and generated events, and the ROC curves of all classifiers. Dashed:
    training events against reference events."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    _beside(left, np.linspace(0, 1, 41), classifiers[-1].reference, classifiers[-1].other)
    left.set(xlabel="score of being generated", ylabel="share of events", xlim=(0, 1), title=classifiers[-1].name)
    left.legend(*left.get_legend_handles_labels())
    for rocs, style in ((classifiers, "-"), (floors, "--")):
        for colour, roc in zip(ROCS, rocs[::-1], strict=False):
            curve = thinned(roc_curve(roc.other, roc.reference), ROC_POINTS)
            right.plot(*curve, style, color=colour, lw=1.3, label=f"{roc.name}: {roc.area}")
    right.plot([0, 1], [0, 1], color="0.7", lw=0.8, zorder=0)
    right.set(
        xlabel="reference events taken for generated", ylabel="generated events found", xlim=(0, 1), ylim=(0, 1.01)
    )
    right.set_aspect("equal")
    columns = 2 if floors else 1
    figure.legend(*right.get_legend_handles_labels(), loc="outside lower right", fontsize=8, ncols=columns)
    return figure


def transfer_figure(
    classes: Sequence[str], reference: Scores, generated: Scores, curves: Mapping[str, Scores]
) -> Figure:
    """Left: scores for the first class, of events of the second and of the first class, reference and generated. Right:
    the efficiency of the second class against that of the first, keyed by name, for both samples."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(11, 4.4), layout="constrained")
    edges = np.linspace(0, 1, 41)
    for name, colour, reference_scores, generated_scores in zip(
        classes[::-1], (COLOURS[1], COLOURS[0]), reference, generated, strict=True
    ):
        shares = [np.histogram(scores, edges)[0] / len(scores) for scores in (reference_scores, generated_scores)]
        left.stairs(
            shares[0],
            edges,
            fill=True,
            color=colour,
            alpha=0.25,
            label=f"reference {name}s ({len(reference_scores):,})",
        )
        left.stairs(shares[1], edges, color=colour, lw=1.4, label=f"generated {name}s ({len(generated_scores):,})")
    left.set(
        xlabel=f"score of being a {classes[0]}, learned from training events", ylabel="share of events", xlim=(0, 1)
    )
    left.legend(*left.get_legend_handles_labels(), fontsize=8)
    for (name, (background, signal)), colour in zip(curves.items(), (REFERENCE, GENERATED), strict=True):
        right.plot(signal, background, color=colour, lw=1.4, label=name)
    least = 1 / max(len(scores[0]) for scores in (reference, generated))
    right.set(xlabel=f"efficiency of {classes[0]}s", ylabel=f"efficiency of {classes[1]}s", xlim=(0, 1))
    right.set(yscale="log", ylim=(0.8 * least, 1.1))
    right.legend(*right.get_legend_handles_labels(), loc="lower right")
    return figure


def nearest_figure(reference: np.ndarray, generated: np.ndarray, near: float, text: str) -> Figure:
    """Distances [n], [m] to the nearest training event, in standard deviations; a line at the distance `near`."""
    figure, axis = pyplot().subplots(figsize=(6.4, 4.6))
    figure.subplots_adjust(left=0.11, right=0.97, bottom=0.11, top=0.86)
    both = np.concatenate([reference, generated])
    least = both[both > 0].min(initial=max(float(both.max()), 1e-6))  # where distances of 0 are shown
    _beside(
        axis, np.geomspace(least, 1.01 * max(both.max(), 2 * least), 51), reference.clip(least), generated.clip(least)
    )
    axis.axvline(near, color="0.5", lw=0.9, ls="--", label="1 % of reference events are nearer")
    axis.set(xlabel="distance to the nearest training event (standard deviations)", ylabel="share of events")
    axis.set_xscale("log")
    axis.set_title(text, fontsize=9)
    log_ticks(axis.xaxis, np.array(axis.get_xlim()))
    _legend_above(figure, [axis])
    return figure


def bin_edges(quantity: Quantity, reference: np.ndarray) -> np.ndarray:
    """Bin edges for a histogram of reference events [n] with some margin. Bins have equal widths in scaled values; the
    edges of discrete values lie between them. Angles have bins over a full turn."""
    scaled = quantity.scaled(reference).astype(np.float64)
    low, high = float(scaled.min()), float(scaled.max())
    margin = BEYOND * (high - low) or 0.5
    bins = int(np.clip(len(reference) / BIN_EVENTS, 8, MOST_BINS))
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
    """Values as shown: on a logarithmic axis values below the floor are set to it."""
    return np.maximum(values, quantity.floor) if quantity.logarithmic else values


def _beside(
    axis: Any, edges: np.ndarray, reference: np.ndarray, generated: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Draw the fractions of reference events (filled) and generated events (a line) in bins; returns the counts."""
    counts = np.histogram(reference, edges)[0], np.histogram(generated, edges)[0]
    axis.stairs(counts[0] / len(reference), edges, fill=True, color="0.85", label=f"reference ({len(reference):,})")
    axis.stairs(counts[0] / len(reference), edges, color=REFERENCE, lw=0.8)
    axis.stairs(counts[1] / len(generated), edges, color=GENERATED, lw=1.4, label=f"generated ({len(generated):,})")
    return counts


def _ratio(axis: Any, edges: np.ndarray, counts: tuple[np.ndarray, np.ndarray], events: tuple[int, int]) -> None:
    """Draw the ratio of generated to reference fractions with the Poisson errors of both; no point if a bin is
    empty."""
    both = (counts[0] > 0) & (counts[1] > 0)
    ratio = counts[1][both] / events[1] / (counts[0][both] / events[0])
    error = ratio * np.sqrt(1 / counts[0][both] + 1 / counts[1][both])
    middle = ((edges[1:] + edges[:-1]) / 2)[both]
    axis.errorbar(middle, ratio, error, fmt=".", ms=4, lw=0.8, color=GENERATED)
    axis.axhline(1.0, color="0.5", lw=0.8, zorder=0)


def _panels(count: int, ratios: bool = False) -> tuple[Figure, list[list[Any]]]:
    """Panels with one axis each, or with `ratios` two, the lower one for ratios."""
    columns = min(count, PANELS_A_ROW)
    heights = [3, 1] if ratios else [1]
    rows = -(-count // columns)
    width = 3.9 * columns + 0.4
    height = (4.0 if ratios else 3.3) * rows + 0.5
    # fixed margins: matplotlib's automatic layout takes seconds for so many axes
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
    """One legend above all panels, from the first axis that has entries."""
    handles, labels = next((entries for axis in axes if (entries := axis.get_legend_handles_labels())[0]), ([], []))
    figure.legend(handles, labels, loc="upper center", ncols=max(len(labels), 1), frameon=False)


def _log_axis(axis: Any, quantity: Quantity, edges: np.ndarray) -> None:
    if quantity.logarithmic:
        axis.set_xscale("log")
        log_ticks(axis.xaxis, edges)
