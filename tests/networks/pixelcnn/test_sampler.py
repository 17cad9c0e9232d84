"""Generation: the cached sampler gives what the whole network, run anew for each cell, gives for the same noise."""

import pytest
import torch

from airshower.networks.layers.levels import dequantise, quantise
from airshower.networks.pixelcnn.network import PixelCnn
from airshower.networks.pixelcnn.sampler import (
    TEMPORARY,
    Sampler,
    bytes_per_image,
    largest_batch,
    sample_naively,
    steps_of_rows,
)
from tests.networks.pixelcnn.networks import AZIMUTH, ENERGY, network, sparse_images, tank_spec, uniform

CONFIGS = [
    (1, {}),
    (2, {"resnets": 2, "zero": False}),
    (2, {"resolutions": 1, "levels": 16}),
    (1, {"resolutions": 2, "mixtures": 1}),
    (2, {"conditional": True}),
]


def started(spec: object, **config: object) -> PixelCnn:
    """A network whose images have hits and empty cells."""
    net = network(spec, **config)
    net.fit(sparse_images(8, spec), torch.randn(8, 2))
    return net


def drawn_again(
    net: PixelCnn, images: torch.Tensor, noise: torch.Tensor, conditions: torch.Tensor | None = None
) -> int:
    """In how many values images differ from what their own noise draws in each cell, given all cells before it.

    In none: then, cell after cell, they are what sampling cell by cell makes of this noise."""
    with torch.no_grad():
        numbers = quantise(images, net.levels)
        theta = net.distribution(numbers, conditions).flatten(2)[..., net.live].transpose(1, 2)
        drawn = net.mixture.draw(theta, net.mixture.prepare(noise.unflatten(1, (-1, net.mixture.draws))))
    return int((drawn != numbers.flatten(2)[..., net.live].transpose(1, 2)).sum())


@pytest.mark.parametrize(("channels", "config"), CONFIGS, ids=str)
def test_cached_is_naive(channels: int, config: dict) -> None:
    spec = tank_spec(12, channels, (ENERGY, AZIMUTH))
    net = started(spec, **config).double()
    noise, conditions = uniform(2, net, dtype=torch.float64), torch.randn(2, 2, dtype=torch.float64)
    cached, naive = net.generate(noise, conditions), sample_naively(net, noise, conditions)
    assert cached.shape == (2, channels, 12, 12)
    assert torch.equal(cached, naive)
    assert drawn_again(net, cached, noise, conditions) == 0
    hits = cached[:, 0] > 0
    assert 0.02 < hits.double().mean() < 0.98
    assert not (cached.abs().amax((0, 1)).numpy() > 0)[spec["images"].dead].any()
    assert torch.equal(dequantise(quantise(cached, net.levels), net.levels), cached)


def test_cached_is_naive_for_images_that_are_not_square() -> None:
    spec = tank_spec(12)
    object.__setattr__(spec["images"], "pmt", spec["images"].pmt[:8])
    net = started(spec).double()
    noise = uniform(2, net, dtype=torch.float64)
    assert torch.equal(net.generate(noise), sample_naively(net, noise))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_whole_images(dtype: torch.dtype) -> None:
    """40 x 40 cells, of which 400 are dead, with both channels."""
    spec = tank_spec(40)
    net = started(spec).to(dtype)
    noise = uniform(2, net, dtype=dtype)
    images = net.generate(noise)
    assert drawn_again(net, images, noise) == 0
    assert drawn_again(net, images.flip(0), noise) > 0


@pytest.mark.full
def test_whole_images_through_the_whole_network() -> None:
    """Both samplers in full, cell by cell: 1200 passes of the network for the one that is not cached."""
    net = started(tank_spec(40, 1), filters=4)
    noise = uniform(1, net)
    assert torch.equal(net.generate(noise), sample_naively(net, noise))


def test_images_depend_on_their_own_noise_and_conditions() -> None:
    spec = tank_spec(12, 2, (ENERGY, AZIMUTH))
    net = started(spec, conditional=True).double()
    noise, conditions = uniform(4, net, dtype=torch.float64), torch.randn(4, 2, dtype=torch.float64)
    together = net.generate(noise, conditions)
    alone = [net.generate(noise[i : i + 1], conditions[i : i + 1]) for i in range(4)]
    assert torch.equal(together, torch.cat(alone))
    assert len({image.sum().item() for image in together}) == 4
    other = conditions.clone()
    other[0] += 2.0
    moved = net.generate(noise, other)
    assert not torch.equal(moved[0], together[0])
    assert torch.equal(moved[1:], together[1:])


