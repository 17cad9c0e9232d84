"""A generator of images and its critic."""

import pytest
import torch

from airshower.config.schema import FrameworkConfig
from airshower.errors import UserError
from airshower.networks.tanks.map_gan import MapGan, MapGanConfig
from tests.networks.pixelcnn.networks import AZIMUTH, ENERGY, tank_spec

SMALL = {"noise": 5, "generator": 8, "critic": 4}


def made(channels: int = 2, **options: object) -> MapGan:
    torch.manual_seed(0)
    spec = tank_spec(40, channels, (ENERGY, AZIMUTH))
    return MapGan(MapGanConfig(**SMALL, **options), spec, {}, FrameworkConfig())


@pytest.mark.parametrize("channels", [1, 2])
@pytest.mark.parametrize("conditional", [True, False])
def test_images_have_no_light_in_dead_cells_and_hits_have_all_channels(channels: int, conditional: bool) -> None:
    network = made(channels, conditional=conditional)
    noise, conditions = torch.rand(6, network.latent).clamp(1e-3, 1 - 1e-3), torch.randn(6, 2)
    images = network.generate(noise, conditions)
    assert images.shape == (6, channels, 40, 40)
    dead = torch.from_numpy(tank_spec(40)["images"].dead)
    assert (images[:, :, dead] == 0).all()
    charge = images[:, 0] > 0
    assert 0.05 < charge[:, ~dead].float().mean() < 0.95
    assert images.max() <= 1
    assert not (images > 0).any(1)[~charge].any()
    # matrix products of another size round differently on some processors
    torch.testing.assert_close(network.generate(noise[2:4], conditions[2:4]), images[2:4], rtol=0, atol=1e-5)
    others = network.generate(noise, -conditions)
    assert torch.equal(images, others) != conditional


def test_scores_depend_on_images_and_conditions() -> None:
    network = made()
    images, conditions = torch.rand(3, 2, 40, 40), torch.randn(3, 2)
    scores = network.critic(images, conditions)
    assert scores.shape == (3,)
    assert not torch.allclose(scores, network.critic(images.flip(0), conditions))
    assert not torch.allclose(scores, network.critic(images, conditions.flip(0)))


def test_what_it_cannot_be_made_for_is_said() -> None:
    spec, framework = tank_spec(40, 1, (ENERGY,)), FrameworkConfig()
    for config, of, mode, says in (
        (MapGanConfig(generator=12), spec, framework, r"network\.generator=12"),
        (MapGanConfig(), spec, FrameworkConfig(distributed_mode="fsdp"), "fsdp"),
    ):
        with pytest.raises(UserError, match=says):
            MapGan(config, of, {}, mode)
