"""Figures of what files hold: distributions of the truth, balance of classes, charges, numbers of each event."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import cycle
from typing import Any

import numpy as np

from airshower.data.channels import FRAME
from airshower.data.spec import ImagesSpec, PointsSpec, Spec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, Column, Columns
from airshower.writers.curves import COLOURS, log_ticks
from airshower.writers.event_text import number_text
from airshower.writers.figures import Figure, pyplot
from airshower.writers.inspection.tally import Tally
from airshower.writers.inspection.truth import parts, unit_of
from airshower.writers.tank_figures import layout_display

SIZE = (5.6, 3.8)  # inches
BINS = 50
FEW = 20.0  # entries in a cell, up to which colours are linear
ANGLES = ("deg", "rad")
DECADES = 100.0  # ratio of the ends from which on an axis is logarithmic
Drawn = tuple[str, str, Callable[[], Figure]]
"""Section, name and drawing function of a figure."""


def truth_figures(columns: Sequence[Column], truth: Columns, splits: Mapping[str, np.ndarray]) -> Iterator[Drawn]:
    """Of each class its balance over `splits` (rows of the truth by name), of others their distribution, by the first
    class; of two coordinates a map."""
    known = [column for column in columns if column.name in truth]
    classes = next((column for column in known if column.kind == CLASS), None)
    groups = _groups(classes, truth) if classes is not None else {"": slice(None)}
    for column in known:
        values = truth[column.name]
        if column.kind == CLASS:
            yield "truth", column.name, lambda c=column, v=values: balance_figure(c, v, splits)
            continue
        of_column = parts(column, values)
        unit = unit_of(column)
        if column.kind == NUMBER:
            by_class = {group: values[rows] for group, rows in groups.items()}
            log = unit not in ANGLES
            yield "truth", column.name, lambda n=column.name, u=unit, b=by_class, g=log: distribution_figure(n, u, b, g)
            continue
        for title, names in _pairs(column, list(of_column)):
            pair = [of_column[name] for name in names]
            yield "truth", title, lambda t=title, n=names, u=unit, p=pair: map_figure(t, n, u, p)


def channel_figures(tallies: Sequence[Tally]) -> Iterator[Drawn]:
    """Charges and times of planes and cameras, on one axis what is of one kind; quantities and numbers of events, each
    on its own."""
    groups: dict[tuple[str, str], list[Tally]] = {}
    for tally in tallies:
        if tally.container != FRAME or _varies(tally):
            groups.setdefault((tally.container, tally.name.partition(",")[0]), []).append(tally)
    for (container, name), group in groups.items():
        title = f"{container}: {name}"
        if group[0].names:
            yield "inputs", title, lambda g=group[0]: pixel_classes_figure(g)
        elif group[0].exact is not None and len(group) == 1:
            values = {"": group[0].exact}
            log = group[0].log or group[0].count
            yield "inputs", title, lambda g=group[0], v=values, n=log: distribution_figure(g.name, g.unit, v, n)
        else:
            yield "inputs", title, lambda n=name, g=group: counts_figure(n, g)


def layout_figures(spec: Spec) -> Iterator[Drawn]:
    """The places of the sensors of images and of points."""
    for name, part in spec.inputs.items():
        if isinstance(part, PointsSpec | ImagesSpec):
            sensors = part.sensors if isinstance(part, PointsSpec) else part.position
            if len(sensors):
                yield "inputs", f"{name}: sensors", lambda s=sensors: layout_display(s)


def distribution_figure(name: str, unit: str, values: Mapping[str, np.ndarray], may_be_log: bool = False) -> Figure:
    """Histograms of a number of each entry [n] by class; what is not finite is left out. With `may_be_log` the axis is
    logarithmic if positive values span decades, and the title says how many others there are."""
    figure, axis = pyplot().subplots(figsize=SIZE, layout="constrained")
    finite = {group: part[np.isfinite(part)] for group, part in values.items()}
    every = np.concatenate(list(finite.values()))
    edges, log = _edges(every, may_be_log)
    if log and (others := int((every <= 0).sum())):
        axis.set_title(f"{others:,} of {len(every):,} are not above 0", fontsize=9)
    drawn = {group: part for group, part in finite.items() if len(part)}
    for colour, (group, part) in zip(cycle(COLOURS), drawn.items(), strict=False):
        fill = {"fill": True, "alpha": 0.35} if len(drawn) == 1 else {}
        axis.stairs(np.histogram(part, edges)[0], edges, color=colour, lw=1.4, label=f"{group} ({len(part):,})", **fill)
    axis.set_ylabel("entries in a bin")
    axis.yaxis.get_major_locator().set_params(integer=True)
    _finish(axis, name, unit, edges, log)
    if len(values) > 1 and drawn:
        axis.legend(fontsize=8)
    return figure


def counts_figure(name: str, group: Sequence[Tally]) -> Figure:
    """Values of all events, a line for each plane or camera: of charges their sizes on logarithmic axes, negative ones
    as dashes; else on a linear axis, without the outermost percent."""
    figure, axis = pyplot().subplots(figsize=SIZE, layout="constrained")
    filled = [tally for tally in group if tally.counts.total]
    log = group[0].log
    edges = np.geomspace(*_log_ends(filled), BINS + 1) if log else np.linspace(*_ends(filled), BINS + 1)
    for colour, tally in zip(cycle(COLOURS), filled, strict=False):
        label = tally.name.partition(", ")[2] or tally.name
        counts = tally.counts.histogram(edges)
        axis.stairs(counts, edges, color=colour, lw=1.4, label=f"{label} ({tally.counts.total:,})")
        if log and (below := tally.counts.histogram(-edges[::-1])[::-1]).any():
            axis.stairs(below, edges, color=colour, lw=1.0, ls="--", label=f"{label}, negative")
    axis.set(ylabel="values in a bin", yscale="log" if log and filled else "linear")
    _finish(axis, name, group[0].unit, edges, log)
    if filled:
        axis.legend(fontsize=8)
    return figure


def map_figure(title: str, names: Sequence[str], unit: str, values: Sequence[np.ndarray]) -> Figure:
    """Entries on a plane, such as cores on the ground or directions on the sky; `values` of both axes are [n] each."""
    from matplotlib.colors import LogNorm, Normalize
    from matplotlib.ticker import MaxNLocator, NullFormatter

    figure, axis = pyplot().subplots(figsize=SIZE, layout="constrained")
    finite = np.isfinite(values).all(0)
    if finite.any():
        x, y = (of_axis[finite] for of_axis in values)
        bins = _bins(int(finite.sum()))
        counts, *edges = np.histogram2d(x, y, bins, [_widened(x), _widened(y)])
        most = max(float(counts.max()), 2.0)
        norm = LogNorm(1, most) if most > FEW else Normalize(0, most)
        shown = axis.pcolormesh(*edges, np.where(counts > 0, counts, np.nan).T, norm=norm, cmap="viridis_r")
        bar = figure.colorbar(shown, ax=axis, label="entries in a cell", format=lambda value, _: number_text(value))
        if most > FEW:
            bar.ax.yaxis.set_minor_formatter(NullFormatter())
        else:
            bar.locator = MaxNLocator(integer=True)
            bar.update_ticks()
    axis.set_title(title, fontsize=10, parse_math=False)
    for either, name in zip((axis.xaxis, axis.yaxis), names, strict=True):
        either.set_label_text(f"{name} ({unit})", parse_math=False)
        either.set_major_formatter(lambda value, _: number_text(value))
    if unit != "deg":
        axis.set_aspect("equal", adjustable="datalim")
    return figure


def balance_figure(column: Column, values: np.ndarray, splits: Mapping[str, np.ndarray]) -> Figure:
    """How many entries each class has in each split."""
    names = [*column.classes, "no class"] if (values < 0).any() else list(column.classes)
    counts = {}
    for split, rows in splits.items():
        of_class = np.where(values[rows] < 0, len(column.classes), values[rows])
        counts[split] = np.bincount(of_class, minlength=len(column.classes) + 1)[: len(names)]
    return _bars(names, counts, "entries", column.name)


def pixel_classes_figure(tally: Tally) -> Figure:
    """How many pixels or events have each class."""
    counts = np.array([tally.counts.of(row) for row in range(len(tally.names))])
    return _bars(list(tally.names), {"": counts}, "values", tally.name)


def _bars(names: list[str], counts: Mapping[str, np.ndarray], what: str, title: str) -> Figure:
    figure, axis = pyplot().subplots(figsize=SIZE, layout="constrained")
    width = 0.8 / max(len(counts), 1)
    for place, (colour, (group, of_group)) in enumerate(zip(COLOURS, counts.items(), strict=False)):
        at = np.arange(len(names)) + (place - (len(counts) - 1) / 2) * width
        drawn = axis.bar(at, of_group, width, color=colour, label=group)
        axis.bar_label(drawn, [f"{count:,}" for count in of_group], fontsize=7, rotation=90 if len(names) > 4 else 0)
    axis.set_xticks(range(len(names)), names, rotation=20 if len(names) > 4 else 0)
    axis.margins(y=0.18)
    axis.set_title(title, fontsize=10, parse_math=False)
    axis.set_ylabel(what)
    if len(counts) > 1:
        axis.legend(fontsize=8)
    return figure


def _groups(column: Column, truth: Columns) -> dict[str, np.ndarray]:
    """The rows of each class that has any, and of those of no class."""
    values = truth[column.name]
    rows = {name: np.flatnonzero(values == row) for row, name in enumerate(column.classes)}
    rows[f"no {column.name}"] = np.flatnonzero(values < 0)
    return {name: of_class for name, of_class in rows.items() if len(of_class)}


def _pairs(column: Column, names: list[str]) -> Iterator[tuple[str, list[str]]]:
    """Titles of the maps of a direction or position, with the names of what is across and along."""
    if column.kind == DIRECTION:
        yield column.name, names[::-1]
        return
    planes = dict.fromkeys(name.partition(", ")[2] for name in names)
    for plane in planes:
        of_plane = [name for name in names if name.partition(", ")[2] == plane][:2]
        across = of_plane[::-1] if plane else of_plane  # of images: columns, then rows
        if len(across) == 2:
            yield f"{column.name}, {plane}" if plane else column.name, across


def _bins(values: int) -> int:
    """How many bins so many values fill."""
    return int(np.clip(2 * np.sqrt(values), 8, BINS))


def _widened(values: np.ndarray) -> tuple[float, float]:
    """The range of values, apart from each other."""
    low, high = float(values.min()), float(values.max())
    return (low, high) if high > low else (low - 0.5, high + 0.5)


def _edges(values: np.ndarray, may_be_log: bool) -> tuple[np.ndarray, bool]:
    """Edges of bins for these values, and whether they are logarithmic."""
    if not len(values):
        return np.linspace(0.0, 1.0, 9), False
    low, high = _widened(values)
    bins = _bins(len(values))
    positive = values[values > 0]
    if may_be_log and len(positive) > len(values) / 2 and high >= DECADES * positive.min():
        return np.geomspace(positive.min(), high * (1 + 1e-9), bins + 1), True
    if high - low <= BINS and (values == np.round(values)).all():
        return np.arange(np.ceil(low) - 0.5, high + 1.0), False
    return np.linspace(low, high, bins + 1), False


def _ends(tallies: Sequence[Tally]) -> tuple[float, float]:
    """The range of all values but the outermost percents of each."""
    ends = [tally.counts.quantiles(np.array([0.01, 0.99])) for tally in tallies] or [np.array([0.0, 1.0])]
    return _widened(np.concatenate(ends))


def _log_ends(tallies: Sequence[Tally]) -> tuple[float, float]:
    """Of sizes: from the smallest one, or where values of both signs are from 1 % of the median, to the largest."""
    if not tallies:
        return 1.0, 10.0
    ends = np.array([tally.counts.quantiles(np.array([0.0, 0.01, 0.5, 1.0])) for tally in tallies])
    largest = float(np.abs(ends).max()) or 1.0
    smallest = float(ends[:, 0].min() if (ends[:, 1] > 0).all() else np.abs(ends[:, 2]).min() / DECADES)
    return min(max(smallest, 1e-6 * largest), 0.5 * largest), 1.05 * largest


def _varies(tally: Tally) -> bool:
    exact = tally.exact
    return exact is not None and len(exact) > 1 and bool(np.ptp(exact) > 0)


def _finish(axis: Any, name: str, unit: str, edges: np.ndarray, log: bool) -> None:
    axis.set_xlabel(f"{name} ({unit})" if unit else name, parse_math=False)
    if log:
        axis.set_xscale("log")
        log_ticks(axis.xaxis, edges)
    else:
        axis.xaxis.set_major_formatter(lambda value, _: number_text(value))
    axis.set_xlim(edges[0], edges[-1])
