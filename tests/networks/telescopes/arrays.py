"""A small array of telescopes with images, and networks for it."""

from types import SimpleNamespace

import numpy as np
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, TelescopeImages
from airshower.data.spec import CameraImagesSpec, Spec
from airshower.data.truth import Frame
from airshower.detectors.cta.source import CtaEvents, true_columns
from airshower.geometry.camera import CameraGeometry
from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.inputs import ArrayInput, ArrayView, CameraInput
from airshower.networks.telescopes.network import TelescopeNetwork

OUTPUTS = {"type": 2, "energy": 1, "direction": 2, "core": 2}
COMBINATIONS: dict[str, dict[str, object]] = {
    "attention": {"combine": "attention"},
    "set_attention": {"combine": "set_attention"},
    "mean": {"combine": "mean"},
    "max": {"combine": "max"},
    "brightest first": {"combine": "recurrent", "order": "size"},
    "as listed": {"combine": "recurrent", "order": "telescope"},
    "vector": {"combine": "vector", "head": "alexnet"},
    "maps": {"combine": "feature_map", "grid": 3},
    "maps mobilenet": {"combine": "feature_map", "head": "mobilenet", "grid": 3},
    "maps resnet": {"combine": "feature_map", "head": "resnet", "grid": 2},
}
BLOCKS: dict[str, dict[str, object]] = {
    "resnet": {},
    "gammaphysnet": {"block": "gammaphysnet", "downsampling": "convolutional", "blocks": [1, 2], "stem_stride": 1},
    "mobilenet": {"block": "mobilenet", "downsampling": "convolutional", "stem_kernel": 3},
    "alexnet": {"block": "alexnet", "downsampling": "average_pooling", "blocks": [0, 2]},
}


def camera(name: str, rings: int, shape: str = "hexagon") -> CameraGeometry:
    """A hexagon of hexagons, or a square of squares, 5 cm apart."""
    steps = range(-rings, rings + 1)
    row, column = np.array([(r, c) for r in steps for c in steps if shape == "square" or abs(r - c) <= rings]).T
    x, y = (
        (0.05 * (column - row / 2), 0.05 * np.sqrt(3) / 2 * row) if shape == "hexagon" else (0.05 * column, 0.05 * row)
    )
    return CameraGeometry(name, x, y, np.full(len(x), 0.002), shape)


ARRAY = CameraImagesSpec(
    "stereo",
    (camera("A", 3), camera("B", 2)),
    np.arange(1, 6),
    ("LST", "LST", "MST", "MST", "SST"),
    np.arange(15.0).reshape(5, 3) * 20,
    np.array([28.0, 28.0, 16.0, 16.0, 2.0]),
    np.array([0, 0, 0, 0, 1]),  # two kinds of telescope have camera A
)


def spec_of(array: CameraImagesSpec, classes: tuple[str, ...] = ("gamma", "proton")) -> Spec:
    """The spec of simulated files of this array."""
    truth = true_columns(classes)
    return Spec({"images": array}, truth, frozenset(column.name for column in truth))


SPEC = spec_of(ARRAY)


def images(kind: int, rows: list[tuple[int, int]], seed: int = 0, array: CameraImagesSpec = ARRAY) -> TelescopeImages:
    """Random images of (event, telescope); the same for the same telescope of the same seed."""
    pixels = len(array.cameras[kind].x)
    made = [np.random.default_rng([seed, telescope]).normal(3, 5, (2, pixels)) for _, telescope in rows]
    return telescope_images(np.array(made, np.float32).reshape(-1, 2, pixels), rows)


def telescope_images(pixels: np.ndarray, rows: list[tuple[int, int]]) -> TelescopeImages:
    """Charge and time float32 [images, 2, pixels] of (event, telescope)."""
    charge, time = pixels.transpose(1, 0, 2)
    event, telescope = np.array(rows, np.int64).reshape(-1, 2).T
    pointing = np.tile(np.float32([1.2, 0.3]), (len(rows), 1))
    charge, time, event, telescope, pointing = (
        torch.from_numpy(values.copy()) for values in (charge, time, event, telescope, pointing)
    )
    return TelescopeImages(charge, time, None, event, telescope, pointing)


def network(array: CameraImagesSpec = ARRAY, **config: object) -> TelescopeNetwork:
    """Always the same weights."""
    torch.manual_seed(0)
    options = {"filters": [4, 6], "blocks": [1, 1], "width": 8, "head_width": 4, "normalization": "group", **config}
    return TelescopeNetwork(TelescopeNetworkConfig(**options), spec_of(array), OUTPUTS, FrameworkConfig())


def batch_of(cameras: tuple[TelescopeImages, ...], entries: int) -> Batch:
    """A batch without truth."""
    return Batch({"images": CameraImages(cameras)}, np.arange(entries), np.zeros((entries, 3), int))


def input_of(cameras: tuple[TelescopeImages, ...], entries: int, array: CameraImagesSpec = ARRAY) -> ArrayInput:
    """The network's input from the images of each of the array's cameras."""
    return ArrayView(array)(batch_of(cameras, entries))


def frame_of(cameras: tuple[TelescopeImages, ...], entries: int, array: CameraImagesSpec = ARRAY) -> Frame:
    """The frame that a source of such images gives, as tensors."""
    frame = CtaEvents._frame(SimpleNamespace(array=array), CameraImages(cameras), entries)
    return frame.to(torch.device("cpu"))


def run(
    net: TelescopeNetwork, *cameras: TelescopeImages, entries: int, array: CameraImagesSpec = ARRAY
) -> dict[str, Tensor]:
    """The outputs for the images of each of the array's cameras."""
    return net(input_of(cameras, entries, array))


def double(array: ArrayInput) -> ArrayInput:
    """The same in float64."""
    kinds = (CameraInput(*(x.double() if x.is_floating_point() else x for x in kind)) for kind in array.kinds)
    return ArrayInput(tuple(kinds), array.entries)


def assert_close(one: dict[str, Tensor], other: dict[str, Tensor], rows: slice = slice(None)) -> None:
    """The outputs of one are these rows of the other's."""
    for name, output in one.items():
        torch.testing.assert_close(output, other[name][rows], rtol=1e-5, atol=1e-6)
