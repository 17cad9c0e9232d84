"""Figures of events of an array of water tanks."""

from collections.abc import Mapping
from typing import Any

import numpy as np

from airshower.writers.figures import Figure, pyplot, set_title

MARKS = {
    "true": {"marker": "o", "ms": 11, "mfc": "none", "mec": "#cc3311", "mew": 1.6, "ls": ""},
    "predicted": {"marker": "+", "ms": 12, "mec": "#ee7733", "mew": 2.0, "ls": ""},
}
MARGIN = 0.12  # of the array's size, around it
LEAST_MARGIN = 1.0  # m
OUTLIERS = 0.03  # of the times, beyond each end of the colour scale


def array_display(
    sensors: np.ndarray,
    position: np.ndarray,
    hits: Mapping[str, np.ndarray],
    cores: Mapping[str, np.ndarray],
    title: str,
) -> Figure:
    """The hits of one event on an array of PMTs.

    `sensors` f8 [PMTs, 2 or more], none if they are not known, and `position` [hits, 2 or more] in m; `hits` by name:
    charge in p.e. and, if hits have it, time in ns [hits]; `cores` by name ("true", "predicted"), x and y in m. A core
    outside of the figure is only named.
    """
    from matplotlib.colors import LogNorm, Normalize

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
        drawn = axis.scatter(*position.T[:2], s=16, c=values, norm=norm, cmap="viridis", linewidths=0)
        for name, core in cores.items():
            inside = ((core > low - margin) & (core < high + margin)).all()
            axis.plot(*core, **MARKS[name], label=f"{name} core" if inside else f"{name} core, outside of the figure")
        axis.set(xlim=(low[0] - margin, high[0] + margin), ylim=(low[1] - margin, high[1] + margin), aspect="equal")
        axis.set(xlabel="east (m)")
        figure.colorbar(
            drawn, ax=axis, shrink=0.8, label=label, extend="both" if label.startswith("time") else "neither"
        )
    axes[0, 0].set_ylabel("north (m)")
    if cores:
        figure.legend(*axes[0, 0].get_legend_handles_labels(), loc="outside lower center", ncols=len(cores), fontsize=9)
    set_title(figure, f"{title}\n{len(position):,} PMTs with a hit")
    return figure


def _ends(values: np.ndarray, outliers: float = 0.0) -> tuple[float, float]:
    """The ends of a colour scale, apart from each other, with this fraction of the values beyond each."""
    low, high = np.quantile(values, [outliers, 1 - outliers]) if len(values) else (1.0, 1.0)
    return float(low), float(high) if high > low else float(low) + 1.0
