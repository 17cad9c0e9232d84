"""Figures of events of wire planes."""

from typing import Any

import numpy as np

from airshower.data.containers import SparseImages
from airshower.data.spec import SparseImagesSpec
from airshower.writers.figures import CLASS_COLOURS, Figure, pyplot, set_title

CELLS = 420  # of a panel, along its longer side
WIDTH = 4.4  # inches of a panel
FAINTEST = 1e-3  # of the largest charge, the lower end of the colour scale at most
BACKGROUND = "#d4d4d4"  # of non-empty pixels of the first class
MORE_COLOURS = ("#228833", "#aa3377", "#ccbb44", "#66ccee")
VERTEX = {"marker": "o", "ms": 12, "mfc": "none", "mec": "#111111", "mew": 1.2, "ls": ""}


def wire_display(
    spec: SparseImagesSpec, images: SparseImages, row: int, title: str, vertex: np.ndarray | None = None
) -> Figure:
    """The charge of event `row` of images on the host, one panel a plane in cm, and below the true classes of pixels,
    if there are labels.

    Several pixels that share a cell of the figure are drawn as the largest |charge|, and the highest class. `vertex` is
    row and column as read [planes, 2], NaN for none.
    """
    from matplotlib.colors import LogNorm

    panels = _planes(images, row)
    labelled = images.label is not None
    height = WIDTH * float(np.clip(_size(spec)[1] / _size(spec)[0], 0.4, 1.4))
    figure, axes = pyplot().subplots(
        1 + labelled,
        spec.planes,
        figsize=(WIDTH * spec.planes + 1.0, height * (1 + labelled) + 1.1),
        squeeze=False,
        sharex=True,
        sharey=True,
        layout="constrained",
    )
    charge = np.abs(images.value[np.concatenate(panels)]) if panels else np.zeros(0)
    charge = charge[charge > 0]
    high = float(charge.max(initial=1e-30))
    norm = LogNorm(max(float(np.quantile(charge, 0.02)) if len(charge) else high, FAINTEST * high), high)
    for plane, pixels in enumerate(panels):
        shown = _image(axes[0, plane], spec, images, pixels, np.abs(images.value[pixels]))
        shown.set(norm=norm, cmap="viridis_r")
        axes[0, plane].set_title(f"plane {plane}: {len(pixels):,} pixels", fontsize=9)
        if labelled:
            _draw_classes(axes[1, plane], spec, images, pixels)
        if vertex is not None:
            tick, wire = vertex[plane] + 0.5
            for axis in axes[:, plane]:
                axis.plot(wire * spec.pixel_size[1], tick * spec.pixel_size[0], **VERTEX, label="vertex")
    _finish(figure, axes, spec, title)
    signed = "|charge|" if (images.value < 0).any() else "charge"
    figure.colorbar(
        shown, ax=axes[0].tolist(), pad=0.01, label=f"{signed} of a pixel ({spec.unit})" if spec.unit else signed
    )
    return figure


def _planes(images: SparseImages, row: int) -> list[np.ndarray]:
    """The pixels of each plane of an event, as indices int64 [pixels]."""
    ends = np.cumsum(images.counts.reshape(-1)).reshape(images.counts.shape)
    return [np.arange(end - count, end) for end, count in zip(ends[row], images.counts[row], strict=True)]


def _size(spec: SparseImagesSpec) -> tuple[float, float]:
    """Width (wires) and height (time) of an image in cm."""
    return spec.shape[1] * spec.pixel_size[1], spec.shape[0] * spec.pixel_size[0]


def _image(axis: Any, spec: SparseImagesSpec, images: SparseImages, pixels: np.ndarray, values: np.ndarray) -> Any:
    """Draw the values of pixels, the largest of those that share a cell."""
    step = -(-max(spec.shape) // CELLS)
    cells = np.full([-(-size // step) for size in spec.shape], np.nan)
    np.fmax.at(cells, (images.row[pixels] // step, images.column[pixels] // step), values)
    width = cells.shape[1] * step * spec.pixel_size[1]
    height = cells.shape[0] * step * spec.pixel_size[0]
    return axis.imshow(cells, origin="lower", aspect="auto", interpolation="nearest", extent=(0, width, 0, height))


def _draw_classes(axis: Any, spec: SparseImagesSpec, images: SparseImages, pixels: np.ndarray) -> None:
    from matplotlib.colors import ListedColormap

    label = images.label[pixels]
    colours = (BACKGROUND, *CLASS_COLOURS[1:], *MORE_COLOURS)[: len(spec.classes)]
    shown = _image(axis, spec, images, pixels, label.astype(np.float64))
    shown.set(cmap=ListedColormap(colours), clim=(-0.5, len(colours) - 0.5))
    counts = np.bincount(label, minlength=len(colours))
    handles = [
        pyplot().Line2D([], [], marker="s", ls="", color=colour, label=f"{name}: {count:,}")
        for colour, name, count in zip(colours, spec.classes, counts, strict=False)
    ]
    axis.legend(handles=handles, loc="upper right", fontsize=7, framealpha=0.85, title="true class", title_fontsize=7)


def _finish(figure: Figure, axes: Any, spec: SparseImagesSpec, title: str) -> None:
    width, height = _size(spec)
    axes[0, 0].set(xlim=(0, width), ylim=(0, height))
    if 0.4 <= height / width <= 1.4:
        for axis in axes.flat:
            axis.set_aspect("equal")
    for axis in axes[-1]:
        axis.set_xlabel("across the wires (cm)")
    for axis in axes[:, 0]:
        axis.set_ylabel("along the drift (cm)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    if handles:
        axes[0, 0].legend(handles, labels, loc="upper right", fontsize=7, framealpha=0.85)
    set_title(figure, title)
