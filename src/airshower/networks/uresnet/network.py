"""UResNet: a residual U-Net that classifies the pixels of several wire planes with shared weights.

Source: Acciarri et al., Cosmic Ray Background Removal With Deep Neural Networks in SBND, Frontiers in AI 4 (2021)
649917. The planes go through the same layers as one batch; the deepest layer combines an event's planes, and with
`tick_depth` so do means at equal ticks, see `TickMixer`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from types import MappingProxyType
from typing import Any

import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.data.dense import Densifier
from airshower.data.pixels import PixelMaker, Pixels
from airshower.data.sites import SitePooler
from airshower.data.spec import SparseImagesSpec, Spec, halvings
from airshower.errors import UserError
from airshower.networks.network import Network
from airshower.networks.uresnet.operations import Conv, Dense2d, Dense3d, Map, Operations
from airshower.networks.uresnet.sparse import Sparse2d, Sparse3d
from airshower.networks.uresnet.sparse_backends import sparse_backend


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
    normalization: str = choice("batch", "none", "group", "layer", "instance", "sync_batch")
    batch_norm_momentum: float = number(0.1, above=0.0, high=1.0)
    bias: bool = True
    event_filters: int = number(128, low=1)
    event_blocks: int = number(4, low=0)
    vertex_depth: int = number(2, low=0)
    tick_depth: int = number(0, low=0)
    tick_filters: int = number(32, low=1)


@dataclass
class SparseUResNetConfig(UResNetConfig):
    """`network.*` of sparse networks."""

    bottleneck: str = choice("dense", "sparse")


class UResNet(Network):
    """Input of `view` -> the task's `outputs`, keyed by name.

    `pixels`: logits of each pixel, for images [events, planes, rows, columns] they are [events, planes, classes, rows,
    columns]. `event`: logits [events, classes], of the deepest features. `vertex`: [events, planes, 3, rows, columns]
    on a coarse grid, see `VertexHead`.
    """

    Config = UResNetConfig
    takes = MappingProxyType({"images": SparseImages})
    tasks = ("segmentation",)
    pixels: Callable[[SparseImagesSpec], PixelMaker] = Densifier
    operations: Callable[..., Operations] = Dense2d

    def __init__(self, config: UResNetConfig, source: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        spec: SparseImagesSpec = source["images"]
        _check_sizes(config, spec)
        if "vertex" in outputs:
            _check_vertex_depth(config)
        self.planes = spec.planes
        self.vertex_depth = config.vertex_depth
        self.ops = ops = self.build_operations(config, framework)
        filters = [_filters(config, level) for level in range(config.depth + 1)]
        self.initial = ConvBlock(ops, ops.conv(1, filters[0], 5), filters[0])
        self.encoder = nn.ModuleList(Encoder(ops, config, *pair) for pair in pairwise(filters))
        self.mixers = nn.ModuleDict()
        for level in range(config.tick_depth, config.depth) if config.tick_depth else ():
            for way in ("down", "up"):
                mixer = TickMixer(ops, filters[level], config.tick_filters, spec.planes)
                self.mixers[f"{way}{level}"] = mixer
        self.deepest = Deepest(ops.bottom, config, filters[-1], spec.planes)
        self.decoder = nn.ModuleList(Decoder(ops, config, deep, shallow) for shallow, deep in pairwise(filters))
        self.final = series(ops, config, filters[0], config.blocks_final)
        self.classify = ops.conv(filters[0], outputs["pixels"], 1)
        self.event_head = self.vertex_head = None
        if "event" in outputs:
            self.event_head = EventHead(ops.bottom, config, filters[-1], spec.planes, outputs["event"])
        if "vertex" in outputs:
            self.vertex_head = VertexHead(ops, filters[config.vertex_depth], outputs["vertex"])

    @classmethod
    def view(cls, spec: Spec) -> Callable[[Batch], Pixels]:
        """See `Network`: the pixels of a batch."""
        make = cls.pixels(spec["images"])
        return lambda batch: make(batch["images"])

    @classmethod
    def build_operations(cls, config: UResNetConfig, framework: FrameworkConfig) -> Operations:
        """The operations that the layers are built from."""
        return cls.operations(config.normalization, config.bias, config.batch_norm_momentum)

    def forward(self, inputs: Any) -> dict[str, Tensor]:
        """See the class."""
        ops = self.ops
        outputs = {}
        skips = []
        x = self.initial(ops.enter(inputs))
        for level, encoder in enumerate(self.encoder):
            x = self._mixed("down", level, x)
            skips.append(x)
            x = encoder(x)
        bottom = ops.to_bottom(x)
        if self.event_head is not None:
            outputs["event"] = self.event_head(bottom)
        x = ops.from_bottom(self.deepest(bottom), x)
        for level in reversed(range(len(self.decoder))):
            x = self._mixed("up", level, self.decoder[level](x, skips.pop()))
            if self.vertex_head is not None and level == self.vertex_depth:
                outputs["vertex"] = ops.images(self.vertex_head(x), self.planes)
        outputs["pixels"] = ops.leave(self.classify(self.final(x)), self.planes)
        return outputs

    def _mixed(self, way: str, level: int, x: Map) -> Map:
        name = f"{way}{level}"
        return self.mixers[name](x) if name in self.mixers else x


class UResNet3d(UResNet):
    """The same with planes as a third dimension: the bottom has kernels over neighbouring planes, other layers have
    not.

    Same options, weights and layers as `UResNet`, except the two layers at the bottom that combine planes.
    """

    operations = Dense3d


class UResNetSparse(UResNet):
    """`UResNet` on the pixels that are not empty: `pixels` are logits [sites, classes]. Weights as `UResNet`.

    The bottleneck is computed on dense images, or with `network.bottleneck=sparse` on sites, too.
    """

    Config = SparseUResNetConfig
    pixels = SitePooler
    operations = Sparse2d
    channels_last = False

    @classmethod
    def build_operations(cls, config: SparseUResNetConfig, framework: FrameworkConfig) -> Operations:
        """See `UResNet`."""
        if framework.compile:
            raise UserError("framework.compile=true: sparse networks can't be compiled; use framework.compile=false")
        backend = sparse_backend(framework.sparse_backend)
        return cls.operations(config.normalization, config.bias, config.bottleneck, backend, config.batch_norm_momentum)


class UResNetSparse3d(UResNetSparse):
    """`UResNet3d` on the pixels that are not empty."""

    operations = Sparse3d


class ConvBlock(nn.Module):
    """Convolution, normalization and, with `active`, activation."""

    def __init__(self, ops: Operations, conv: Conv, channels: int, active: bool = True):
        super().__init__()
        self.ops = ops
        self.active = active
        self.conv = conv
        self.norm = ops.norm(channels)

    def forward(self, x: Map) -> Map:
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

    def forward(self, x: Map) -> Map:
        """Same shape as `x`."""
        return self.ops.activation(self.ops.add_(self.second(self.first(x)), x))


def series(ops: Operations, config: UResNetConfig, channels: int, blocks: int, kernel: int = 3) -> nn.Sequential:
    """`blocks` blocks that keep the number of channels, residual or plain."""
    if config.residual:
        return nn.Sequential(*(ResidualBlock(ops, channels, kernel) for _ in range(blocks)))
    return nn.Sequential(*(ConvBlock(ops, ops.conv(channels, channels, kernel), channels) for _ in range(blocks)))


class Encoder(nn.Module):
    """One level down: blocks, then half the size and more channels."""

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops = ops
        self.pooling = config.downsampling == "max_pooling"
        self.blocks = series(ops, config, inputs, config.blocks_per_layer)
        down = ops.conv(inputs, outputs, 1) if self.pooling else ops.conv(inputs, outputs, 2, 2)
        self.down = ConvBlock(ops, down, outputs)

    def forward(self, x: Map) -> Map:
        """[n, inputs, h, w] -> [n, outputs, h/2, w/2]."""
        x = self.blocks(x)
        return self.down(self.ops.pool(x) if self.pooling else x)


class Deepest(nn.Module):
    """The bottom of the U, which combines the planes of an event; with `block_concat` planes stay separate."""

    def __init__(self, ops: Operations, config: UResNetConfig, channels: int, planes: int):
        super().__init__()
        self.ops = ops
        self.planes = 1 if config.block_concat else planes
        width = config.bottleneck_deepest
        joined = ops.joined(channels, self.planes)
        self.bottleneck = ConvBlock(ops, ops.plane_conv(joined, width, self.planes), width)
        self.blocks = series(ops, config, width, config.blocks_deepest_layer, config.filter_size_deepest)
        self.widen = ConvBlock(ops, ops.plane_conv(width, joined, self.planes), joined)

    def forward(self, x: Map) -> Map:
        """Same shape as `x`."""
        joined = self.ops.join_planes(x, self.planes)
        return self.ops.split_planes(self.widen(self.blocks(self.bottleneck(joined))), x, self.planes)


class Upsample(nn.Module):
    """Twice the size, fewer channels.

    Interpolation weights sum to one, so a 1 x 1 convolution gives the same before as after it. Before, it costs a
    quarter and needs no wide map at the high resolution.
    """

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops = ops
        self.interpolate = config.upsampling == "interpolation"
        self.conv = ops.conv(inputs, outputs, 1) if self.interpolate else ops.transposed_conv(inputs, outputs)
        self.norm = ops.norm(outputs)

    def forward(self, x: Map, to: Map) -> Map:
        """[n, inputs, h, w] -> [n, outputs, 2h, 2w], the size of `to`."""
        x = self.ops.upsample(self.conv(x), to) if self.interpolate else self.conv(x, to)
        return self.ops.activation(self.norm(x))


class Decoder(nn.Module):
    """One level up: twice the size, concatenated with the encoder's map of this level, then blocks."""

    def __init__(self, ops: Operations, config: UResNetConfig, inputs: int, outputs: int):
        super().__init__()
        self.ops = ops
        self.connections = config.connections
        self.up = Upsample(ops, config, inputs, outputs)
        joins = config.connections == "concat"
        self.connect = ConvBlock(ops, ops.conv(2 * outputs, outputs, 1), outputs) if joins else None
        self.blocks = series(ops, config, outputs, config.blocks_per_layer)

    def forward(self, x: Map, skip: Map) -> Map:
        """[n, inputs, h, w] and the skip [n, outputs, 2h, 2w] -> [n, outputs, 2h, 2w]."""
        x = self.up(x, skip)
        if self.connect is not None:
            x = self.connect.norm(self.ops.concat_conv(self.connect.conv, x, skip))
            x = self.ops.activation(x)
        elif self.connections == "sum":
            x = self.ops.add(x, skip)
        return self.blocks(x)


