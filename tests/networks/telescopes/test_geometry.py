"""Axes of images are Hillas', and cross where the shower is."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from airshower.config.schema import FrameworkConfig
from airshower.data.containers import TelescopeImages
from airshower.data.spec import CameraImagesSpec
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters
from airshower.geometry.sky import (
    common_pointing,
    direction_at,
    pointing_frame,
    rising,
    separation,
    tangent_offset,
    unit_vector,
)
from airshower.networks.telescopes.config import TelescopeNetworkConfig
from airshower.networks.telescopes.geometry import OF_AXIS, Axes, Geometry
from airshower.networks.telescopes.network import TelescopeNetwork
from airshower.tasks.reconstruction.task import Reconstruction
from tests.networks.telescopes.arrays import (
    ARRAY,
    assert_close,
    camera,
    double,
    frame_of,
    images,
    input_of,
    network,
    run,
    telescope_images,
)
from tests.samples import simulated_showers
from tests.targets import reconstruction

FOCAL_LENGTH, CHANNELS = 28.0, 5
MONO = replace(ARRAY, mode="mono")
TELESCOPES = np.array([[0.0, 0.0, 0.0], [1.2, 0.3, 0.1], [-0.4, 1.1, -0.1], [0.2, -0.9, 0.0]])  # 100 m


def one_telescope(camera_rotation: float = 0.0) -> tuple[TelescopeNetwork, CameraImagesSpec]:
    """A network for a camera with pixels of 0.1 deg, in float64, and its array."""
    turned = replace(camera("A", 9), camera_rotation=camera_rotation)
    array = CameraImagesSpec(
        "mono", (turned,), np.arange(1, 2), ("LST",), np.zeros((1, 3)), np.array([FOCAL_LENGTH]), np.zeros(1, int)
    )
    return network(array).double(), array


def ellipses() -> TelescopeImages:
    """Three bright images, later and with a tail along their axis, and noise around them."""
    generator, geometry = np.random.default_rng(3), camera("A", 9)
    pixels = []
    for x, y, angle, length in ((0.1, -0.05, 0.3, 0.1), (-0.2, 0.1, 2.0, 0.08), (0.0, 0.2, -1.0, 0.12)):
        turn = np.array([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
        along, across = turn @ (np.stack([geometry.x, geometry.y]) - [[x], [y]])
        bright = np.exp(-0.5 * (along / np.where(along > 0, 1.5 * length, length)) ** 2 - 0.5 * (across / 0.04) ** 2)
        time = 30 * along + generator.normal(20, 0.5, len(along))
        pixels.append([200 * bright + generator.normal(0, 1, len(along)), time])
    made = telescope_images(np.array(pixels, np.float32), [(event, 0) for event in range(3)])
    kept = clean(SkyPixels(geometry, FOCAL_LENGTH), made.charge.numpy())
    return replace(made, clean=torch.from_numpy(kept))


def axes_of(net: TelescopeNetwork, array: CameraImagesSpec, of: TelescopeImages) -> Axes:
    return net.encoders[0](double(input_of((of,), len(of), array)).kinds[0])[1]


def test_moments_of_cleaned_images_are_those_of_hillas() -> None:
    """Where nothing is learned and nothing that was cleaned away counts."""
    (net, array), of = one_telescope(camera_rotation=25.0), ellipses()
    look = net.encoders[0].axes
    nn.init.zeros_(look.score.weight)
    nn.init.constant_(look.dirt, 500.0)
    axes = axes_of(net, array, of)
    for way, power in enumerate((1, 2)):
        charge = np.exp(power * np.arcsinh(of.charge.double().numpy()))  # of bright pixels, twice the charge
        names = ("fov_lon", "fov_lat", "psi", "length", "width", "skewness")
        found = image_parameters(SkyPixels(array.cameras[0], FOCAL_LENGTH), charge, of.time.numpy(), of.clean.numpy())
        lon, lat, psi, length, width, skewness = (found[f"hillas_{name}"] for name in names)
        centre, along = np.stack([lat, lon], 1), np.stack([np.sin(np.radians(psi)), np.cos(np.radians(psi))], 1)
        outwards = np.where((centre * along).sum(1) < 0, -1.0, 1.0)
        features = axes.features[:, way].detach().numpy().T
        slope = outwards * found["timing_slope"] / 10 * length**2 / (length**2 + 0.01)
        np.testing.assert_allclose(axes.centre[:, way].detach(), centre, atol=1e-6)
        np.testing.assert_allclose(axes.along[:, way].detach(), outwards[:, None] * along, atol=1e-3)
        np.testing.assert_allclose(features[:2], [length, width], rtol=1e-4)
        np.testing.assert_allclose(features[4], outwards * skewness, atol=2e-3)
        np.testing.assert_allclose(features[5], slope, rtol=2e-3)
        np.testing.assert_allclose(features[7], np.abs((centre * along).sum(1)), atol=1e-3)
        size = (of.charge * of.clean).sum(1).numpy()
        np.testing.assert_allclose(10 ** features[8], size, rtol=1e-5)
        np.testing.assert_allclose(axes.worth[:, way].detach(), size / 100 * length / width, rtol=1e-3)
    torch.testing.assert_close((axes.along * axes.across).sum(2), torch.zeros(3, 2).double())


def test_axes_turn_with_the_image() -> None:
    """What is learned of them, of the turned camera too, does not."""
    of, angle = ellipses(), np.radians(70.0)
    straight, turned = (axes_of(*one_telescope(rotation), of) for rotation in (0.0, 70.0))
    turn = torch.tensor([[np.cos(angle), np.sin(angle)], [-np.sin(angle), np.cos(angle)]])
    for name in ("centre", "along", "across"):
        torch.testing.assert_close(getattr(turned, name), getattr(straight, name) @ turn, rtol=0, atol=1e-3)
    torch.testing.assert_close(turned.features, straight.features, rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(turned.worth, straight.worth, rtol=1e-3, atol=0)


def seen(alt: float, az: float, offset: np.ndarray, core: np.ndarray, telescopes: np.ndarray) -> tuple[Axes, Tensor]:
    """Very bright axes of a shower that glows in two points, from `offset` (deg from the pointing), with its core at
    (north, west) in 100 m; and the telescopes' frames."""
    frame = pointing_frame(alt, az)
    direction = np.append(np.radians(offset), 1.0) @ frame
    points = []
    for height in (60.0, 90.0):  # 100 m
        up, along, ahead = frame @ (np.append(core, 0.0) + height * direction - telescopes).T
        points.append(np.degrees(np.stack([up / ahead, along / ahead], 1)))
    low, high = torch.tensor(np.array(points))[:, :, None]  # one way to see an image
    along = (low - high) / (low - high).norm(dim=2, keepdim=True)
    across, features = torch.stack([-along[..., 1], along[..., 0]], 2), along.new_zeros(len(along), 1, OF_AXIS)
    axes = Axes((low + high) / 2, along, across, features, torch.full((len(along), 1), 1e8).double())
    return axes, rising(torch.tensor([[alt, az]]).double()).expand(len(along), -1, -1)


