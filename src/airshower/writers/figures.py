"""Figures: event displays, training curves, confusion matrices, metrics against energy."""

import functools
import textwrap
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from airshower.statistics.bins import equal_bins
from airshower.statistics.containment import CONTAINMENT, containment

if TYPE_CHECKING:
    import matplotlib.figure

Figure: TypeAlias = "matplotlib.figure.Figure"

CLASS_COLOURS = ("#f4f4f4", "#4477aa", "#cc3311")
ERROR_COLOURS = ("#f4f4f4", "#bbbbbb", "#ee7733", "#aa3377")
LETTERS = 12.5  # of a title, per inch
INTERVALS = 120  # of steps, in which a curve of training is averaged
ERRORS = ("background", "right", "missed (predicted background)", "wrong class or false")


@functools.cache
def pyplot() -> Any:
    """matplotlib's pyplot, without a display. The import takes a second, so it is done at the first figure."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    return pyplot


def save(figure: Figure, path: Path) -> Path:
    """Write the figure as PNG and close it."""
    path.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=110)
    pyplot().close(figure)
    return path


def set_title(figure: Figure, title: str) -> None:
    """A title of small letters over the whole figure, its lines broken where they are wider than it."""
    width = round(LETTERS * figure.get_figwidth())
    lines = [textwrap.fill(line, width, break_long_words=False) for line in title.splitlines()]
    figure.suptitle("\n".join(lines), fontsize=10, parse_math=False)


def event_display(
    image: np.ndarray,
    label: np.ndarray | None,
    predicted: np.ndarray,
    classes: Sequence[str],
    title: str,
    vertices: dict[str, np.ndarray] | None = None,
) -> Figure:
    """Absolute charge, truth, prediction and errors of one event, one row per plane; arrays [planes, rows, columns].

    Without truth (`label` None), charge and prediction. `vertices` keyed by "true" and "predicted" are row and column
    [planes, 2], NaN for none.
    """
    from matplotlib.colors import ListedColormap, PowerNorm

    panels = {"prediction": (predicted, classes, CLASS_COLOURS)}
    if label is not None:
        errors = np.select([label == predicted, predicted == 0], [np.where(label > 0, 1, 0), 2], default=3)
        panels = {"truth": (label, classes, CLASS_COLOURS), **panels, "errors": (errors, ERRORS, ERROR_COLOURS)}
    # fixed margins and shared axes: matplotlib's automatic layout takes seconds for twelve images
    planes = len(image)
    columns = 1 + len(panels)
    extent = (0, image.shape[2], 0, image.shape[1])
    size = (4 * columns, 0.6 + 2.9 * planes)
    figure, axes = pyplot().subplots(planes, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    figure.subplots_adjust(
        left=0.18 / columns, right=1 - 0.32 / columns, bottom=0.06, top=0.92, wspace=0.03, hspace=0.05
    )
    charge = np.where(image != 0, np.abs(image), np.nan)
    high = np.nanmax(charge, initial=1.0)
    norm = PowerNorm(0.4, 0.0, high)  # shows both noise and protons, of charge and of its logarithm
    for plane, row in enumerate(axes):
        shown = row[0].imshow(charge[plane], norm=norm, cmap="viridis", **_IMAGE, extent=extent)
        for axis, (values, _, colours) in zip(row[1:], panels.values(), strict=True):
            colours = ListedColormap(colours)
            axis.imshow(_thicken(values[plane]), cmap=colours, vmin=-0.5, vmax=colours.N - 0.5, **_IMAGE, extent=extent)
        for name, position in (vertices or {}).items():
            row[0].plot(*position[plane, ::-1], **_VERTEX_MARKS[name], label=f"{name} vertex")
        row[0].set_ylabel(f"plane {plane}, time (pixels)")
    for axis, name in zip(axes[0], ("charge", *panels), strict=True):
        axis.set_title(name)
        if name in panels and name != "truth":
            _legend(axis, *panels[name][1:])
    if vertices:
        axes[0, 0].legend(loc="upper right", fontsize=7, framealpha=0.8)
    for axis in axes[-1]:
        axis.set_xlabel("wire (pixels)")
    bar = figure.add_axes((1 - 0.28 / columns, 0.06, 0.04 / columns, 0.86))
    figure.colorbar(shown, cax=bar, label="network input: mean ADC per pixel (log(1 + x) with data.img_transform)")
    figure.suptitle(title, y=0.985)
    return figure


def training_curves(
    train: list[dict[str, float]],
    validation: list[dict[str, float]],
    training_set: list[dict[str, float]],
    names: dict[str, str],
) -> Figure:
    """The losses, and the other columns that `names` labels, over steps; thin: training, averaged over intervals, with
    dots: validation, dashed: evaluations of the training set."""
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(12, 4.2), layout="constrained")
    losses = [key for key in names if key.endswith("loss")]
    for key, light, dark in zip(losses, ("0.6", "#ddaa99"), ("k", "#cc3311"), strict=False):
        ends = {light: "training", dark: "validation"} if key == "loss" else {light: names[key], dark: None}
        left.plot(*over_steps(train, key, INTERVALS), color=light, lw=0.8, label=ends[light])
        left.plot(*over_steps(validation, key), "o-", color=dark, ms=4, label=ends[dark])
        if training_set:
            label = "training set" if key == "loss" else None
            left.plot(*over_steps(training_set, key), "s--", color=dark, ms=3, lw=0.8, label=label)
    positive = all(
        row.get(key, 1.0) > 0 for row in train + validation for key in losses if np.isfinite(row.get(key, 1))
    )
    left.set(xlabel="optimizer step", ylabel="loss", yscale="log" if positive else "linear")
    others = {key: name for key, name in names.items() if key not in losses}
    for colour, (key, name) in zip(
        ("#228833", "#4477aa", "#cc3311", "#aa3377", "#ccbb44"), others.items(), strict=False
    ):
        right.plot(*over_steps(train, key, INTERVALS), color=colour, lw=0.6, alpha=0.35)
        right.plot(*over_steps(validation, key), "o-", color=colour, ms=4, label=name)
        right.plot(*over_steps(training_set, key), "s--", color=colour, ms=3, lw=0.8)
    title = f"validation (thin: training{', dashed: training set' if training_set else ''})"
    right.set(xlabel="optimizer step", ylabel="metric", title=title)
    largest = max((row.get(key, 0.0) for row in validation for key in others), default=0.0)
    if not {"Wasserstein", "KS"} & others.keys() and largest <= 1:
        right.set_ylim(-0.02, 1.02)
    else:
        right.set_yscale("log")  # values of different units on one axis
    left.legend()
    if others:
        right.legend()
    else:
        right.set_axis_off()
    return figure


def confusion_figure(counts: np.ndarray, classes: Sequence[str], title: str) -> Figure:
    """Counts [true, predicted], coloured by the fraction of each true class."""
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = pyplot().subplots(figsize=(5.2, 4.4), layout="constrained")
    shown = axis.imshow(share, vmin=0, vmax=1, cmap="Blues")
    for (true, predicted), value in np.ndenumerate(share):
        text = f"{100 * value:.2f} %\n{counts[true, predicted]:,}"
        axis.text(predicted, true, text, ha="center", va="center", color="white" if value > 0.5 else "black", size=9)
    axis.set_xticks(range(len(classes)), classes)
    axis.set_yticks(range(len(classes)), classes)
    axis.set(xlabel="predicted", ylabel="true", title=title)
    figure.colorbar(shown, ax=axis, label="share of the true class")
    return figure


def metric_against_energy(energy: np.ndarray, group: np.ndarray, metrics: dict[str, np.ndarray]) -> Figure:
    """Per-event metrics against true energy (GeV): mean and its error in bins of equal content, one colour per
    `group`."""
    figure, axes = pyplot().subplots(
        1, len(metrics), figsize=(5.2 * len(metrics), 4), squeeze=False, layout="constrained"
    )
    for axis, (label, values) in zip(axes[0], metrics.items(), strict=True):
        for index, name in enumerate(np.unique(group)):
            chosen = (group == name) & np.isfinite(energy) & np.isfinite(values)
            if not chosen.any():
                continue
            colour = f"C{index}"
            axis.plot(energy[chosen], values[chosen], ".", ms=3, alpha=0.3, color=colour)
            _, *points = equal_bins(energy[chosen], values[chosen])
            axis.errorbar(*points[:3], fmt="o-", ms=4, color=colour, label=name)
        axis.set(xlabel="true energy (GeV)", ylabel=label, ylim=(-0.02, 1.02))
        axis.legend(*axis.get_legend_handles_labels())
    return figure


def distance_figure(planes: Sequence[np.ndarray], label: str) -> Figure:
    """Cumulative distribution of distances (NaN excluded), one line per plane, with the 68 % containment."""
    figure, axis = pyplot().subplots(figsize=(6, 4.2), layout="constrained")
    for plane, values in enumerate(planes):
        finite = np.sort(values[np.isfinite(values)]).clip(0.1)
        if len(finite):
            share = np.arange(1, len(finite) + 1) / len(finite)
            text = f"plane {plane}: 68 % within {containment(finite):.1f} cm"
            axis.step(finite, share, where="post", color=f"C{plane}", label=text)
    axis.axhline(CONTAINMENT, color="0.7", lw=0.8)
    axis.set(xlabel=label, ylabel="share of events", ylim=(0, 1.02), xscale="log")
    axis.legend(*axis.get_legend_handles_labels())
    return figure


def step_times(rows: list[dict[str, float]]) -> Figure:
    """Stacked durations of the parts of training steps, in seconds. Left: the mean step of each rank, without the first
    step, which warms up. Right: the steps of the first rank."""
    ranks = sorted({row["rank"] for row in rows})
    parts = [name for name in rows[0] if name not in ("step", "rank", "total")]
    parts = [name for name in parts if any(row[name] > 0 for row in rows)]
    figure, (left, right) = pyplot().subplots(1, 2, figsize=(12, 4.2), layout="constrained", width_ratios=(1, 2))
    first = min(row["step"] for row in rows)
    settled = [row for row in rows if row["step"] > first] or rows
    means = {rank: [row for row in settled if row["rank"] == rank] for rank in ranks}
    low = np.zeros(len(ranks))
    for part in parts:
        mean = np.array([np.mean([row[part] for row in means[rank]]) for rank in ranks])
        left.bar([f"rank {rank}" for rank in ranks], mean, bottom=low, color=_PART_COLOURS.get(part), label=part)
        low += mean
    left.set(ylabel="seconds", title="mean step")
    first_rank = [row for row in rows if row["rank"] == ranks[0]]
    heights = [[row[part] for row in first_rank] for part in parts]
    right.stackplot(
        [row["step"] for row in first_rank], heights, labels=parts, colors=[_PART_COLOURS.get(p) for p in parts]
    )
    right.set(xlabel="optimizer step", ylabel="seconds", title=f"rank {ranks[0]}")
    handles, labels = right.get_legend_handles_labels()
    right.legend(handles[::-1], labels[::-1], loc="center left", bbox_to_anchor=(1, 0.5))
    return figure


_PART_COLOURS = {
    "read": "#bbbbbb", "copy": "#ddaa33", "forward": "#4477aa", "loss": "#66ccee", "backward": "#004488",
    "reduce": "#cc3311", "optimizer": "#228833", "metrics": "#aa3377", "validation": "#ccbb44",
    "checkpoint": "#ee7733", "other": "#e4e4e4",
}  # fmt: skip
_VERTEX_MARKS = {
    "true": {"marker": "o", "ms": 11, "mfc": "none", "mec": "#cc3311", "ls": ""},
    "predicted": {"marker": "+", "ms": 11, "mec": "#ee7733", "mew": 1.6, "ls": ""},
}
_IMAGE = {"origin": "lower", "aspect": "auto", "interpolation": "nearest"}


def _thicken(labels: np.ndarray) -> np.ndarray:
    """The maximum label of each block of pixels if an image has more pixels than the figure, so that thin tracks stay
    visible."""
    step = max(1, labels.shape[0] // 256)
    rows, columns = (size // step * step for size in labels.shape)
    return labels[:rows, :columns].reshape(rows // step, step, columns // step, step).max((1, 3))


def _legend(axis: Any, names: Sequence[str], colours: Sequence[str]) -> None:
    handles = [
        pyplot().Line2D([], [], marker="s", ls="", color=c, label=n) for n, c in zip(names, colours, strict=False)
    ]
    axis.legend(handles=handles[1:], loc="upper right", fontsize=7, framealpha=0.8)


def over_steps(rows: Sequence[Mapping[str, float]], key: str, most: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Steps and values of a metric where it is finite; averaged over intervals if there are more than `most` (0:
    never), since minibatches of few events scatter more than a training moves."""
    points = np.array([(row["step"], row.get(key, np.nan)) for row in rows], np.float64).reshape(-1, 2)
    points = points[np.isfinite(points[:, 1])]
    if 0 < most < len(points):
        points = np.array([part.mean(0) for part in np.array_split(points, most)])
    return points[:, 0], points[:, 1]
