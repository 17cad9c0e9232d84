"""PixelCNN++: what a pixel depends on, how it starts, and that it learns."""

import math

import pytest
import torch

from airshower.errors import UserError
from airshower.networks.layers.levels import bits_per_dimension
from airshower.networks.pixelcnn.layers import NormedLayer, concat_elu
from tests.networks.pixelcnn.networks import AZIMUTH, ENERGY, network, sparse_images, tank_spec

EACH = pytest.mark.parametrize(
    ("resolutions", "resnets", "channels"), [(1, 1, 1), (1, 2, 2), (2, 1, 2), (3, 1, 1), (3, 2, 2)]
)


def before(row: int, column: int, size: int) -> torch.Tensor:
    """The cells that come before one, in the order of rows; bool [size, size]."""
    cells = torch.arange(size**2).view(size, size)
    return cells < row * size + column


@EACH
def test_a_pixel_depends_on_pixels_before_it_and_on_none_other(resolutions: int, resnets: int, channels: int) -> None:
    """By gradients: on its neighbours, with three resolutions on half of all at least, and not on its own channels."""
    spec = tank_spec(8, channels)
    net = network(spec, resolutions=resolutions, resnets=resnets).double()
    for row, column in [(0, 0), (0, 1), (1, 0), (3, 3), (4, 4), (5, 2), (6, 7), (7, 7)]:
        x = torch.randn(1, channels, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
        x.requires_grad_()
        theta = net.distribution(x)
        assert theta.shape == (1, net.mixture.size, 8, 8)
        theta[0, :, row, column].sum().backward()
        depends = x.grad[0].abs().amax(0) > 0
        assert not (depends & ~before(row, column, 8)).any()
        if column:
            assert depends[row, column - 1]
        if row:
            assert depends[row - 1, max(column - 1, 0) : column + 2].all()
        if resolutions == 3:
            assert depends.sum() >= 0.5 * before(row, column, 8).sum()


@EACH
def test_changing_a_pixel_moves_no_pixel_up_to_it(resolutions: int, resnets: int, channels: int) -> None:
    """Exactly, and all channels of it."""
    net = network(tank_spec(8, channels), resolutions=resolutions, resnets=resnets)
    numbers = torch.randint(0, 256, (1, channels, 8, 8), generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        base = net.distribution(numbers)
        for row, column in [(0, 0), (2, 5), (3, 7), (4, 0), (6, 6)]:
            for channel in range(channels):
                other = numbers.clone()
                other[0, channel, row, column] = 255 - other[0, channel, row, column]
                moved = (net.distribution(other) - base)[0].abs().amax(0) > 1e-6
                assert moved.any()
                assert not (moved & before(row, column + 1, 8)).any()


def test_time_depends_on_charge_and_charge_not_on_time() -> None:
    spec = tank_spec(8)
    mixture = network(spec).mixture
    theta = torch.randn(mixture.size, generator=torch.Generator().manual_seed(0))
    noise = mixture.prepare(torch.rand(100, 3, generator=torch.Generator().manual_seed(1)))
    other = noise.clone()
    other[:, 2] = noise[:, 2].flip(0)
    drawn, changed = (mixture.draw(theta.expand(100, -1), each) for each in (noise, other))
    assert torch.equal(drawn[:, 0], changed[:, 0])
    assert not torch.equal(drawn[:, 1], changed[:, 1])
    other[:, 1:] = torch.stack([noise[:, 1].flip(0), noise[:, 2]], 1)
    assert not torch.equal(drawn[:, 1], mixture.draw(theta.expand(100, -1), other)[:, 1])


@pytest.mark.parametrize("zero", [True, False])
def test_dead_cells_are_no_part_of_the_likelihood(zero: bool) -> None:
    """It is the sum over the cells that have a PMT."""
    spec = tank_spec(8)
    net, images = network(spec, zero=zero), sparse_images(3, spec)
    numbers = (images * 255).round().clamp(1).where(images > 0, 0.0).long()
    with torch.no_grad():
        nats = net(images)
        of_cells = net.mixture.log_probability(net.distribution(numbers).movedim(1, -1), numbers.movedim(1, -1))
    assert nats.shape == (3,)
    live = torch.from_numpy(~spec["images"].dead)
    torch.testing.assert_close(nats, of_cells[:, live].sum(1))
    assert not torch.isclose(nats, of_cells.sum((1, 2))).any()


def test_bits_per_dimension() -> None:
    spec = tank_spec(40)
    live, whole = bits_per_dimension(torch.tensor([-2400 * math.log(2), 0.0]), spec["images"])
    assert live.tolist() == [1.0, 0.0]
    assert whole.tolist() == [0.75, 0.0]


def test_conditions_change_outputs_and_only_if_asked_for() -> None:
    spec = tank_spec(8, 2, (ENERGY, AZIMUTH))
    images, conditions = sparse_images(2, spec), torch.tensor([[0.5, 1.0], [-1.0, 2.0]])
    net, blind = network(spec, conditional=True), network(spec)
    with torch.no_grad():
        nats = net(images, conditions)
        assert not torch.isclose(nats, net(images, conditions.flip(0))).any()
        torch.testing.assert_close(nats, net(images, conditions + torch.tensor([0.0, 2 * math.pi])))
        assert torch.equal(blind(images, conditions), blind(images, None))


def test_layers_start_with_unit_moments() -> None:
    """Over the images that they are given, at each layer's output before the non-linearity."""
    spec = tank_spec(12, 2, (ENERGY,))
    net, images, conditions = network(spec, conditional=True), sparse_images(8, spec), torch.randn(8, 1)
    net.train()
    net.fit(images, conditions)
    assert net.training
    outputs = []
    layers = [module for module in net.modules() if isinstance(module, NormedLayer)]
    for layer in layers:
        layer.register_forward_hook(lambda layer, _, output: outputs.append((layer.gain, output)))
    with torch.no_grad():
        net.eval()(images, conditions)
    assert len(outputs) == len(layers) > 40
    for gain, output in outputs:
        spread, mean = torch.std_mean(output, (0, 2, 3), correction=0)
        torch.testing.assert_close(mean, torch.zeros_like(mean), rtol=0, atol=1e-4)
        torch.testing.assert_close(spread, torch.full_like(spread, gain), rtol=1e-3, atol=0)


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_every_weight_has_a_gradient(channels: int, zero: bool) -> None:
    spec = tank_spec(8, channels, (ENERGY,))
    net = network(spec, conditional=True, zero=zero, dropout=0.5).train()
    net(sparse_images(4, spec), torch.randn(4, 1)).sum().backward()
    for name, parameter in net.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("count", [0, 2])
def test_batches_without_images_or_hits(count: int, zero: bool) -> None:
    """As ranks may have; every weight has a gradient, zeros where there are no images."""
    spec = tank_spec(8)
    net = network(spec, zero=zero).train()
    nats = net(torch.zeros(count, 2, 8, 8))
    assert nats.shape == (count,)
    nats.sum().backward()
    gradients = [parameter.grad for parameter in net.parameters()]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert any(gradient.any() for gradient in gradients) == bool(count)


def test_weights_survive_a_checkpoint() -> None:
    spec = tank_spec(8)
    net, images = network(spec), sparse_images(4, spec)
    net.fit(images)
    other = network(spec)
    other.load_state_dict(net.state_dict())
    with torch.no_grad():
        assert torch.equal(other(images), net(images))
    assert "live" not in net.state_dict()


@pytest.mark.parametrize("zero", [True, False])
def test_a_network_learns_a_pattern(zero: bool) -> None:
    """Rows in which the charge falls and the time rises."""
    spec = tank_spec(8)
    net = network(spec, filters=8, resolutions=2, dropout=0.0, zero=zero).train()
    images = torch.zeros(16, 2, 8, 8)
    for event in range(16):
        row = event % 4
        images[event, 0, row] = torch.linspace(0.9, 0.2, 8) - 0.01 * (event // 4)
        images[event, 1, row] = torch.linspace(0.1, 0.8, 8)
    images *= torch.from_numpy(~spec["images"].dead)
    net.fit(images)
    optimizer = torch.optim.Adam(net.parameters(), lr=0.02, betas=(0.9, 0.99))
    first = bits_per_dimension(net(images).detach(), spec["images"])[0].mean()
    for _ in range(60):
        optimizer.zero_grad()
        (-net(images).mean() / 100).backward()
        optimizer.step()
    assert bits_per_dimension(net(images).detach(), spec["images"])[0].mean() < 0.45 * first


def test_concat_elu() -> None:
    x = torch.tensor([[[1.0]], [[-2.0]]])
    torch.testing.assert_close(concat_elu(x).flatten(1), torch.tensor([[1.0, math.expm1(-1)], [math.expm1(-2), 2.0]]))


@pytest.mark.parametrize(
    ("size", "channels", "config", "message"),
    [
        (12, 2, {"resolutions": 4}, "network.resolutions=4: .*12 x 12 can be halved 2 times; at most 3"),
    ],
)
def test_impossible_options_are_refused(size: int, channels: int, config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        network(tank_spec(size, channels), **config)
