"""From sparse pixels to dense, downsampled images, on the device.

Downsampling by 2^d follows larcv: a wire pixel becomes the average over its 2^d x 2^d pixels, empty ones counted as
zero; a label becomes the largest (neutrino before cosmic before background).
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from airshower.data.containers import SparseImages
from airshower.data.pixels import symmetric_log
from airshower.data.spec import SparseImagesSpec


@dataclass(frozen=True)
class DensePixels:
    """All pixels: `input` [events, planes, rows, columns] float32 and `label` of the same shape uint8 (None without
    truth). Logits are [events, planes, classes, rows, columns]. See `data.pixels.Pixels`."""

    input: Tensor
    label: Tensor | None

    @property
    def values(self) -> Tensor:
        """As `input`."""
        return self.input

    @property
    def target(self) -> Tensor:
        """[events * planes, rows, columns]."""
        return self._truth.flatten(0, 1).long()

    @property
    def plane(self) -> Tensor:
        """[events * planes, 1, 1]."""
        events, planes = self.input.shape[:2]
        return torch.arange(planes, device=self.input.device).repeat(events)[:, None, None]

    @property
    def image(self) -> Tensor:
        """[events * planes, 1, 1]."""
        return torch.arange(self.images, device=self.input.device)[:, None, None]

    @property
    def images(self) -> int:
        """See `Pixels`."""
        return self.input.shape[0] * self.input.shape[1]

    def flat(self, logits: Tensor) -> Tensor:
        """[events * planes, classes, rows, columns]."""
        return logits.flatten(0, 1)

    def sum_by_plane(self, values: Tensor) -> Tensor:
        """See `Pixels`."""
        return values.unflatten(0, (-1, self.input.shape[1])).sum((0, 2, 3))

    def class_counts(self, classes: int) -> Tensor:
        """See `Pixels`."""
        labels = self._truth.flatten(2)
        counts = [(labels == index).sum((0, 2)) for index in range(1, classes)]
        pixels = labels.shape[0] * labels.shape[2]
        return torch.stack([pixels - torch.stack(counts).sum(0), *counts], 1)

    def confusion(self, logits: Tensor) -> Tensor:
        """See `Pixels`."""
        (events, planes), classes = self._truth.shape[:2], logits.shape[2]
        cell = self._truth.flatten(0, 1).flatten(1).long() * classes + logits.argmax(2).flatten(0, 1).flatten(1)
        cell += torch.arange(events * planes, device=cell.device)[:, None] * classes**2
        counts = torch.bincount(cell.flatten(), minlength=events * planes * classes**2)
        return counts.view(events, planes, classes, classes)

    def found(self, logits: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """See `Pixels`."""
        label = logits.argmax(2)
        event, plane, column, row = torch.nonzero(label.transpose(2, 3), as_tuple=True)
        image = event * label.shape[1] + plane
        return image, row, column, label[event, plane, row, column], logits[event, plane, :, row, column]

    def event_images(self, logits: Tensor, event: int) -> tuple[Tensor, Tensor | None, Tensor]:
        """See `Pixels`."""
        return self.input[event], None if self.label is None else self.label[event], logits[event].argmax(1)

    @property
    def _truth(self) -> Tensor:
        assert self.label is not None
        return self.label


class Densifier:
    """Scatters sparse images into buffers that it keeps: the tensors it returns are valid until the next call.

    A full-resolution event is 39 MB of which 0.7 % is not zero. Taking fresh memory each time costs several times more
    than the scatter itself, so only the pixels written last time are set back to zero.
    """

    def __init__(self, spec: SparseImagesSpec):
        self.spec = spec
        self.downsample = spec.downsample
        self.image = self.label = self.written = torch.empty(0)

    def __call__(self, images: SparseImages) -> DensePixels:
        """The pooled images."""
        rows, columns = (size >> self.downsample for size in images.shape)
        shape = (*images.counts.shape, rows, columns)
        self._clear(shape, images)
        index = self._index(images, rows, columns)
        value = images.value.abs() if self.spec.absolute else images.value
        if self.downsample:
            value = value * (1.0 / 4**self.downsample)
        flat = self.image.view(-1)
        flat.index_add_(0, index, value)
        if self.spec.log_transform:
            flat[index] = symmetric_log(flat[index])
        if images.label is not None:
            self.label.view(-1).scatter_reduce_(0, index, images.label, "amax")
        self.written = index
        return DensePixels(self.image, self.label if images.label is not None else None)

    def _clear(self, shape: tuple[int, ...], images: SparseImages) -> None:
        if self.image.shape != shape or self.image.device != images.value.device:
            self.image = torch.zeros(shape, dtype=torch.float32, device=images.value.device)
            self.label = torch.zeros(shape, dtype=torch.uint8, device=images.value.device)
        elif len(self.written) * 16 > self.image.numel():
            self.image.zero_()
            self.label.zero_()
        else:
            self.image.view(-1).scatter_(0, self.written, 0.0)
            self.label.view(-1).scatter_(0, self.written, 0)

    def _index(self, images: SparseImages, rows: int, columns: int) -> Tensor:
        counts = torch.as_tensor(images.counts.reshape(-1), device=images.row.device)
        start = torch.arange(0, len(counts) * rows * columns, rows * columns, device=images.row.device)
        plane = torch.repeat_interleave(start, counts, output_size=len(images.row))
        # sides that are not multiples of 2^d are refused by the source: the last row's pixels would land elsewhere
        index = images.row >> self.downsample
        index = index.mul_(columns).add_(images.column >> self.downsample if self.downsample else images.column)
        return plane.add_(index)
