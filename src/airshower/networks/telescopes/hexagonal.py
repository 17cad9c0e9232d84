"""Layers for camera images on axial grids: convolutions over the neighbours of hexagons, and only over pixels.

On an image whose rows and columns are the axial coordinates of hexagons (see `detectors.cta.camera.Lattice`) the pixels
up to r steps away are those of a square kernel without two of its corners, so a convolution over them is a plain one
with these weights zero. Cells of the image that are no pixels stay zero from layer to layer.

With `hexagonal=False` the layers are those of square pixels: the same with the whole kernel.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional

from airshower.geometry.mapping import Mapping
from airshower.runtime.batch_norm import Total


class CameraMap(NamedTuple):
    """`values` [images, channels, rows, columns], zero where no pixel is, and `mask` bool, true for pixels:
    [images, 1, rows, columns], or [1, 1, rows, columns] if it is the same for all images."""

    values: Tensor
    mask: Tensor


def camera_map(values: Tensor, mask: Tensor) -> CameraMap:
    """A map of values [images, channels, rows, columns], whatever they are (NaN too) where the mask is false; the mask
    [rows, columns], or as in `CameraMap`."""
    mask = mask.expand(1, 1, -1, -1) if mask.ndim == 2 else mask
    return CameraMap(values.masked_fill(~mask, 0.0), mask)


class ToImage(nn.Module):
    """`detectors.cta.mapping.Mapping.to_image` on the device."""

    index: Tensor
    weight: Tensor
    mask: Tensor

    def __init__(self, mapping: Mapping):
        super().__init__()
        self.shape = mapping.shape
        self.register_buffer("index", torch.from_numpy(mapping.index.T.copy()), persistent=False)
        self.register_buffer("weight", torch.from_numpy(mapping.weight.T.copy()), persistent=False)
        self.register_buffer("mask", torch.from_numpy(mapping.mask)[None, None], persistent=False)

    def forward(self, values: Tensor) -> CameraMap:
        """[images, channels, pixels] -> [images, channels, rows, columns]."""
        cells = values.new_zeros(())
        for index, weight in zip(self.index, self.weight, strict=True):
            # cells without a pixel are gathered from pixel 0, which may be NaN
            cells = cells + (values.index_select(2, index) * weight.to(values.dtype)).masked_fill(weight == 0, 0.0)
        return CameraMap(cells.unflatten(2, self.shape), self.mask)


class HexConv2d(nn.Conv2d):
    """Convolution over the pixels up to `kernel` // 2 steps away; with stride 2, of every other row and column, to the
    map that `halved` describes. Weights as `nn.Conv2d` (Xavier-uniform over the pixels of the kernel); those of cells
    that are further away are zero and stay zero."""

    near: Tensor

    def __init__(
        self,
        inputs: int,
        outputs: int,
        kernel: int = 3,
        stride: int = 1,
        bias: bool = True,
        groups: int = 1,
        hexagonal: bool = True,
    ):
        super().__init__(inputs, outputs, kernel, stride, kernel // 2, groups=groups, bias=bias)
        self.hexagonal = hexagonal
        near = within(kernel // 2) if hexagonal else torch.ones(kernel, kernel)
        self.register_buffer("near", near, persistent=False)
        with torch.no_grad():
            nn.init.xavier_uniform_(self.weight, gain=(near.numel() / float(near.sum())) ** 0.5).mul_(near)
            if self.bias is not None:
                self.bias.zero_()

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, inputs, rows, columns] -> [images, outputs, rows, columns], both halved (upwards) with stride 2."""
        mask = x.mask if self.stride == (1, 1) else halved(x.mask, self.hexagonal)
        y = self._conv_forward(x.values, self.weight * self.near, self.bias)
        # the mask sets cells that are no pixels to zero again: bias and neighbours contribute to them
        alone = self.kernel_size == (1, 1) and self.bias is None
        return CameraMap(y if alone else y.mul_(mask), mask)


