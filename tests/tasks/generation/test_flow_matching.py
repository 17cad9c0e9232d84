"""Flow matching: its loss, exact however a step is cut, and what a few steps of it teach."""

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.config.schema import FrameworkConfig, OptimizerConfig, RunConfig
from airshower.data.batch import Batch
from airshower.data.containers import Images, Table
from airshower.data.spec import Spec
from airshower.engine.step import Step, TrainedPhase
from airshower.errors import UserError
from airshower.networks.tanks.map_flow import MapFlow, MapFlowConfig
from airshower.runtime.device import Precision
from airshower.runtime.ranks import Ranks
from airshower.runtime.timers import Timers
from airshower.tasks.generation.flow_matching import FlowMatching
from airshower.tasks.generation.generation import GenerationSample
from tests.networks.pixelcnn.networks import ENERGY, sparse_images, tank_spec

CPU = torch.device("cpu")
ENTRIES = [3, 1, 4, 5, 9]
SPEC = tank_spec(40, 2, (ENERGY,))
IMAGES = sparse_images(10, SPEC).numpy()


def batch(entries: list[int], images: np.ndarray = IMAGES, conditions: np.ndarray | None = None) -> Batch:
    rows = np.array(entries, int)
    given = np.linspace(-1, 1, len(images), dtype=np.float32)[:, None] if conditions is None else conditions
    inputs = {"images": Images(images[rows]), "conditions": Table(given[rows])}
    return Batch(inputs, rows, np.zeros((len(rows), 3), int)).to(CPU)


class Doubled(FlowMatching):
    """In float64, with random numbers that belong to entries."""

    def prepare(self, events: Batch) -> GenerationSample:
        recorded, conditions = (events[name].values.double() for name in ("images", "conditions"))
        return GenerationSample(self.view, recorded, conditions, events.entries)

    def training_noise(self, network: torch.nn.Module, sample: GenerationSample) -> Tensor:
        rows = [np.random.default_rng(entry).normal(size=1 + network.latent) for entry in sample.entries]
        return torch.from_numpy(np.array(rows).reshape(-1, 1 + network.latent))


def make(
    kind: type[FlowMatching] = FlowMatching, name: str = "sgd", spec: Spec = SPEC, **options: object
) -> tuple[MapFlow, Step]:
    """A network and its step."""
    torch.manual_seed(0)
    network = MapFlow(MapFlowConfig(width=8, steps=8), spec, {}, FrameworkConfig())
    rows, columns = spec["images"].shape
    examples = torch.from_numpy(IMAGES)[:, : len(spec["images"].channels), :rows, :columns]
    network.fit(examples, torch.zeros(10, 1))
    if kind is Doubled:
        torch.nn.init.normal_(network.unet.last.weight, std=0.05)
        network = network.double()
    task = kind(kind.Config(**options), spec, "images")
    (phase,) = task.phases(network)
    trained = TrainedPhase.of(phase, network, OptimizerConfig(name=name), Ranks())
    return network, Step(task, [trained], Precision(RunConfig(), CPU), Ranks(), 0.0, Timers(CPU, enabled=False))


def gradients(pieces: list[list[int]]) -> Tensor:
    network, step = make(Doubled)
    step([batch(piece) for piece in pieces], 0.1, measure=True)
    return torch.cat([weight.grad.flatten() for weight in network.parameters() if weight.requires_grad])


@pytest.mark.parametrize("cut", [(4, 1), (1, 1, 1, 1, 1), (0, 5)])
def test_accumulation_gives_the_gradient_of_the_whole_batch(cut: tuple[int, ...]) -> None:
    whole = gradients([ENTRIES])
    pieces = [ENTRIES[end - size : end] for size, end in zip(cut, np.cumsum(cut), strict=True)]
    assert (gradients(pieces) - whole).norm() < 1e-12 * whole.norm()


