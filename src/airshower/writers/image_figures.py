"""Figures that compare reference and generated images of tanks: as images, and as hits on the ground."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.writers.curves import COLOURS
from airshower.writers.figures import Figure, pyplot

REFERENCE = "0.35"
GENERATED = COLOURS[1]
SIZE = 2.0  # square points, marker of a hit of 0.1 p.e.; grows with the logarithm of the charge
FRAMES = 24
OUTSIDE = 3  # percent of hits beyond each end of the colour scale


def image_grid(
    channels: Sequence[Quantity],
    dead: np.ndarray,
    reference: np.ndarray,
    generated: np.ndarray,
    titles: Sequence[Sequence[str]] = ((), ()),
) -> Figure:
    """Images [n, channels, rows, columns] between 0 and 1: a row of reference images and one of generated ones for each
    channel, with `titles` of both; cells without a hit are white, those without a PMT grey."""
    count = min(len(reference), len(generated))
    size = 1.7 * count + 1.2, 3.6 * len(channels) + 0.3 + 0.3 * any(titles)
    figure, axes = pyplot().subplots(2 * len(channels), count, figsize=size, squeeze=False, layout="constrained")
    colours = pyplot().get_cmap("viridis").with_extremes(bad="0.85", under="white")
    for number, channel in enumerate(channels):
        rows = axes[2 * number : 2 * number + 2]
        largest = max(float(images[:, number].max(initial=0)) for images in (reference, generated)) or 1.0
        for row, name, images, texts in zip(
            rows, ("reference", "generated"), (reference, generated), titles, strict=True
        ):
            for axis, image in zip(row, images, strict=False):
                shown = axis.imshow(
                    np.where(dead, np.nan, image[number]), vmin=1e-6, vmax=largest, cmap=colours, origin="lower"
                )
                axis.set(xticks=[], yticks=[])
            row[0].set_ylabel(name)
            for axis, text in zip(row, texts if number == 0 else (), strict=False):
                axis.set_title(text, fontsize=7)
        values = _round_values(channel)
        values = values[channel.scaled(values) <= largest]
        bar = figure.colorbar(shown, ax=rows, shrink=0.8, label=f"{channel.name} ({channel.unit})")
        bar.set_ticks(channel.scaled(values).clip(0), labels=[f"{value:g}" for value in values])
    return figure


def _round_values(channel: Quantity) -> np.ndarray:
    """Round values within the range of a channel; powers of ten for a logarithmic one."""
    low, high = channel.physical(np.array([0.0, 1.0]))
    if channel.logarithmic:
        return 10.0 ** np.arange(np.ceil(np.log10(low) - 1e-6), np.floor(np.log10(high) + 1e-6) + 1)
    return np.linspace(low, high, 4)


def hit_probability(position: np.ndarray, reference: np.ndarray, generated: np.ndarray) -> Figure:
    """The fraction of events in which a PMT at `position` [PMTs, 3] (m) has a hit, and the difference."""
    figure, axes = pyplot().subplots(1, 3, figsize=(15, 4.6), sharex=True, sharey=True, layout="constrained")
    most = max(float(reference.max()), float(generated.max()), 1e-6)
    reach = max(float(np.abs(generated - reference).max()), 1e-6)
    panels = (("reference", reference, 0, most, "viridis"), ("generated", generated, 0, most, "viridis"),
              ("generated less reference", generated - reference, -reach, reach, "RdBu_r"))  # fmt: skip
    for axis, (title, values, low, high, colours) in zip(axes, panels, strict=True):
        shown = axis.scatter(*position[:, :2].T, c=values, s=7, vmin=low, vmax=high, cmap=colours, linewidths=0)
        axis.set_title(f"probability of a hit, {title}", fontsize=10)
        _ground(axis)
        figure.colorbar(shown, ax=axis, shrink=0.85)
    return figure


def lateral_figure(edges: np.ndarray, reference: np.ndarray, generated: np.ndarray) -> Figure:
    """Mean charges (p.e.) of a PMT in rings with these edges (m) about the centroid of an event's charge."""
    figure, axis = pyplot().subplots(figsize=(6.4, 4.6), layout="constrained")
    axis.stairs(reference, edges, fill=True, color="0.85", label="reference")
    axis.stairs(reference, edges, color=REFERENCE, lw=0.8)
    axis.stairs(generated, edges, color=GENERATED, lw=1.4, label="generated")
    axis.set(xlabel="distance from the centroid of the charge (m)", ylabel="mean charge of a PMT (p.e.)")
    values = np.concatenate([reference, generated])
    if (values > 0).any():
        axis.set_yscale("log")
        axis.set_ylim(0.5 * values[values > 0].min(), 2 * np.nanmax(values))
    axis.legend()
    return figure


