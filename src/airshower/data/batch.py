"""Batches: what one read of a source gives."""

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, Self

import numpy as np

if TYPE_CHECKING:
    import torch


class EventBatch(Protocol):
    """What all batches have, whatever their images are: `entries` int64 [n] and `event_ids` int64 [n, 3]."""

    @property
    def images(self) -> Any: ...

    @property
    def entries(self) -> np.ndarray: ...

    @property
    def event_ids(self) -> np.ndarray: ...

    def __len__(self) -> int: ...

    @property
    def nbytes(self) -> int:
        """Size of the arrays as they came from the source."""
        ...

    def pin(self) -> Self:
        """The batch in page-locked memory."""
        ...

    def to(self, device: "torch.device") -> Self:
        """The batch on a device."""
        ...


@dataclass(frozen=True)
class SparseImages:
    """The non-empty pixels of `len(counts)` events with `counts.shape[1]` images (wire planes) each.

    `row`, `column` (int32) and `value` (float32) are one array each over all events and planes, in that order;
    `counts` [events, planes] says how many belong to each image; `label` (uint8 class) is None where truth is missing.
    `shape` is the images' (rows, columns): for wire images (time ticks, wires).
    """

    row: Any
    column: Any
    value: Any
    label: Any
    counts: np.ndarray
    shape: tuple[int, int]

    @property
    def image_index(self) -> np.ndarray:
        """Which image (event * planes + plane) each pixel belongs to, int32."""
        return np.repeat(np.arange(self.counts.size, dtype=np.int32), self.counts.reshape(-1))


@dataclass(frozen=True)
class Batch:
    """Sparse images with the entries they were read from (int64 [n]) and their event ids (int64 [n, 3]); `truth` gives
    the events' truth of the names it is asked for, see `source.WireSource`."""

    images: SparseImages
    entries: np.ndarray
    event_ids: np.ndarray
    truth: Callable[[tuple[str, ...]], dict[str, np.ndarray]] = lambda names: {}

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def nbytes(self) -> int:
        """Size of the arrays as they came from the source."""
        images = self.images
        arrays = (images.row, images.column, images.value, images.label)
        return sum(array.nbytes for array in arrays if array is not None)

    def pin(self) -> Self:
        """The batch in page-locked memory, from which a GPU copies without waiting for the CPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: "torch.device") -> Self:
        """The batch with its pixels as tensors on `device`; the one place where arrays become tensors."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, move: Any) -> Self:
        import torch

        images = self.images
        moved = {
            name: move(torch.as_tensor(getattr(images, name)))
            for name in ("row", "column", "value", "label")
            if getattr(images, name) is not None
        }
        return dataclasses.replace(self, images=dataclasses.replace(images, **moved))