class TickMixer(nn.Module):
    """Adds to each pixel what all planes of its event see at the same tick: features averaged over wires and planes.

    All planes see a particle at the same drift times, so a track that is clear in one plane tells what it is in the
    others. It adds nothing before training.
    """

    def __init__(self, ops: Operations, channels: int, width: int, planes: int):
        super().__init__()
        self.ops = ops
        self.planes = planes
        self.gather = ConvBlock(ops, ops.conv(channels, width, 1), width)
        self.spread = ConvBlock(ops, ops.conv(width, channels, 1), channels, active=False)
        with torch.no_grad():  # of the convolution where there is no normalization
            next(iter([*self.spread.norm.parameters(), self.spread.conv.weight])).zero_()

    def forward(self, x: Map) -> Map:
        """Same shape as `x`."""
        seen = self.ops.tick_mean(self.gather(x), self.planes)
        return self.ops.add(x, self.spread(seen))


class EventHead(nn.Module):
    """Logits of an event's class from the features at the bottom of all its planes."""

    def __init__(self, ops: Operations, config: UResNetConfig, channels: int, planes: int, classes: int):
        super().__init__()
        self.ops = ops
        self.planes = planes
        width = config.event_filters
        self.bottleneck = ConvBlock(ops, ops.plane_conv(ops.joined(channels, planes), width, planes), width)
        self.blocks = series(ops, config, width, config.event_blocks)
        self.classify = ops.conv(width, classes, 1)

    def forward(self, x: Any) -> Tensor:
        """Maps of single planes -> [events, classes]."""
        x = self.bottleneck(self.ops.join_planes(x, self.planes))
        return self.ops.event_mean(self.classify(self.blocks(x)), self.planes)