def test_nothing_is_left_of_other_images() -> None:
    net = started(tank_spec(12))
    sampler, noise = Sampler(net, 3), uniform(3, net)
    first = sampler(noise)
    assert not torch.equal(sampler(uniform(3, net, seed=2)), first)
    assert torch.equal(sampler(noise), first)


def test_fewer_images_than_a_batch() -> None:
    """They are those of a whole batch; what is done is told row by row."""
    net, shares = started(tank_spec(12, 1, (ENERGY, AZIMUTH)), conditional=True).double(), []
    noise, conditions = uniform(3, net, dtype=torch.float64), torch.randn(3, 2, dtype=torch.float64)
    sample = net.sampler(3)
    whole = sample(noise, conditions, shares.append)
    assert shares == [(row + 1) / 12 for row in range(12)]
    for count in (2, 0):
        assert torch.equal(sample(noise[:count], conditions[:count], print), whole[:count])
    assert net.generate(noise[:0], conditions[:0]).shape == (0, 1, 12, 12)


def test_lower_precision() -> None:
    """bfloat16 as the type of a sampler or of autocast; images are whole levels all the same."""
    spec = tank_spec(12)
    net = started(spec)
    noise = uniform(4, net)
    images = Sampler(net, 4, torch.bfloat16)(noise)
    with torch.autocast("cpu", torch.bfloat16):
        assert torch.equal(net.generate(noise), images)
    assert torch.equal(dequantise(quantise(images, 256), 256), images)
    assert images.dtype == torch.float32
    hits = [(each[:, 0] > 0).float().mean() for each in (images, net.generate(noise))]
    assert abs(hits[0] - hits[1]) < 0.15


def test_memory_of_an_image() -> None:
    net = network(tank_spec(40), filters=8, resnets=2)
    kept = [Sampler(net, batch).nbytes for batch in (1, 3)]
    assert kept[1] == 3 * kept[0]
    each = bytes_per_image(net)
    assert each == kept[0] + 4 * (TEMPORARY * 8 * 40 + 3 * 3600)
    assert largest_batch(net, 10 * each) == largest_batch(net, 11 * each - 1) == 10
    assert largest_batch(net, each - 1) == 1
    assert bytes_per_image(net, torch.bfloat16) < 0.75 * each


def test_cells_without_pmt_are_computed_with_the_next() -> None:
    # rows of 4 cells: x..x, xxxx, .x.., ....
    assert steps_of_rows([1, 2, 8, 10, 11, 12, 13, 14, 15], 4, 4) == [
        [(0, 2, 0), (2, 3, 1), (3, 4, None)],
        [(0, 4, None)],
        [(0, 1, 2), (1, 3, 3), (3, 4, 4)],
        [(0, 1, 5), (1, 2, 6), (2, 3, 7), (3, 4, 8)],
    ]


def test_changed_weights_are_taken_anew() -> None:
    net = started(tank_spec(12))
    noise = uniform(1, net)
    before = net.generate(noise)
    with torch.no_grad():
        for parameter in net.parameters():
            parameter.mul_(1.1)
    assert not torch.equal(net.generate(noise), before)


@pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no CUDA device")
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_recorded_kernels_generate_the_same(dtype: torch.dtype) -> None:
    """The first batch launches them, the second records them, the third replays them."""
    net = started(tank_spec(40, 2, (ENERGY, AZIMUTH)), conditional=True).cuda()
    noise, conditions = uniform(3, net).cuda(), torch.randn(3, 2, device="cuda")
    sampler, other = Sampler(net, 3, dtype, graphs=True), uniform(3, net, seed=2).cuda()
    first = sampler(noise, conditions)
    assert not torch.equal(sampler(other, conditions), first)
    assert torch.equal(sampler(noise, conditions), first)
    assert torch.equal(Sampler(net, 3, dtype)(noise, conditions), first)
