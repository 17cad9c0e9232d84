"""UResNet: a residual U-Net that classifies the pixels of several wire planes with shared weights.

Source: Acciarri et al., Cosmic Ray Background Removal With Deep Neural Networks in SBND, Frontiers in AI 4 (2021)
649917. The planes run through the same layers as one batch; only the deepest layer sees an event's planes together.
"""

from dataclasses import dataclass
from itertools import pairwise

from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.data.source import ImageSpec, halvings
from airshower.errors import UserError
from airshower.networks.operations import Dense2d, Dense3d, Operations


@dataclass
class UResNetConfig:
    """`network.*`."""

    n_initial_filters: int = number(16, low=1)
    depth: int = number(6, low=0, high=12)
    blocks_per_layer: int = number(2, low=0)
    blocks_deepest_layer: int = number(5, low=0)
    blocks_final: int = number(5, low=0)
    bottleneck_deepest: int = number(256, low=1)
    filter_size_deepest: int = number(5, low=1)
    growth_rate: str = choice("additive", "multiplicative")
    residual: bool = True
    block_concat: bool = False
    connections: str = choice("concat", "sum", "none")
    downsampling: str = choice("max_pooling", "convolutional")
    upsampling: str = choice("interpolation", "convolutional")
    normalization: str = choice("batch", "none", "group", "layer", "sync_batch")
    bias: bool = True


class UResNet(nn.Module):
    """Images [events, planes, rows, columns] -> logits [events, planes, classes, rows, columns]."""

    Config = UResNetConfig
    reads = "wire_images"
    operations: type[Dense2d] = Dense2d

    def __init__(self, config: UResNetConfig, spec: ImageSpec):
        super().__init__()
        _check_sizes(config, spec)
        self.planes = spec.planes
        ops = self.operations(config.normalization, config.bias)
        filters = [_filters(config, level) for level in range(config.depth + 1)]
        self.initial = ConvBlock(ops, ops.conv(1, filters[0], 5), filters[0])
        self.encoder = nn.ModuleList(Encoder(ops, config, *pair) for pair in pairwise(filters))
        self.deepest = Deepest(ops, config, filters[-1], spec.planes)
        self.decoder = nn.ModuleList(Decoder(ops, config, deep, shallow) for shallow, deep in pairwise(filters))
        self.final = series(ops, config, filters[0], config.blocks_final)
        self.classify = ops.conv(filters[0], len(spec.classes), 1)

    def forward(self, images: Tensor) -> Tensor:
        """See the class."""
        x = self.initial(images.flatten(0, 1).unsqueeze(1))
        skips = []
        for encoder in self.encoder:
            skips.append(x)
            x = encoder(x)
        x = self.deepest(x)
        for decoder in reversed(self.decoder):
            x = decoder(x, skips.pop())
        return self.classify(self.final(x)).unflatten(0, (-1, self.planes))


class UResNet3d(UResNet):
    """The same with planes as a third dimension: at the bottom each sees its neighbours, elsewhere none.

    Same options, weights and layers as `UResNet` but for the two at the bottom where planes meet.
    """

    operations = Dense3d


