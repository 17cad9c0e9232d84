"""Reconstruction: formulas by hand, and pieces that add up to the whole."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

from airshower.data.splits import Selection
from airshower.data.truth import DIRECTION, Column, Frame
from airshower.errors import DataError, UserError
from airshower.geometry.separation import angular_separation
from airshower.geometry.sky import direction_at, seen_from, separation, tangent_offset
from airshower.tasks.reconstruction.sample import ReconstructionSample
from airshower.tasks.reconstruction.targets import Direction, TargetConfig
from airshower.tasks.reconstruction.task import Reconstruction
from airshower.writers.shower_figures import in_fields_of_view
from tests.networks.telescopes.arrays import ARRAY, SPEC, frame_of, images, spec_of
from tests.samples import simulated_showers
from tests.targets import Options, reconstruction, truth_batch

EVENTS = 7
X_MAX = {"x_max": {"weight": 1.0}}


def task(targets: dict[str, Options] | None = None, **config: object) -> Reconstruction:
    return Reconstruction(reconstruction(targets, **config), SPEC, lambda batch: batch)


def example(made: Reconstruction) -> tuple[dict[str, torch.Tensor], ReconstructionSample]:
    """Four gammas and three protons; the second event's core is not known."""
    generator = torch.Generator().manual_seed(1)
    frame = Frame(torch.tensor([[1.2, 6.2]]).expand(EVENTS, 2), torch.tensor([[10.0, -20.0]]).expand(EVENTS, 2))
    direction = frame.axis + 0.02 * torch.randn(EVENTS, 2, generator=generator)
    core = 100 * torch.randn(EVENTS, 2, generator=generator)
    core[1] = torch.nan
    showers = {
        "primary": torch.tensor([0, 0, 1, 0, 1, 0, 1]),
        "energy": torch.rand(EVENTS, generator=generator) + 0.1,
        "direction": direction,
        "core": core,
        "x_max": core[:, 0],
    }
    return outputs_of(generator), sample_of(made, showers, frame)


def outputs_of(generator: torch.Generator) -> dict[str, torch.Tensor]:
    sizes = {"type": 2, "energy": 1, "direction": 2, "core": 2, "x_max": 1}
    return {name: torch.randn(EVENTS, size, generator=generator) for name, size in sizes.items()}


def sample_of(made: Reconstruction, showers: dict[str, torch.Tensor], frame: Frame) -> ReconstructionSample:
    return made.prepare(truth_batch({name: column.numpy() for name, column in showers.items()}, frame))


def part_of(sample: ReconstructionSample, made: Reconstruction, rows: slice) -> ReconstructionSample:
    showers = {name: column[rows] for name, column in sample.columns.items()}
    return sample_of(made, showers, Frame(sample.frame.axis[rows], sample.frame.origin[rows]))


def huber(error: torch.Tensor) -> torch.Tensor:
    return torch.where(error < 1, error**2 / 2, error - 0.5)


def test_loss_is_the_sum_of_weighted_means() -> None:
    options = {"type": {"weight": 0.5, "class_weights": [1, 3]}, "core": {"weight": 2.0, "loss": "l1"}}
    made = task(options | X_MAX, only_gammas=True)
    outputs, sample = example(made)
    terms = made.loss(outputs, sample)
    truth, gammas = sample.columns, [0, 1, 3, 5]
    entropy = -outputs["type"].log_softmax(1)[torch.arange(EVENTS), truth["primary"]]
    weight = torch.tensor([1.0, 3.0])[truth["primary"]]
    error = (outputs["energy"][:, 0] - truth["energy"].log10()).abs()[gammas]
    alt, az = direction_at(outputs["direction"], sample.frame.axis).numpy()[gammas].T
    angle = angular_separation(alt, az, *truth["direction"].double().numpy()[gammas].T)
    shift = (outputs["core"] - (truth["core"] - sample.frame.origin) / 100)[[0, 3, 5]]
    depth = (outputs["x_max"][:, 0] - truth["x_max"] / 100 + 3)[[0, 3, 5]].abs()
    expected = {
        "type": 0.5 * (weight * entropy).sum() / weight.sum(),
        "energy": huber(error).mean(),
        "direction": huber(torch.from_numpy(np.degrees(angle)).float()).mean(),
        "core": 2 * (shift[:, 0] ** 2 + shift[:, 1] ** 2).sqrt().mean(),
        "x_max": huber(depth).mean(),
    }
    found = dict(zip(made.targets, terms.total / terms.weight, strict=True))
    assert found.keys() == expected.keys()
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
    made = task(only_gammas=True)
    assert made.normaliser(made.totals(example(task())[1])).tolist() == [7, 4, 4, 3]
    made = task(only_gammas=False)
    assert made.normaliser(made.totals(example(made)[1])).tolist() == [7, 7, 7, 6]