def untaught(ways: int = 1) -> Geometry:
    """Votes of images are on their axes, whatever their features."""
    torch.manual_seed(0)
    made = Geometry(CHANNELS, ways).double()
    for vote in (made.direction, made.core):
        nn.init.zeros_(vote.layers[2].weight)
    return made


def features(count: int) -> Tensor:
    return torch.randn(count, CHANNELS, generator=torch.Generator().manual_seed(0)).double()


@pytest.mark.parametrize("telescopes", [[0, 1], [0, 1, 2, 3]], ids=len)
@pytest.mark.parametrize(("alt", "az"), [(70.0, 180.0), (89.9, 180.0), (90.0, 180.0), (50.0, 250.0)])
def test_axes_cross_at_the_shower(alt: float, az: float, telescopes: list[int]) -> None:
    offset, core, places = np.array([0.4, -0.3]), np.array([0.7, -0.5]), TELESCOPES[telescopes]
    axes, frames = seen(np.radians(alt), np.radians(az), offset, core, places)
    event = torch.zeros(len(places), dtype=torch.int64)
    images = features(len(places)), axes, torch.from_numpy(places), frames, event
    _, found = untaught()(*images, entries=1)
    np.testing.assert_allclose(found["direction"].detach(), [offset], atol=1e-4)
    np.testing.assert_allclose(found["core"].detach(), [core], atol=0.02)  # the core's line is by the pointing
    order = torch.arange(len(places)).flip(0)
    x, axes, *others = images
    _, other = untaught()(x[order], Axes(*(part[order] for part in axes)), *(part[order] for part in others), entries=1)
    assert_close(found, other)


