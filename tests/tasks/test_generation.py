"""What is generated: which events, from which random numbers, and how validation measures them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp, wasserstein_distance

from airshower.data.source import Selection, Splits
from airshower.data.tanks import Quantity
from airshower.errors import UserError
from airshower.networks.quantities import ParameterView
from airshower.runtime.ranks import Ranks
from airshower.tasks.adversarial import Adversarial
from airshower.tasks.generation import GenerateConfig, Plan, event_noise
from airshower.tasks.generation_report import Generated
from airshower.tasks.histograms import count_values, distances
from airshower.tasks.likelihood import Likelihood
from tests.engine.generation_steps import SPEC, batch, make
from tests.networks.tank_quantities import ANGLE


def test_random_numbers_belong_to_events() -> None:
    drawn = event_noise(3, np.array([5, 2, 5]), 4)
    assert drawn.shape == (3, 4)
    assert torch.equal(drawn[0], drawn[2])
    assert torch.equal(drawn[1], event_noise(3, np.array([2]), 4)[0])
    assert not torch.equal(drawn[1], event_noise(4, np.array([2]), 4)[0])
    assert event_noise(3, np.arange(0), 4).shape == (0, 4)
    many = event_noise(1, np.arange(2000), 20).flatten().sort().values
    assert 0 < many[0] < 1e-3
    assert 1 - 1e-3 < many[-1] < 1
    assert ks_2samp(many, np.linspace(0, 1, 40_000)).statistic < 0.01


@pytest.mark.parametrize("low", [None, torch.tensor([-1.0, -0.5])])
def test_what_is_generated_does_not_depend_on_batches(low: torch.Tensor | None) -> None:
    network, step = make(Ranks(), Likelihood)
    task, given = step.task, torch.randn(5, 2)
    task.plan = Plan(np.array([7, 2, 5, 11, 4]), given, 13, 4, low, None if low is None else -low)
    cuts = [13], [4, 9], [1, 0, 12]
    with torch.no_grad():
        sample = network.sampler(13)
        (whole,), *others = (
            [task.planned(network, sample, numbers, print) for numbers in np.split(np.arange(13), np.cumsum(cut)[:-1])]
            for cut in cuts
        )
    for pieces in others:
        torch.testing.assert_close(torch.cat([piece.events for piece in pieces]), whole.events, rtol=1e-5, atol=1e-5)
        assert torch.equal(torch.cat([piece.conditions for piece in pieces]), whole.conditions)
    assert len({tuple(event.tolist()) for event in whole.events}) == 13
    if low is None:
        assert whole.entry.tolist() == [7, 2, 5, 11, 4] * 2 + [7, 2, 5]
        assert torch.equal(whole.conditions, given.repeat(3, 1)[:13])
    else:
        assert (whole.conditions.abs() <= -low).all()
        assert len(whole.conditions.unique(dim=0)) == 13


def test_even_conditions_are_multiples_of_their_steps() -> None:
    network, step = make(Ranks(), Likelihood)
    task = step.task
    kept, classes = task.spec.conditions[0], Quantity("primary", "", 0.5, 0.5, step=1.0)
    task.spec = replace(task.spec, conditions=(kept, classes))
    task.plan = Plan(np.arange(3), torch.zeros(3, 2), 60, 4, -torch.ones(2), torch.ones(2))
    with torch.no_grad():
        given = task.planned(network, network.sampler(60), np.arange(60), print).conditions
    assert len(given[:, 0].unique()) == 60
    assert given[:, 1].unique().tolist() == [-1.0, 1.0]


def test_validation_by_likelihood_alone_generates_nothing() -> None:
    """As the evaluation of an inference, which generates what is planned by itself."""
    for options, plan in (
        ({"generate_in_validation": False}, None),
        ({}, Plan(np.arange(4), torch.zeros(4, 2), 10, 1)),
    ):
        network, step = make(Ranks(), Likelihood, **options)
        task, sample = step.task, step.task.prepare(batch([1, 2, 3]))
        network.generate, task.plan = None, plan
        with torch.no_grad():
            outputs, counters = task.evaluate(network, sample, lambda tensor: tensor)
        assert task.metrics(counters).keys() == {"loss", task.score}
        assert task.display(sample, outputs, 0, "") is None


def test_what_is_evaluated_of_an_event_follows_from_its_entry() -> None:
    """Not from the events beside it, nor from torch's random numbers, as those of training do."""
    network, step = make(Ranks(), Likelihood)
    task, entries = step.task, [3, 1, 4, 0, 9, 2]
    network.eval()
    values, losses = [], []
    for seed, cuts in ((0, [6]), (0, [2, 5]), (7, [1, 3, 3, 4])):
        torch.manual_seed(seed)
        state = torch.get_rng_state()
        samples = [task.prepare(batch(list(part))) for part in np.split(np.array(entries), cuts)]
        values.append(torch.cat([sample.real for sample in samples]))
        with torch.no_grad():
            losses.append(torch.cat([task.losses(network, network, sample, training=False) for sample in samples]))
        assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
    for other, other_losses in zip(values[1:], losses[1:], strict=True):
        assert torch.equal(other, values[0])
        torch.testing.assert_close(other_losses, losses[0], rtol=1e-5, atol=1e-5)
    whole = task.prepare(batch(entries))
    assert not torch.equal(whole.real[:, 1], whole.recorded[:, 1])
    assert not torch.equal(task.spread(whole), task.spread(whole))
    (recorded,) = {task.view.table(events).scaled.tobytes() for events in (whole.real, task.spread(whole))}
    assert task.view.table(whole.recorded).scaled.tobytes() == recorded


