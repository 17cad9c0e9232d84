"""A generator of images that follows a flow."""

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig
from airshower.errors import DataError, UserError
from airshower.networks.tanks.map_flow import MapFlow, MapFlowConfig
from airshower.networks.tanks.map_unet import waves
from tests.networks.pixelcnn.networks import AZIMUTH, ENERGY, sparse_images, tank_spec, uniform


def made(channels: int = 2, size: int = 40, **options: object) -> MapFlow:
    """A network with weights that are not those of its start, where it sees nothing."""
    torch.manual_seed(0)
    spec = tank_spec(size, channels, (ENERGY, AZIMUTH))
    network = MapFlow(MapFlowConfig(width=8, steps=3, **options), spec, {}, FrameworkConfig())
    network.fit(sparse_images(4, spec), torch.zeros(4, 2))
    torch.nn.init.normal_(network.unet.last.weight, std=0.05)
    return network


def dead(channels: int = 2) -> Tensor:
    return torch.from_numpy(tank_spec(40, channels)["images"].dead)


@pytest.mark.parametrize("channels", [1, 2])
def test_states_are_images_and_have_no_dead_cells(channels: int) -> None:
    network, spec = made(channels), tank_spec(40, channels)
    images = sparse_images(5, spec)
    states = network.states(images)
    assert states.shape == (5, network.latent) == (5, (1 + channels) * int((~spec["images"].dead).sum()))
    torch.testing.assert_close(network.images(states), images, rtol=1e-5, atol=1e-3)
    hit = states.unflatten(1, (1 + channels, -1))[:, 0]
    assert torch.equal(hit, 2.0 * (images[:, 0, ~dead()] > 0) - 1)
    assert not states.unflatten(1, (1 + channels, -1))[:, 1:].movedim(1, 0)[:, hit < 0].any()
    network.fit(images, torch.zeros(5, 2))
    values = network.states(images).unflatten(1, (1 + channels, -1))[:, 1:].movedim(1, 0)[:, hit > 0]
    torch.testing.assert_close(values.mean(1), torch.zeros(channels), rtol=0, atol=1e-3)
    torch.testing.assert_close(values.std(1), torch.ones(channels), rtol=0, atol=1e-3)


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("conditional", [True, False])
def test_images_have_no_light_in_dead_cells_and_hits_have_all_channels(channels: int, conditional: bool) -> None:
    network = made(channels, conditional=conditional)
    noise, conditions = uniform(6, network), torch.randn(6, 2)
    with torch.no_grad():
        images = network.generate(noise, conditions)
        others, alone = network.generate(noise, -conditions), network.generate(noise[2:4], conditions[2:4])
    assert images.shape == (6, channels, 40, 40)
    assert not images[:, :, dead()].any()
    hit = images[:, 0] > 0
    assert 0.05 < hit[:, ~dead()].float().mean() < 0.95
    assert (images > 0).all(1).equal(hit)
    assert not (images > 0).any(1)[~hit].any()
    assert images.max() <= 1
    torch.testing.assert_close(alone, images[2:4], rtol=1e-4, atol=1e-4)
    assert torch.equal(images, others) != conditional


def test_any_state_is_an_image() -> None:
    network = made()
    images = network.images(1e3 * torch.randn(3, network.latent, generator=torch.Generator().manual_seed(1)))
    assert images.isfinite().all()
    assert 0 <= images.min() <= images.max() <= 1


def test_the_flow_is_followed_by_midpoints_to_what_the_network_takes_for_the_data() -> None:
    network = made(1)
    states = network.states(sparse_images(2, tank_spec(40, 1)))
    calls = []

    def straight(now: Tensor, times: Tensor, _: Tensor) -> Tensor:
        calls.append(float(times[0]))
        return (states - now) / (1 - times[:, None])

    network.forward = straight
    found = network.generate(uniform(2, network), torch.zeros(2, 2))
    assert calls == pytest.approx([0, 1 / 6, 1 / 3, 1 / 2, 2 / 3, 5 / 6])
    torch.testing.assert_close(found, network.images(states))
    network.forward = lambda now, times, _: 3 * times[:, None] ** 2 * torch.ones_like(now)
    last, middles = 0.0, [1 / 6, 1 / 2, 5 / 6]
    for middle in middles:
        last += middle**2
    noise = uniform(2, network)
    torch.testing.assert_close(
        network.generate(noise, torch.zeros(2, 2)), network.images(torch.special.ndtri(noise) + last)
    )


