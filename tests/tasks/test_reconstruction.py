"""Reconstruction: formulas by hand, and pieces that add up to the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from airshower.data.showers import Showers
from airshower.errors import UserError
from airshower.tasks.reconstruction import Reconstruction, Sample
from airshower.tasks.shower_metrics import angular_separation
from airshower.tasks.shower_targets import Frame, direction_at, separation_of_offsets, tangent_offset
from tests.networks.test_iact import SPEC

EVENTS = 7


def task(**config: object) -> Reconstruction:
    return Reconstruction(Reconstruction.Config(**config), SPEC, lambda images, entries: images)


def example(made: Reconstruction) -> tuple[dict[str, torch.Tensor], Sample]:
    """Four gammas and three protons; the second event's core is not known."""
    generator = torch.Generator().manual_seed(1)
    primary = torch.tensor([0, 0, 1, 0, 1, 0, 1])
    frame = Frame(torch.tensor([[1.2, 6.2]]).expand(EVENTS, 2), torch.tensor([[10.0, -20.0]]).expand(EVENTS, 2))
    direction = frame.pointing + 0.02 * torch.randn(EVENTS, 2, generator=generator)
    core = 100 * torch.randn(EVENTS, 2, generator=generator)
    core[1] = torch.nan
    showers = Showers(
        primary, torch.rand(EVENTS, generator=generator) + 0.1, direction, core, core[:, 0], torch.ones(EVENTS)
    )
    return outputs_of(generator), sample_of(made, showers, frame)


def outputs_of(generator: torch.Generator) -> dict[str, torch.Tensor]:
    sizes = {"type": 2, "energy": 1, "direction": 2, "core": 2}
    return {name: torch.randn(EVENTS, size, generator=generator) for name, size in sizes.items()}


def sample_of(made: Reconstruction, showers: Showers, frame: Frame) -> Sample:
    targets = {name: made._target(target, showers, frame) for name, target in made.targets.items()}
    return Sample(None, (), showers, frame, targets)


def part_of(sample: Sample, made: Reconstruction, rows: slice) -> Sample:
    showers = Showers(*(column[rows] for column in vars(sample.showers).values()))
    return sample_of(made, showers, Frame(sample.frame.pointing[rows], sample.frame.origin[rows]))


def test_loss_is_the_sum_of_weighted_means() -> None:
    made = task(only_gammas=True)
    made.targets["type"].config = replace(made.targets["type"].config, class_weights=[1.0, 3.0], weight=0.5)
    outputs, sample = example(made)
    terms = made.loss(outputs, sample)
    truth, gammas = sample.showers, [0, 1, 3, 5]
    entropy = -outputs["type"].log_softmax(1)[torch.arange(EVENTS), truth.primary]
    weight = torch.tensor([1.0, 3.0])[truth.primary]
    error = (outputs["energy"][:, 0] - truth.energy.log10()).abs()[gammas]
    huber = torch.where(error < 1, error**2 / 2, error - 0.5)
    shift = ((outputs["core"] - (truth.core - sample.frame.origin) / 100)[[0, 3, 5]]).abs()
    core = torch.where(shift < 1, shift**2 / 2, shift - 0.5).sum(1)
    expected = {"type": 0.5 * (weight * entropy).sum() / weight.sum(), "energy": huber.mean(), "core": core.mean()}
    found = dict(zip(made.targets, terms.total / terms.weight, strict=True))
    for name, value in expected.items():
        torch.testing.assert_close(found[name], value)


def test_pieces_add_up() -> None:
    made = task()
    outputs, sample = example(made)
    whole = made.count(sample, outputs, made.loss(outputs, sample))
    total = made.totals(sample)
    for cut in (0, 1, 4):  # 0: a rank without entries
        parts = [slice(0, cut), slice(cut, EVENTS)]
        summed: dict[str, torch.Tensor] = {}
        for rows in parts:
            own = {name: output[rows] for name, output in outputs.items()}
            piece = part_of(sample, made, rows)
            for name, value in made.count(piece, own, made.loss(own, piece)).items():
                summed[name] = summed.get(name, 0) + value
        assert summed.keys() == whole.keys()
        for name, value in whole.items():
            torch.testing.assert_close(summed[name], value, rtol=1e-6, atol=1e-6, check_dtype=False)
        torch.testing.assert_close(sum(made.totals(part_of(sample, made, rows)) for rows in parts), total)