@pytest.mark.parametrize("energy", [torch.nan, 0.0])
def test_events_without_energy_and_direction_are_still_of_a_type(energy: float) -> None:
    """Observations as the background of simulated gammas."""
    made = task(only_gammas=False)
    outputs, sample = example(made)
    protons = sample.columns["primary"] == 1
    showers = {name: column.clone() for name, column in sample.columns.items()}
    showers["energy"][protons] = energy
    showers["direction"][2, 0] = torch.nan
    some = sample_of(made, showers, sample.frame)
    assert made.normaliser(made.totals(some)).tolist() == [7, 4, 6, 6]
    outputs = {name: output.requires_grad_() for name, output in outputs.items()}
    terms = made.loss(outputs, some)
    terms.total.sum().backward()
    assert all(output.grad.isfinite().all() for name, output in outputs.items() if name in made.targets)
    assert not outputs["energy"].grad[protons].any()
    assert not outputs["direction"].grad[2].any()
    assert outputs["type"].grad.all()
    torch.testing.assert_close(terms.total[0], made.loss(outputs, sample).total[0])
    assert all(np.isfinite(value) for value in made.metrics(made.count(some, outputs, terms)).values())


def test_unknown_truth_has_no_gradient() -> None:
    made = task(X_MAX)
    outputs, sample = example(made)
    outputs = {name: output.requires_grad_() for name, output in outputs.items()}
    made.loss(outputs, sample).total.sum().backward()
    assert not outputs["core"].grad[1].any()
    assert not outputs["energy"].grad[sample.columns["primary"] == 1].any()
    assert not outputs["x_max"].grad[1].any()
    assert all(output.grad.isfinite().all() for output in outputs.values())


def test_metrics_by_hand() -> None:
    made = task(X_MAX)
    outputs, sample = example(made)
    metrics = made.metrics(made.count(sample, outputs, made.loss(outputs, sample)))
    truth, gammas = sample.columns, [0, 1, 3, 5]
    assert metrics["accuracy"] == pytest.approx(float((outputs["type"].argmax(1) == truth["primary"]).float().mean()))
    score = (outputs["type"][:, 0] - outputs["type"][:, 1]).tolist()
    pairs = [score[i] > score[j] for i in gammas for j in range(EVENTS) if j not in gammas]
    assert metrics["AUC"] == pytest.approx(np.mean(pairs))
    error = (outputs["energy"][:, 0] - truth["energy"].log10())[gammas]
    assert metrics["energy/error"] == pytest.approx(float(error.abs().mean()), rel=1e-5)
    relative = np.sort(10 ** error.double().numpy() - 1)
    assert metrics["energy/bias"] + 1 == pytest.approx(relative[1] + 1, rel=0.01)
    table = sample.physical(made.targets, outputs)
    alt, az = truth["direction"].double().numpy().T
    angle = np.degrees(angular_separation(alt, az, table["alt"], table["az"]))
    assert metrics["direction/error"] == pytest.approx(angle[gammas].mean(), rel=1e-4)
    third = np.sort(angle[gammas])[2]  # within which 3 of 4 are, and 2 are not within less
    assert metrics["direction/resolution"] == pytest.approx(third, rel=0.01)
    assert metrics["energy/resolution"] == pytest.approx(np.sort(np.abs(relative))[2], rel=0.01)
    away = np.stack([table["core_x"], table["core_y"]], 1) - truth["core"].numpy()
    assert metrics["core/error"] == pytest.approx(np.hypot(*away[[0, 3, 5]].T).mean(), rel=1e-5)
    depth = np.abs(table["x_max"] - truth["x_max"].numpy())
    assert metrics["x_max/error"] == pytest.approx(float(depth[[0, 3, 5]].mean()), rel=1e-5)


def test_predictions_in_physical_units_undo_the_targets() -> None:
    made = task(only_gammas=False)
    _, sample = example(made)
    truth = sample.columns
    outputs = {name: target for name, (target, _) in sample.targets.items() if name != "type"}
    outputs["direction"] = tangent_offset(truth["direction"], sample.frame.axis)
    table = sample.physical(made.targets, {**outputs, "type": torch.zeros(EVENTS, 2)})
    np.testing.assert_allclose(table["energy"], truth["energy"], rtol=1e-5)
    np.testing.assert_allclose(table["core_x"], truth["core"][:, 0], rtol=1e-5)
    np.testing.assert_allclose(table["alt"], truth["direction"][:, 0], atol=1e-6)
    np.testing.assert_allclose(table["az"], truth["direction"][:, 1] % (2 * np.pi), atol=1e-6)


@pytest.mark.parametrize("alt", [1.2, np.pi / 2 - 1e-7, np.pi / 2, np.pi / 2 + 1e-7])
def test_telescopes_that_point_to_the_zenith_are_turned_by_their_azimuth(alt: float) -> None:
    """Rounded to float32, pi / 2 is beyond the zenith."""
    parts = (images(0, [(0, 0), (1, 0), (1, 2)]), images(1, [(1, 4)]))
    pointing = torch.tensor([alt, 3.0])
    parts = tuple(replace(part, pointing=pointing.expand(len(part), 2)) for part in parts)
    axis = frame_of(parts, 2).axis
    torch.testing.assert_close(axis, pointing.expand(2, 2), atol=2e-7, rtol=0)
    below = torch.tensor([[alt - float(np.radians(1.0)), 3.0]]).expand(2, 2)
    torch.testing.assert_close(tangent_offset(below, axis), torch.tensor([[-1.0, 0.0]]).expand(2, 2), atol=1e-3, rtol=0)