class VertexHead(nn.Module):
    """For each cell of a coarse grid three logits: for the presence of the neutrino's vertex, and its position, 0 to 1
    along rows and columns (after YOLO, Redmon et al. 2016).

    Initially all cells have a low probability, as nearly all cells have no vertex (Lin et al. 2017, 4.1).
    """

    def __init__(self, ops: Operations, channels: int, outputs: int):
        super().__init__()
        self.block = ConvBlock(ops, ops.conv(channels, channels, 3), channels)
        self.locate = ops.conv(channels, outputs, 1)
        if self.locate.bias is not None:
            with torch.no_grad():
                self.locate.bias[0] = -math.log(1 / 0.01 - 1)

    def forward(self, x: Map) -> Map:
        """[n, channels, h, w] -> [n, 3, h, w]."""
        return self.locate(self.block(x))


def _filters(config: UResNetConfig, level: int) -> int:
    first = config.n_initial_filters
    return first * 2**level if config.growth_rate == "multiplicative" else first * (level + 1)


def _check_vertex_depth(config: UResNetConfig) -> None:
    if config.vertex_depth >= config.depth:
        raise UserError(
            f"network.vertex_depth={config.vertex_depth}: must be less than network.depth={config.depth}, as the "
            "vertex is found on the way up; or use task.vertex.weight=0"
        )


def _check_sizes(config: UResNetConfig, spec: SparseImagesSpec) -> None:
    """Raise `UserError` unless every level halves the image exactly, as skip connections need."""
    if config.filter_size_deepest % 2 == 0:
        raise UserError(f"network.filter_size_deepest={config.filter_size_deepest}: must be odd")
    rows, columns = spec.pooled
    most = halvings(spec.pooled)
    spare = halvings(spec.shape) - config.depth
    if config.depth <= most:
        return
    other = f", or data.downsample={spare}" if spare >= 0 else ""
    raise UserError(
        f"network.depth={config.depth}: images of {rows} x {columns} pixels (data.downsample={spec.downsample}) can be "
        f"halved {most} times; use network.depth={most}{other}"
    )
