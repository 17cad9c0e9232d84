"""Figures of reconstructed showers: camera displays, ROC curves, scores, resolutions against energy."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.containers import TelescopeImages
from airshower.data.spec import CameraImagesSpec
from airshower.geometry.camera import CameraGeometry
from airshower.geometry.sky import tangent_offset
from airshower.writers.curves import COLOURS, log_ticks
from airshower.writers.figures import Figure, pyplot, set_title

MOST_IMAGES = 8
_MARKS = {
    "true": {"marker": "o", "ms": 11, "mfc": "none", "mec": "#cc3311", "mew": 1.6, "ls": ""},
    "predicted": {"marker": "+", "ms": 11, "mec": "#ee7733", "mew": 1.8, "ls": ""},
}
Curve = tuple[np.ndarray, np.ndarray]
Image = tuple[int, int, np.ndarray]


def event_images(images: Sequence[TelescopeImages], row: int) -> list[Image]:
    """The images of one row of a batch on any device."""
    return [
        (camera, int(kind.telescope[image]), torch.as_tensor(kind.charge[image]).cpu().numpy())
        for camera, kind in enumerate(images)
        for image in _images_of(kind, row).tolist()
    ]


def in_fields_of_view(direction: Tensor, images: Sequence[TelescopeImages], row: int) -> np.ndarray:
    """A direction (altitude and azimuth in rad [2]) as each telescope with an image of this row of a batch sees it:
    degrees towards rising altitude and azimuth from its own pointing, f8 [images, 2]."""
    pointing = torch.cat([torch.as_tensor(kind.pointing)[_images_of(kind, row)] for kind in images]).double()
    return tangent_offset(direction.to(pointing).expand_as(pointing), pointing).cpu().numpy()


def shower_display(
    spec: CameraImagesSpec,
    images: Sequence[Image],
    directions: dict[str, np.ndarray],
    title: str,
) -> Figure:
    """The brightest images of an event, each (row of the spec's cameras, row of its telescopes, charge [pixels]), and
    `directions` by name ("true", "predicted"), degrees towards rising altitude and azimuth from each telescope's
    pointing [images, 2]."""
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import AsinhNorm

    shown = sorted(range(len(images)), key=lambda row: -np.nansum(images[row][2]))[:MOST_IMAGES]
    columns = max(1, min(4, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    size = (max(3.4 * columns + 0.9, 5.4), 3.3 * rows + 1.2)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, shown, strict=False):
        kind, telescope, charge = images[row]
        camera = spec.cameras[kind]
        focal = float(spec.focal_length[telescope])
        corners = _on_sky(camera, _corners(camera), focal)
        pixels = PolyCollection(
            list(corners), array=np.nan_to_num(charge), norm=AsinhNorm(), cmap="viridis", edgecolor="face"
        )
        axis.add_collection(pixels)
        for name, offset in directions.items():
            axis.plot(offset[row, 1], offset[row, 0], **_MARKS[name], label=f"{name} direction")
        limit = 1.05 * np.abs(corners).max()
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.set_title(f"{spec.telescope_types[telescope]} {spec.telescope_ids[telescope]}", fontsize=9)
        _charge_bar(figure, pixels, axis)
    for axis in axes[:, 0]:
        axis.set_ylabel("towards rising altitude (deg)", fontsize=8)
    for axis in axes.flat[: len(shown)][-columns:]:  # the lowest one in each column
        axis.set_xlabel("towards rising azimuth (deg)", fontsize=8)
    if directions and shown:
        handles = axes[0, 0].get_legend_handles_labels()
        figure.legend(*handles, loc="outside lower center", ncols=len(directions), fontsize=8)
    which = f", the brightest {len(shown)} of {len(images)} images" if len(shown) < len(images) else ""
    set_title(figure, f"{title}\ncharge of pixels in p.e.{which}")
    return figure


def roc_figure(curves: dict[str, Curve], signal: str) -> Figure:
    """Efficiency of the signal against that of all other classes; curves (x and y [n] each) keyed by name."""
    figure, axis = pyplot().subplots(figsize=(5, 4.6), layout="constrained")
    for colour, (name, (background, efficiency)) in zip(COLOURS, curves.items(), strict=False):
        axis.plot(background, efficiency, color=colour, label=name)
    axis.plot([0, 1], [0, 1], color="0.7", lw=0.8)
    axis.set(xlabel="efficiency of background", ylabel=f"efficiency of {signal}", xlim=(0, 1), ylim=(0, 1.01))
    axis.legend(loc="lower right")
    return figure


def score_distributions(scores: dict[str, np.ndarray], signal: str) -> Figure:
    """Scores of the signal by true class, each with area 1."""
    figure, axis = pyplot().subplots(figsize=(6, 4.2), layout="constrained")
    edges = np.linspace(0, 1, 41)
    for colour, (name, values) in zip(COLOURS, scores.items(), strict=False):
        if len(values):
            weights = np.full(len(values), 1 / (len(values) * (edges[1] - edges[0])))
            label = f"{name} ({len(values):,})"
            axis.hist(values, edges, weights=weights, histtype="step", color=colour, label=label, lw=1.4)
    axis.set(xlabel=f"score of {signal}", ylabel="density", xlim=(0, 1), yscale="log")
    axis.legend(*axis.get_legend_handles_labels())
    return figure


def migration_figure(edges: np.ndarray, counts: np.ndarray) -> Figure:
    """Reconstructed against true energy (TeV, edges [bins + 1]) from counts [true, reconstructed]: the fractions of
    each bin of true energy."""
    share = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    figure, axis = pyplot().subplots(figsize=(5.4, 4.6), layout="constrained")
    shown = axis.pcolormesh(edges, edges, np.where(counts > 0, share, np.nan).T, vmin=0, vmax=1, cmap="Blues")
    axis.plot(edges[[0, -1]], edges[[0, -1]], color="0.5", lw=0.8)
    axis.set(xlabel="true energy (TeV)", ylabel="reconstructed energy (TeV)", xscale="log", yscale="log")
    axis.set(xlim=edges[[0, -1]], ylim=edges[[0, -1]], aspect="equal")
    for either in (axis.xaxis, axis.yaxis):
        log_ticks(either, edges)
    figure.colorbar(shown, ax=axis, shrink=0.8, label="share of the bin of true energy")
    return figure


def _charge_bar(figure: Figure, pixels: Any, axis: Any) -> None:
    """A colour bar of charges (p.e.) with round numbers: the scale is linear below 1 and logarithmic above."""
    from matplotlib.ticker import FixedLocator, NullLocator

    pixels.autoscale_None()
    low, high = pixels.get_clim()
    powers = 10.0 ** np.arange(7)
    ticks = np.concatenate([-powers[::-1], [0.0], np.outer(powers, (1, 3)).ravel() if high < 1000 else powers])
    inside = ticks[(ticks >= low) & (ticks <= high)].tolist()
    bar = figure.colorbar(pixels, ax=axis, shrink=0.8, ticks=FixedLocator(inside), format="%g")
    bar.ax.yaxis.set_minor_locator(NullLocator())


def _images_of(kind: TelescopeImages, row: int) -> Tensor:
    return (torch.as_tensor(kind.event) == row).nonzero()[:, 0]


def _corners(camera: CameraGeometry) -> np.ndarray:
    """Corners of each pixel in the camera's frame, m [pixels, corners, 2]."""
    hexagon = camera.shape == "hexagon"
    count = 6 if hexagon else 4
    # regular polygons with the area of the pixels
    radius = np.sqrt(2 * camera.area / (count * np.sin(2 * np.pi / count)))
    first = 30.0 if hexagon else 45.0
    angle = np.radians(camera.pixel_rotation + first) + 2 * np.pi * np.arange(count) / count
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.stack([camera.x, camera.y], 1)[:, None] + radius[:, None, None] * around


def _on_sky(camera: CameraGeometry, position: np.ndarray, focal_length: float) -> np.ndarray:
    """Positions in the camera [..., 2] as degrees towards rising azimuth and rising altitude [..., 2]."""
    turn = np.radians(camera.camera_rotation)
    x, y = np.moveaxis(np.degrees(position / focal_length), -1, 0)
    return np.stack([np.sin(turn) * x + np.cos(turn) * y, np.cos(turn) * x - np.sin(turn) * y], -1)
