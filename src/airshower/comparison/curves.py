"""Figures of several runs: learning curves, figures of merit against a true quantity, ROC curves and scores."""

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from airshower.comparison.runs import Curve, Run, Scores
from airshower.comparison.table import is_overall
from airshower.statistics.roc import roc_curve, thinned
from airshower.writers import page
from airshower.writers.curves import is_logarithmic, log_ticks
from airshower.writers.figures import Figure, over_steps, pyplot

COLOURS = ("#4477aa", "#cc3311", "#228833", "#aa3377", "#ccaa22", "#33aacc", "#ee7733", "#888888")
MARKERS = "os^Dv"
LINES = ("-", "--", ":", "-.")
MOST_POINTS = 300  # of a curve in a figure
WIDTH, HEIGHT, LEGEND_ROW = 6.0, 4.0, 0.2  # inches
Numbers = tuple[np.ndarray, np.ndarray]


class Drawing:
    """One axis on which each run has its colour, marker and legend entry. Artists have the run's number as id, so that
    the page can hide them."""

    def __init__(self, names: Sequence[str], title: str):
        self.names = names
        self.figure, self.axis = pyplot().subplots(figsize=(WIDTH, HEIGHT))
        self.axis.set_title(title, fontsize=10, parse_math=False)
        self.axis.grid(color="0.5", alpha=0.25, lw=0.6)
        self.handles: dict[int, object] = {}

    def style(self, run: int) -> dict[str, object]:
        """Colour and line of a run."""
        return {"color": COLOURS[run % len(COLOURS)], "ls": LINES[run // len(COLOURS) % len(LINES)], "gid": f"run{run}"}

    def line(self, run: int, x: np.ndarray, y: np.ndarray, listed: bool = True, **more: object) -> None:
        """A curve of a run, with a legend entry if `listed`."""
        (line,) = self.axis.plot(x, y, **(self.style(run) | more))
        if listed:
            self.handles[run] = line

    def bars(self, run: int, x: np.ndarray, y: np.ndarray, across: Numbers, along: Numbers) -> None:
        """Points with errors."""
        style = self.style(run)
        gid = style.pop("gid")
        container = self.axis.errorbar(x, y, along, across, fmt=self.marker(run), ms=4, lw=1, color=style["color"])
        for artist in container.get_children():
            artist.set_gid(gid)
        self.handles[run] = container[0]  # the points

    def marker(self, run: int) -> str:
        """The marker of a run; runs of the same colour have different ones."""
        return MARKERS[run % len(MARKERS)]

    def finish(self) -> Figure:
        """The figure with its legend below. Margins are fixed, as automatic layout of many figures is slow."""
        labels = [self.names[run] for run in self.handles]
        # a label that begins with _ would not be shown
        labels = [f" {label}" if label.startswith("_") else label for label in labels]
        columns = max(1, min(len(labels), 96 // (max(map(len, labels), default=0) + 8)))
        rows = -(-len(labels) // columns)
        below = LEGEND_ROW * rows
        self.figure.set_size_inches(WIDTH, HEIGHT + below)
        bottom = (0.55 + below) / (HEIGHT + below)
        top = 1 - 0.3 / (HEIGHT + below)
        self.figure.subplots_adjust(left=0.13, right=0.97, bottom=bottom, top=top)
        legend = self.figure.legend(
            list(self.handles.values()), labels, loc="lower center", ncols=columns, frameon=False, fontsize=8
        )
        for run, text, handle in zip(self.handles, legend.get_texts(), legend.legend_handles, strict=True):
            text.set_parse_math(False)
            text.set_gid(f"run{run}")
            handle.set_gid(f"run{run}")
        return self.figure


def drawings(runs: Sequence[Run], metrics: Sequence[str]) -> Iterator[tuple[str, str, Callable[[], Figure]]]:
    """(section, name, drawing function) of each figure for which the runs have data; learning curves of `metrics`."""
    names = [run.name for run in runs]
    curves: dict[tuple, dict[int, Curve]] = {}
    for index, run in enumerate(runs):
        for curve in run.inference.curves if run.inference else ():
            curves.setdefault((curve.name, curve.unit, curve.against_label), {})[index] = curve
    for (name, _, against), shared in curves.items():
        yield "performance", f"{name} against {against}", lambda shared=shared: performance_figure(names, shared)
    signals: dict[str, dict[int, Scores]] = {}
    for index, run in enumerate(runs):
        if run.inference and run.inference.scores:
            signals.setdefault(run.inference.scores.signal, {})[index] = run.inference.scores
    for signal, shared in signals.items():
        yield "scores", f"roc_{signal}", lambda shared=shared: roc_figure(names, shared)
        yield "scores", f"scores_{signal}", lambda shared=shared: score_figure(names, shared)
    for metric in metrics:
        yield "learning", f"learning_{metric}", lambda metric=metric: learning_figure(runs, metric)


def learning_metrics(runs: Sequence[Run]) -> list[str]:
    """The metrics of whole events that all runs with learning curves have."""
    columns = [
        dict.fromkeys(name for rows in (run.validation, run.train) if rows for name in rows[0])
        for run in runs
        if run.train or run.validation
    ]
    shared = columns[0] if columns else {}
    return [
        name for name in shared if name != "step" and is_overall(name) and all(name in others for others in columns)
    ]


def learning_figure(runs: Sequence[Run], metric: str) -> Figure:
    """A metric over optimizer steps. With dots: validation; thin: training, averaged over intervals of steps."""
    drawing = Drawing([run.name for run in runs], metric)
    lowest = np.inf
    for index, run in enumerate(runs):
        for rows, more in (
            (run.train, {"lw": 0.8, "alpha": 0.5, "listed": not run.validation}),
            (run.validation, {"lw": 1.5, "ms": 4, "marker": drawing.marker(index)}),
        ):
            x, y = over_steps(rows, metric, MOST_POINTS)
            if len(x):
                drawing.line(index, x, y, **more)
                lowest = min(lowest, y.min())
    drawing.axis.set(xlabel="optimizer step")
    if metric == "loss" and 0 < lowest < np.inf:
        drawing.axis.set_yscale("log")
    return drawing.finish()


def performance_figure(names: Sequence[str], curves: dict[int, Curve]) -> Figure:
    """Curves of one kind with their errors, keyed by run number; points in a bin are displaced along x."""
    first = next(iter(curves.values()))
    drawing = Drawing(names, first.label)
    for index, (run, curve) in enumerate(curves.items()):
        scale, back = (np.log10, lambda x: 10**x) if curve.log else (np.asarray, np.asarray)
        low, high = scale(curve.edges[:-1]), scale(curve.edges[1:])
        middle = back(low + (high - low) * (0.5 + 0.08 * (index - (len(curves) - 1) / 2) * min(1, 8 / len(curves))))
        finite = np.isfinite(curve.value)
        across = (middle - curve.edges[:-1])[finite], (curve.edges[1:] - middle)[finite]
        along = curve.low[finite], curve.high[finite]
        drawing.bars(run, middle[finite], curve.value[finite], across, along)
    drawing.axis.set_xlabel(_with_unit(first.against_label, first.against_unit), parse_math=False)
    drawing.axis.set_ylabel(_with_unit(first.label, first.unit), parse_math=False)
    if first.log:
        drawing.axis.set_xscale("log")
    values = np.concatenate([curve.value[np.isfinite(curve.value)] for curve in curves.values()])
    if is_logarithmic(first.name) and len(values) and (values > 0).all():
        drawing.axis.set_yscale("log")
        drawing.axis.set_ylim(values.min() / 2, values.max() * 2)  # an error bar may reach down to 0
        log_ticks(drawing.axis.yaxis, np.sort(values))
    elif (values < 0).any():
        drawing.axis.axhline(0, color="0.5", lw=0.8)
    else:
        drawing.axis.set_ylim(0)
    return drawing.finish()


def roc_figure(names: Sequence[str], scores: dict[int, Scores]) -> Figure:
    """Efficiency of the signal against that of all other classes, keyed by run number."""
    signal = next(iter(scores.values())).signal
    drawing = Drawing(names, f"ROC curve of {signal}")
    for run, run_scores in scores.items():
        if len(run_scores.signal_scores) and len(run_scores.others):
            drawing.line(run, *thinned(roc_curve(run_scores.signal_scores, run_scores.others), MOST_POINTS))
    drawing.axis.plot([0, 1], [0, 1], color="0.5", lw=0.8)
    drawing.axis.set(xlabel="efficiency of background", xlim=(0, 1), ylim=(0, 1.01))
    drawing.axis.set_ylabel(f"efficiency of {signal}", parse_math=False)
    return drawing.finish()


def score_figure(names: Sequence[str], scores: dict[int, Scores]) -> Figure:
    """Scores of the signal: of its own events (thick), and of all others (thin), each with area 1."""
    signal = next(iter(scores.values())).signal
    drawing = Drawing(names, f"score of {signal}: thick its own events, thin all others")
    edges = np.linspace(0, 1, 41)
    for run, run_scores in scores.items():
        for values, width, listed in ((run_scores.signal_scores, 1.8, True), (run_scores.others, 0.8, False)):
            if len(values):
                density = np.histogram(values, edges)[0] / (len(values) * (edges[1] - edges[0]))
                drawing.line(run, edges, np.append(density, density[-1]), listed, drawstyle="steps-post", lw=width)
    drawing.axis.set(ylabel="density", xlim=(0, 1))
    drawing.axis.set_xlabel(f"score of {signal}", parse_math=False)
    return drawing.finish()


def svg(figure: Figure, name: str) -> str:
    """The figure as SVG for a page, see `writers.page.svg`; a run's elements have the class run0, run1 ..."""
    return page.svg(figure, name).replace('<g id="run', '<g class="run')


def _with_unit(label: str, unit: str) -> str:
    return f"{label} [{unit}]" if unit else label
