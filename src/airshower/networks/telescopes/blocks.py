"""The layers for a single camera image: a first convolution, the stem, and levels of blocks. Each level has half the
resolution of the one before. The blocks are those of four families of networks, over hexagons or squares.
"""

import math
from itertools import pairwise

from torch import nn

from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.hexagonal import (
    CameraBatchNorm,
    CameraGroupNorm,
    CameraMap,
    HexConv2d,
    HexPool,
    SyncCameraBatchNorm,
    camera_mean,
)

GROUPS = 8  # of channels, at most, in group normalization
RATIO = 16  # reduction ratio of channel attention


class Layers:
    """Builders of layers with the options that all layers share."""

    def __init__(self, config: TelescopeNetworkConfig, hexagonal: bool):
        self.config = config
        self.hexagonal = hexagonal

    def conv(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1) -> HexConv2d:
        """A convolution, without a bias where the normalization that follows has one."""
        bias = self.config.normalization == "none"
        return HexConv2d(inputs, outputs, kernel, stride, bias, groups, self.hexagonal)

    def activation(self, channels: int) -> "Activation":
        """The normalization that the config names, and ReLU."""
        momentum = self.config.batch_norm_momentum
        match self.config.normalization:
            case "batch":
                return Activation(CameraBatchNorm(channels, momentum=momentum))
            case "sync_batch":
                return Activation(SyncCameraBatchNorm(channels, momentum=momentum))
            case "group":
                return Activation(CameraGroupNorm(math.gcd(channels, GROUPS), channels))
        return Activation(nn.Identity())


class Activation(nn.Module):
    """Normalization and ReLU."""

    def __init__(self, norm: nn.Module):
        super().__init__()
        self.norm = norm

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] as before."""
        y = self.norm(x)
        return CameraMap(
            y.values.relu() if y is x else y.values.relu_(), y.mask
        )  # a norm's output is not used elsewhere


class ConvBlock(nn.Sequential):
    """Convolution, normalization, ReLU: Krizhevsky et al., ImageNet Classification with Deep Convolutional Neural
    Networks (2012).

    The original kernels of 11 (with a stride of 2) and 5 are for images four times as large; for 55 x 55 pixels they
    are 5 (the stem's) and 3. Normalization replaces the original local response normalization.
    """

    def __init__(self, make: Layers, inputs: int, outputs: int, stride: int):
        kernel = make.config.kernel
        super().__init__(make.conv(inputs, outputs, kernel, stride), make.activation(outputs))


class SeparableBlock(nn.Sequential):
    """A convolution of each channel by itself, then one of single pixels, each with normalization and ReLU: Howard et
    al., MobileNets (2017)."""

    def __init__(self, make: Layers, inputs: int, outputs: int, stride: int):
        super().__init__(
            make.conv(inputs, inputs, make.config.kernel, stride, groups=inputs), make.activation(inputs),
            make.conv(inputs, outputs, 1), make.activation(outputs),
        )  # fmt: skip


class ResidualBlock(nn.Module):
    """Normalization, ReLU and convolution, twice, beside the identity (where channels or resolution change, a
    convolution of single pixels): He et al., Identity Mappings in Deep Residual Networks (2016)."""

    def __init__(self, make: Layers, inputs: int, outputs: int, stride: int):
        super().__init__()
        kernel = make.config.kernel
        self.before = make.activation(inputs)
        self.between = make.activation(outputs)
        self.conv1 = make.conv(inputs, outputs, kernel, stride)
        self.conv2 = make.conv(outputs, outputs, kernel)
        changes = inputs != outputs or stride > 1
        self.shortcut = make.conv(inputs, outputs, 1, stride) if changes else None

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, inputs, rows, columns] -> [images, outputs, rows, columns], both halved (upwards) with stride 2."""
        first = self.before(x)
        y = self.conv2(self.between(self.conv1(first)))
        # a convolution in the shortcut has the normalised input of the block, as in the paper
        beside = x if self.shortcut is None else self.shortcut(first)
        return CameraMap(y.values + beside.values, y.mask)


class DualAttention(nn.Module):
    """Channel attention (squeeze and excitation, Hu et al. 2018) times one plus spatial attention: Sun et al., SAUNet
    (2020)."""

    def __init__(self, channels: int):
        super().__init__()
        between = max(1, channels // RATIO)
        self.of_channels = nn.Sequential(
            nn.Linear(channels, between), nn.ReLU(), nn.Linear(between, channels), nn.Sigmoid()
        )
        self.of_pixels = nn.Sequential(
            nn.Conv2d(channels, between, 1), nn.ReLU(), nn.Conv2d(between, 1, 1), nn.Sigmoid()
        )

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] as before."""
        channels = self.of_channels(camera_mean(x))[:, :, None, None]
        return CameraMap(x.values * channels * (1 + self.of_pixels(x.values)), x.mask)


BLOCKS = {"alexnet": ConvBlock, "mobilenet": SeparableBlock, "resnet": ResidualBlock, "gammaphysnet": ResidualBlock}


class CameraLayers(nn.Module):
    """Stem and levels: values [images, channels, rows, columns], and `constant` inputs that are the same for all images
    [1, constants, rows, columns] -> [images, filters, rows, columns], halved by the stem (if its stride is 2) and
    between levels.

    `gammaphysnet` is that of Jacquemont et al., Multi-Task Architecture with Attention for Imaging Atmospheric
    Cherenkov Telescope Data Analysis (VISAPP 2021): residual blocks, and attention after each level.
    """

    def __init__(self, config: TelescopeNetworkConfig, channels: int, constants: int, hexagonal: bool):
        super().__init__()
        make = Layers(config, hexagonal)
        first = config.filters[0]
        last = config.filters[-1]
        stem = config.stem_kernel, config.stem_stride
        self.stem = make.conv(channels, first, *stem)
        self.constant = make.conv(constants, first, *stem) if constants else None
        after = config.block in (
            "alexnet",
            "mobilenet",
        )  # these blocks end with normalization and ReLU, the others begin with them
        self.levels = nn.Sequential(
            *([make.activation(first)] if after else []),
            *levels(make, config.block, config.filters, config.blocks, config.downsampling),
            *([] if after else [make.activation(last)]),
        )

    def forward(self, x: CameraMap, constant: CameraMap) -> CameraMap:
        """See the class."""
        y = self.stem(x)
        if self.constant is not None:
            # one convolution of all channels, without repeating the constant inputs for each image
            y = CameraMap(y.values + self.constant(constant).values, y.mask)
        return self.levels(y)


def levels(make: Layers, block: str, filters: list[int], blocks: list[int], down: str = "") -> list[nn.Module]:
    """Levels with `blocks` blocks of `filters` channels each, for an input of `filters[0]` channels. `down` is one of
    `network.downsampling`; without it, all levels have one resolution."""
    layers: list[nn.Module] = []
    for level, (inputs, outputs) in enumerate(pairwise([filters[0], *filters])):
        if level and down.endswith("pooling"):
            layers.append(HexPool(down == "average_pooling", make.hexagonal))
        stride = 2 if level and down == "convolutional" else 1
        for _ in range(blocks[level]):
            layers.append(BLOCKS[block](make, inputs, outputs, stride))
            inputs = outputs
            stride = 1
        if block == "gammaphysnet":
            layers.append(DualAttention(outputs))
    return layers