def test_velocities_know_where_when_and_of_what_event() -> None:
    network, generator = made().double(), torch.Generator().manual_seed(1)
    states = torch.randn(3, network.latent, generator=generator, dtype=torch.float64)
    times, conditions = torch.tensor([0.2, 0.5, 0.9]).double(), torch.randn(3, 2, generator=generator).double()
    with torch.no_grad():
        velocity = network(states, times, conditions)
        assert velocity.shape == states.shape
        for other in (network(states, times.flip(0), conditions), network(states, times, conditions.flip(0))):
            assert (other[0] - velocity[0]).norm() > 1e-3 * velocity[0].norm()
            torch.testing.assert_close(other[1], velocity[1])
        turn = torch.tensor([0.0, 2 * np.pi]).double()
        torch.testing.assert_close(network(states, times, conditions + turn), velocity)
        network.unet.place.zero_()
        assert not torch.allclose(network(states, times, conditions), velocity)


def test_what_a_state_says_of_its_own_numbers_is_used() -> None:
    """A network that knows nothing has the velocity's mean for hits in half of the cells, with normal values."""
    spec, generator = tank_spec(40, 1, (ENERGY,)), torch.Generator().manual_seed(1)
    network = MapFlow(MapFlowConfig(width=8), spec, {}, FrameworkConfig())
    for time in (0.0, 0.3, 0.6, 0.9):
        hit = torch.rand(400, 1, 1200, generator=generator) < 0.5
        data = torch.cat([2.0 * hit - 1, hit * torch.randn(400, 1, 1200, generator=generator)], 1)
        noise = torch.randn(400, network.latent, generator=generator)
        between = torch.lerp(noise, data.flatten(1), time)
        with torch.no_grad():
            left = data.flatten(1) - noise - network(between, torch.full((400,), time), torch.zeros(400, 1))
        left, given = (each.unflatten(1, (2, -1)).movedim(1, 0).flatten(1) for each in (left, between))
        for probe in (given[0], given[0].sign()):  # what is left of the bits has nothing to do with their state
            assert (left[0] * probe).mean().abs() < 0.01 * left[0].std() * probe.std() + 1e-6
        assert left.mean(1).abs().max() < 0.01


def test_times_are_told_apart() -> None:
    told = waves(torch.linspace(0, 1, 101), 32)
    assert told.shape == (101, 32)
    distance = torch.cdist(told, told) + 10 * torch.eye(101)
    assert distance.min() > 0.3


def test_half_precision_is_near() -> None:
    network = made()
    noise, conditions = uniform(4, network), torch.randn(4, 2)
    with torch.no_grad():
        exact = network.generate(noise, conditions)
        with torch.autocast("cpu", torch.bfloat16):
            near = network.generate(noise, conditions)
    assert near.dtype == torch.float32
    both = (exact[:, 0] > 0) & (near[:, 0] > 0)
    assert both.sum() > 0.95 * (exact[:, 0] > 0).sum()
    assert (exact - near).movedim(1, 0)[:, both].abs().mean() < 0.02


def test_what_it_cannot_be_made_for_is_said() -> None:
    spec, framework = tank_spec(40, 1, (ENERGY,)), FrameworkConfig()
    for config, of, mode, says in (
        (MapFlowConfig(width=12), spec, framework, r"network\.width=12"),
        (MapFlowConfig(), tank_spec(12, 1, (ENERGY,)), framework, "12 x 12 can't be halved 3 times"),
        (MapFlowConfig(), spec, FrameworkConfig(distributed_mode="fsdp"), "fsdp"),
        (MapFlowConfig(), spec, FrameworkConfig(compile=True), r"framework\.compile=true"),
    ):
        with pytest.raises(UserError, match=says):
            MapFlow(config, of, {}, mode)
    network = MapFlow(MapFlowConfig(conditional=False), tank_spec(40, 1), {}, framework)
    with pytest.raises(DataError, match="no hits"):
        network.fit(torch.zeros(2, 1, 40, 40), torch.zeros(2, 0))