class ConvBlock(nn.Module):
    """Convolution, normalization and, unless told otherwise, activation."""

    def __init__(self, ops: Operations, conv: nn.Module, channels: int, active: bool = True):
        super().__init__()
        self.ops, self.active = ops, active
        self.conv = conv
        self.norm = ops.norm(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Same number of dimensions as `x`."""
        x = self.norm(self.conv(x))
        return self.ops.activation(x) if self.active else x


class ResidualBlock(nn.Module):
    """Two convolutions beside the identity (He et al. 2016)."""

    def __init__(self, ops: Operations, channels: int, kernel: int):
        super().__init__()
        self.ops = ops
        self.first = ConvBlock(ops, ops.conv(channels, channels, kernel), channels)
        self.second = ConvBlock(ops, ops.conv(channels, channels, kernel), channels, active=False)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        return self.ops.activation(self.second(self.first(x)).add_(x))


def series(ops: Operations, config: UResNetConfig, channels: int, blocks: int, kernel: int = 3) -> nn.Sequential:
    """`blocks` blocks that keep the number of channels, residual or plain."""
    if config.residual:
        return nn.Sequential(*(ResidualBlock(ops, channels, kernel) for _ in range(blocks)))
    return nn.Sequential(*(ConvBlock(ops, ops.conv(channels, channels, kernel), channels) for _ in range(blocks)))


class Encoder(nn.Module):
    """One level down: blocks, then half the size and more channels."""

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops, self.pooling = ops, config.downsampling == "max_pooling"
        self.blocks = series(ops, config, inputs, config.blocks_per_layer)
        down = ops.conv(inputs, outputs, 1) if self.pooling else ops.conv(inputs, outputs, 2, 2)
        self.down = ConvBlock(ops, down, outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, h/2, w/2]."""
        x = self.blocks(x)
        return self.down(self.ops.pool(x) if self.pooling else x)


class Deepest(nn.Module):
    """The bottom of the U, where the planes of an event meet; each stays alone with `block_concat`."""

    def __init__(self, ops: Operations, config: UResNetConfig, channels: int, planes: int):
        super().__init__()
        self.ops, self.planes = ops, 1 if config.block_concat else planes
        width, joined = config.bottleneck_deepest, ops.joined(channels, self.planes)
        self.bottleneck = ConvBlock(ops, ops.plane_conv(joined, width, self.planes), width)
        self.blocks = series(ops, config, width, config.blocks_deepest_layer, config.filter_size_deepest)
        self.widen = ConvBlock(ops, ops.plane_conv(width, joined, self.planes), joined)

    def forward(self, x: Tensor) -> Tensor:
        """Same shape as `x`."""
        x = self.ops.join_planes(x, self.planes)
        return self.ops.split_planes(self.widen(self.blocks(self.bottleneck(x))), self.planes)


class Upsample(nn.Module):
    """Twice the size, fewer channels.

    Interpolation weights sum to one, so a 1 x 1 convolution before it gives what one after it would, for a quarter of
    the work and without a wide map at the high resolution.
    """

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops, self.interpolate = ops, config.upsampling == "interpolation"
        self.conv = ops.conv(inputs, outputs, 1) if self.interpolate else ops.transposed_conv(inputs, outputs)
        self.norm = ops.norm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """[n, inputs, h, w] -> [n, outputs, 2h, 2w]."""
        x = self.conv(x)
        return self.ops.activation(self.norm(self.ops.upsample(x) if self.interpolate else x))


class Decoder(nn.Module):
    """One level up: twice the size, joined with what the encoder had at this level, then blocks."""

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops, self.connections = ops, config.connections
        self.up = Upsample(ops, config, inputs, outputs)
        joins = config.connections == "concat"
        self.connect = ConvBlock(ops, ops.conv(2 * outputs, outputs, 1), outputs) if joins else None
        self.blocks = series(ops, config, outputs, config.blocks_per_layer)

    def forward(self, x: Tensor, skip: Tensor) -> Tensor:
        """[n, inputs, h, w] and the skip [n, outputs, 2h, 2w] -> [n, outputs, 2h, 2w]."""
        x = self.up(x)
        if self.connect is not None:
            x = self.connect.norm(self.ops.concat_conv(self.connect.conv, x, skip))
            x = self.ops.activation(x)
        elif self.connections == "sum":
            x = x + skip
        return self.blocks(x)


def _filters(config: UResNetConfig, level: int) -> int:
    first = config.n_initial_filters
    return first * 2**level if config.growth_rate == "multiplicative" else first * (level + 1)


def _check_sizes(config: UResNetConfig, spec: ImageSpec) -> None:
    """Every level must halve the image exactly, or the way up would not meet the way down."""
    if config.filter_size_deepest % 2 == 0:
        raise UserError(f"network.filter_size_deepest={config.filter_size_deepest}: must be odd")
    rows, columns = spec.pooled
    most, spare = halvings(spec.pooled), halvings(spec.shape) - config.depth
    if config.depth <= most:
        return
    other = f", or data.downsample={spare}" if spare >= 0 else ""
    raise UserError(
        f"network.depth={config.depth}: images of {rows} x {columns} pixels (data.downsample={spec.downsample}) can be "
        f"halved {most} times; use network.depth={most}{other}"
    )
