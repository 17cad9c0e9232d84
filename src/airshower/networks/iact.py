"""The network for Cherenkov telescopes: each image through the layers of its kind of telescope (`iact_blocks`), the
telescopes of an event together (`iact_combine`), one output for each target (`iact_heads`). A single telescope is an
event of one image. Weights are shared by the telescopes of a kind.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.schema import FrameworkConfig
from airshower.data.showers import Camera, IactSpec
from airshower.data.telescopes import ArrayInput, CameraImages, CameraInput, telescope_kinds
from airshower.detectors.cta.camera import lattice
from airshower.detectors.cta.mapping import camera_mapping
from airshower.errors import DataError
from airshower.networks.hexagonal import CameraMap, ToImage, camera_mean
from airshower.networks.iact_blocks import CameraLayers
from airshower.networks.iact_combine import AUXILIARY, Telescopes, combination
from airshower.networks.iact_config import IactNetworkConfig, check
from airshower.networks.iact_geometry import Axes, Geometry, ImageAxes
from airshower.networks.iact_heads import Heads


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
        check(config)
        check_cameras(spec)
        self.encoders = nn.ModuleList(
            CameraEncoder(config, spec.cameras[kind.camera], kind.focal_length) for kind in telescope_kinds(spec)
        )
        self.maps = config.combine == "feature_map"
        channels, cells = (config.filters[-1], config.grid**2) if self.maps else (config.width, 1)
        self.combine = combination(config, channels, len(spec.telescope_ids))
        hexagonal = all(encoder.hexagonal for encoder in self.encoders)
        self.heads = Heads(config, self.combine.outputs, cells, outputs, hexagonal)
        self.geometry = Geometry(channels, config.axes) if config.axes else None
        if self.geometry is not None:
            self.heads.start_from_zero(Geometry.votes)

    def forward(self, array: ArrayInput) -> dict[str, Tensor]:
        """See the class."""
        seen = [encoder(kind) for encoder, kind in zip(self.encoders, array.kinds, strict=True)]
        maps, axes = zip(*seen, strict=True)
        features = torch.cat([x.values for x in maps]) if self.maps else torch.cat(maps)
        event, row, auxiliary, frame, size = (
            torch.cat([getattr(kind, name) for kind in array.kinds])
            for name in ("event", "row", "telescope", "frame", "size")
        )
        agreed, mask = {}, torch.stack([x.mask for x in maps]).any(0) if self.maps else None
        if self.geometry is not None:
            all_axes = Axes(*(torch.cat(parts) for parts in zip(*axes, strict=True)))
            vector = features if mask is None else camera_mean(CameraMap(features, mask))
            addition, agreed = self.geometry(vector, all_axes, auxiliary[:, :3], frame, event, array.entries)
            features = (features + (addition[:, :, None, None] * mask if self.maps else addition)).relu()
        telescopes = Telescopes(features, event, row, auxiliary, size, array.entries)
        outputs = self.heads(self.combine(telescopes, mask)) if self.maps else self.heads(self.combine(telescopes))
        return {name: output + agreed[name] if name in agreed else output for name, output in outputs.items()}


class CameraEncoder(nn.Module):
    """One kind of telescope: pixels [images, 2, pixels] and telescopes' features [images, 6] -> [images, width] or,
    where the array's maps are put together, a map [images, filters, grid, grid]."""

    angles: Tensor

    def __init__(self, config: IactNetworkConfig, camera: Camera, focal_length: float):
        super().__init__()
        grid = lattice(camera)
        # what is mapped are no charges, so cells of several pixels have their mean
        self.to_image = ToImage(camera_mapping(config.mapping, grid).averaging())
        self.hexagonal, self.channels = grid.hexagonal and config.mapping == "axial", 1 + config.time
        field_of_view = torch.from_numpy(field_angles(camera, focal_length)).float()
        self.register_buffer("angles", self.to_image(field_of_view[None]).values[0], persistent=False)
        self.coordinates = len(self.angles) if config.coordinates else 0
        self.layers = CameraLayers(config, self.channels, self.coordinates, self.hexagonal)
        self.read = GridPool(config.grid) if config.combine == "feature_map" else Readout(config)
        self.axes = ImageAxes(self.channels, config.axes, self.hexagonal) if config.axes else None

    def forward(self, kind: CameraInput) -> tuple[Tensor | CameraMap, Axes | None]:
        """See the class."""
        image = self.to_image(kind.pixels[:, : self.channels])
        axes = None
        if self.axes is not None:
            axes = self.axes(image, self.to_image(kind.clean).values, self.angles, kind.size)
        constant = CameraMap(self.angles[None, : self.coordinates], image.mask)
        return self.read(self.layers(image, constant), kind.telescope), axes


class Readout(nn.Module):
    """A map [images, filters, rows, columns] and telescopes' features [images, 6] -> [images, width], none negative."""

    def __init__(self, config: IactNetworkConfig):
        super().__init__()
        self.pool = PixelPool(config.filters[-1], config.pixel_attention)
        self.join = nn.Sequential(
            nn.Linear(self.pool.outputs + AUXILIARY, config.width), nn.ReLU(),
            nn.Linear(config.width, config.width), nn.ReLU(),
        )  # fmt: skip

    def forward(self, x: CameraMap, telescope: Tensor) -> Tensor:
        """See the class."""
        return self.join(torch.cat([self.pool(x), telescope], 1))


class GridPool(nn.Module):
    """A map of any camera on `cells` x `cells` cells, which cameras have in common: means over pixels."""

    def __init__(self, cells: int):
        super().__init__()
        self.cells = cells

    def forward(self, x: CameraMap, _: Tensor) -> CameraMap:
        """[images, channels, rows, columns] -> [images, channels, cells, cells]."""
        share = functional.adaptive_avg_pool2d(x.mask.to(x.values.dtype), self.cells)
        values = functional.adaptive_avg_pool2d(x.values, self.cells)
        return CameraMap(values / share.masked_fill(share == 0, 1.0), share > 0)


class PixelPool(nn.Module):
    """A map [images, channels, rows, columns] -> [images, outputs]: the mean over pixels, and `heads` means weighted by
    scores learned for each pixel, of all channels each: Ilse et al., Attention-based Deep Multiple Instance Learning
    (2018). An image has at least one pixel."""

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


def check_cameras(spec: IactSpec) -> None:
    """Raise `DataError` for a camera that is no lattice, which says how to leave it out where others are one."""
    fitting, error = [], None
    for camera in spec.cameras:
        try:
            lattice(camera)
            fitting.append(camera.name)
        except DataError as reason:
            error = error or reason
    if error is not None:
        others = ",".join(dict.fromkeys(fitting))
        raise DataError(f"{error}; data.telescope_types=[{others}] leaves it out" if others else str(error))


def field_angles(camera: Camera, focal_length: float) -> np.ndarray:
    """Where each pixel looks, relative to the pointing: degrees (as tangents) towards rising altitude and rising
    azimuth, f8 [2, pixels]. The camera's x points to rising altitude, y to rising azimuth, turned by its rotation."""
    turn = np.radians(camera.camera_rotation)
    x, y = np.degrees(camera.x / focal_length), np.degrees(camera.y / focal_length)
    return np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y])
