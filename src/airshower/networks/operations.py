"""Operations on dense 2D images, of which topologies are built.

A topology asks for convolutions, normalizations and changes of resolution here and never names a layer of torch's; the
same topology over other operations is another network.
"""

import math
from typing import Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

NEGATIVE_SLOPE = 0.01


class Operations(Protocol):
    """Builders of layers, and the functions that have no weights. Planes are folded into the batch axis."""

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """A convolution that keeps the image's size (stride 1) or halves it (kernel 2, stride 2)."""
        ...

    def transposed_conv(self, inputs: int, outputs: int) -> nn.Module:
        """A convolution that doubles the image's size."""
        ...

    def norm(self, channels: int) -> nn.Module:
        """The normalization that the config names."""
        ...

    def activation(self, x: Tensor) -> Tensor:
        """Leaky ReLU; may overwrite `x`."""
        ...

    def pool(self, x: Tensor) -> Tensor:
        """The largest of each 2 x 2 pixels."""
        ...

    def upsample(self, x: Tensor) -> Tensor:
        """The image at twice its size, interpolated."""
        ...

    def concat_conv(self, conv: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """`conv` (1 x 1) of the channels of x followed by those of y."""
        ...

    def join_planes(self, x: Tensor, planes: int) -> Tensor:
        """Move the planes of each event from the batch axis to the channels."""
        ...

    def split_planes(self, x: Tensor, planes: int) -> Tensor:
        """The inverse of `join_planes`."""
        ...


class Dense2d:
    """Dense images [events * planes, channels, rows, columns]."""

    def __init__(self, normalization: str, bias: bool):
        self.normalization, self.bias = normalization, bias

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Module:
        """See `Operations`."""
        padding = (kernel - 1) // 2 if stride == 1 else 0
        return _initialised(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=self.bias))

    def transposed_conv(self, inputs: int, outputs: int) -> nn.Module:
        """See `Operations`."""
        return _initialised(nn.ConvTranspose2d(inputs, outputs, 2, 2, bias=self.bias))

    def norm(self, channels: int) -> nn.Module:
        """Batch statistics are over the events and planes of one micro-batch, on one rank or (`sync_batch`) on all.

        `layer` normalises each image over all channels and pixels (Ba et al. 2016), `group` over groups of channels
        (Wu & He 2018)."""
        match self.normalization:
            case "none":
                return nn.Identity()
            case "batch":
                return nn.BatchNorm2d(channels)
            case "sync_batch":
                return nn.SyncBatchNorm(channels)
            case "group":
                return nn.GroupNorm(math.gcd(8, channels), channels)
            case "layer":
                return nn.GroupNorm(1, channels)
        raise ValueError(self.normalization)

    def activation(self, x: Tensor) -> Tensor:
        """In place: its gradient follows from its output, so one map less is kept for the backward pass."""
        return functional.leaky_relu_(x, NEGATIVE_SLOPE)

    def pool(self, x: Tensor) -> Tensor:
        """See `Operations`."""
        return functional.max_pool2d(x, 2)

    def upsample(self, x: Tensor) -> Tensor:
        """Bilinear."""
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def concat_conv(self, conv: nn.Module, x: Tensor, y: Tensor) -> Tensor:
        """As a sum of two convolutions, so that the concatenated map is never made nor kept."""
        weight_x, weight_y = conv.weight.split((x.shape[1], y.shape[1]), dim=1)
        return functional.conv2d(x, weight_x, conv.bias).add_(functional.conv2d(y, weight_y))

    def join_planes(self, x: Tensor, planes: int) -> Tensor:
        """[events * planes, channels, ...] -> [events, planes * channels, ...]."""
        return x.unflatten(0, (-1, planes)).flatten(1, 2).contiguous(memory_format=_format_of(x))

    def split_planes(self, x: Tensor, planes: int) -> Tensor:
        """[events, planes * channels, ...] -> [events * planes, channels, ...]."""
        return x.unflatten(1, (planes, -1)).flatten(0, 1).contiguous(memory_format=_format_of(x))


def _format_of(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def _initialised(layer: nn.Module) -> nn.Module:
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