def test_the_loss_is_the_error_of_the_velocity_in_live_cells() -> None:
    """Also where images have light in dead cells, which is no part of them."""
    network, step = make(Doubled)
    sample = step.task.prepare(batch(ENTRIES))
    (phase,) = step.task.phases(network)
    terms, outputs = phase.loss(phase.module, sample, torch.tensor([5.0]))
    moments, noise = step.task.training_noise(network, sample).split([1, network.latent], 1)
    times = torch.sigmoid(moments[:, 0] - 0.8)
    data, expected = network.states(sample.evaluated), 0.0
    for row, time in enumerate(times):
        between = time * data[row] + (1 - time) * noise[row]
        velocity = network(between[None], time[None], sample.conditions[row : row + 1])[0]
        expected += float(((velocity - (data[row] - noise[row])) ** 2).mean().detach())
    assert float(terms.total.detach()) == pytest.approx(expected)
    assert float(terms.weight) == 5
    assert step.task.metrics(outputs) == pytest.approx({"loss": expected / 5, "negative_loss": -expected / 5})
    sample.recorded[:, :, torch.from_numpy(SPEC["images"].dead)] = 1.0
    again, _ = phase.loss(phase.module, sample, torch.tensor([5.0]))
    assert torch.equal(again.total, terms.total)


def test_half_precision_has_losses_of_all_events() -> None:
    """257 events are no number of bfloat16."""
    network, step = make()
    sample = step.task.prepare(batch([1] * 257))
    (phase,) = step.task.phases(network)
    with torch.autocast("cpu", torch.bfloat16):
        terms, _ = phase.loss(phase.module, sample, torch.tensor([257.0]))
    assert terms.total.dtype == torch.float32
    assert float(terms.weight) == 257


def test_a_validation_does_not_depend_on_what_was_drawn_before_nor_on_batches() -> None:
    network, step = make(generate_in_validation=False)
    found = []
    for pieces in ([[1, 2, 3]], [[3], [1, 2]]):
        total = torch.zeros(2, dtype=torch.float64)
        for piece in pieces:
            torch.rand(7)
            with torch.no_grad():
                outputs, counters = step.task.evaluate(network, step.task.prepare(batch(piece)), lambda tensor: tensor)
            assert outputs is None
            assert counters.keys() == {"loss"}
            total += counters["loss"]
        found.append(total.tolist())
    assert found[0] == pytest.approx(found[1], rel=1e-5)


@pytest.mark.parametrize(
    "wrong", [{"betas": [0.9]}, {"times": [0.0]}, {"times": [0.0, -1.0]}, {"times": [0.0, np.nan]}]
)
def test_options_that_make_no_sense_are_said(wrong: dict[str, list[float]]) -> None:
    with pytest.raises(UserError, match=rf"task\.{next(iter(wrong))}="):
        FlowMatching(FlowMatching.Config(**wrong), SPEC, "images")


def test_a_few_steps_teach_what_conditions_mean() -> None:
    """Events of high energy have light in one half of the array, those of low energy in the other half, and less."""
    spec = tank_spec(16, 1, (ENERGY,))
    few, many = sparse_images(10, spec, share=0.3).numpy(), sparse_images(10, spec, share=0.8).numpy()
    few[:, :, 8:], many[:, :, :8] = 0, 0
    images, given = np.concatenate([0.5 * few, many]), np.repeat([[-1.0], [1.0]], 10, 0).astype(np.float32)
    network, step = make(name="adam", spec=spec, average=0.9)
    whole = batch(list(range(20)), images, given)
    for number in range(100):
        step([whole], 0.005, measure=False, step=number)
    with torch.no_grad(), step.phases[0].average.used():
        made = step.task.generated(network, step.task.prepare(whole)).events.numpy()
    counts = [(of[:, 0] > 0).reshape(2, 10, 2, 8, 16).mean((1, 3, 4)) for of in (images, made)]
    np.testing.assert_allclose(counts[1], counts[0], atol=0.12)
    low, high = (half[half > 0].mean() for half in (made[:10, 0], made[10:, 0]))
    assert high - low > 0.1  # of 0.25
