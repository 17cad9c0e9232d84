"""Figures of reconstructed showers: camera displays, ROC curves, scores, resolutions against energy."""

from collections.abc import Sequence

import numpy as np

from airshower.data.showers import Camera, IactSpec, TelescopeImages
from airshower.writers.curves import COLOURS, log_ticks
from airshower.writers.figures import Figure, pyplot

MOST_IMAGES = 8
_MARKS = {
    "true": {"marker": "o", "ms": 11, "mfc": "none", "mec": "#cc3311", "mew": 1.6, "ls": ""},
    "predicted": {"marker": "+", "ms": 11, "mec": "#ee7733", "mew": 1.8, "ls": ""},
}
Curve = tuple[np.ndarray, np.ndarray]
Image = tuple[int, int, np.ndarray]


def event_images(images: Sequence[TelescopeImages], row: int) -> list[Image]:
    """The images of one row of a batch of tensors."""
    return [
        (camera, int(kind.telescope[place]), kind.charge[place].cpu().numpy())
        for camera, kind in enumerate(images)
        for place in (kind.event == row).nonzero()[:, 0].tolist()
    ]


def shower_display(
    spec: IactSpec,
    images: Sequence[Image],
    directions: dict[str, np.ndarray],
    title: str,
) -> Figure:
    """The brightest images of an event, each (row of the spec's cameras, row of its telescopes, charge [pixels]), and
    `directions` by name ("true", "predicted"), degrees towards rising altitude and azimuth from each telescope's
    pointing [images, 2]."""
    from matplotlib.collections import PolyCollection

    shown = sorted(range(len(images)), key=lambda row: -np.nansum(images[row][2]))[:MOST_IMAGES]
    columns = max(1, min(4, len(shown)))
    rows = max(1, -(-len(shown) // columns))
    size = (3.4 * columns + 0.6, 3.4 * rows + 0.8)
    figure, axes = pyplot().subplots(rows, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(shown) :]:
        axis.set_axis_off()
    for axis, row in zip(axes.flat, shown, strict=False):
        kind, telescope, charge = images[row]
        camera, focal = spec.cameras[kind], float(spec.focal_length[telescope])
        corners = _on_sky(camera, _corners(camera), focal)
        pixels = PolyCollection(
            list(corners), array=np.arcsinh(np.nan_to_num(charge)), cmap="viridis", edgecolor="face"
        )
        axis.add_collection(pixels)
        for name, offset in directions.items():
            axis.plot(offset[row, 1], offset[row, 0], **_MARKS[name], label=f"{name} direction")
        limit = 1.05 * np.abs(corners).max()
        axis.set(xlim=(-limit, limit), ylim=(-limit, limit), aspect="equal")
        axis.set_title(f"{spec.telescope_types[telescope]} {spec.telescope_ids[telescope]}", fontsize=9)
        figure.colorbar(pixels, ax=axis, shrink=0.8)
    for axis in axes[:, 0]:
        axis.set_ylabel("towards rising altitude (deg)", fontsize=8)
    for axis in axes[-1]:
        axis.set_xlabel("towards rising azimuth (deg)", fontsize=8)
    if directions and shown:
        axes[0, 0].legend(loc="upper right", fontsize=7, framealpha=0.8)
    figure.suptitle(f"{title}\ncolour: asinh of charge (p.e.)", fontsize=10)
    return figure


def roc_figure(curves: dict[str, Curve], signal: str) -> Figure:
    """Efficiency of the signal against that of all other classes, by name (x and y [n] each)."""
    figure, axis = pyplot().subplots(figsize=(5, 4.6), layout="constrained")
    for colour, (name, (background, found)) in zip(COLOURS, curves.items(), strict=False):
        axis.plot(background, found, color=colour, label=name)
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
    """Reconstructed against true energy (TeV, edges [bins + 1]) from counts [true, reconstructed]: the shares of each
    bin of true energy."""
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


def _corners(camera: Camera) -> np.ndarray:
    """Of each pixel in the camera's frame, m [pixels, corners, 2]."""
    hexagon = camera.shape == "hexagon"
    count = 6 if hexagon else 4
    # regular polygons of the pixels' area
    radius = np.sqrt(2 * camera.area / (count * np.sin(2 * np.pi / count)))
    first = 30.0 if hexagon else 45.0
    angle = np.radians(camera.pixel_rotation + first) + 2 * np.pi * np.arange(count) / count
    around = np.stack([np.cos(angle), np.sin(angle)], 1)
    return np.stack([camera.x, camera.y], 1)[:, None] + radius[:, None, None] * around


def _on_sky(camera: Camera, position: np.ndarray, focal_length: float) -> np.ndarray:
    """Positions in the camera [..., 2] as degrees towards rising azimuth and rising altitude [..., 2]."""
    turn = np.radians(camera.camera_rotation)
    x, y = np.moveaxis(np.degrees(position / focal_length), -1, 0)
    return np.stack([np.sin(turn) * x + np.cos(turn) * y, np.cos(turn) * x - np.sin(turn) * y], -1)
