"""The pixels of a batch as a network sees them: all of dense images, or the sites of sparse ones."""

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import SparseImages


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

    The shape of per-pixel values is the class's own affair; `logits` are what the network gives.
    """

    @property
    def input(self) -> Any: ...

    @property
    def label(self) -> Tensor | None: ...

    @property
    def values(self) -> Tensor:
        """What the network sees of each pixel, float32, of the shape of `label`."""
        ...

    @property
    def target(self) -> Tensor:
        """True classes, int64, as the cross entropy takes them beside `flat` logits."""
        ...

    @property
    def plane(self) -> Tensor:
        """The plane of each pixel, in a shape that broadcasts against `target`."""
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


def symmetric_log(charge: Tensor) -> Tensor:
    """sign(x) log(1 + |x|), for charges of both signs such as the bipolar signals of induction planes."""
    return torch.log1p(charge.abs()).copysign_(charge)


class PixelMaker(Protocol):
    """Makes `Pixels` of what a source gives; they are valid until its next call."""

    def __call__(self, images: SparseImages, /) -> Pixels: ...
