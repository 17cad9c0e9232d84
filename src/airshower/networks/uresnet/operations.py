"""Operations on dense images, from which topologies are built.

A topology takes convolutions, normalizations and changes of resolution from here and never uses torch's layers itself.
The same topology with other operations is another network. The values between layers are maps: here a tensor, in
`sparse` the features of sites.
"""

import math
from typing import Any, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.runtime.batch_norm import SyncBatchNorm

NEGATIVE_SLOPE = 0.01
Map = TypeVar("Map")


class Operations(Protocol[Map]):
    """Builders of layers, and the functions that have no weights. Planes are folded into the batch axis.

    `bottom` are the operations of the deepest layer.
    """

    @property
    def bottom(self) -> "Operations": ...

    def enter(self, inputs: Any, /) -> Map:
        """The network's input as a map of one channel."""
        ...

    def leave(self, x: Map, planes: int, /) -> Tensor:
        """A map as the network's output, per pixel."""
        ...

    def images(self, x: Map, planes: int) -> Tensor:
        """A map as dense images [events, planes, channels, rows, columns]."""
        ...

    def event_mean(self, x: Map, planes: int) -> Tensor:
        """The mean over the pixels of each event [events, channels]; `x` is of joined planes."""
        ...

    def tick_mean(self, x: Map, planes: int) -> Map:
        """At each pixel the mean over the columns and planes of its event at the same row."""
        ...

    def to_bottom(self, x: Map) -> Any:
        """A map as the operations of the deepest layer take it."""
        ...

    def from_bottom(self, y: Any, x: Map) -> Map:
        """What the deepest layer made of `to_bottom(x)`, as a map."""
        ...

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """A convolution that keeps the image's size (stride 1) or halves it (kernel 2, stride 2)."""
        ...

    def transposed_conv(self, inputs: int, outputs: int) -> nn.Module:
        """A convolution that doubles the image's size; called with (map, the map at that size to come to)."""
        ...

    def norm(self, channels: int) -> nn.Module:
        """The normalization that the config names."""
        ...

    def activation(self, x: Map) -> Map:
        """Leaky ReLU; may overwrite `x`."""
        ...

    def add(self, x: Map, y: Map) -> Map:
        """The sum."""
        ...

    def add_(self, x: Map, y: Map) -> Map:
        """The sum; may overwrite `x`, which must not be an activation."""
        ...

    def pool(self, x: Map) -> Map:
        """The largest of each 2 x 2 pixels."""
        ...

    def upsample(self, x: Map, to: Map) -> Map:
        """The image at twice its size, that of `to`, interpolated."""
        ...

    def concat_conv(self, conv: "Conv", x: Map, y: Map) -> Map:
        """`conv` (1 x 1) of the channels of x followed by those of y."""
        ...

    def joined(self, channels: int, planes: int) -> int:
        """Channels of a map whose planes `join_planes` has joined."""
        ...

    def plane_conv(self, inputs: int, outputs: int, planes: int) -> "Conv":
        """A convolution, of joined maps, through which the planes of an event see each other."""
        ...

    def join_planes(self, x: Map, planes: int) -> Map:
        """Bring the planes of each event together."""
        ...

    def split_planes(self, y: Map, x: Map, planes: int) -> Map:
        """Take the planes of `join_planes(x)` apart."""
        ...