def residual_figure(edges: np.ndarray, reference: np.ndarray, generated: np.ndarray) -> Figure:
    """Residuals (ns) of hits to the plane of their event in rings with these edges (m) about the centroid of its
    charge: means, and the ends of the central 68 %, [3, rings] each."""
    figure, axis = pyplot().subplots(figsize=(6.4, 4.6), layout="constrained")
    mean, low, high = reference
    axis.stairs(high, edges, baseline=low, fill=True, color="0.85", label="reference: mean, middle 68 %")
    axis.stairs(mean, edges, baseline=None, color=REFERENCE, lw=1.3)
    mean = generated[0]
    middle = (edges[1:] + edges[:-1]) / 2
    lengths = np.abs(generated[1:] - mean)
    label = "generated: mean, middle 68 %"
    axis.errorbar(middle, mean, lengths, fmt="o", ms=4, lw=1.2, color=GENERATED, label=label)
    axis.set(xlabel="distance from the centroid of the charge (m)", ylabel="time behind the fitted plane (ns)")
    axis.set(xlim=(edges[0], edges[-1]))
    axis.legend(*axis.get_legend_handles_labels(), loc="upper left")
    return figure


def events_on_array(position: np.ndarray, reference: Sequence[TankHits], generated: Sequence[TankHits]) -> Figure:
    """Events as hits at the positions of the PMTs. The marker size is the charge; the colour is the time (ns), or the
    charge if there are no times. The colour scale excludes outliers."""
    count = max(len(reference), len(generated))
    figure, axes = pyplot().subplots(
        2, count, figsize=(3.9 * count + 1.0, 6.4), sharex=True, sharey=True, squeeze=False, layout="constrained"
    )
    values = np.concatenate([_colour(hits)[0] for hits in (*reference, *generated)])
    limits = tuple(np.percentile(values, [OUTSIDE, 100 - OUTSIDE])) if len(values) else (0.0, 1.0)  # the same for all
    for row, events in zip(axes, (reference, generated), strict=True):
        for axis, hits in zip(row, events, strict=False):
            shown = _draw_event(axis, position, hits, limits)
            axis.label_outer()
            label = _colour(hits)[1]
    figure.colorbar(shown, ax=axes, shrink=0.7, label=label, extend="both")
    axes[0, 0].set_title("reference", loc="left")
    axes[1, 0].set_title("generated", loc="left")
    return figure


def arrival_animation(position: np.ndarray, reference: TankHits, generated: TankHits, path: Path) -> Path:
    """The hits of a reference and of a generated event in the order of time (ns), as GIF: those of the present frame in
    red, those of earlier ones dark."""
    from matplotlib.animation import PillowWriter

    times = [hits.time for hits in (reference, generated) if hits.time is not None]
    both = np.concatenate(times)
    both = both if len(both) else np.zeros(1)
    steps = np.linspace(both.min(), both.max(), FRAMES)
    figure, axes = pyplot().subplots(1, 2, figsize=(9, 4.2), sharex=True, sharey=True, layout="constrained")
    path.parent.mkdir(parents=True, exist_ok=True)
    writer = PillowWriter(fps=8)
    with writer.saving(figure, str(path), 80):
        for before, now in zip([-np.inf, *steps], steps, strict=False):
            for axis, name, hits, time in zip(
                axes, ("reference", "generated"), (reference, generated), times, strict=True
            ):
                axis.clear()
                axis.scatter(*position[:, :2].T, c="0.9", s=1.5, linewidths=0)
                come = time <= now
                colour = np.where(time[come] > before, "#cc3311", "0.35")
                hit_position = position[hits.grid_id[come] - 1]
                axis.scatter(*hit_position[:, :2].T, c=colour, s=_sizes(hits.charge[come]), linewidths=0)
                axis.set_title(f"{name}, {now:.0f} ns", fontsize=10)
                _ground(axis)
            writer.grab_frame()
    pyplot().close(figure)
    return path


def _draw_event(axis: Any, position: np.ndarray, hits: TankHits, limits: tuple[float, float]) -> Any:
    axis.scatter(*position[:, :2].T, c="0.9", s=1.5, linewidths=0)
    hit_position = position[hits.grid_id - 1]
    low, high = limits
    shown = axis.scatter(
        *hit_position[:, :2].T,
        c=_colour(hits)[0],
        s=_sizes(hits.charge),
        vmin=low,
        vmax=high,
        cmap="viridis",
        linewidths=0,
    )
    _ground(axis)
    return shown


def _sizes(charge: np.ndarray) -> np.ndarray:
    return SIZE * (1 + np.log10(np.maximum(charge, 0.1) / 0.1)) ** 1.5


def _colour(hits: TankHits) -> tuple[np.ndarray, str]:
    if hits.time is None:
        return np.log10(hits.charge), "log10 of the charge in p.e."
    return hits.time, "time (ns)"


def _ground(axis: Any) -> None:
    axis.set(xlabel="x (m)", ylabel="y (m)")
    axis.set_aspect("equal")