def test_a_direction_in_the_fields_of_view_of_telescopes_that_point_apart() -> None:
    degree, apart = float(np.radians(1.0)), torch.tensor([[1.2, 3.0], [1.2, 3.0]])
    apart[1, 0] += degree
    part = replace(images(0, [(1, 0), (1, 2)]), pointing=apart)
    seen = in_fields_of_view(torch.tensor([1.2 + 2 * degree, 3.0]), (part, images(1, [(0, 4)])), 1)
    np.testing.assert_allclose(seen, [[np.degrees(np.tan(2 * degree)), 0], [np.degrees(np.tan(degree)), 0]], atol=1e-4)


def target(loss: str) -> Direction:
    return Direction("direction", TargetConfig(loss=loss), Column("direction", DIRECTION, "rad"), signal_only=False)


@pytest.mark.parametrize("angle", [1e-6, 1e-3, 0.1, 5.0, 80.0, 90.0, 150.0])
def test_directions_are_compared_as_unit_vectors(angle: float) -> None:
    """In float32, however near or far the shower is from where telescopes point to, over the zenith as well."""
    pointing = torch.tensor([[np.radians(89.9), 1.0]]).float()
    truth = torch.tensor([[0.0, np.sin(np.radians(angle)), np.cos(np.radians(angle))]]).float()
    output = torch.zeros(1, 2, requires_grad=True)
    assert target("l1").loss(output, truth).item() == pytest.approx(angle, rel=1e-5)
    loss = target("huber").loss(output, truth)
    assert loss.item() == pytest.approx(angle**2 / 2 if angle < 1 else angle - 0.5, rel=1e-5)
    loss.backward()
    assert output.grad[0, 0] == 0
    assert output.grad[0, 1].item() == pytest.approx(-min(angle, 1.0), rel=1e-4)
    far = torch.tensor([[3e4, -2e8]])  # any output is a direction
    assert (direction_at(far, pointing).abs() <= 2 * np.pi).all()
    assert target("l1").error(far, truth).item() <= 180


def test_offsets_near_the_truth_keep_their_difference() -> None:
    """1.8 deg from the pointing, and 0.001 deg from each other."""
    offset = torch.tensor([[1.5, -1.0]])
    pointing = torch.tensor([[1.2, 6.2]])
    truth = seen_from(pointing, direction_at(offset, pointing)).float()
    assert target("l1").error(offset, truth).item() < 1e-5
    moved = offset + torch.tensor([[0.0, 1e-3]])
    assert target("l1").error(moved, truth).item() == pytest.approx(1e-3, rel=0.01)
    assert separation(truth, -truth).item() == pytest.approx(180)


def test_what_is_trained_on_balances_the_classes_and_must_have_truth() -> None:
    train = simulated_showers()
    gammas = train.source.truth(train.entries)["primary"] == 0
    assert 2 < gammas.sum() < 8
    made = Reconstruction(reconstruction({"type": {"class_weights": "balanced"}} | X_MAX), train.source.spec, None)
    made.fit(
        Selection(train.source, np.flatnonzero(gammas)[:2].tolist() + np.flatnonzero(~gammas)[:1].tolist()),
        nn.Identity(),
    )
    assert made.targets["type"].class_weights == pytest.approx([3 / 4, 3 / 2])
    with pytest.raises(DataError, match=r"task.targets.type.weight: .* all 2 entries to train on are proton"):
        made.fit(Selection(train.source, np.flatnonzero(~gammas)[:2]), nn.Identity())
    train.source._truth["x_max"][gammas] = np.nan  # entries are events, in this file in their order
    without = r"task\.targets\.x_max\.weight: .* no gamma .* x_max; use task\.targets\.x_max\.weight=0"
    with pytest.raises(DataError, match=without):
        made.fit(train, nn.Identity())
    made.targets["x_max"].signal_only = False
    made.fit(train, nn.Identity())


def test_weights_of_zero_leave_targets_out() -> None:
    none: dict[str, Options] = {name: {"weight": 0.0} for name in ("type", "core")}
    made = task(none)
    assert made.outputs == {"energy": 1, "direction": 2}
    assert made.score == "negative_loss"
    with pytest.raises(UserError, match="all weights are 0"):
        task(none | {name: {"weight": 0.0} for name in ("energy", "direction")})


def test_impossible_options_are_refused() -> None:
    with pytest.raises(UserError, match="only_gammas"):
        Reconstruction(reconstruction(), spec_of(ARRAY, ("proton",)), None)
    for weights in ([1.0], [1.0, -1.0], [0, 0], ["a", "b"], "even", 3):
        with pytest.raises(UserError, match=r"must be 2 numbers .*balanced"):
            task({"type": {"class_weights": weights}})
    with pytest.raises(UserError, match=r"use data\.mode=stereo"):
        Reconstruction(reconstruction(scale_learning_rate=True), spec_of(replace(ARRAY, mode="mono")), None)