def test_one_telescope_votes_along_its_axis() -> None:
    """How far is learned, from the image for the direction and from the telescope for the core."""
    axes, frames = seen(np.radians(70.0), np.pi, np.array([0.3, 0.2]), np.array([0.8, 0.6]), TELESCOPES[:1])
    net, alone = untaught(), (torch.zeros(1, 3).double(), frames, torch.tensor([0]), 1)
    assert not net(features(1), axes, *alone)[1]["core"].any()
    for vote, far in ((net.direction, -0.5), (net.core, 2.0)):
        vote.layers[2].bias.data[0], vote.layers[2].bias.data[2] = far, 12.0  # so far along, for sure
    _, found = net(features(1), axes, *alone)
    torch.testing.assert_close(found["direction"], (axes.centre - 0.5 * axes.along)[:, 0], atol=1e-4, rtol=0)
    across_pointing = frames[0, :, :2] @ found["core"][0]
    torch.testing.assert_close(across_pointing, 2.0 * axes.along[0, 0], atol=1e-4, rtol=0)


def test_cores_of_single_images_are_relative_to_their_telescopes() -> None:
    net, empty = network(MONO), images(1, [])
    image = images(0, [(0, 0)])
    first, second = (
        run(net, replace(image, telescope=torch.tensor([row])), empty, entries=1, array=MONO) for row in (0, 1)
    )
    assert_close(first, second)
    assert first["core"].any()


def test_an_entry_without_images_has_no_votes() -> None:
    axes, frames = seen(1.2, 0.3, np.array([0.4, -0.3]), np.array([0.7, -0.5]), TELESCOPES)
    x, event = features(4).requires_grad_(), torch.tensor([0, 0, 2, 2])
    net = untaught()
    addition, found = net(x, axes, torch.from_numpy(TELESCOPES), frames, event, entries=4)
    for name in Geometry.votes:
        assert found[name].shape == (4, 2)
        assert not found[name][[1, 3]].any()
        assert found[name][[0, 2]].all()
    sum(part.square().sum() for part in (addition, *found.values())).backward()
    assert all(parameter.grad.isfinite().all() for parameter in (x, *net.parameters()))


def test_gradients_are_those_of_finite_differences() -> None:
    """From pixels to votes, in float64 throughout."""
    small = camera("A", 2)
    array = replace(ARRAY, cameras=(small, small))
    net, rows = network(array).double(), [(0, 0), (0, 1), (1, 0)]
    encoder = net.encoders[0]
    given = double(input_of((images(0, rows, array=array), images(1, [], array=array)), 2, array))
    kind, x = given.kinds[0], features(3)[:, :1].expand(-1, 8)

    def votes(pixels: Tensor) -> tuple[Tensor, ...]:
        axes = encoder(kind._replace(pixels=pixels))[1]
        addition, found = net.geometry(x, axes, kind.telescope[:, :3], kind.frame, kind.event, given.entries)
        assert {part.dtype for part in (*axes, addition, *found.values())} == {torch.float64}
        return addition, *found.values()

    assert torch.autograd.gradcheck(votes, kind.pixels.requires_grad_(), fast_mode=True)


@pytest.mark.parametrize("combine", ["attention", "feature_map"])
def test_votes_are_in_float32_where_layers_are_not(combine: str) -> None:
    net, seen_by = network(combine=combine), (images(0, [(0, 0), (0, 3), (2, 1)]), images(1, [(2, 4)]))
    exact = run(net, *seen_by, entries=3)
    with torch.autocast("cpu", torch.bfloat16):
        outputs = run(net, *seen_by, entries=3)
    for name in Geometry.votes:
        torch.testing.assert_close(outputs[name], exact[name], rtol=1e-3, atol=1e-3)
    sum(output.float().square().sum() for output in outputs.values()).backward()
    assert all(parameter.grad.isfinite().all() for parameter in net.parameters())


