"""Figures of events of an array of water tanks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from airshower.writers.figures import Figure, pyplot, set_title

MARKS = {
    "true": {"marker": "o", "ms": 11, "mfc": "none", "mec": "#cc3311", "mew": 1.6, "ls": ""},
    "predicted": {"marker": "+", "ms": 12, "mec": "#ee7733", "mew": 2.0, "ls": ""},
}
EAST_NORTH = ("east (m)", "north (m)")
MARGIN = 0.12  # of the array's size, around it
LEAST_MARGIN = 1.0  # m or deg
HIT_SIZES = 8, 16  # of markers, in lower cells and in all others
OUTLIERS = 0.03  # of the times, beyond each end of the colour scale


def array_display(
    sensors: np.ndarray,
    position: np.ndarray,
    hits: Mapping[str, np.ndarray],
    cores: Mapping[str, np.ndarray],
    title: str,
    labels: tuple[str, str] = EAST_NORTH,
    what: str = "PMTs with a hit",
) -> Figure:
    """The hits of one event on an array of PMTs.

    `sensors` f8 [PMTs, 2 or more], none if they are not known, and `position` [hits, 2 or more] in m; `hits` by name:
    charge in p.e. and, if hits have it, time in ns [hits], and `lower`, 1 for those in lower cells, which are drawn
    small; `cores` by name ("true", "predicted"), x and y in m. A core outside of the figure is only named. Axes have
    `labels`, and the title says how many hits there are of `what`.
    """
    from matplotlib.colors import LogNorm, Normalize

    lower = hits.get("lower", np.zeros(len(position))) > 0.5
    order = np.argsort(lower, kind="stable")  # on top of the upper cells
    position = position[order]
    hits = {name: values[order] for name, values in hits.items()}
    size = np.where(lower[order], *HIT_SIZES)
    edge = np.where(lower[order], 0.6, 0.0)
    charge = np.maximum(hits["charge"], 0.1)
    panels: dict[str, tuple[np.ndarray, Any]] = {"charge (p.e.)": (charge, LogNorm(*_ends(charge)))}
    if "time" in hits:
        panels["time (ns)"] = (hits["time"], Normalize(*_ends(hits["time"], OUTLIERS)))
    figure, axes = pyplot().subplots(
        1, len(panels), figsize=(5.6 * len(panels), 5.0), squeeze=False, sharex=True, sharey=True, layout="constrained"
    )
    places = sensors if len(sensors) else position if len(position) else np.zeros((1, 2))
    low, high = places[:, :2].min(0), places[:, :2].max(0)
    margin = max(MARGIN * float((high - low).max()), LEAST_MARGIN)
    for axis, (label, (values, norm)) in zip(axes.flat, panels.items(), strict=True):
        axis.scatter(*sensors.T[:2], s=5, c="#d4d4d4", linewidths=0)
        drawn = axis.scatter(
            *position.T[:2], s=size, c=values, norm=norm, cmap="viridis", linewidths=edge, edgecolors="w"
        )
        for name, core in cores.items():
            inside = ((core > low - margin) & (core < high + margin)).all()
            axis.plot(*core, **MARKS[name], label=f"{name} core" if inside else f"{name} core, outside of the figure")
        axis.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
        axis.set(xlabel=labels[0])
        figure.colorbar(
            drawn, ax=axis, shrink=0.8, label=label, extend="both" if label.startswith("time") else "neither"
        )
    axes[0, 0].set_ylabel(labels[1])
    if cores:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(cores), fontsize=9)
    of_lower = f", {lower.sum():,} of them in lower cells (small)" if lower.any() else ""
    set_title(figure, f"{title}\n{len(position):,} {what}{of_lower}")
    return figure


def layout_display(sensors: np.ndarray) -> Figure:
    """The places of sensors f8 [sensors, 2 or more] in m, coloured by their height where they have one."""
    height = sensors[:, 2] if sensors.shape[1] > 2 else np.zeros(len(sensors))
    order = np.argsort(height, kind="stable")
    _, lowest = np.unique(sensors[order, :2].round(2), axis=0, return_index=True)
    size = np.where(np.isin(np.arange(len(sensors)), lowest), 18, 4)  # those above another one are small
    figure, axis = pyplot().subplots(figsize=(6.0, 5.0), layout="constrained")
    drawn = axis.scatter(*sensors[order, :2].T, s=size, c=height[order], cmap="viridis", linewidths=0)
    axis.set(xlabel="east (m)", ylabel="north (m)", aspect="equal")
    figure.colorbar(drawn, ax=axis, shrink=0.8, label="height (m)")
    set_title(figure, f"{len(sensors):,} sensors at {len(lowest):,} places")
    return figure


def _ends(values: np.ndarray, outliers: float = 0.0) -> tuple[float, float]:
    """The ends of a colour scale, apart from each other, with this fraction of the values beyond each."""
    low, high = np.quantile(values, [outliers, 1 - outliers]) if len(values) else (1.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0
