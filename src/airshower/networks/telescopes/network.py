"""The network for Cherenkov telescopes: layers for each image (`blocks`), the combination of the telescopes of an
event (`combine`), and outputs for each target (`heads`). A single telescope is an
event of one image. Weights are shared by the telescopes of a kind.
"""

from collections.abc import Mapping
from types import MappingProxyType

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from airshower.config.schema import FrameworkConfig
from airshower.data.containers import CameraImages
from airshower.data.spec import CameraImagesSpec, Spec
from airshower.errors import DataError
from airshower.geometry.camera import CameraGeometry, lattice
from airshower.geometry.mapping import camera_mapping
from airshower.networks.layers.starts import corrected
from airshower.networks.network import FITS, Network, Start
from airshower.networks.telescopes.blocks import CameraLayers
from airshower.networks.telescopes.combine import AUXILIARY, Telescopes, combination
from airshower.networks.telescopes.config import TelescopeNetworkConfig, check
from airshower.networks.telescopes.geometry import Axes, Geometry, ImageAxes
from airshower.networks.telescopes.heads import Heads
from airshower.networks.telescopes.hexagonal import CameraMap, ToImage, camera_mean
from airshower.networks.telescopes.inputs import ArrayInput, ArrayView, CameraInput, telescope_kinds


class TelescopeNetwork(Network):
    """`ArrayInput` -> the task's `outputs`, keyed by name [entries, channels].

    Only telescopes with an image are used. `network.mapping` axial convolves over the neighbours of hexagons,
    the others over square cells.
    """

    Config = TelescopeNetworkConfig
    takes = MappingProxyType({"images": CameraImages})
    tasks = ("reconstruction",)

    def __init__(self, config: TelescopeNetworkConfig, spec: Spec, outputs: dict[str, int], framework: FrameworkConfig):
        super().__init__()
        check(config)
        array: CameraImagesSpec = spec["images"]
        check_cameras(array)
        self.encoders = nn.ModuleList(
            CameraEncoder(config, array.cameras[kind.camera], kind.focal_length) for kind in telescope_kinds(array)
        )
        self.maps = config.combine == "feature_map"
        channels, cells = (config.filters[-1], config.grid**2) if self.maps else (config.width, 1)
        self.combine = combination(config, channels, len(array.telescope_ids))
        hexagonal = all(encoder.hexagonal for encoder in self.encoders)
        self.heads = Heads(config, self.combine.outputs, cells, outputs, hexagonal)
        self.geometry = Geometry(channels, config.axes) if config.axes else None
        if self.geometry is not None:
            self.heads.start_from_zero(Geometry.votes)

    @classmethod
    def starts(cls, config: TelescopeNetworkConfig) -> Mapping[str, Start]:
        """See `Network`: votes of images, if there are any."""
        return {name: FITS[name] for name in Geometry.votes if config.axes}

    @classmethod
    def view(cls, spec: Spec) -> ArrayView:
        """See `Network`."""
        return ArrayView(spec["images"])

    def forward(self, array: ArrayInput) -> dict[str, Tensor]:
        """See the class."""
        encoded = [encoder(kind) for encoder, kind in zip(self.encoders, array.kinds, strict=True)]
        maps, axes = zip(*encoded, strict=True)
        features = torch.cat([x.values for x in maps]) if self.maps else torch.cat(maps)
        event, row, auxiliary, frame, size = (
            torch.cat([getattr(kind, name) for kind in array.kinds])
            for name in ("event", "row", "telescope", "frame", "size")
        )
        geometric = {}
        mask = torch.stack([x.mask for x in maps]).any(0) if self.maps else None
        if self.geometry is not None:
            all_axes = Axes(*(torch.cat(parts) for parts in zip(*axes, strict=True)))
            vector = features if mask is None else camera_mean(CameraMap(features, mask))
            addition, geometric = self.geometry(vector, all_axes, auxiliary[:, :3], frame, event, array.entries)
            features = (features + (addition[:, :, None, None] * mask if self.maps else addition)).relu()
        telescopes = Telescopes(features, event, row, auxiliary, size, array.entries)
        outputs = self.heads(self.combine(telescopes, mask)) if self.maps else self.heads(self.combine(telescopes))
        return corrected(outputs, geometric)


class CameraEncoder(nn.Module):
    """One kind of telescope: pixels [images, 2, pixels] and telescopes' features [images, 6] -> [images, width] or,
    with `feature_map` slots, a map [images, filters, grid, grid]."""

    angles: Tensor

    def __init__(self, config: TelescopeNetworkConfig, camera: CameraGeometry, focal_length: float):
        super().__init__()
        grid = lattice(camera)
        # mapped values are not charges, so cells of several pixels have their mean, not their sum
        self.to_image = ToImage(camera_mapping(config.mapping, grid).averaging())
        self.hexagonal = grid.hexagonal and config.mapping == "axial"
        self.channels = 1 + config.time
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

    def __init__(self, config: TelescopeNetworkConfig):
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
    """Averages a map of any camera over pixels onto a common grid of `cells` x `cells` cells."""

    def __init__(self, cells: int):
        super().__init__()
        self.cells = cells

    def forward(self, x: CameraMap, _: Tensor) -> CameraMap:
        """[images, channels, rows, columns] -> [images, channels, cells, cells]."""
        share = functional.adaptive_avg_pool2d(x.mask.to(x.values.dtype), self.cells)
        values = functional.adaptive_avg_pool2d(x.values, self.cells)
        return CameraMap(values / share.masked_fill(share == 0, 1.0), share > 0)


class PixelPool(nn.Module):
    """A map [images, channels, rows, columns] -> [images, outputs]: the mean over pixels, and `heads` means of all
    channels weighted by learned scores of pixels: Ilse et al., Attention-based Deep Multiple Instance Learning (2018).
    An image has at least one pixel."""

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


def check_cameras(spec: CameraImagesSpec) -> None:
    """Raise `DataError` for a camera whose pixels form no lattice. The message says how to exclude it, if others do."""
    fitting = []
    error = None
    for camera in spec.cameras:
        try:
            lattice(camera)
            fitting.append(camera.name)
        except DataError as reason:
            error = error or reason
    if error is not None:
        others = ",".join(dict.fromkeys(fitting))
        raise DataError(f"{error}; data.telescope_types=[{others}] leaves it out" if others else str(error))


def field_angles(camera: CameraGeometry, focal_length: float) -> np.ndarray:
    """The field angle of each pixel relative to the pointing: degrees (as tangents) towards rising altitude and rising
    azimuth, f8 [2, pixels]. The camera's x points to rising altitude, y to rising azimuth, turned by its rotation."""
    turn = np.radians(camera.camera_rotation)
    x, y = np.degrees(camera.x / focal_length), np.degrees(camera.y / focal_length)
    return np.stack([np.cos(turn) * x - np.sin(turn) * y, np.sin(turn) * x + np.cos(turn) * y])
