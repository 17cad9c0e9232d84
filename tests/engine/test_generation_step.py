"""Steps of generators: phases in their turn, the same gradients however a step is cut, and averages of weights."""

from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.engine.checkpoint import load_weights
from airshower.runtime.ranks import Ranks
from airshower.tasks.generation.adversarial import Adversarial, CriticTurn
from airshower.tasks.generation.generation import Generation
from airshower.tasks.generation.likelihood import Likelihood
from tests.engine.generation_steps import ENTRIES, KINDS, DoubledLikelihood, batch, gradients, make


@pytest.mark.parametrize("cut", [(4, 1), (1, 1, 1, 1, 1), (0, 5)])
@pytest.mark.parametrize("kind", KINDS)
def test_accumulation_gives_the_gradient_of_the_whole_batch(kind: str, cut: tuple[int, ...]) -> None:
    whole = gradients(kind, Ranks(), [ENTRIES])
    pieces = [ENTRIES[end - size : end] for size, end in zip(cut, np.cumsum(cut), strict=True)]
    assert (gradients(kind, Ranks(), pieces) - whole).norm() < 1e-12 * whole.norm()


@pytest.mark.parametrize("kind", ["wasserstein", "binary"])
def test_half_precision_has_losses_of_all_events(kind: str) -> None:
    """1001 events are no number of bfloat16."""
    torch.manual_seed(0)
    network, step = make(Ranks(), Adversarial, **KINDS[kind][1])
    sample = step.task.prepare(batch([1] * 1001))
    for phase in step.task.phases(network):
        with torch.autocast("cpu", torch.bfloat16):
            terms, outputs = phase.loss(phase.module, sample, torch.tensor([1001.0]))
        assert terms.total.dtype == torch.float32
        assert float(terms.weight) == 1001.0
        (loss,) = outputs.values()
        assert float(loss[0]) == pytest.approx(float(terms.total.sum().detach()), rel=1e-5)


def weights(module: torch.nn.Module) -> torch.Tensor:
    return torch.cat([weight.detach().flatten() for weight in module.parameters()])


def test_phases_have_their_turns_and_move_their_own_weights() -> None:
    torch.manual_seed(0)
    network, step = make(Ranks(), Adversarial, critic_steps=3, critic_rate=2.0, generator_rate=0.5)
    for number in range(7):  # the generator after each three turns of the critic
        before = {name: weights(getattr(network, name)) for name in ("generator", "critic")}
        counters = step([batch(ENTRIES)], 0.01, measure=True, step=number)
        assert not torch.equal(weights(network.critic), before["critic"])
        assert torch.equal(weights(network.generator), before["generator"]) == (number not in (2, 5))
        assert np.isnan(step.task.metrics(counters)["generator_loss"]) == (number not in (2, 5))
    assert [trained.optimizer.param_groups[0]["lr"] for trained in step.phases] == [0.02, 0.005]
    assert all(weight.requires_grad for weight in network.critic.parameters())


def critic_of(critic: torch.nn.Module, given: torch.Tensor, features: torch.Tensor) -> torch.Tensor:
    return critic(features, given)


def test_losses_are_those_of_the_papers() -> None:
    torch.manual_seed(0)
    for kind, options in KINDS.values():
        network, step = make(Ranks(), kind, **options, **({"average": 0.0}))
        sample, totals = step.task.prepare(batch(ENTRIES)), torch.tensor([5.0])
        found = [phase.loss(phase.module, sample, totals)[0] for phase in step.task.phases(network)]
        values = [float((terms.total / terms.weight).sum().detach()) for terms in found]
        if kind is DoubledLikelihood:
            likelihood = network(step.task.dequantised(sample), sample.conditions)
            assert values == pytest.approx([-float(likelihood.mean().detach())])
            continue
        fake = network.generator(step.task.noise(network, sample), sample.conditions).detach()
        reference, given = network.features(step.task.dequantised(sample)), sample.conditions
        a, b = network.critic(reference, given).detach(), network.critic(fake, given).detach()
        if options.get("loss") == "binary":
            expected = [-(a.sigmoid().log() + (1 - b.sigmoid()).log()).mean(), -b.sigmoid().log().mean()]
        else:
            between = reference + step.task.shares(sample)[:, None] * (fake - reference)
            slopes = torch.autograd.functional.jacobian(partial(critic_of, network.critic, given), between)
            penalty = (slopes.diagonal(dim1=0, dim2=1).norm(dim=0) - 1).square().mean()
            expected = [b.mean() - a.mean() + 10 * penalty, -b.mean()]
        assert values == pytest.approx([float(value.detach()) for value in expected])


def test_the_penalty_has_a_gradient_of_the_second_order() -> None:
    critic = torch.nn.Bilinear(2, 2, 1, bias=False)  # of (x, conditions): its gradient is linear in the conditions
    turn = CriticTurn(lambda x, given: critic(x, given)[:, 0], gradient=True)
    x, given = torch.randn(6, 2), torch.randn(6, 2)
    *_, norms = turn(x, -x, torch.rand(6), given)
    slope = given @ critic.weight[0].T
    torch.testing.assert_close(norms, slope.norm(dim=1))
    (norms - 1).square().sum().backward()
    found, critic.weight.grad = critic.weight.grad, None
    (slope.norm(dim=1) - 1).square().sum().backward()
    torch.testing.assert_close(found, critic.weight.grad)


def test_averages_forget_the_start_and_lend_themselves() -> None:
    torch.manual_seed(0)
    (network, step), (other, _) = (make(Ranks(), Likelihood, average=0.9) for _ in range(2))
    (average,) = (trained.average for trained in step.phases)
    expected, moved = [mean.clone() for mean in average.means], []
    for number in range(1, 40):
        step([batch(ENTRIES)], 0.01, measure=False)
        kept = min(0.9, number / (10 + number))
        expected = [kept * old + (1 - kept) * new.detach() for old, new in zip(expected, average.weights, strict=True)]
        moved.append(weights(network))
    for mean, value in zip(average.means, expected, strict=True):
        torch.testing.assert_close(mean, value, rtol=1e-4, atol=1e-6)
    own = weights(network)
    state = {"model": network.state_dict(), "averages": [average.state_dict(True)]}
    load_weights(other, state, Path("a.ckpt"), averaged=False)
    assert torch.equal(weights(other), own)
    load_weights(other, state, Path("a.ckpt"))
    with average.used():
        assert torch.equal(weights(network), weights(other)), "what inference generates with"
        assert not torch.equal(weights(network), own)
        assert float((weights(network) - own).norm()) < float((own - moved[0]).norm())
    assert torch.equal(weights(network), own)
    assert set(average.names) == {name for name, weight in network.named_parameters() if weight.requires_grad}


@pytest.mark.parametrize(("kind", "metric", "drop"), [(Adversarial, "Wasserstein", 0.3), (Likelihood, "loss", 3.0)])
def test_a_few_events_are_learned(kind: type[Generation], metric: str, drop: float) -> None:
    torch.manual_seed(0)
    network, step = make(Ranks(), kind, "adam", average=0.9)
    entries = list(range(10))

    def measured() -> float:
        with torch.no_grad(), step.phases[-1].average.used():
            _, counters = step.task.evaluate(network, step.task.prepare(batch(entries)), lambda tensor: tensor)
        return step.task.metrics(counters)[metric]

    before = measured()
    for number in range(500):
        step([batch(entries)], 0.005, measure=False, step=number)
    assert measured() < before - drop
