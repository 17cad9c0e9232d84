"""The network for telescopes: which images count, and in which way."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from airshower.config.schema import FrameworkConfig
from airshower.data.showers import IactSpec, TelescopeImages
from airshower.data.telescopes import CameraImages, telescope_kinds, unit_vector
from airshower.detectors.cta.camera import CameraGeometry
from airshower.errors import UserError
from airshower.networks.iact import Combine, IactNetwork, IactNetworkConfig, event_softmax, field_angles

OUTPUTS = {"type": 2, "energy": 1, "direction": 2}


def camera(name: str, rings: int) -> CameraGeometry:
    """A hexagon of hexagons, 5 cm apart."""
    row, column = np.array(
        [(r, c) for r in range(-rings, rings + 1) for c in range(-rings, rings + 1) if abs(r - c) <= rings]
    ).T
    x, y = 0.05 * (column - row / 2), 0.05 * np.sqrt(3) / 2 * row
    return CameraGeometry(name, x, y, np.full(len(x), 0.002), "hexagon")


SPEC = IactSpec(
    "stereo",
    (camera("A", 3), camera("B", 2)),
    np.arange(1, 6),
    ("LST", "LST", "MST", "MST", "SST"),
    np.arange(15.0).reshape(5, 3) * 20,
    np.array([28.0, 28.0, 16.0, 16.0, 2.0]),
    np.array([0, 0, 0, 0, 1]),  # two kinds of telescope have camera A
    ("gamma", "proton"),
)


def images(kind: int, rows: list[tuple[int, int]], seed: int = 0) -> TelescopeImages:
    """Random images of (event, telescope); the same for the same telescope of the same seed."""
    pixels = len(SPEC.cameras[kind].x)
    made = [np.random.default_rng([seed, telescope]).normal(3, 5, (2, pixels)) for _, telescope in rows]
    charge, time = np.array(made, np.float32).reshape(-1, 2, pixels).transpose(1, 0, 2)
    event, telescope = np.array(rows, np.int64).reshape(-1, 2).T
    pointing = np.tile(np.float32([1.2, 0.3]), (len(rows), 1))
    arrays = (torch.from_numpy(array.copy()) for array in (charge, time, event, telescope, pointing))
    charge, time, event, telescope, pointing = arrays
    return TelescopeImages(charge, time, None, event, telescope, pointing)


def network(**config: object) -> IactNetwork:
    torch.manual_seed(0)
    options = {"filters": [4, 6], "width": 8, "head_width": 4, "normalization": "group", **config}
    return IactNetwork(IactNetworkConfig(**options), SPEC, OUTPUTS, FrameworkConfig())


def run(net: IactNetwork, a: TelescopeImages, b: TelescopeImages, entries: int) -> dict[str, torch.Tensor]:
    return net(CameraImages(SPEC)((a, b), entries))


def assert_close(one: dict, other: dict, rows: slice = slice(None)) -> None:
    for name, output in one.items():
        torch.testing.assert_close(output, other[name][rows], rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("combine", ["attention", "mean", "max"])
@pytest.mark.parametrize("normalization", ["group", "none"])
def test_telescopes_are_a_set(combine: str, normalization: str) -> None:
    net = network(combine=combine, normalization=normalization)
    b = images(1, [(0, 4)])
    one = run(net, images(0, [(0, 0), (0, 1), (0, 2), (0, 3)]), b, 1)
    other = run(net, images(0, [(0, 3), (0, 1), (0, 2), (0, 0)]), b, 1)
    assert {name: tuple(output.shape) for name, output in one.items()} == {
        name: (1, channels) for name, channels in OUTPUTS.items()
    }
    assert_close(one, other)
    fewer = run(net, images(0, [(0, 0), (0, 1), (0, 2)]), b, 1)
    assert not torch.allclose(one["energy"], fewer["energy"])


@pytest.mark.parametrize("combine", ["attention", "mean", "max"])
def test_events_do_not_see_each_other(combine: str) -> None:
    net = network(combine=combine)
    both = run(net, images(0, [(0, 0), (0, 3), (1, 1)]), images(1, [(1, 4)]), 2)
    assert_close(run(net, images(0, [(0, 0), (0, 3)]), images(1, []), 1), both, slice(0, 1))
    assert_close(run(net, images(0, [(0, 1)]), images(1, [(0, 4)]), 1), both, slice(1, 2))


def test_running_statistics_do_not_depend_on_the_batch() -> None:
    net = network(normalization="batch")
    a, b = images(0, [(0, 0), (0, 3), (1, 1)]), images(1, [(1, 4)])
    run(net, a, b, 2)
    net.eval()
    both = run(net, a, b, 2)
    assert_close(run(net, images(0, [(0, 0), (0, 3)]), images(1, []), 1), both, slice(0, 1))


@pytest.mark.parametrize("normalization", ["batch", "group", "none"])
@pytest.mark.parametrize("combine", ["attention", "mean", "max"])
@pytest.mark.parametrize("rows", [[(0, 0), (1, 1)], []], ids=["one kind", "empty"])
def test_every_weight_has_a_gradient(normalization: str, combine: str, rows: list) -> None:
    net = network(normalization=normalization, combine=combine)
    outputs = run(net, images(0, rows), images(1, []), len(rows))
    assert all(output.isfinite().all() for output in outputs.values())
    sum(output.square().sum() for output in outputs.values()).backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        if not rows or name.startswith(("encoders.1", "encoders.2")):
            assert not parameter.grad.any(), name


def test_broken_pixels_are_empty() -> None:
    net, b = network(), images(1, [])
    broken, empty = images(0, [(0, 0)]), images(0, [(0, 0)])
    broken.charge[0, 3] = broken.time[0, 3] = torch.nan
    empty.charge[0, 3] = 0.0
    empty.time[0, 3] = torch.nan
    assert_close(run(net, broken, b, 1), run(net, empty, b, 1))


def test_times_are_relative() -> None:
    net, a, b = network(), images(0, [(0, 0)]), images(1, [])
    later = replace(a, time=a.time + 100)
    for name, output in run(net, a, b, 1).items():
        torch.testing.assert_close(output, run(net, later, b, 1)[name], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("mapping", ["axial", "shifting", "oversampling", "bilinear"])
def test_every_mapping_makes_a_network(mapping: str) -> None:
    outputs = run(network(mapping=mapping), images(0, [(0, 0)]), images(1, [(0, 4)]), 1)
    assert all(output.isfinite().all() for output in outputs.values())


def test_kinds_are_types_with_a_camera() -> None:
    kinds = telescope_kinds(SPEC)
    assert [(kind.camera, kind.telescopes.tolist(), kind.focal_length) for kind in kinds] == [
        (0, [0, 1], 28.0), (0, [2, 3], 16.0), (1, [4], 2.0),
    ]  # fmt: skip
    seen = CameraImages(SPEC)((images(0, [(0, 3), (0, 0)]), images(1, [])), 1)
    assert [kind.telescope[:, 0].tolist() for kind in seen.kinds] == [
        [pytest.approx(-1.2)], [pytest.approx(0.6)], [],
    ]  # fmt: skip


def test_field_angles_of_a_turned_camera() -> None:
    """Its x axis points to rising altitude, unless it is turned."""
    turned = replace(camera("C", 1), camera_rotation=90.0)
    straight, across = field_angles(camera("C", 1), 10.0), field_angles(turned, 10.0)
    np.testing.assert_allclose(straight, np.degrees(np.stack([turned.x, turned.y]) / 10))
    np.testing.assert_allclose(across, np.degrees(np.stack([-turned.y, turned.x]) / 10), atol=1e-12)


def test_softmax_is_over_each_event() -> None:
    score, event = torch.tensor([[1.0], [3.0], [900.0]]), torch.tensor([1, 1, 0])
    weight = event_softmax(score, event, 3)
    torch.testing.assert_close(weight[:2, 0], torch.tensor([1.0, 3.0]).softmax(0))
    assert weight[2, 0] == 1


def test_number_of_telescopes_is_kept() -> None:
    x = torch.ones(3, 4)
    together = Combine(4, "mean")(x, torch.tensor([0, 0, 2]), 3)
    torch.testing.assert_close(together[:, 4], torch.tensor([2.0, 1.0, 1.0]).log())
    torch.testing.assert_close(together[:, 0], torch.tensor([1.0, 0.0, 1.0]))


def test_unit_vectors_point_north_east_up() -> None:
    direction = torch.tensor([[0.0, 0.0], [0.0, torch.pi / 2], [torch.pi / 2, 1.0]])
    torch.testing.assert_close(unit_vector(direction), torch.eye(3), atol=1e-6, rtol=0)


@pytest.mark.parametrize(("key", "value"), [("filters", []), ("filters", [4, 0]), ("kernel", 2)])
def test_impossible_options_are_refused(key: str, value: object) -> None:
    with pytest.raises(UserError, match=f"network.{key}"):
        network(**{key: value})
