"""Generators of event parameters: what they see, densities that are densities, and conditions that count."""

import pytest
import torch

from airshower.config.schema import FrameworkConfig
from airshower.data.quantity import Quantity
from airshower.errors import UserError
from airshower.networks.layers.features import decode, encode, encoded_size
from airshower.networks.tanks.marginals import KNOTS, Marginals, from_normal_scores, normal_scores
from airshower.networks.tanks.parameter_flow import ParameterFlow, ParameterFlowConfig
from airshower.networks.tanks.parameter_gan import ParameterGan, ParameterGanConfig
from airshower.tasks.generation.views import TableView
from tests.networks.tanks.small_quantities import ANGLE, CHARGE, COUNT, ENERGY, LEAK, scaled, spec

FRAMEWORK = FrameworkConfig()


def test_angles_have_no_seam() -> None:
    turn = ANGLE.period / ANGLE.width
    values = torch.tensor([[0.3, -turn / 2], [0.3, turn / 2]])
    features = encode(values, (CHARGE, ANGLE))
    assert features.shape == (2, encoded_size((CHARGE, ANGLE)))
    torch.testing.assert_close(features[0], features[1])
    assert encode(values[:, :0], ()).shape == (2, 0)
    there = scaled(20, CHARGE, ANGLE)
    torch.testing.assert_close(decode(encode(there, (CHARGE, ANGLE)), (CHARGE, ANGLE)), there)
    longer = encode(there, (CHARGE, ANGLE)) * torch.tensor([1.0, 3.0, 3.0])
    torch.testing.assert_close(decode(longer, (CHARGE, ANGLE)), there)


