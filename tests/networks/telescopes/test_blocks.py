"""What a camera image goes through, and that it learns."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from airshower.data.spec import CameraImagesSpec
from airshower.networks.telescopes.blocks import CameraLayers, DualAttention, Layers, SeparableBlock
from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.hexagonal import CameraMap
from airshower.networks.telescopes.network import GridPool
from tests.networks.telescopes.arrays import BLOCKS, COMBINATIONS, camera, input_of, network, telescope_images

LEARNING = ("set_attention", "brightest first", "vector", "maps mobilenet", "maps resnet")
CONFIGS = {**BLOCKS, **{name: COMBINATIONS[name] for name in LEARNING}}


def disc(images: int, channels: int, size: int = 9) -> CameraMap:
    """Random values in a round camera."""
    generator = torch.Generator().manual_seed(0)
    row, column = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    mask = ((row - size // 2) ** 2 + (column - size // 2) ** 2 <= (size / 2) ** 2)[None, None]
    return CameraMap(torch.randn(images, channels, size, size, generator=generator) * mask, mask)


@pytest.mark.parametrize("config", CONFIGS.values(), ids=CONFIGS)
def test_a_network_learns_a_few_events(config: dict) -> None:
    """Where a blob is in the camera and how bright it is, from two telescopes of two kinds or from one."""
    array = CameraImagesSpec(
        "stereo", (camera("A", 5),), np.arange(1, 4), ("LST", "LST", "MST"), np.eye(3), np.array([28.0, 28.0, 16.0]),
        np.zeros(3, int),
    )  # fmt: skip
    generator, geometry = np.random.default_rng(5), array.cameras[0]
    place, size = generator.uniform(-0.2, 0.2, (8, 2)), generator.uniform(20, 200, 8)
    rows = [(event, telescope) for event in range(8) for telescope in ([0, 2] if event % 3 else [1])]
    pixels = np.zeros((len(rows), 2, len(geometry)), np.float32)
    for image, (event, _) in enumerate(rows):
        away = np.hypot(geometry.x - place[event, 0], geometry.y - place[event, 1])
        pixels[image, 0] = size[event] * np.exp(-0.5 * (away / 0.08) ** 2) + generator.normal(0, 0.5, len(geometry))
    given = input_of((telescope_images(pixels, rows),), 8, array)
    truth = torch.from_numpy(np.concatenate([10 * place, np.log(size)[:, None] - 4], 1)).float()
    net = network(array, **{"normalization": "batch", "width": 16, "head_width": 16, "filters": [6, 8], **config})
    optimizer, losses = torch.optim.Adam(net.parameters(), lr=0.02), []
    for _ in range(60):
        outputs = net(given)
        loss = functional.mse_loss(torch.cat([outputs["direction"], outputs["energy"]], 1), truth)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert min(losses[-5:]) < 0.2 * losses[0]


@pytest.mark.parametrize("hexagonal", [True, False])
def test_constant_channels_are_as_channels_of_each_image(hexagonal: bool) -> None:
    layers = CameraLayers(TelescopeNetworkConfig(normalization="none"), 2, 3, hexagonal)
    joined = CameraLayers(TelescopeNetworkConfig(normalization="none"), 5, 0, hexagonal)
    for layer in (layers.stem, layers.constant):
        torch.nn.init.normal_(layer.bias)
    with torch.no_grad():
        joined.stem.weight.copy_(torch.cat([layers.stem.weight, layers.constant.weight], 1))
        joined.stem.bias.copy_(layers.stem.bias + layers.constant.bias)
    joined.levels.load_state_dict(layers.levels.state_dict())
    x, constant = disc(3, 2), disc(1, 3)
    together = CameraMap(torch.cat([x.values, constant.values.expand(3, -1, -1, -1)], 1), x.mask)
    torch.testing.assert_close(layers(x, constant).values, joined(together, constant).values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("block", BLOCKS)
@pytest.mark.parametrize("hexagonal", [True, False])
def test_levels_halve_the_image_and_keep_to_the_camera(block: str, hexagonal: bool) -> None:
    options = {"filters": [4, 6], "blocks": [1, 1], **BLOCKS[block]}
    layers = CameraLayers(TelescopeNetworkConfig(**options), 2, 0, hexagonal)
    y = layers(disc(3, 2, 13), disc(1, 1, 13))
    size = 7 if options.get("stem_stride") == 1 else 4
    assert y.values.shape == (3, 6, size, size)
    assert not y.values.masked_select(~y.mask).any()
    assert y.values.min() == 0  # all end with ReLU


def test_separable_convolutions_have_few_weights() -> None:
    block = SeparableBlock(Layers(TelescopeNetworkConfig(), True), 16, 32, 1)
    assert sum(parameter.numel() for parameter in block.parameters()) == 16 * 9 + 16 * 32 + 2 * (16 + 32)


def test_attention_weighs_channels_and_pixels() -> None:
    attention, x = DualAttention(32), disc(2, 32)
    y = attention(x)
    assert attention.of_pixels[0].out_channels == attention.of_channels[0].out_features == 2
    weight = torch.where(x.values != 0, y.values / x.values, 0.0)
    pixel = attention.of_pixels(x.values)
    channel = attention.of_channels(x.values.sum((2, 3)) / x.mask.sum())
    torch.testing.assert_close(weight, (1 + pixel) * channel[:, :, None, None] * x.mask)


def test_maps_of_different_cameras_on_one_grid_are_means_over_pixels() -> None:
    x = disc(2, 3, 12)
    pooled = GridPool(4)(x, torch.zeros(2, 6))
    assert pooled.values.shape == (2, 3, 4, 4)
    corner = x.mask[0, 0, :3, :3]
    assert 0 < corner.sum() < 9
    torch.testing.assert_close(pooled.values[..., 0, 0], x.values[..., :3, :3][..., corner].mean(-1))