def test_an_evaluation_of_a_generator_has_no_losses() -> None:
    network, step = make(Ranks(), Adversarial)
    with torch.no_grad():
        _, counters = step.task.evaluate(network, step.task.prepare(batch([1, 2, 3])), lambda tensor: tensor)
    assert step.task.metrics(counters).keys() == {"KS", "Wasserstein", step.task.score}


def test_distances_are_scipy_s() -> None:
    generator = torch.Generator().manual_seed(1)
    real = torch.randn(3000, 2, generator=generator)
    other = torch.randn(2000, 2, generator=generator) * torch.tensor([1.0, 1.5]) + torch.tensor([0.3, 0.0])
    found = distances(count_values(real), count_values(other))
    columns = list(zip(real.T.numpy(), other.T.numpy(), strict=True))
    assert found["KS"] == pytest.approx(np.mean([ks_2samp(*pair).statistic for pair in columns]), abs=0.01)
    assert found["Wasserstein"] == pytest.approx(np.mean([wasserstein_distance(*pair) for pair in columns]), abs=0.01)
    far = count_values(torch.tensor([[100.0, torch.nan], [-100.0, 0.0]]))
    assert far.sum() == 4


def test_another_turn_is_no_distance() -> None:
    """Files may have their angles anywhere; those generated are in one turn."""
    _, step = make(Ranks(), Likelihood)
    sample = step.task.prepare(batch([1, 2, 3]))
    turns = torch.tensor([0.0, 0.0, 3 * ANGLE.period / ANGLE.width])
    made = Generated(sample.recorded + turns, sample.conditions, torch.arange(3))
    found = step.task.apart(sample, made) | {"loss": torch.ones(2)}
    assert step.task.metrics(found)["Wasserstein"] < 0.02
    found = step.task.apart(replace(sample, recorded=sample.recorded + turns), made) | {"loss": torch.ones(2)}
    assert step.task.metrics(found)["Wasserstein"] < 0.02


def test_betas_are_two_shares() -> None:
    for wrong in ([0.9], [0.5, 1.0], [-0.1, 0.9]):
        with pytest.raises(UserError, match=r"task\.betas"):
            Adversarial(Adversarial.Config(betas=wrong), SPEC, ParameterView(SPEC))
        with pytest.raises(UserError, match=r"task\.betas"):
            Likelihood(Likelihood.Config(betas=wrong), SPEC, ParameterView(SPEC))


class Nothing:
    """A source of events that are not read."""

    spec = SPEC

    def scalars(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Conditions from 0 on."""
        return np.zeros((len(entries), 3), np.float32), np.stack([entries, -entries], 1).astype(np.float32)

    def prediction_writer(self, *_: object) -> None:
        """None."""


@pytest.mark.parametrize("conditions", ["data", "uniform"])
def test_the_plan_follows_from_what_inference_runs_over(conditions: str, tmp_path: object) -> None:
    task = Likelihood(
        Likelihood.Config(generate=GenerateConfig(20, conditions=conditions, seed=7)), SPEC, ParameterView(SPEC)
    )
    whole = Selection(Nothing(), np.array([2, 4, 9]))
    task.report(Splits(whole, None, whole), tmp_path, {}, True)
    assert (task.plan.events, task.plan.seed, list(task.plan.entries)) == (20, 7, [2, 4, 9])
    limits = None if conditions == "data" else [[2.0, -9.0], [9.0, -2.0]]
    assert (limits is None) == (task.plan.low is None)
    if limits:
        assert [task.plan.low.tolist(), task.plan.high.tolist()] == limits
