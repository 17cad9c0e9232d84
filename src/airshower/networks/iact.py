"""A network for Cherenkov telescopes: each image through a residual network of its kind of telescope, the telescopes of
an event together, one head for each output. A single telescope is an event of one image.

Pre-activation residual blocks: He et al., Identity Mappings in Deep Residual Networks (2016). Weights shared by the
telescopes of a kind, which are combined as a set, whatever their number and order: Zaheer et al., Deep Sets (2017); the
weighted means over pixels and telescopes: Ilse et al., Attention-based Deep Multiple Instance Learning (2018).
"""

import math
from dataclasses import dataclass, field
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from airshower.config.fields import choice, number
from airshower.config.schema import FrameworkConfig
from airshower.data.showers import Camera, IactSpec
from airshower.data.telescopes import ArrayInput, CameraImages, telescope_kinds
from airshower.detectors.cta.camera import lattice
from airshower.detectors.cta.mapping import MAPPINGS, camera_mapping
from airshower.errors import UserError
from airshower.networks.hexagonal import CameraBatchNorm, CameraMap, HexConv2d, HexPool, ToImage, camera_mean

GROUPS = 8  # of channels, at most, in group normalization
TELESCOPE = 6  # features of a telescope beside its image, see `CameraInput`


@dataclass
class IactNetworkConfig:
    """`network.*`."""

    filters: list[int] = field(default_factory=lambda: [16, 32, 64])
    blocks: int = number(1, low=1)
    kernel: int = number(3, low=1, high=9)
    pooling: str = choice("max", "average")
    normalization: str = choice("batch", "sync_batch", "group", "none")
    mapping: str = choice(*MAPPINGS)
    time: bool = True
    coordinates: bool = True
    pixel_attention: int = number(4, low=0)
    width: int = number(128, low=1)
    combine: str = choice("attention", "mean", "max")
    head_width: int = number(64, low=0)


