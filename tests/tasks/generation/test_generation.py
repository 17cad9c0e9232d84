"""What is generated: which events, from which random numbers, and how validation measures them."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.stats import ks_2samp

from airshower.data.quantity import Quantity
from airshower.data.spec import Spec
from airshower.data.splits import Selection, Splits
from airshower.errors import UserError
from airshower.networks.tanks.map_flow import MapFlow
from airshower.networks.tanks.parameter_flow import ParameterFlow
from airshower.runtime.ranks import Ranks
from airshower.tasks.generation.adversarial import Adversarial
from airshower.tasks.generation.likelihood import Likelihood
from airshower.tasks.generation.plan import GenerateConfig, Generated, Plan, event_noise
from airshower.tasks.generation.views import ImageView, TableView
from tests.engine.generation_steps import SPEC, batch, make
from tests.networks.pixelcnn.networks import tank_spec
from tests.networks.tanks.small_quantities import ANGLE


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
    network, _ = make(Ranks(), Likelihood)
    quantities, given = SPEC.quantities("conditions"), torch.randn(5, 2)
    plan = Plan(quantities, np.array([7, 2, 5, 11, 4]), given, 13, 4, low, None if low is None else -low)
    cuts = [13], [4, 9], [1, 0, 12]
    with torch.no_grad():
        sampler = network.sampler(13)
        (whole,), *others = (
            [plan.generated(network, sampler, part, print) for part in np.split(np.arange(13), np.cumsum(cut)[:-1])]
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


def test_uniform_conditions_are_multiples_of_their_steps() -> None:
    network, _ = make(Ranks(), Likelihood)
    quantities = SPEC.quantities("conditions")[0], Quantity("primary", "", 0.5, 0.5, step=1.0)
    plan = Plan(quantities, np.arange(3), torch.zeros(3, 2), 60, 4, -torch.ones(2), torch.ones(2))
    with torch.no_grad():
        given = plan.generated(network, network.sampler(60), np.arange(60), print).conditions
    assert len(given[:, 0].unique()) == 60
    assert given[:, 1].unique().tolist() == [-1.0, 1.0]


@pytest.mark.parametrize(("options", "evaluation"), [({"generate_in_validation": False}, "evaluate"), ({}, "measure")])
def test_an_evaluation_by_likelihood_alone_generates_nothing(options: dict[str, bool], evaluation: str) -> None:
    """In validation if so wanted, and in inference, which generates the events of a plan."""
    network, step = make(Ranks(), Likelihood, **options)
    task, sample = step.task, step.task.prepare(batch([1, 2, 3]))
    network.generate = None
    with torch.no_grad():
        outputs, counters = getattr(task, evaluation)(network, sample, lambda tensor: tensor)
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
        values.append(torch.cat([sample.evaluated for sample in samples]))
        with torch.no_grad():
            losses.append(torch.cat([task.losses(network, network, sample, training=False) for sample in samples]))
        assert torch.equal(torch.get_rng_state(), state), "nothing is drawn"
    for other, other_losses in zip(values[1:], losses[1:], strict=True):
        assert torch.equal(other, values[0])
        torch.testing.assert_close(other_losses, losses[0], rtol=1e-5, atol=1e-5)
    whole = task.prepare(batch(entries))
    assert not torch.equal(whole.evaluated[:, 1], whole.recorded[:, 1])
    assert not torch.equal(task.dequantised(whole), task.dequantised(whole))
    (recorded,) = {task.view.table(events).scaled.tobytes() for events in (whole.evaluated, task.dequantised(whole))}
    assert task.view.table(whole.recorded).scaled.tobytes() == recorded


def test_an_evaluation_of_a_generator_has_no_losses() -> None:
    network, step = make(Ranks(), Adversarial)
    with torch.no_grad():
        _, counters = step.task.evaluate(network, step.task.prepare(batch([1, 2, 3])), lambda tensor: tensor)
    assert step.task.metrics(counters).keys() == {"KS", "Wasserstein", step.task.score}


def test_another_turn_is_no_distance() -> None:
    """Files may have their angles anywhere; those generated are in one turn."""
    _, step = make(Ranks(), Likelihood)
    sample = step.task.prepare(batch([1, 2, 3]))
    turns = torch.tensor([0.0, 0.0, 3 * ANGLE.period / ANGLE.width])
    made = Generated(sample.recorded + turns, sample.conditions, torch.arange(3))
    found = step.task.distributions(sample, made) | {"loss": torch.ones(2)}
    assert step.task.metrics(found)["Wasserstein"] < 0.02
    found = step.task.distributions(replace(sample, recorded=sample.recorded + turns), made) | {"loss": torch.ones(2)}
    assert step.task.metrics(found)["Wasserstein"] < 0.02


def test_betas_are_two_shares() -> None:
    for wrong in ([0.9], [0.5, 1.0], [-0.1, 0.9]):
        with pytest.raises(UserError, match=r"task\.betas"):
            Adversarial(Adversarial.Config(betas=wrong), SPEC, "parameters")
        with pytest.raises(UserError, match=r"task\.betas"):
            Likelihood(Likelihood.Config(betas=wrong), SPEC, "parameters")


class Conditions:
    """A source whose conditions follow from the entries."""

    spec = SPEC

    def scaled(self, name: str, entries: np.ndarray) -> np.ndarray:
        assert name == "conditions"
        return np.stack([entries, -entries], 1).astype(np.float32)


@pytest.mark.parametrize("conditions", ["data", "uniform"])
def test_the_plan_follows_from_what_inference_runs_over(conditions: str) -> None:
    config = Likelihood.Config(generate=GenerateConfig(20, conditions=conditions, seed=7))
    whole = Selection(Conditions(), np.array([2, 4, 9]))
    plan = Likelihood(config, SPEC, "parameters").plan(Splits(whole, None, whole))
    assert (plan.events, plan.seed, list(plan.entries)) == (20, 7, [2, 4, 9])
    assert plan.quantities == SPEC.quantities("conditions")
    limits = None if conditions == "data" else [[2.0, -9.0], [9.0, -2.0]]
    assert (limits is None) == (plan.low is None)
    if limits:
        assert [plan.low.tolist(), plan.high.tolist()] == limits


def test_a_plan_has_as_many_events_as_there_are_entries_if_none_are_asked_for() -> None:
    assert Plan.of(GenerateConfig(), Selection(Conditions(), np.array([2, 4, 9]))).events == 3


@pytest.mark.parametrize(
    ("network", "spec", "view"),
    [(ParameterFlow, SPEC, TableView), (MapFlow, tank_spec(16, 1), ImageView)],
)
def test_a_task_works_on_what_its_network_generates(network: type, spec: Spec, view: type) -> None:
    task = Likelihood.for_network(Likelihood.Config(), spec, network)
    assert type(task.view) is view
    assert task.view.name == network.generates