class HexPool(nn.Module):
    """The maximum or the average over each second pixel of each second row and its neighbours (7 hexagons, 9 squares);
    only over cells that are pixels."""

    def __init__(self, average: bool = False, hexagonal: bool = True):
        super().__init__()
        self.average = average
        self.hexagonal = hexagonal

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] -> the same channels of half the rows and columns (upwards)."""
        count = _sum(x.mask.to(x.values.dtype), self.hexagonal)
        if self.average:
            return CameraMap(_sum(x.values, self.hexagonal) / count.clamp_min(1.0), count > 0)
        empty = torch.zeros_like(x.mask, dtype=x.values.dtype).masked_fill_(~x.mask, -torch.inf)
        largest = _largest(x.values + empty, self.hexagonal)
        return CameraMap(torch.where(count > 0, largest, 0.0), count > 0)


class CameraBatchNorm(nn.BatchNorm2d):
    """Batch normalization whose statistics are over the pixels of a micro-batch, not over the cells of its images; with
    fewer than two pixels the running statistics are used. Weights and statistics as `nn.BatchNorm2d`.

    `total` sums the moments, and their gradients, over processes; here over this process only.
    """

    running_mean: Tensor
    running_var: Tensor
    num_batches_tracked: Tensor
    momentum: float

    def __init__(self, channels: int, eps: float = 1e-5, momentum: float = 0.1):
        super().__init__(channels, eps, momentum)
        self.total: Total = _own

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] as before. Collective in training, and its gradient, if `total` is."""
        if self.training:
            y = _Normalise.apply(*x, self.weight, self.bias, *self._statistics(*x), self.total)
        else:
            kept = self.running_mean, self.running_var
            y = functional.batch_norm(x.values, *kept, self.weight, self.bias, eps=self.eps) * x.mask
        return CameraMap(y, x.mask)

    @torch.no_grad()
    def _statistics(self, values: Tensor, mask: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Mean and inverse of the standard deviation [channels], and the inverse of the number of pixels. With
        fewer than two pixels: the running statistics and 0. Otherwise updates the running statistics."""
        values = wide(values)
        pixels = mask.sum() * (len(values) if len(mask) == 1 else 1)
        sums = self.total(torch.cat([values.sum((0, 2, 3)), pixels.to(values)[None]]))
        count = sums[-1]
        enough = count > 1
        mean = torch.where(enough, sums[:-1] / count.clamp_min(1.0), self.running_mean.to(values))
        squares = self.total((values - mean[:, None, None]).mul_(mask).square_().sum((0, 2, 3)))
        variance = torch.where(enough, squares / count.clamp_min(1.0), self.running_var.to(values))
        unbiased = variance * count / (count - 1).clamp_min(1.0)
        momentum = self.momentum * enough.to(self.running_mean)
        self.running_mean.lerp_(mean.to(self.running_mean), momentum)
        self.running_var.lerp_(unbiased.to(self.running_var), momentum)
        self.num_batches_tracked += 1
        return mean, (variance + self.eps).rsqrt(), enough / count.clamp_min(1.0)


class SyncCameraBatchNorm(CameraBatchNorm):
    """Batch normalization with the statistics of all ranks, after `synchronise`."""

    def synchronise(self, total: Total) -> None:
        """See `runtime.batch_norm.Synchronised`."""
        self.total = total


class CameraGroupNorm(nn.GroupNorm):
    """Group normalization (Wu & He 2018) over the pixels of an image, whatever the batch; weights as `nn.GroupNorm`."""

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] as before."""
        grouped = wide(x.values).unflatten(1, (self.num_groups, -1))
        mask = x.mask[:, :, None]
        axes = (2, 3, 4)
        count = mask.sum(axes, keepdim=True) * grouped.shape[2]
        centred = (grouped - grouped.sum(axes, keepdim=True) / count.clamp_min(1)) * mask
        variance = centred.square().sum(axes, keepdim=True) / count.clamp_min(1)
        normal = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        y = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return CameraMap((y * x.mask).to(x.values.dtype), x.mask)


class _Normalise(torch.autograd.Function):
    """Normalization by the statistics of the pixels. Saves only its input for the backward pass, where separate
    operations would save several maps."""

    @staticmethod
    def forward(
        ctx: Any,
        values: Tensor,
        mask: Tensor,
        weight: Tensor,
        bias: Tensor,
        mean: Tensor,
        inverse: Tensor,
        share: Tensor,
        total: Total,
    ) -> Tensor:
        ctx.save_for_backward(values, mask, weight, mean, inverse, share)
        ctx.total = total
        scale = weight * inverse
        y = torch.addcmul((bias - mean * scale)[:, None, None], wide(values), scale[:, None, None])
        return y.mul_(mask).to(values.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, mask, weight, mean, inverse, share = ctx.saved_tensors
        x = wide(values)
        gradient = wide(gradient) * mask
        of_bias = gradient.sum((0, 2, 3))
        of_weight = ((gradient * x).sum((0, 2, 3)) - mean * of_bias) * inverse
        of_both = ctx.total(torch.stack([of_weight, of_bias])) * share
        # scale * (gradient - of_both[0] * normalised - of_both[1]), written in the values themselves
        scale = weight * inverse
        slope = of_both[0] * inverse
        of_values = gradient.addcmul_(x, slope[:, None, None], value=-1)
        of_values.add_((mean * slope - of_both[1])[:, None, None]).mul_(scale[:, None, None] * mask)
        return of_values.to(values.dtype), None, of_weight.to(weight.dtype), of_bias.to(weight.dtype), *4 * [None]


def camera_mean(x: CameraMap) -> Tensor:
    """The mean over the pixels of each image [images, channels]; zero for an image without pixels."""
    return x.values.sum((2, 3)) / x.mask.sum((2, 3)).clamp_min(1)


def halved(mask: Tensor, hexagonal: bool = True) -> Tensor:
    """The mask at half the resolution [..., 1, rows, columns] (upwards): cell (i, j) is a pixel if (2i, 2j) or any of
    its neighbours is one, so that every pixel has a parent cell."""
    return _sum(mask.float(), hexagonal) > 0


def within(radius: int) -> Tensor:
    """1 in the cells of a kernel that are up to `radius` steps from its middle, else 0: float
    [2 * radius + 1, 2 * radius + 1]."""
    step = torch.arange(-radius, radius + 1)
    return ((step[:, None] - step).abs() <= radius).float()


def wide(x: Tensor) -> Tensor:
    """In float32 at least, for statistics."""
    return x if x.dtype == torch.float64 else x.float()


def _own(sums: Tensor) -> Tensor:
    return sums


def _sum(x: Tensor, hexagonal: bool) -> Tensor:
    """Over each second pixel of each second row and its neighbours."""
    if not hexagonal:
        return functional.avg_pool2d(x, 3, 2, 1, divisor_override=1)
    before, after = _squares(x, lambda *shape, **more: functional.avg_pool2d(*shape, **more, divisor_override=1))
    return before + after - x[..., ::2, ::2]


def _largest(x: Tensor, hexagonal: bool) -> Tensor:
    """As `_sum`, the maximum."""
    if not hexagonal:
        return functional.max_pool2d(x, 3, 2, 1)
    return torch.maximum(*_squares(x, functional.max_pool2d))


def _squares(x: Tensor, pool: Callable[..., Tensor]) -> tuple[Tensor, Tensor]:
    """A hexagon's neighbourhood is two squares of 2 x 2 cells that share their corner, the hexagon: that towards the
    image's first cell and that towards its last, pooled."""
    rows, columns = ((size + 1) // 2 for size in x.shape[2:])
    return pool(x, 2, 2, padding=1)[..., :rows, :columns], pool(x, 2, 2, ceil_mode=True)