class IactNetwork(nn.Module):
    """`ArrayInput` -> the `outputs` asked for, by name [entries, channels].

    Only telescopes that have an image take part. `network.mapping` axial convolves over the neighbours of hexagons,
    the others over square cells.
    """

    Config = IactNetworkConfig
    reads = "telescope_images"
    sees = CameraImages
    channels_last = True

    def __init__(self, config: IactNetworkConfig, spec: IactSpec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        _check(config)
        self.encoders = nn.ModuleList(
            CameraEncoder(config, spec.cameras[kind.camera], kind.focal_length) for kind in telescope_kinds(spec)
        )
        self.combine = Combine(config.width, config.combine)
        self.names = tuple(outputs)
        self.heads = nn.ModuleList(_head(config, channels) for channels in outputs.values())

    def forward(self, array: ArrayInput) -> dict[str, Tensor]:
        """See the class."""
        images = [
            encoder(kind.pixels, kind.telescope) for encoder, kind in zip(self.encoders, array.kinds, strict=True)
        ]
        event = torch.cat([kind.event for kind in array.kinds])
        x = self.combine(torch.cat(images), event, array.entries)
        return {name: head(x) for name, head in zip(self.names, self.heads, strict=True)}


class CameraEncoder(nn.Module):
    """One kind of telescope: pixels [images, 2, pixels] and telescopes' features [images, 6] -> [images, width]."""

    def __init__(self, config: IactNetworkConfig, camera: Camera, focal_length: float):
        super().__init__()
        grid = lattice(camera)
        # what is mapped are no charges, so cells of several pixels have their mean
        self.to_image = ToImage(camera_mapping(config.mapping, grid).averaging())
        self.time = config.time
        field_of_view = torch.from_numpy(field_angles(camera, focal_length)).float()
        self.register_buffer("field", field_of_view if config.coordinates else field_of_view[:0], persistent=False)
        hexagonal = grid.hexagonal and config.mapping == "axial"
        channels = 1 + config.time + len(self.field)
        layers: list[nn.Module] = [HexConv2d(channels, config.filters[0], config.kernel, hexagonal=hexagonal)]
        for level, (inputs, filters) in enumerate(pairwise([config.filters[0], *config.filters])):
            if level:
                layers.append(HexPool(config.pooling == "average", hexagonal))
            for block in range(config.blocks):
                layers.append(Block(config, filters if block else inputs, filters, hexagonal))
        self.layers = nn.Sequential(*layers, _norm(config, config.filters[-1]))
        self.pool = PixelPool(config.filters[-1], config.pixel_attention)
        self.join = nn.Sequential(
            nn.Linear(self.pool.outputs + TELESCOPE, config.width), nn.ReLU(),
            nn.Linear(config.width, config.width), nn.ReLU(),
        )  # fmt: skip

    def forward(self, pixels: Tensor, telescope: Tensor) -> Tensor:
        """See the class."""
        pixels = pixels if self.time else pixels[:, :1]
        pixels = torch.cat([pixels, self.field.to(pixels.dtype).expand(len(pixels), -1, -1)], 1)
        x = _relu(self.layers(self.to_image(pixels)))
        return self.join(torch.cat([self.pool(x), telescope], 1))


class Block(nn.Module):
    """Normalization, ReLU and convolution, twice, beside the identity (where the number of channels changes, a
    convolution of single pixels)."""

    def __init__(self, config: IactNetworkConfig, inputs: int, outputs: int, hexagonal: bool):
        super().__init__()
        bias = config.normalization == "none"
        self.norm1, self.norm2 = _norm(config, inputs), _norm(config, outputs)
        self.conv1 = HexConv2d(inputs, outputs, config.kernel, bias=bias, hexagonal=hexagonal)
        self.conv2 = HexConv2d(outputs, outputs, config.kernel, bias=bias, hexagonal=hexagonal)
        self.shortcut = HexConv2d(inputs, outputs, 1, bias=bias) if inputs != outputs else nn.Identity()

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, inputs, rows, columns] -> [images, outputs, rows, columns]."""
        first = _relu(self.norm1(x))
        y = self.conv2(_relu(self.norm2(self.conv1(first))))
        # a convolution in the shortcut sees what the block sees, as in the paper
        beside = x if isinstance(self.shortcut, nn.Identity) else self.shortcut(first)
        return CameraMap(y.values + beside.values, y.mask)


class PixelPool(nn.Module):
    """A map [images, channels, rows, columns] -> [images, outputs]: the mean over pixels, and `heads` means weighted by
    scores learned for each pixel, of all channels each. An image has at least one pixel."""

    def __init__(self, channels: int, heads: int):
        super().__init__()
        self.score = nn.Conv2d(channels, heads, 1) if heads else None
        self.outputs = channels * (1 + heads)

    def forward(self, x: CameraMap) -> Tensor:
        """See the class."""
        pooled = [camera_mean(x)]
        if self.score is not None:
            score = self.score(x.values).float().masked_fill(~x.mask, -torch.inf).flatten(2).softmax(2)
            pooled.append((score.to(x.values.dtype) @ x.values.flatten(2).transpose(1, 2)).flatten(1))
        return torch.cat(pooled, 1)


class Combine(nn.Module):
    """Telescopes [images, channels] (none negative) of `event` int64 [images] -> [entries, channels + 1]: their mean,
    the maximum of each channel, or means weighted by learned scores in groups of channels; and the logarithm of
    their number. Zero for an entry without images."""

    def __init__(self, channels: int, how: str):
        super().__init__()
        self.how = how
        self.score = nn.Linear(channels, math.gcd(channels, GROUPS)) if how == "attention" else None

    def forward(self, x: Tensor, event: Tensor, entries: int) -> Tensor:
        """See the class."""
        count = torch.bincount(event, minlength=entries).to(x.dtype)[:, None]
        if self.how == "max":
            together = x.new_zeros(entries, x.shape[1]).scatter_reduce(0, event[:, None].expand_as(x), x, "amax")
        elif self.score is None:
            together = x.new_zeros(entries, x.shape[1]).index_add(0, event, x) / count.clamp_min(1)
        else:
            weight = event_softmax(self.score(x).float(), event, entries).to(x.dtype)
            weighted = (x.unflatten(1, (weight.shape[1], -1)) * weight[:, :, None]).flatten(1)
            together = x.new_zeros(entries, x.shape[1]).index_add(0, event, weighted)
        return torch.cat([together, count.clamp_min(1).log()], 1)


class CameraGroupNorm(nn.GroupNorm):
    """Group normalization (Wu & He 2018) over the pixels of an image, whatever the batch; weights as `nn.GroupNorm`."""

    def forward(self, x: CameraMap) -> CameraMap:
        """[images, channels, rows, columns] as before."""
        wide = x.values.float() if x.values.dtype != torch.float64 else x.values
        grouped, mask = wide.unflatten(1, (self.num_groups, -1)), x.mask[:, :, None]
        axes = (2, 3, 4)
        count = mask.sum(axes, keepdim=True) * grouped.shape[2]
        centred = (grouped - grouped.sum(axes, keepdim=True) / count.clamp_min(1)) * mask
        variance = centred.square().sum(axes, keepdim=True) / count.clamp_min(1)
        normal = (centred * (variance + self.eps).rsqrt()).flatten(1, 2)
        y = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return CameraMap((y * x.mask).to(x.values.dtype), x.mask)


class SyncCameraBatchNorm(CameraBatchNorm):
    """Where there are several ranks, `engine.batch_norm.synchronise` makes its statistics those of all."""


def event_softmax(score: Tensor, event: Tensor, entries: int) -> Tensor:
    """Softmax of scores [images, heads] over the images of each event."""
    index = event[:, None].expand_as(score)
    largest = score.new_full((entries, score.shape[1]), -torch.inf).scatter_reduce(0, index, score.detach(), "amax")
    weight = (score - largest[event]).exp()
    return weight / weight.new_zeros(largest.shape).index_add(0, event, weight)[event]


def field_angles(camera: Camera, focal_length: float) -> np.ndarray:
    """Where each pixel looks, relative to the pointing: degrees (as tangents) towards rising altitude and rising
    azimuth, f8 [2, pixels]. The camera's x points to rising altitude, y to rising azimuth, turned by its rotation."""
    turn = np.radians(camera.camera_rotation)
    x, y = np.degrees(camera.x / focal_length), np.degrees(camera.y / focal_length)
    return np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y])


def _relu(x: CameraMap) -> CameraMap:
    return CameraMap(x.values.relu(), x.mask)


def _norm(config: IactNetworkConfig, channels: int) -> nn.Module:
    match config.normalization:
        case "batch":
            return CameraBatchNorm(channels)
        case "sync_batch":
            return SyncCameraBatchNorm(channels)
        case "group":
            return CameraGroupNorm(math.gcd(channels, GROUPS), channels)
    return nn.Identity()


def _head(config: IactNetworkConfig, outputs: int) -> nn.Module:
    if not config.head_width:
        return nn.Linear(config.width + 1, outputs)
    return nn.Sequential(
        nn.Linear(config.width + 1, config.head_width), nn.ReLU(), nn.Linear(config.head_width, outputs)
    )


def _check(config: IactNetworkConfig) -> None:
    if not config.filters or min(config.filters) < 1:
        raise UserError(f"network.filters={config.filters}: needs a number of channels, above 0, for each level")
    if config.kernel % 2 == 0:
        raise UserError(f"network.kernel={config.kernel}: must be odd")