class TestMarginals:
    """Ranks and back, with the right density."""

    def sample(self, count: int = 4000) -> torch.Tensor:
        generator = torch.Generator().manual_seed(1)
        edge = torch.rand(count, generator=generator).square() * 2 - 1
        peak = torch.where(edge > 0.5, torch.zeros(count), torch.randn(count, generator=generator))
        turn = ANGLE.period / ANGLE.width
        return torch.stack([edge, peak, turn * (torch.rand(count, generator=generator) - 0.5)], 1)

    def fitted(self, values: torch.Tensor) -> Marginals:
        marginals = Marginals((CHARGE, LEAK, ANGLE))
        marginals.fit(values)
        return marginals

    def test_ranks_are_even_and_go_back(self) -> None:
        values = self.sample()
        marginals = self.fitted(values)
        ranks, _ = marginals.ranks(values)
        assert (ranks >= 0).all()
        assert (ranks <= 1).all()
        for column in (0, 2):
            counts = torch.histc(ranks[:, column], 10, 0, 1)
            assert (counts - 400).abs().max() < (10 if column == 0 else 100)
        torch.testing.assert_close(marginals.values(ranks), values, atol=2e-4, rtol=0)

    def test_derivatives_are_autograd_s(self) -> None:
        values = self.sample(500)
        marginals = self.fitted(values).double()
        values = values.double().requires_grad_()
        ranks, slope = marginals.ranks(values)
        (derivative,) = torch.autograd.grad(ranks.sum(), values)
        torch.testing.assert_close(slope, derivative.log().sum(1))

    def test_nothing_lies_beyond_the_edges(self) -> None:
        values = self.sample()
        marginals = self.fitted(values)
        ends = marginals.values(torch.tensor([[-1.0, 0, 0], [2.0, 1, 1]]))
        room = 3 / len(values) + 2e-6 * KNOTS
        assert ends[0, 0] == pytest.approx(float(values[:, 0].min()), abs=room)
        assert ends[1, 0] == pytest.approx(float(values[:, 0].max()), abs=room)

    @pytest.mark.parametrize("events", [1, 2, 500])
    @pytest.mark.parametrize("value", [0.0, 3.2, -4000.0])
    def test_what_does_not_vary_has_a_density(self, value: float, events: int) -> None:
        values = torch.full((events, 3), value)
        values[events // 2 :, 1] = value + 1.0
        marginals = self.fitted(values)
        assert (marginals.knots.diff() > 0).all()
        ranks, density = marginals.ranks(values)
        assert torch.isfinite(density).all()
        torch.testing.assert_close(marginals.values(ranks)[:, :2], values[:, :2], atol=1e-3, rtol=1e-6)
        ends = marginals.values(torch.tensor([[0.0], [1.0]]).expand(2, 3))[:, 0]
        assert (ends - value).abs().max() < 3e-4 * max(abs(value), 1.0)

    def test_scores_go_back(self) -> None:
        ranks = torch.linspace(0.001, 0.999, 99)
        torch.testing.assert_close(from_normal_scores(normal_scores(ranks)), ranks)
        assert normal_scores(torch.tensor([0.0, 1.0])).abs().max() < 5.5

    def test_they_are_part_of_the_weights_and_are_not_trained(self) -> None:
        marginals = self.fitted(self.sample())
        assert "knots" in marginals.state_dict()
        assert not any(parameter.requires_grad for parameter in marginals.parameters())


def flow(parameters: tuple[Quantity, ...], **options: object) -> ParameterFlow:
    """One that has been moved from where it starts."""
    torch.manual_seed(3)
    made = ParameterFlow(ParameterFlowConfig(bins=6, width=16, **options), spec(parameters), {}, FRAMEWORK)
    made.fit(scaled(2000, *parameters))
    for layers in made.splines:
        torch.nn.init.normal_(layers[-1].weight, std=0.5)
        torch.nn.init.normal_(layers[-1].bias, std=0.5)
    return made


class TestFlow:
    """An exact density, and samples of it."""

    def test_the_density_integrates_to_one(self) -> None:
        made = flow((CHARGE, ANGLE)).double()
        steps = torch.arange(400, dtype=torch.float64) / 400 + 1 / 800
        grid = made.marginals.values(torch.cartesian_prod(steps, steps))
        conditions = torch.tensor([[0.4, -0.2]], dtype=torch.float64).expand(len(grid), 2)
        with torch.no_grad():
            density = (made(grid, conditions) - made.marginals.ranks(grid)[1]).exp()
        assert density.std() > 0.3
        assert float(density.mean()) == pytest.approx(1, abs=2e-3)

    def test_samples_have_the_density(self) -> None:
        """Ranks of samples under the flow's own cumulated density are the noise that they were made of."""
        made = flow((CHARGE, COUNT, ANGLE)).double()
        noise = torch.rand(500, made.latent, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
        conditions = scaled(500, ENERGY, ANGLE).double()
        with torch.no_grad():
            values = made.generate(noise, conditions)
            density = made(values, conditions)
        moved = noise.clone().requires_grad_()
        jacobian = torch.autograd.functional.jacobian(
            lambda x: made.generate(x, conditions).sum(0), moved, vectorize=True
        ).permute(1, 0, 2)
        torch.testing.assert_close(density, -torch.linalg.slogdet(jacobian).logabsdet, atol=2e-4, rtol=1e-3)

    def test_it_starts_as_independent_parameters(self) -> None:
        made = ParameterFlow(ParameterFlowConfig(), spec((CHARGE, COUNT)), {}, FRAMEWORK)
        values = scaled(2000, CHARGE, COUNT)
        made.fit(values)
        with torch.no_grad():
            density = made(values, scaled(2000, ENERGY, ANGLE))
        torch.testing.assert_close(density, made.marginals.ranks(values)[1], atol=1e-4, rtol=0)

    def test_angles_have_no_seam(self) -> None:
        made, turn = flow((ANGLE, CHARGE)), ANGLE.period / ANGLE.width
        conditions = scaled(2, ENERGY, ANGLE)[:1].expand(2, 2)
        with torch.no_grad():
            left, right = made(torch.tensor([[-turn / 2 + 1e-5, 0.3], [turn / 2 - 1e-5, 0.3]]), conditions)
        assert float(left) == pytest.approx(float(right), abs=1e-3)


@pytest.mark.parametrize("marginals", ["scaled", "normal"])
@pytest.mark.parametrize("periodic", [False, True])
def test_features_of_a_gan_go_back_to_parameters(marginals: str, periodic: bool) -> None:
    quantities = (CHARGE, COUNT, ANGLE)
    config = ParameterGanConfig(marginals=marginals, periodic=periodic, generator=[8], critic=[8])
    gan = ParameterGan(config, spec(quantities), {}, FRAMEWORK)
    view, recorded = TableView(spec(quantities), "parameters"), scaled(3000, *quantities)
    values = view.dequantised(recorded, view.shares(recorded))
    gan.fit(values)
    features = gan.features(values)
    assert features.shape == (3000, 4 if periodic else 3)
    torch.testing.assert_close(gan.parameters_of(features), values, atol=2e-3, rtol=0)
    made = gan.generator(torch.randn(10, gan.latent), scaled(10, ENERGY, ANGLE))
    if periodic:
        torch.testing.assert_close(made[:, 2:].norm(dim=1), torch.ones(10))
    if marginals == "normal":
        assert features[:, 0].std() == pytest.approx(1, abs=0.05)


@pytest.mark.parametrize("kind", [ParameterGan, ParameterFlow])
def test_conditions_count_where_they_are_asked_for(kind: type) -> None:
    noise = torch.rand(1, 50)
    for conditional in (False, True):
        torch.manual_seed(1)
        made = kind(kind.Config(conditional=conditional), spec((CHARGE, ANGLE)), {}, FRAMEWORK)
        if kind is ParameterFlow:
            torch.nn.init.normal_(made.splines[0][-1].weight)
        first, second = (made.generate(noise[:, : made.latent], torch.full((1, 2), value)) for value in (0.0, 1.0))
        assert torch.equal(first, second) != conditional


@pytest.mark.parametrize("marginals", ["scaled", "normal"])
def test_half_precision_generates_no_comb(marginals: str) -> None:
    """bfloat16 has 128 numbers between 1 and 2."""
    quantities = (CHARGE, LEAK, ANGLE)
    gan = ParameterGan(ParameterGanConfig(marginals=marginals), spec(quantities), {}, FRAMEWORK)
    noise, conditions = torch.rand(1000, gan.latent), scaled(1000, ENERGY, ANGLE)
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
        made = gan.generate(noise, conditions)
    assert made.dtype == torch.float32
    assert min(len(column.unique()) for column in made.T) > 990


def test_what_can_t_be_built_is_refused() -> None:
    for given, says in (
        ((ParameterGanConfig(), spec(())), "data.parameters"),
        ((ParameterGanConfig(critic=[0]), spec((CHARGE,))), "network.critic"),
    ):
        with pytest.raises(UserError, match=says):
            ParameterGan(*given, {}, FRAMEWORK)
    with pytest.raises(UserError, match=r"framework\.compile"):
        ParameterGan(ParameterGanConfig(), spec((CHARGE,)), {}, FrameworkConfig(compile=True))
    with pytest.raises(UserError, match=r"framework\.distributed_mode"):
        ParameterFlow(ParameterFlowConfig(), spec((CHARGE,)), {}, FrameworkConfig(distributed_mode="fsdp"))
