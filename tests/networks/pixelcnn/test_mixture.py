"""Images as whole numbers, and their distribution."""

import itertools

import pytest
import torch

from airshower.networks.layers.levels import dequantise, quantise
from airshower.networks.pixelcnn.mixture import LOG_SCALES, LogisticMixture, centred

LEVELS = 16


def parameters(mixture: LogisticMixture, count: int, spread: float = 2.0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return spread * torch.randn(count, mixture.size, generator=generator, dtype=torch.float64)


def all_levels(channels: int, lowest: int = 0) -> torch.Tensor:
    """Every combination [combinations, channels]."""
    return torch.tensor(list(itertools.product(range(lowest, LEVELS), repeat=channels)))


def test_sizes_are_those_of_the_paper_for_one_and_two_channels() -> None:
    assert [LogisticMixture(channels, 10, 256, False).size for channels in (1, 2)] == [30, 60]
    assert [LogisticMixture(channels, 10, 256, True).size for channels in (1, 2)] == [31, 61]


def test_no_hit_is_level_0_and_a_hit_is_not() -> None:
    charge = torch.tensor([0.0, 1e-7, 0.4 / 255, 1.6 / 255, 0.5, 1.0, 0.3, 0.0])
    time = torch.tensor([0.0, 0.5, 1.0, 0.2 / 255, 0.0, 1.0, 1e-9, 0.7])
    images = torch.stack([charge, time])[None, :, None]
    assert quantise(images, 256)[0, :, 0].tolist() == [[0, 1, 1, 2, 128, 255, 76, 0], [0, 128, 255, 1, 1, 255, 1, 0]]
    assert quantise(images[:, :1], 256)[0, 0, 0].tolist() == [0, 1, 1, 2, 128, 255, 76, 0]


@pytest.mark.parametrize("levels", [3, 16, 256, 65536])
def test_levels_and_back(levels: int) -> None:
    numbers = torch.cat([torch.zeros(1), torch.arange(1, levels)]).long().view(1, 1, 1, -1).expand(1, 2, 1, -1)
    images = dequantise(numbers, levels)
    assert images.min() == 0
    assert images.max() == 1
    assert torch.equal(quantise(images, levels), numbers)
    assert torch.equal(centred(numbers[0, 0, 0, [0, -1]].double(), levels), torch.tensor([-1.0, 1.0]).double())
    nearest = quantise((images + 0.49 / (levels - 1) * (images > 0)).clamp(max=1), levels)
    assert torch.equal(nearest, numbers)  # values are at most half a bin away


@pytest.mark.parametrize("spread", [2.0, 30.0])
@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_probabilities_sum_to_one(channels: int, zero: bool, spread: float) -> None:
    """Over all levels; with `zero`, over no hit and the hits, and no others have any."""
    mixture = LogisticMixture(channels, 4, LEVELS, zero)
    theta = parameters(mixture, 20, spread)
    numbers = all_levels(channels, mixture.lowest)
    if zero:
        numbers = torch.cat([torch.zeros_like(numbers[:1]), numbers])
    log_p = mixture.log_probability(
        theta[:, None].expand(-1, len(numbers), -1), numbers.expand(len(theta), *numbers.shape)
    )
    assert log_p.isfinite().all()
    torch.testing.assert_close(log_p.exp().sum(1), torch.ones(20, dtype=torch.float64), rtol=0, atol=1e-10)


@pytest.mark.parametrize("zero", [True, False])
@pytest.mark.parametrize("channels", [1, 2])
def test_draws_have_the_probabilities(channels: int, zero: bool) -> None:
    """Of all levels, within five standard errors; without `zero`, a time of level 0 beside a charge becomes 1, and one
    without charge 0."""
    mixture, draws = LogisticMixture(channels, 3, LEVELS, zero), 200_000
    theta = parameters(mixture, 1, 1.0)
    noise = torch.rand(draws, mixture.draws, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    drawn = mixture.draw(theta.expand(draws, -1), mixture.prepare(noise)).long()
    numbers = all_levels(channels)
    expected = mixture.log_probability(theta.expand(len(numbers), -1), numbers).exp().view([LEVELS] * channels)
    if channels == 2 and zero:  # no others are asked for
        expected[0, 1:] = expected[1:, 0] = 0.0
    elif channels == 2:
        expected[0, 0] = expected[0].sum()
        expected[1:, 1] += expected[1:, 0]
        expected[0, 1:] = expected[1:, 0] = 0.0
    counts = torch.zeros_like(expected).index_put_(tuple(drawn.T), torch.ones(draws).double(), accumulate=True)
    error = (expected * (1 - expected) / draws).clamp_min(1e-12).sqrt()
    torch.testing.assert_close(expected.sum().item(), 1.0)
    assert ((counts / draws - expected).abs() < 5 * error + 1e-4 * (expected > 0)).all()


@pytest.mark.parametrize("zero", [True, False])
def test_what_is_drawn_is_consistent(zero: bool) -> None:
    """A cell has a charge if and only if it has a time, whatever the parameters."""
    mixture = LogisticMixture(2, 5, 256, zero)
    theta = parameters(mixture, 5000, 4.0).float()
    noise = torch.rand(5000, 3, generator=torch.Generator().manual_seed(2))
    noise[:3] = torch.tensor([[0.0], [0.5], [1.0]])
    drawn = mixture.draw(theta, mixture.prepare(noise))
    assert torch.equal(drawn[:, 0] > 0, drawn[:, 1] > 0)
    assert 0.1 < (drawn[:, 0] > 0).float().mean() < 0.9
    assert drawn.min() == 0
    assert drawn.max() == 255
    assert torch.equal(drawn, drawn.round())


def test_components_of_any_width_and_place_have_finite_gradients() -> None:
    mixture = LogisticMixture(1, 1, 256, False)
    theta = torch.tensor([[0.0, mean, scale] for mean in (-30.0, -1.0, 0.3, 50.0) for scale in (-120.0, 0.0, 120.0)])
    theta.requires_grad_()
    for number in (0, 1, 128, 255):
        log_p = mixture.log_probability(theta, torch.full((len(theta), 1), number))
        assert log_p.isfinite().all()
        log_p.sum().backward()
    assert theta.grad.isfinite().all()
    beyond = (theta[:, 2] < LOG_SCALES[0]) | (theta[:, 2] > LOG_SCALES[1])
    assert not theta.grad[beyond, 2].any()