def test_a_network_that_has_learned_nothing_knows_where_showers_are() -> None:
    """Roughly: much better than that all come from where telescopes point to, in the middle of the array."""
    source = simulated_showers().source
    task = Reconstruction(reconstruction(only_gammas=False), source.spec, TelescopeNetwork.view(source.spec))
    sample = task.prepare(source.read(np.arange(len(source))).to(torch.device("cpu")))
    torch.manual_seed(0)
    config = TelescopeNetworkConfig(filters=[4, 6], blocks=[1, 1], width=8)
    outputs = TelescopeNetwork(config, source.spec, task.outputs, FrameworkConfig())(sample.input)
    for name in Geometry.votes:
        error = task.targets[name].error
        truth, nothing = sample.targets[name][0], torch.zeros_like(outputs[name])
        assert error(outputs[name], truth).median() < 0.3 * error(nothing, truth).median()


@pytest.mark.parametrize("source", [(0.0, 0.0), (0.3, -0.2), (-1.5, 1.0)])
@pytest.mark.parametrize(("alt", "az"), [(70.0, 180.0), (89.9, 20.0), (50.0, 250.0)])
def test_telescopes_that_point_apart_find_the_source_and_the_core(
    alt: float, az: float, source: tuple[float, float]
) -> None:
    """Up to 4 deg between pointings; the votes of each telescope are in its own field of view."""
    middle, core = torch.tensor([[alt, az]]).double().deg2rad(), np.array([0.7, -0.5])
    apart = torch.tensor([[2.0, 0.0], [-2.0, 0.4], [0.1, 2.0], [0.0, -2.0]]).double()
    pointing = direction_at(apart, middle.expand(4, 2))
    sky = direction_at(torch.tensor([source]).double(), middle)
    own = tangent_offset(sky.expand(4, 2), pointing)
    parts, frames = zip(
        *(
            seen(*ahead.tolist(), offset.numpy(), core, place[None])
            for ahead, offset, place in zip(pointing, own, TELESCOPES, strict=True)
        ),
        strict=True,
    )
    axes, frames = Axes(*(torch.cat(part) for part in zip(*parts, strict=True))), torch.cat(frames)
    event = torch.zeros(4, dtype=torch.int64)
    _, found = untaught()(features(4), axes, torch.from_numpy(TELESCOPES), frames, event, entries=1)
    common = common_pointing(unit_vector(pointing), event, 1)
    expected = tangent_offset(sky, common)
    assert separation(unit_vector(common), unit_vector(middle)).item() < 0.2
    torch.testing.assert_close(found["direction"].detach(), expected, atol=2e-4, rtol=0)
    np.testing.assert_allclose(found["core"].detach(), [core], atol=0.03)  # the core's line is by the pointing


def test_the_truth_and_the_votes_have_one_common_pointing() -> None:
    """Of telescopes that point apart, a network that has learned nothing finds directions in the frame of the truth."""
    parts = (images(0, [(0, 0), (0, 1), (1, 0)]), images(1, [(1, 4)]))
    apart = torch.tensor([[1.20, 0.30], [1.23, 0.28], [1.21, 0.33], [1.18, 0.35]])
    parts = tuple(replace(part, pointing=at) for part, at in zip(parts, apart.split([3, 1]), strict=True))
    axis = frame_of(parts, 2).axis
    expected = [(apart[:2].amin(0) + apart[:2].amax(0)) / 2, (apart[2:].amin(0) + apart[2:].amax(0)) / 2]
    torch.testing.assert_close(axis, torch.stack(expected), atol=1e-3, rtol=0)
    given = input_of(parts, 2)
    own, event = (torch.cat([getattr(kind, name) for kind in given.kinds]) for name in ("frame", "event"))
    ahead = torch.linalg.cross(own[:, 0], own[:, 1])
    torch.testing.assert_close(ahead, torch.cat([kind.telescope[:, 3:] for kind in given.kinds]))  # one handedness
    torch.testing.assert_close(common_pointing(ahead, event, 2), axis, atol=1e-6, rtol=0)
