"""UResNet: sizes, options, and what folding the planes must not change."""

import dataclasses

import pytest
import torch
from omegaconf import OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.config.schema import FrameworkConfig
from airshower.data.spec import SparseImagesSpec, Spec
from airshower.errors import UserError
from airshower.networks.uresnet.network import UResNet, UResNet3d, UResNetConfig
from airshower.networks.uresnet.operations import PlaneConv
from tests.pairwise import pairwise

CLASSES = ("background", "cosmic", "neutrino")
REST = ({"pixels": 3}, FrameworkConfig())
SMALL = {"n_initial_filters": 4, "depth": 2, "bottleneck_deepest": 8, "blocks_deepest_layer": 1, "blocks_final": 1}


def spec(shape: tuple[int, int] = (32, 16), downsample: int = 0, planes: int = 3) -> Spec:
    return Spec({"images": SparseImagesSpec(planes, shape, downsample, CLASSES)})


def network(kind: type[UResNet] = UResNet, **options: object) -> UResNet:
    torch.manual_seed(3)
    return kind(kind.Config(**{**SMALL, **options}), spec(), *REST)


def preset(name: str, **options: object) -> UResNet:
    node = OmegaConf.to_container(OmegaConf.load(conf_folder() / "network" / f"{name}.yaml"))["network"]
    kind = build.target(OmegaConf.create(node), "network")
    node.pop("_target_")
    with torch.device("meta"):
        return kind(kind.Config(**{**node, **options}), spec((1280, 2048), 1), *REST)


def logits(net: UResNet, images: torch.Tensor) -> torch.Tensor:
    return net(images)["pixels"]


def count(module: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters())


@pytest.mark.parametrize(
    ("name", "options", "parameters"),
    [
        ("uresnet", {}, 18_382_131),
        ("a21", {}, 8_510_547),
        ("scc21", {}, 18_367_891),
        ("polaris", {}, 1_926_403),
        ("uresnet3d", {}, 18_381_459),
        ("uresnet3d", {"depth": 7}, 19_366_755),
        ("uresnet_sparse", {}, 18_382_131),
        ("uresnet3d_sparse", {}, 18_381_459),
        ("uresnet3d_sparse", {"bottleneck": "sparse"}, 18_381_459),
        ("uresnet", {"connections": "sum"}, 18_334_531),
        ("uresnet", {"connections": "none"}, 18_334_531),
        ("uresnet", {"growth_rate": "multiplicative"}, 45_291_155),
        ("uresnet", {"downsampling": "convolutional"}, 18_468_147),
        ("uresnet", {"upsampling": "convolutional"}, 18_468_147),
        ("uresnet", {"residual": False}, 9_331_843),
        ("uresnet", {"block_concat": True}, 18_266_771),
        ("uresnet", {"bias": False}, 18_375_008),
        ("uresnet", {"n_initial_filters": 8}, 16_936_219),
        ("uresnet", {"blocks_final": 0}, 18_358_611),
        ("uresnet", {"depth": 5}, 17_650_707),
        ("uresnet", {"filter_size_deepest": 3}, 7_896_371),
    ],
)
def test_parameter_counts_are_those_of_cosmictagger(name: str, options: dict, parameters: int) -> None:
    assert count(preset(name, **options)) == parameters


@pairwise(
    "kind",
    kind=[UResNet, UResNet3d],
    connections=["concat", "sum", "none"],
    growth_rate=["additive", "multiplicative"],
    residual=[True, False],
    downsampling=["max_pooling", "convolutional"],
    upsampling=["interpolation", "convolutional"],
    block_concat=[False, True],
    bias=[True, False],
    normalization=["batch", "none", "group", "layer", "instance", "sync_batch"],
    depth=[2, 0],
    blocks_per_layer=[2, 0],
)
def test_every_option_gives_logits_and_a_gradient_to_every_parameter(kind: type[UResNet], options: dict) -> None:
    net = network(kind, **options)
    logits = net(torch.rand(2, 3, 32, 16))["pixels"]
    assert logits.shape == (2, 3, 3, 32, 16)
    logits.square().sum().backward()
    without = [name for name, p in net.named_parameters() if p.grad is None or not p.grad.isfinite().all()]
    assert not without


def test_planes_meet_only_at_the_bottom() -> None:
    torch.manual_seed(0)
    images = torch.rand(1, 3, 32, 16)
    changed = images.clone()
    changed[0, 2] = 0
    apart, together = network(block_concat=True, normalization="none"), network(normalization="none")
    torch.testing.assert_close(logits(apart, images)[0, :2], logits(apart, changed)[0, :2])
    assert (logits(together, images)[0, 0] - logits(together, changed)[0, 0]).abs().max() > 1e-6


