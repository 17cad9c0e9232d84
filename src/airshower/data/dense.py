"""From sparse pixels to dense, downsampled images, on the device.

Downsampling by 2^d follows larcv: a wire pixel becomes the average over its 2^d x 2^d pixels, empty ones counted as
zero; a label becomes the largest (neutrino before cosmic before background).
"""

import torch
from torch import Tensor

from airshower.data.batch import SparseImages


class Densifier:
    """Scatters sparse images into buffers that it keeps: the tensors it returns are valid until the next call.

    A full-resolution event is 39 MB of which 0.7 % is not zero. Taking fresh memory each time costs several times more
    than the scatter itself, so only the pixels written last time are set back to zero.
    """

    def __init__(self, downsample: int, log_transform: bool = False):
        self.downsample, self.log_transform = downsample, log_transform
        self.image = self.label = self.written = None

    def __call__(self, images: SparseImages) -> tuple[Tensor, Tensor | None]:
        """Image [events, planes, rows, columns] float32 and, if there is truth, label of the same shape uint8."""
        rows, columns = (size >> self.downsample for size in images.shape)
        shape = (*images.counts.shape, rows, columns)
        self._clear(shape, images)
        index = self._index(images, rows, columns)
        value = images.value
        if self.downsample:
            value = value * (1.0 / 4**self.downsample)
        flat = self.image.view(-1)
        flat.index_add_(0, index, value)
        if self.log_transform:
            flat[index] = torch.log1p(flat[index].clamp_(min=0.0))
        if images.label is not None:
            self.label.view(-1).scatter_reduce_(0, index, images.label, "amax")
        self.written = index
        return self.image, self.label if images.label is not None else None

    def _clear(self, shape: tuple[int, ...], images: SparseImages) -> None:
        if self.image is None or self.image.shape != shape or self.image.device != images.value.device:
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
