"""The cost of a step against the number of sites and against the images' area."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import HALVINGS, measure, network_options
from benchmarks.sparse_steps import attempt, limit_memory, read_events, time_steps

if TYPE_CHECKING:
    import numpy as np

    from airshower.data.containers import SparseImages

NETWORK = "a21"  # small: a dense step at full size takes seconds, not minutes
CROP = (320, 512)
AREAS = (CROP, (640, 512), (640, 1024), (1280, 1024), (1280, 2048))
CROP_HALVINGS = HALVINGS - 2
PANELS = {"sites": "active sites of the event's 3 images", "area": "pixels of the event's 3 images"}
COLOURS = ("#222222", "#4477aa", "#ee7733", "#88ccee", "#aa3377")


def draw(path: Path, kinds: dict[str, dict], common: dict) -> Path:
    """Measures and draws; `kinds` by their names in the legend, `common` the arguments of `curve` for all."""
    curves = {
        panel: {name: measure(curve, {**common, "panel": panel, "kind": kind}) for name, kind in kinds.items()}
        for panel in PANELS
    }
    from matplotlib import pyplot as plt

    from airshower.writers.figures import save

    figure, axes = plt.subplots(1, 2, figsize=(11, 5.2), sharey=True, layout="constrained")
    for axis, (panel, label) in zip(axes, PANELS.items(), strict=True):
        for (name, points), colour in zip(curves[panel].items(), COLOURS, strict=False):
            points = [point for point in points if "why" not in point]
            if points:
                threads = f"{points[0]['threads']} thread{'s' * (points[0]['threads'] > 1)}"
                seconds = [point["seconds"] for point in points]
                axis.loglog([p[panel] for p in points], seconds, "o-", color=colour, label=f"{name} ({threads})")
        axis.set_xlabel(label)
        axis.grid(which="both", color="0.9")
        for side in (axis.xaxis, axis.yaxis):
            side.set_major_formatter(tick)
            side.set_minor_formatter(tick)
    axes[0].set_ylabel("time of a training step (s)")
    more, larger = (next(iter(curves[panel].values()))[0] for panel in PANELS)
    axes[0].set_title(f"more and more sites, {more['area']:,} pixels")
    axes[1].set_title(f"larger and larger images, {larger['sites']:,} sites")
    # below, or it would hide points
    figure.legend(*axes[1].get_legend_handles_labels(), loc="outside lower center", ncols=3)
    depth = network_options(NETWORK, CROP_HALVINGS - common["downsample"])[1]["depth"]
    figure.suptitle(f"{NETWORK} with depth {depth}, downsample {common['downsample']}, {common['device']}")
    return save(figure, path)


def tick(value: float, _: int) -> str:
    """The label of a tick, for 1, 2 and 5 of each decade: more would overlap."""
    return f"{value:,.10g}" if f"{value:e}"[0] in "125" else ""


def curve(file: str, panel: str, kind: dict, downsample: int, threads: int, device: str, limit: float) -> list[dict]:
    """The points of one line: `sites`, `area`, `seconds` and `threads`, or `why` there are none."""
    import torch

    from airshower.data.spec import Spec
    from airshower.networks.uresnet.network import UResNetSparse
    from airshower.runtime.device import choose_device
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    place = choose_device(device, Ranks())
    limit = limit_memory(limit, place)
    spec, events = read_events(file, downsample)
    series = more_sites if panel == "sites" else larger_images
    points = []
    for images in series(events[0]["images"], events[1]["images"]):
        of_images = dataclasses.replace(spec["images"], shape=images.shape)
        batch = dataclasses.replace(events[0], inputs={"images": images}).to(place)
        step = (kind, NETWORK, CROP_HALVINGS - downsample, Spec({"images": of_images}), [batch], 3)
        area = of_images.planes * of_images.pooled[0] * of_images.pooled[1]
        sites = len(UResNetSparse.view(Spec({"images": of_images}))(batch).values)
        points.append({"sites": sites, "area": area, **attempt(lambda step=step: time_steps(*step), limit)})
    return points


def more_sites(event: "SparseImages", other: "SparseImages") -> list["SparseImages"]:
    """Random parts of an event, the event, and two of them in one."""
    import numpy as np

    rank = np.random.default_rng(0).permutation(len(event.row)) / len(event.row)
    return [*(part(event, rank < share) for share in (1 / 8, 1 / 4, 1 / 2, 1)), overlaid(event, other)]


def larger_images(event: "SparseImages", _: object) -> list["SparseImages"]:
    """The fullest crop of an event in the corner of larger and larger images."""
    import numpy as np

    cell = event.row // CROP[0] * (event.shape[1] // CROP[1]) + event.column // CROP[1]
    crop = part(event, cell == np.bincount(cell).argmax())
    crop = dataclasses.replace(crop, row=crop.row % CROP[0], column=crop.column % CROP[1])
    return [dataclasses.replace(crop, shape=shape) for shape in AREAS]


def part(images: "SparseImages", chosen: "np.ndarray") -> "SparseImages":
    """Some of the pixels."""
    import numpy as np

    counts = np.bincount(images.image_index[chosen], minlength=images.counts.size).reshape(images.counts.shape)
    pixels = {name: getattr(images, name)[chosen] for name in ("row", "column", "value", "label")}
    return dataclasses.replace(images, **pixels, counts=counts)


def overlaid(first: "SparseImages", second: "SparseImages") -> "SparseImages":
    """The pixels of both, image by image; where both have one, the makers of pixels add them."""
    import numpy as np

    order = np.concatenate([first.image_index, second.image_index]).argsort(kind="stable")
    names = ("row", "column", "value", "label")
    pixels = {name: np.concatenate([getattr(first, name), getattr(second, name)])[order] for name in names}
    return dataclasses.replace(first, **pixels, counts=first.counts + second.counts)