class Dense2d:
    """Dense images [events * planes, channels, rows, columns]; joined, the planes are channels of one image."""

    def __init__(self, normalization: str, bias: bool, momentum: float = 0.1):
        self.normalization = normalization
        self.bias = bias
        self.momentum = momentum
        self.bottom = self

    def enter(self, images: Tensor) -> Tensor:
        """[events, planes, rows, columns] -> [events * planes, 1, rows, columns]."""
        return images.flatten(0, 1).unsqueeze(1)

    def leave(self, x: Tensor, planes: int) -> Tensor:
        """[events * planes, channels, ...] -> [events, planes, channels, ...]."""
        return x.unflatten(0, (-1, planes))

    def images(self, x: Tensor, planes: int) -> Tensor:
        """As `leave`."""
        return x.unflatten(0, (-1, planes))

    def event_mean(self, x: Tensor, planes: int) -> Tensor:
        """Joined planes are one image."""
        return x.mean((2, 3))

    def tick_mean(self, x: Tensor, planes: int) -> Tensor:
        """See `Operations`."""
        mean = x.unflatten(0, (-1, planes)).mean((1, 4), keepdim=True)
        return mean.expand(-1, planes, -1, -1, x.shape[3]).flatten(0, 1)

    def to_bottom(self, x: Tensor) -> Tensor:
        """As it is."""
        return x

    def from_bottom(self, y: Tensor, x: Tensor) -> Tensor:
        """As it is."""
        return y

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Conv2d:
        """See `Operations`."""
        padding = (kernel - 1) // 2 if stride == 1 else 0
        return initialised(nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=self.bias))

    def transposed_conv(self, inputs: int, outputs: int) -> nn.Module:
        """See `Operations`."""
        return initialised(TransposedConv(inputs, outputs, 2, 2, bias=self.bias))

    def norm(self, channels: int) -> nn.Module:
        """Batch statistics are over the events and planes of one micro-batch, on one rank or (`sync_batch`) on all.

        `layer` normalises each image over all channels and pixels (Ba et al. 2016), `group` over groups of channels
        (Wu & He 2018), `instance` channel by channel (Ulyanov et al. 2016)."""
        match self.normalization:
            case "none":
                return nn.Identity()
            case "batch":
                return nn.BatchNorm2d(channels, momentum=self.momentum)
            case "sync_batch":
                return SyncBatchNorm(channels, momentum=self.momentum)
            case "group":
                return nn.GroupNorm(math.gcd(8, channels), channels)
            case "layer":
                return nn.GroupNorm(1, channels)
            case "instance":
                return nn.GroupNorm(channels, channels)
        raise ValueError(self.normalization)

    def activation(self, x: Tensor) -> Tensor:
        """In place: the gradient is computed from the output, so one map less is saved for the backward pass."""
        return functional.leaky_relu_(x, NEGATIVE_SLOPE)

    def add(self, x: Tensor, y: Tensor) -> Tensor:
        """See `Operations`."""
        return x + y

    def add_(self, x: Tensor, y: Tensor) -> Tensor:
        """See `Operations`."""
        return x.add_(y)

    def pool(self, x: Tensor) -> Tensor:
        """See `Operations`."""
        return functional.max_pool2d(x, 2)

    def upsample(self, x: Tensor, to: Tensor) -> Tensor:
        """Bilinear."""
        return functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)

    def concat_conv(self, conv: "Conv", x: Tensor, y: Tensor) -> Tensor:
        """As a sum of two convolutions, so that the concatenated map is not allocated."""
        weight_x, weight_y = conv.weight.split((x.shape[1], y.shape[1]), dim=1)
        return functional.conv2d(x, weight_x, conv.bias).add_(functional.conv2d(y, weight_y))

    def joined(self, channels: int, planes: int) -> int:
        """See `Operations`."""
        return channels * planes

    def plane_conv(self, inputs: int, outputs: int, planes: int) -> "Conv":
        """1 x 1 over all channels of all planes."""
        return self.conv(inputs, outputs, 1)

    def join_planes(self, x: Tensor, planes: int) -> Tensor:
        """[events * planes, channels, ...] -> [events, planes * channels, ...]."""
        return x.unflatten(0, (-1, planes)).flatten(1, 2).contiguous(memory_format=_format_of(x))

    def split_planes(self, y: Tensor, x: Tensor, planes: int) -> Tensor:
        """[events, planes * channels, ...] -> [events * planes, channels, ...]."""
        return y.unflatten(1, (planes, -1)).flatten(0, 1).contiguous(memory_format=_format_of(y))


class Dense3d(Dense2d):
    """Dense volumes (plane, row, column), kept as images: a kernel [1, k, k] acts within a plane, so it is a 2D
    convolution with the planes in the batch, several times faster on a CPU than the same arithmetic in 3D."""

    def joined(self, channels: int, planes: int) -> int:
        """See `Operations`."""
        return channels

    def plane_conv(self, inputs: int, outputs: int, planes: int) -> "Conv":
        """Kernel [3, 1, 1] along the planes, or [1, 1, 1] if there is one."""
        return PlaneConv(inputs, outputs, planes, self.bias) if planes > 1 else self.conv(inputs, outputs, 1)

    def event_mean(self, x: Tensor, planes: int) -> Tensor:
        """Joined planes are images still."""
        return x.mean((2, 3)).unflatten(0, (-1, planes)).mean(1)

    def join_planes(self, x: Tensor, planes: int) -> Tensor:
        """Planes are neighbours already."""
        return x

    def split_planes(self, y: Tensor, x: Tensor, planes: int) -> Tensor:
        """See `join_planes`."""
        return y


class TransposedConv(nn.ConvTranspose2d):
    """torch's, with the call signature of `Operations`."""

    def forward(self, x: Tensor, to: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, 2h, 2w]."""
        return super().forward(x)


class PlaneConv(nn.Module):
    """A 3D convolution with kernel [3, 1, 1] and padding 1 on [events * planes, channels, rows, columns].

    It is a 1 x 1 convolution of an event's planes as channels, with a banded matrix of weights.
    """

    def __init__(self, inputs: int, outputs: int, planes: int, bias: bool):
        super().__init__()
        self.planes = planes
        self.weight = nn.Parameter(torch.empty(outputs, inputs, 3))
        self.bias = nn.Parameter(torch.empty(outputs)) if bias else None
        initialised(self)

    def forward(self, x: Tensor) -> Tensor:
        """[events * planes, inputs, h, w] -> [events * planes, outputs, h, w]."""
        outputs, inputs = self.weight.shape[:2]
        banded = self.weight.new_zeros(self.planes, outputs, self.planes, inputs)
        for plane in range(self.planes):
            low, high = max(0, plane - 1), min(self.planes, plane + 2)
            banded[plane, :, low:high] = self.weight[:, :, low - plane + 1 : high - plane + 1].transpose(1, 2)
        bias = None if self.bias is None else self.bias.repeat(self.planes)
        x = x.unflatten(0, (-1, self.planes)).flatten(1, 2)
        x = functional.conv2d(x, banded.view(self.planes * outputs, self.planes * inputs, 1, 1), bias)
        return x.unflatten(1, (self.planes, -1)).flatten(0, 1)


Conv = nn.Conv2d | PlaneConv
Built = TypeVar("Built", bound=Conv | nn.ConvTranspose2d)


def _format_of(x: Tensor) -> torch.memory_format:
    last = x.is_contiguous(memory_format=torch.channels_last)
    return torch.channels_last if last else torch.contiguous_format


def initialised(layer: Built) -> Built:
    """The layer with Xavier-uniform weights (Glorot & Bengio 2010) and no bias."""
    nn.init.xavier_uniform_(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)
    return layer