def test_only_gammas() -> None:
    assert task(only_gammas=True).totals(example(task())[1]).tolist() == [7, 4, 4, 3]
    made = task(only_gammas=False)
    assert made.totals(example(made)[1]).tolist() == [7, 7, 7, 6]


def test_unknown_truth_has_no_gradient() -> None:
    made = task()
    outputs, sample = example(made)
    outputs = {name: output.requires_grad_() for name, output in outputs.items()}
    made.loss(outputs, sample).total.sum().backward()
    assert not outputs["core"].grad[1].any()
    assert not outputs["energy"].grad[sample.showers.primary == 1].any()
    assert all(output.grad.isfinite().all() for output in outputs.values())


def test_metrics_by_hand() -> None:
    made = task()
    outputs, sample = example(made)
    metrics = made.metrics(made.count(sample, outputs, made.loss(outputs, sample)))
    primary, gammas = sample.showers.primary, [0, 1, 3, 5]
    assert metrics["accuracy"] == pytest.approx(float((outputs["type"].argmax(1) == primary).float().mean()))
    score = (outputs["type"][:, 0] - outputs["type"][:, 1]).tolist()
    pairs = [score[i] > score[j] for i in gammas for j in range(EVENTS) if j not in gammas]
    assert metrics["AUC"] == pytest.approx(np.mean(pairs))
    error = (outputs["energy"][:, 0] - sample.showers.energy.log10())[gammas]
    assert metrics["energy/error"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    assert metrics["energy/bias"] == pytest.approx(float(error.mean()), rel=1e-5)
    table = made.physical(sample, outputs)
    alt, az = sample.showers.direction.double().numpy().T
    angle = np.degrees(angular_separation(alt, az, table["alt"], table["az"]))
    assert metrics["direction/error"] == pytest.approx(angle[gammas].mean(), rel=1e-4)


def test_predictions_in_physical_units_undo_the_targets() -> None:
    made = task(only_gammas=False)
    _, sample = example(made)
    outputs = {name: truth for name, (truth, _) in sample.targets.items() if name != "type"}
    table = made.physical(sample, {**outputs, "type": torch.zeros(EVENTS, 2)})
    np.testing.assert_allclose(table["energy"], sample.showers.energy, rtol=1e-5)
    np.testing.assert_allclose(table["core_x"], sample.showers.core[:, 0], rtol=1e-5)
    np.testing.assert_allclose(table["alt"], sample.showers.direction[:, 0], atol=1e-6)
    np.testing.assert_allclose(table["az"], sample.showers.direction[:, 1] % (2 * np.pi), atol=1e-6)


def test_offsets_are_towards_rising_altitude_and_azimuth() -> None:
    pointing = torch.tensor([[0.5, 6.28]])
    degree = float(np.radians(1.0))
    up = tangent_offset(pointing + torch.tensor([[degree, 0.0]]), pointing)
    along = tangent_offset(pointing + torch.tensor([[0.0, degree]]), pointing)  # over the north
    torch.testing.assert_close(up, torch.tensor([[1.0, 0.0]]), atol=2e-4, rtol=0)
    assert along[0, 1] == pytest.approx(np.cos(0.5), abs=2e-4)
    assert direction_at(along, pointing)[0, 1] == pytest.approx(6.28 + degree - 2 * np.pi, abs=1e-6)
    assert separation_of_offsets(up, torch.zeros(1, 2)).item() == pytest.approx(1.0, abs=2e-4)


def test_weights_of_zero_leave_targets_out() -> None:
    config = Reconstruction.Config()
    config.type.weight = config.core.weight = 0.0
    made = Reconstruction(config, SPEC, lambda images, entries: images)
    assert made.outputs == {"energy": 1, "direction": 2}
    assert made.score == "negative_loss"
    config.energy.weight = config.direction.weight = 0.0
    with pytest.raises(UserError, match="all weights are 0"):
        Reconstruction(config, SPEC, lambda images, entries: images)


def test_impossible_options_are_refused() -> None:
    protons = replace(SPEC, classes=("proton",))
    with pytest.raises(UserError, match="only_gammas"):
        Reconstruction(Reconstruction.Config(), protons, lambda images, entries: images)
    config = Reconstruction.Config()
    config.type.class_weights = [1.0]
    with pytest.raises(UserError, match="needs 2 numbers"):
        Reconstruction(config, SPEC, lambda images, entries: images)
