"""Containers of a batch's events, by shape and not by detector: sparse images, camera images, dense images, points,
tables."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import numpy as np

if TYPE_CHECKING:
    import torch

Move = Callable[[Any], Any]
HOST = {"host": True}
"""Metadata of a field that stays a numpy array on the host."""


@dataclass(frozen=True, eq=False)
class Container:
    """Arrays; tensors after `to`. A field that is None stays so, one with the metadata `HOST` is not moved."""

    @property
    def nbytes(self) -> int:
        """Size in bytes of the arrays that `to` moves."""
        return sum(value.nbytes for value in self._moving().values())

    @property
    def device(self) -> "torch.device":
        """The device of its tensors."""
        return next(iter(self._moving().values())).device

    def pin(self) -> Self:
        """The same in page-locked memory, from which a GPU copies without waiting for the CPU."""
        return self.moved(lambda tensor: tensor.pin_memory())

    def to(self, device: "torch.device") -> Self:
        """The same as tensors on `device`; the one place where arrays become tensors."""
        return self.moved(lambda tensor: tensor.to(device, non_blocking=True))

    def moved(self, move: Move) -> Self:
        """The same after `move` of each tensor."""
        return dataclasses.replace(self, **{name: _moved(value, move) for name, value in self._moving().items()})

    def taken(self, rows: np.ndarray) -> Self:
        """The events of these rows, int64 [n], in this order; a row may come several times. Of arrays, not tensors."""
        return self._indexed(rows)

    @classmethod
    def joined(cls, parts: Sequence[Self], events: Sequence[int]) -> Self:
        """The events of all parts, part after part; `events` is the number in each. Of arrays, not tensors. A field
        that is None in any part is None."""
        columns: dict[str, Any] = {}
        for item in dataclasses.fields(cls):
            values = [getattr(part, item.name) for part in parts]
            if any(value is None for value in values):
                columns[item.name] = None
            elif isinstance(values[0], np.ndarray):
                columns[item.name] = np.concatenate(values)
        return dataclasses.replace(parts[0], **columns)

    def _indexed(self, index: np.ndarray, **others: Any) -> Self:
        """The same with `index` applied to all arrays but those of `others`, which are given."""
        values = ((item.name, getattr(self, item.name)) for item in dataclasses.fields(self))
        arrays = {name: value for name, value in values if isinstance(value, np.ndarray) and name not in others}
        return dataclasses.replace(self, **{name: value[index] for name, value in arrays.items()}, **others)

    def _moving(self) -> dict[str, Any]:
        moving = (item.name for item in dataclasses.fields(self) if not item.metadata.get("host"))
        return {name: value for name in moving if (value := getattr(self, name)) is not None}


def spans(first: np.ndarray, counts: np.ndarray) -> np.ndarray:
    """The indices of `counts` [n] places from each of `first` [n] on, int64 [sum of counts]."""
    return np.repeat(first - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())


def _moved(value: Any, move: Move) -> Any:
    import torch

    return value.moved(move) if isinstance(value, Container) else move(torch.as_tensor(value))


@dataclass(frozen=True, eq=False)
class SparseImages(Container):
    """The non-empty pixels of `len(counts)` events with `counts.shape[1]` images (wire planes) each.

    `row`, `column` (int32) and `value` (float32) are one array each over all events and planes, in that order;
    `counts` [events, planes] says how many belong to each image; `label` (uint8 class) is None where truth is missing.
    `shape` is the images' (rows, columns): for wire images (time ticks, wires).
    """

    row: Any
    column: Any
    value: Any
    label: Any
    counts: np.ndarray = field(metadata=HOST)
    shape: tuple[int, int] = field(metadata=HOST)

    @property
    def image_index(self) -> np.ndarray:
        """The image (event * planes + plane) of each pixel, int32."""
        return np.repeat(np.arange(self.counts.size, dtype=np.int32), self.counts.reshape(-1))

    def taken(self, rows: np.ndarray) -> Self:
        """See `Container.taken`."""
        pixels = self.counts.sum(1)
        return self._indexed(spans((np.cumsum(pixels) - pixels)[rows], pixels[rows]), counts=self.counts[rows])


@dataclass(frozen=True, eq=False)
class TelescopeImages(Container):
    """The images of one kind of camera in a batch.

    `charge` (p.e.) and `time` of the peak (ns) float32 [images, pixels]; `clean` bool [images, pixels], the pixels that
    cleaning kept, None where files do not say; `event` and `telescope` int64 [images], rows of the batch and of the
    spec's telescopes, events in ascending order; `pointing` float32 [images, 2], altitude and azimuth in rad.
    """

    charge: Any
    time: Any
    clean: Any
    event: Any
    telescope: Any
    pointing: Any

    def __len__(self) -> int:
        return len(self.event)

    def taken(self, rows: np.ndarray) -> Self:
        """See `Container.taken`."""
        first = np.searchsorted(self.event, rows)
        counts = np.searchsorted(self.event, rows, side="right") - first
        return self._indexed(spans(first, counts), event=np.repeat(np.arange(len(rows)), counts))

    @classmethod
    def joined(cls, parts: Sequence[Self], events: Sequence[int]) -> Self:
        """See `Container.joined`."""
        first = np.cumsum([0, *events[:-1]])
        numbered = [dataclasses.replace(part, event=part.event + n) for part, n in zip(parts, first, strict=True)]
        return super().joined(numbered, events)


@dataclass(frozen=True, eq=False)
class CameraImages(Container):
    """Images of telescopes' cameras: an item for each of the spec's cameras; where an entry is one image (mono), each
    has one in all."""

    cameras: tuple[TelescopeImages, ...]

    @property
    def nbytes(self) -> int:
        """See `Container.nbytes`."""
        return sum(camera.nbytes for camera in self.cameras)

    @property
    def device(self) -> "torch.device":
        """See `Container.device`."""
        return self.cameras[0].device

    def moved(self, move: Move) -> Self:
        """See `Container.moved`."""
        return dataclasses.replace(self, cameras=tuple(camera.moved(move) for camera in self.cameras))

    def taken(self, rows: np.ndarray) -> Self:
        """See `Container.taken`."""
        return dataclasses.replace(self, cameras=tuple(camera.taken(rows) for camera in self.cameras))

    @classmethod
    def joined(cls, parts: Sequence[Self], events: Sequence[int]) -> Self:
        """See `Container.joined`."""
        cameras = zip(*(part.cameras for part in parts), strict=True)
        return dataclasses.replace(parts[0], cameras=tuple(TelescopeImages.joined(of, events) for of in cameras))


@dataclass(frozen=True, eq=False)
class Images(Container):
    """Dense images: `values` float32 [n, channels, rows, columns], as the spec's channels scale them."""

    values: Any


@dataclass(frozen=True, eq=False)
class Points(Container):
    """Points of `len(counts)` events: hits of sensors, pixels of cameras; an event may have none.

    `position` float32 [points, axes] in the spec's unit and `features` float32 [points, features], as the spec's
    quantities scale them, are one array each over all events, in that order; `counts` int64 [events] says how many
    belong to each.
    """

    position: Any
    features: Any
    counts: np.ndarray = field(metadata=HOST)

    def __len__(self) -> int:
        return len(self.counts)

    def taken(self, rows: np.ndarray) -> Self:
        """See `Container.taken`."""
        first = np.cumsum(self.counts) - self.counts
        return self._indexed(spans(first[rows], self.counts[rows]), counts=self.counts[rows])


@dataclass(frozen=True, eq=False)
class Table(Container):
    """Numbers of each event: `values` float32 [n, quantities], as the spec's quantities scale them."""

    values: Any


def image_size(charge: Any, clean: Any) -> Any:
    """Of each image [images], p.e.: the charge [images, pixels] of the pixels that cleaning kept, or of all."""
    return (charge if clean is None else charge * clean).sum(1)
