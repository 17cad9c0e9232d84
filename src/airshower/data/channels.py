"""Quantities of a batch in physical units, one by one: charges of planes and cameras, hits, tables, the frame."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Images, Points, SparseImages, Table, TelescopeImages, image_size
from airshower.data.quantity import Quantity
from airshower.data.spec import CameraImagesSpec, ImagesSpec, PointsSpec, SparseImagesSpec, Spec
from airshower.data.truth import Frame

FRAME = "frame"
"""The name of the frame among containers."""


@dataclass(frozen=True, eq=False)
class Channel:
    """A quantity of a batch's events: `values` [n] in `unit`, and the row of each value's event, `event` int64 [n].

    `container` is the container that it is of; `names` are those of the values 0, 1, ..., where these are classes. A
    `count` is that of an event's pixels, hits or images: an event with 0 is empty. Values of `log` span decades.
    """

    container: str
    name: str
    unit: str
    values: np.ndarray
    event: np.ndarray
    names: tuple[str, ...] = ()
    count: bool = False
    log: bool = False


def channels(spec: Spec, batch: Batch) -> list[Channel]:
    """All channels of a batch of arrays; of each batch of a source the same ones, in the same order."""
    found = []
    for name, container in batch.inputs.items():
        for kind, of_kind in _KINDS.items():
            if isinstance(container, kind):
                found += of_kind(partial(Channel, name), spec[name], container, len(batch))
    if batch.frame is not None:
        found += _of_frame(partial(Channel, FRAME), batch.frame, len(batch))
    return found


Make = Callable[..., Channel]


def _of_wires(make: Make, spec: SparseImagesSpec, images: SparseImages, events: int) -> Iterator[Channel]:
    image = images.image_index
    event = image // spec.planes
    for plane in range(spec.planes):
        of_plane = image % spec.planes == plane
        yield make(f"charge, plane {plane}", spec.unit, images.value[of_plane], event[of_plane], log=True)
    if images.label is not None:
        yield make("class of pixels", "", images.label, event, spec.classes)
    pixels = images.counts.sum(1)
    every = np.arange(events)
    yield make("non-empty pixels", "", pixels, every, count=True)
    yield make("share of non-empty pixels", "%", 100 * pixels / (spec.planes * spec.shape[0] * spec.shape[1]), every)
    yield make("charge of an event", spec.unit, np.bincount(event, images.value, events), every, log=True)


def _of_telescopes(make: Make, spec: CameraImagesSpec, images: CameraImages, events: int) -> Iterator[Channel]:
    every = np.arange(events)
    counts = {name: np.zeros(events) for name in ("images", "kept", "pixels", "charge")}
    for camera, kind in zip(spec.cameras, images.cameras, strict=True):
        kept = _kept(kind)
        event = np.repeat(kind.event, kind.charge.shape[1]).reshape(kind.charge.shape)
        yield make(f"charge, {camera.name}", "p.e.", kind.charge.reshape(-1), event.reshape(-1), log=True)
        yield make(f"time, {camera.name}", "ns", kind.time[kept], event[kept])
        sizes = {
            "images": np.ones(len(kind)),
            "kept": kept.sum(1),
            "pixels": np.full(len(kind), kept.shape[1]),
            "charge": image_size(np.nan_to_num(kind.charge).astype(np.float64), kind.clean),
        }
        for name, size in sizes.items():
            counts[name] += np.bincount(kind.event, size, events)
    if spec.mode == "stereo":
        yield make("images of an event", "", counts["images"], every, count=True)
    cleaned = all(kind.clean is not None for kind in images.cameras)
    pixels = "pixels that cleaning kept" if cleaned else "non-empty pixels"
    yield make(pixels, "", counts["kept"], every, count=True)
    yield make(f"share of {pixels}", "%", 100 * counts["kept"] / np.maximum(counts["pixels"], 1), every)
    yield make("charge of an event", "p.e.", counts["charge"], every, log=True)


def _kept(kind: TelescopeImages) -> np.ndarray:
    """Pixels with light, bool [images, pixels]: those that cleaning kept or, where files do not say, all but 0."""
    return kind.charge != 0 if kind.clean is None else kind.clean


def _of_array(make: Make, spec: ImagesSpec, images: Images, events: int) -> Iterator[Channel]:
    hits = spec.hits(images.values)
    every = np.arange(events)
    for quantity, values in zip(spec.channels, hits.values, strict=True):
        yield make(f"{quantity.name} of hits", quantity.unit, values, hits.event, log=quantity.logarithmic)
    count = np.bincount(hits.event, minlength=events)
    yield make("hits", "", count, every, count=True)
    yield make("share of PMTs with a hit", "%", 100 * count / len(spec.position), every)
    yield make(
        "charge of an event", spec.channels[0].unit, np.bincount(hits.event, hits.charge, events), every, log=True
    )


def _of_points(make: Make, spec: PointsSpec, points: Points, events: int) -> Iterator[Channel]:
    event = np.repeat(np.arange(events), points.counts)
    for quantity, scaled in zip(spec.features, points.features.T, strict=True):
        values = _rounded(quantity, quantity.physical(scaled))
        yield make(f"{quantity.name} of points", quantity.unit, values, event, quantity.names, log=quantity.logarithmic)
    yield make("points", "", points.counts, np.arange(events), count=True)


def _of_frame(make: Make, frame: Frame, events: int) -> Iterator[Channel]:
    every = np.arange(events)
    if frame.axis is not None:
        for name, angle in zip(("altitude", "azimuth"), np.asarray(frame.axis).T, strict=True):
            yield make(f"{name} of the axis", "deg", np.degrees(angle.astype(np.float64)), every)
    for name, position in zip("xyz", np.asarray(frame.origin).T, strict=False):
        yield make(f"{name} of the origin", "m", position, every)


def _of_table(make: Make, spec: Any, table: Table, events: int) -> Iterator[Channel]:
    every = np.arange(events)
    for quantity, scaled in zip(spec.quantities, table.values.T, strict=True):
        yield make(
            quantity.name,
            quantity.unit,
            _rounded(quantity, quantity.physical(scaled)),
            every,
            quantity.names,
            log=quantity.logarithmic,
        )


def _rounded(quantity: Quantity, values: np.ndarray) -> np.ndarray:
    """In the steps of files, from which scaling and back has rounded values away."""
    return quantity.step * np.round(values / quantity.step) if quantity.step else values


_KINDS: dict[type, Callable[[Make, Any, Any, int], Iterator[Channel]]] = {
    SparseImages: _of_wires,
    CameraImages: _of_telescopes,
    Images: _of_array,
    Points: _of_points,
    Table: _of_table,
}