def test_in_3d_a_plane_sees_its_neighbours_at_the_bottom() -> None:
    """One convolution down and one up: two planes away is as far as it can see."""
    torch.manual_seed(0)
    net = UResNet3d(UResNetConfig(**SMALL, normalization="none"), spec(planes=5), *REST)
    images = torch.rand(1, 5, 32, 16)
    changed = images.clone()
    changed[0, 4] = 0
    difference = (logits(net, images) - logits(net, changed))[0].abs().amax((1, 2, 3))
    assert (difference[2:] > 1e-7).all()
    torch.testing.assert_close(difference[:2], torch.zeros(2))


def test_plane_convolution_is_a_3d_convolution() -> None:
    for planes, bias in ((3, True), (2, False), (5, True)):
        torch.manual_seed(1)
        layer = PlaneConv(4, 6, planes, bias).double()
        x = torch.rand(2 * planes, 4, 3, 5, dtype=torch.float64)
        volume = x.unflatten(0, (2, planes)).transpose(1, 2)
        expected = torch.nn.functional.conv3d(volume, layer.weight[..., None, None], layer.bias, padding=(1, 0, 0))
        torch.testing.assert_close(layer(x), expected.transpose(1, 2).flatten(0, 1))


def test_weights_of_2d_fit_3d_but_where_planes_meet() -> None:
    flat, volume = (network(kind).state_dict() for kind in (UResNet, UResNet3d))
    assert flat.keys() == volume.keys()
    other = {name for name in flat if flat[name].shape != volume[name].shape}
    assert other
    assert all(name.startswith(("deepest.bottleneck.conv", "deepest.widen")) for name in other)
    apart = [network(kind, block_concat=True).state_dict() for kind in (UResNet, UResNet3d)]
    assert all(torch.equal(apart[0][name], value) for name, value in apart[1].items())


def test_planes_share_weights() -> None:
    net = network(block_concat=True, normalization="none")
    image = torch.rand(1, 1, 32, 16).expand(1, 3, 32, 16)
    planes = logits(net, image)[0]
    torch.testing.assert_close(planes[0], planes[2])


def test_upsampling_before_or_after_the_1x1_convolution_is_the_same() -> None:
    """The network convolves first, for a quarter of the work; CosmicTagger interpolates first."""
    net = network().double().eval()
    decoder = net.decoder[0]
    x = torch.rand(3, 8, 8, 4, dtype=torch.float64)
    after = torch.nn.functional.interpolate(x, scale_factor=2, mode="bilinear", align_corners=False)
    expected = torch.nn.functional.leaky_relu(decoder.up.norm(decoder.up.conv(after)), 0.01)
    torch.testing.assert_close(decoder.up(x, expected), expected)


def test_concatenation_as_a_sum_of_convolutions_is_the_same() -> None:
    net = network().double()
    conv = net.decoder[0].connect.conv
    x, y = torch.rand(2, 2, 4, 6, 5, dtype=torch.float64)
    expected = conv(torch.cat([x, y], 1))
    torch.testing.assert_close(net.decoder[0].ops.concat_conv(conv, x, y), expected)


def test_memory_layout_does_not_change_the_result() -> None:
    net, images = network().double().eval(), torch.rand(2, 3, 32, 16, dtype=torch.float64)
    expected = logits(net, images)
    torch.testing.assert_close(logits(net.to(memory_format=torch.channels_last), images), expected)


@pytest.mark.parametrize(
    ("shape", "downsample", "depth", "says"),
    [
        ((1280, 2048), 3, 6, "network.depth=5, or data.downsample=2"),
        ((1280, 2048), 1, 8, "network.depth=7, or data.downsample=0"),
        ((1280, 2048), 0, 9, "network.depth=8"),
        ((96, 100), 0, 4, "network.depth=2"),
    ],
)
def test_sizes_that_can_not_be_halved_are_refused(shape: tuple, downsample: int, depth: int, says: str) -> None:
    with pytest.raises(UserError, match="can be halved") as error:
        UResNet(UResNetConfig(depth=depth), spec(shape, downsample), *REST)
    assert says in str(error.value)


def test_even_filters_are_refused() -> None:
    with pytest.raises(UserError, match="must be odd"):
        network(filter_size_deepest=4)


def test_config_has_the_options_of_cosmictagger() -> None:
    wanted = "n_initial_filters depth blocks_per_layer blocks_deepest_layer blocks_final bottleneck_deepest"
    wanted += " filter_size_deepest growth_rate residual block_concat connections downsampling upsampling bias"
    assert set(wanted.split()) <= {item.name for item in dataclasses.fields(UResNetConfig)}
