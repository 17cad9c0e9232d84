"""The pixels of a batch as network input: all of dense images, or the sites of sparse ones."""

from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from airshower.data.containers import SparseImages


@dataclass(frozen=True)
class FoundPixels:
    """Pixels of one event that are predicted not to be background, ordered by plane, column and row.

    `plane`, `row`, `column` int64, `label` uint8 predicted class, all [pixels]; `scores` float32 [pixels, classes]
    softmax probabilities, or None.
    """

    plane: np.ndarray
    row: np.ndarray
    column: np.ndarray
    label: np.ndarray
    scores: np.ndarray | None


class Pixels(Protocol):
    """A batch of images, on the device: the network's `input` and, if there is truth, `label` (uint8 classes).

    The shape of per-pixel values depends on the class; `logits` are the network's outputs.
    """

    @property
    def input(self) -> Any: ...

    @property
    def label(self) -> Tensor | None: ...

    @property
    def values(self) -> Tensor:
        """The network's input at each pixel, float32, of the shape of `label`."""
        ...

    @property
    def target(self) -> Tensor:
        """True classes, int64, as the cross entropy takes them beside `flat` logits."""
        ...

    @property
    def plane(self) -> Tensor:
        """The plane of each pixel, in a shape that broadcasts against `target`."""
        ...

    @property
    def image(self) -> Tensor:
        """The image (event * planes + plane) of each pixel, int64 in a shape that broadcasts against `target`."""
        ...

    @property
    def images(self) -> int:
        """Events times planes."""
        ...

    def flat(self, logits: Tensor) -> Tensor:
        """The logits with the classes on axis 1."""
        ...

    def sum_by_plane(self, values: Tensor) -> Tensor:
        """Sums [planes] of values of the shape of `target`."""
        ...

    def class_counts(self, classes: int) -> Tensor:
        """How many pixels the loss is taken over, int64 [planes, classes]."""
        ...

    def confusion(self, logits: Tensor) -> Tensor:
        """Counts of all pixels [events, planes, true class, predicted class], int64."""
        ...

    def found(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """Image (event * planes + plane), row, column, class (all int64 [pixels]) and logits [pixels, classes] of the
        pixels predicted not to be background, ordered by image, column and row."""
        ...

    def event_images(self, logits: Tensor, event: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """Image, label and predicted class of one event, all [planes, rows, columns]."""
        ...


def found_pixels(pixels: Pixels, logits: Tensor, events: int, planes: int, scores: bool = True) -> list[FoundPixels]:
    """The pixels of each of the `events`, of images of `planes` planes, that are predicted not to be background."""
    image, row, column, label, found_logits = pixels.found(logits)
    probabilities = found_logits.softmax(1).cpu().numpy() if scores else None
    event, plane = (array.cpu().numpy() for array in (image // planes, image % planes))
    row, column, label = (tensor.cpu().numpy() for tensor in (row, column, label))
    ends = np.searchsorted(event, np.arange(events + 1))
    return [
        FoundPixels(
            plane[span], row[span], column[span], label[span].astype(np.uint8),
            None if probabilities is None else probabilities[span],
        )
        for span in (slice(*pair) for pair in pairwise(ends))
    ]  # fmt: skip


def symmetric_log(charge: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), for charges of both signs such as the bipolar signals of induction planes."""
    return torch.log1p(charge.abs()).copysign_(charge)


class PixelMaker(Protocol):
    """Makes `Pixels` of what a source gives; they are valid until its next call."""

    def __call__(self, images: SparseImages, /) -> Pixels: ...
