"""Targets of any column: numbers, directions, positions and classes, in the units that are asked for."""

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.data.containers import Table
from airshower.data.spec import Spec, TableSpec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column, Frame
from airshower.geometry.separation import angular_separation
from airshower.geometry.sky import altitude_azimuth, tangent_offset, unit_vector
from airshower.tasks.reconstruction.config import ReconstructionConfig, asked_targets
from airshower.tasks.reconstruction.event_targets import EventTargets
from airshower.tasks.reconstruction.judged import merits
from airshower.tasks.reconstruction.targets import Target, TargetConfig
from airshower.tasks.reconstruction.task import Reconstruction
from tests.targets import truth_batch

COLUMNS = (
    Column("primary", CLASS, classes=("proton", "gamma")),
    Column("topology", CLASS, classes=("track", "cascade", "double")),
    Column("energy", NUMBER, "GeV"),
    Column("height", NUMBER, "m"),
    Column("direction", DIRECTION, "rad", parts=("alt", "az")),
    Column("neutrino", DIRECTION, "rad", parts=("neutrino_alt", "neutrino_az"), whole_sky=True),
    Column("core", POSITION, "m", parts=("core_x", "core_y")),
)
SPEC = Spec({"parameters": TableSpec(())}, COLUMNS, frozenset(column.name for column in COLUMNS))
ZENITH = Frame(torch.tensor([[np.pi / 2, 0.0]]).float().expand(3, 2), torch.tensor([[100.0, -50.0]]).expand(3, 2))


def target(name: str, frame: Frame = ZENITH, **options: object) -> tuple[Target, Frame]:
    """The target of this name and the frame of three events."""
    column = str(options.get("column", name))
    classes = {} if column in ("primary", "topology") else {"primary": TargetConfig(weight=0.0)}
    config = ReconstructionConfig({**classes, name: TargetConfig(**options)})
    return asked_targets(config, COLUMNS)[name], frame


def there_and_back(name: str, truth: np.ndarray, **options: object) -> tuple[Tensor, dict, dict]:
    """What outputs of a number or position are compared with, what outputs equal to it predict, and that in files."""
    made, frame = target(name, **options)
    learned = made.of(torch.from_numpy(truth).float(), frame)
    predicted = made.physical(learned, frame)
    return learned, predicted, made.in_files(predicted)


def test_a_number_has_a_unit_a_middle_and_a_scale() -> None:
    heights = np.array([9000.0, 15000.0, 21000.0])
    options = {"column": "height", "unit": "km", "middle": 15.0, "scale": 3.0}
    learned, predicted, in_files = there_and_back("first", heights, **options)
    torch.testing.assert_close(learned, torch.tensor([[-2.0], [0.0], [2.0]]))
    np.testing.assert_allclose(predicted["first"], [9.0, 15.0, 21.0], rtol=1e-6)
    np.testing.assert_allclose(in_files["height"], heights, rtol=1e-6)
    made, _ = target("first", **options)
    metrics = made.metrics(made.count(learned + 0.5, learned, torch.ones(3)))
    assert metrics["first/error"] == pytest.approx(1.5)  # km
    assert made.headline == {"first/error": "first (km)"}
    assert made.table(torch.from_numpy(heights))["first"] == pytest.approx([9.0, 15.0, 21.0])


def test_a_logarithm_of_files_in_gev_predicts_tev() -> None:
    energies = np.array([50.0, 1e3, 3e5])
    learned, predicted, in_files = there_and_back("energy", energies, unit="TeV", log10=True, middle=1.0, scale=2.0)
    np.testing.assert_allclose(learned[:, 0], (np.log10(energies / 1e3) - 1) / 2, rtol=1e-5)
    np.testing.assert_allclose(predicted["energy"], energies / 1e3, rtol=1e-5)
    np.testing.assert_allclose(in_files["energy"], energies, rtol=1e-5)
    assert predicted["energy"].dtype == np.float64
    made, _ = target("energy", unit="TeV", log10=True, scale=2.0)
    truth = torch.zeros(3, 1)
    metrics = made.metrics(made.count(torch.full((3, 1), 0.15), truth, torch.ones(3)))
    assert metrics["energy/error"] == pytest.approx(0.3)  # decades
    assert metrics["energy/bias"] == pytest.approx(10**0.3 - 1, rel=0.01)


def test_a_direction_around_the_zenith() -> None:
    """In the plane that touches the sky there, whose axes are to the south and, at azimuth 0, to the east."""
    angles = np.array([[np.radians(80.0), 2.0], [np.pi / 2 - 1e-3, 6.0], [np.radians(60.0), np.pi]])
    made, frame = target("direction")
    assert made.channels == 2
    truth = torch.from_numpy(angles).float()
    seen = made.of(truth, frame)
    offset = tangent_offset(truth, frame.axis)
    assert offset.norm(dim=1).tolist() == pytest.approx(np.degrees(np.tan(np.pi / 2 - angles[:, 0])), rel=1e-3)
    assert made.error(offset, seen).max() < 1e-3
    assert made.error(torch.zeros(3, 2), seen).tolist() == pytest.approx(90 - np.degrees(angles[:, 0]), abs=1e-3)
    predicted = made.physical(offset, frame)
    assert np.degrees(angular_separation(*angles.T, predicted["alt"], predicted["az"])).max() < 1e-3
    assert made.in_files(predicted).keys() == {"alt", "az"}


def test_a_direction_of_the_whole_sky_is_a_vector() -> None:
    """Of any length, also below the horizon, and without a frame."""
    angles = np.array([[-1.2, 0.1], [0.3, 6.2], [1.5, 3.0]])
    made, nowhere = target("source", Frame(None, None), column="neutrino")
    assert made.channels == 3
    truth = torch.from_numpy(angles).float()
    vectors = made.of(truth, nowhere)
    torch.testing.assert_close(vectors, unit_vector(truth))
    predicted = made.physical(7.0 * vectors, nowhere)
    assert list(predicted) == ["source_neutrino_alt", "source_neutrino_az"]
    np.testing.assert_allclose(np.stack(list(predicted.values()), 1), angles, atol=1e-6)
    assert made.in_files(predicted).keys() == {"neutrino_alt", "neutrino_az"}
    outputs = torch.randn(3, 3, generator=torch.Generator().manual_seed(0), requires_grad=True)
    alt, az = altitude_azimuth(outputs.detach().double()).numpy().T
    np.testing.assert_allclose(
        made.error(outputs, vectors).detach(), np.degrees(angular_separation(*angles.T, alt, az)), rtol=1e-5
    )
    made.loss(outputs, vectors).sum().backward()
    assert outputs.grad.isfinite().all()
    assert outputs.grad.any(1).all()


def test_a_position_is_relative_to_the_origin_in_its_unit() -> None:
    cores = np.array([[100.0, -50.0], [300.0, -50.0], [100.0, 350.0]])
    for unit, size in (("m", 1.0), ("km", 1e-3)):
        learned, predicted, in_files = there_and_back("core", cores, unit=unit, scale=100.0 * size)
        torch.testing.assert_close(learned, torch.tensor([[0.0, 0.0], [2.0, 0.0], [0.0, 4.0]]))
        np.testing.assert_allclose(np.stack(list(predicted.values()), 1), size * cores, rtol=1e-6)
        np.testing.assert_allclose(np.stack([in_files["core_x"], in_files["core_y"]], 1), cores, rtol=1e-6)
        made, _ = target("core", unit=unit, scale=100.0 * size)
        wrong = made.metrics(made.count(learned + torch.tensor([3.0, 4.0]), learned, torch.ones(3)))
        assert wrong["core/error"] == pytest.approx(500 * size)


def test_two_class_targets_have_signals_and_names_of_their_own() -> None:
    """The first one's metrics and scores have no prefix; the signal is none of the second one's classes."""
    targets = {"type": TargetConfig("primary"), "shape": TargetConfig("topology", class_weights=[1, 2, 3])}
    made = Reconstruction(ReconstructionConfig(targets), SPEC, lambda batch: batch)
    truth = {"primary": np.array([0, 1, 1, 0]), "topology": np.array([0, 1, 2, -1])}
    sample = made.prepare(truth_batch(truth))
    assert made.normaliser(made.totals(sample)).tolist() == [4, 6]
    outputs = {
        "type": torch.tensor([[2.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 0.5]]),
        "shape": torch.tensor([[3.0, 0.0, 0.0], [0.0, 3.0, 0.0], [3.0, 0.0, 0.0], [3.0, 0.0, 0.0]]),
    }
    metrics = made.metrics(made.count(sample, outputs, made.loss(outputs, sample)))
    assert {"accuracy", "AUC", "shape/accuracy", "shape/AUC"} <= metrics.keys()
    assert metrics["accuracy"] == 1 / 2
    assert metrics["AUC"] == 3 / 4  # of pairs of a gamma and a proton
    assert metrics["shape/accuracy"] == pytest.approx(2 / 3)
    assert metrics["shape/AUC"] == (1 + 1 / 2) / 2  # of tracks against the others
    predicted = sample.physical(made.targets, outputs)
    assert predicted["shape"].tolist() == ["track", "cascade", "track", "track"]
    assert {"score_proton", "score_gamma", "shape_score_track", "shape_score_double"} <= predicted.keys()
    assert made.events.true_columns(sample)["shape"].tolist() == ["track", "cascade", "double", "other"]
    in_files = {name: target.in_files(predicted) for name, target in made.targets.items()}
    auc, _ = merits(made.events.judged)
    assert auc.label == "AUC of gammas against all others"
    assert in_files["shape"] == {}
    np.testing.assert_array_equal(in_files["type"]["prediction"], predicted["score_gamma"])


def test_the_first_class_target_that_is_learned_has_no_prefix() -> None:
    """By its AUC the best checkpoint is chosen."""
    config = ReconstructionConfig({"type": TargetConfig("primary", weight=0.0), "shape": TargetConfig("topology")})
    made = Reconstruction(config, SPEC, lambda batch: batch)
    sample = made.prepare(truth_batch({"primary": np.array([0, 1]), "topology": np.array([0, 1])}))
    outputs = {"shape": torch.tensor([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]])}
    metrics = made.metrics(made.count(sample, outputs, made.loss(outputs, sample)))
    assert metrics[made.score] == 1.0


def test_the_signal_is_called_as_the_class_that_has_it() -> None:
    columns = (Column("primary", CLASS, classes=("gamma", "proton+helium")), *COLUMNS[2:])
    for weight in (0.0, 1.0):
        targets = {"type": TargetConfig("primary", weight=weight), "energy": TargetConfig()}
        events = EventTargets(ReconstructionConfig(targets, signal="helium"), columns)
        assert events.signal_name == "proton+helium"
        assert [judged.signal for judged in events.judged if judged.kind == CLASS] == ["proton+helium"] * int(weight)


def test_signals_alone_are_learned_from_also_where_their_class_is_not() -> None:
    config = ReconstructionConfig({"type": TargetConfig("primary", weight=0.0), "energy": TargetConfig(log10=True)})
    made = Reconstruction(config, SPEC, lambda batch: batch)
    sample = made.prepare(truth_batch({"primary": np.array([0, 1, 1]), "energy": np.array([1.0, 2.0, 3.0])}))
    _, weight = sample.truth["energy"]
    assert weight.tolist() == [0, 1, 1]


def test_weights_of_events_are_those_of_the_loss() -> None:
    config = ReconstructionConfig({"height": TargetConfig(loss="l1")}, only_gammas=False)
    made = Reconstruction(config, SPEC, lambda batch: batch)
    weight = np.array([1.0, 3.0, 0.0], np.float32)
    sample = made.prepare(truth_batch({"height": np.array([0.0, 1.0, 9.0])}, weight=weight))
    outputs = {"height": torch.zeros(3, 1)}
    terms = made.loss(outputs, sample)
    assert terms.total.tolist() == [3.0]
    assert terms.weight.tolist() == [4.0]
    assert isinstance(sample.batch["parameters"], Table)


def test_the_likelihood_learns_the_scale_of_errors_and_predicts_what_contains_68_percent() -> None:
    """Errors drawn from the density itself: the loss is least at their scale, and the predicted error is right."""
    generator = torch.Generator().manual_seed(1)
    radius = torch.linspace(0, 30, 30_001)
    for name, dimensions, scale in (("core", 2, 0.3), ("height", 1, 2.0)):
        options = {"loss": "likelihood", "scale": 100.0}
        made, _ = target(name, **options)
        huber = torch.where(radius < 1, radius.square() / 2, radius - 0.5)
        density = radius ** (dimensions - 1) * (-huber).exp()
        drawn = scale * radius[torch.multinomial(density, 50_000, True, generator=generator)]
        truth = torch.zeros(len(drawn), dimensions)
        values = torch.zeros(len(drawn), made.channels)
        values[:, 0] = drawn
        losses = {}
        for log_scale in np.log(scale) + np.linspace(-0.5, 0.5, 11):
            values[:, -1] = log_scale
            losses[log_scale] = float(made.loss(values, truth).mean())
        assert min(losses, key=losses.__getitem__) == pytest.approx(np.log(scale), abs=0.01)
        values[:, -1] = np.log(scale)
        frame = Frame(None, torch.zeros(len(drawn), 2))
        predicted = made.physical(values, frame)
        assert np.mean(100 * drawn.numpy() <= predicted[f"{name}_error"]) == pytest.approx(0.6827, abs=0.01)
        assert made.units[f"{name}_error"] == "m"
        assert [merit.name for merit in merits([made.judged])][-1] == f"{name}_coverage"


def test_errors_of_logarithms_are_in_decades() -> None:
    made, frame = target("energy", log10=True, unit="TeV", loss="likelihood")
    output = torch.tensor([[0.0, np.log(0.2)], [1.0, np.log(0.1)]])
    predicted = made.physical(output, frame)
    np.testing.assert_allclose(predicted["energy"], [1.0, 10.0])
    np.testing.assert_allclose(predicted["energy_error"][0] / predicted["energy_error"][1], 2.0, rtol=1e-5)
    assert made.units == {"energy": "TeV", "energy_error": "decades"}


def test_predicted_errors_are_in_files_in_units_of_files() -> None:
    """Columns are in m and rad; of a logarithm the error stays one of the logarithm."""
    for name, unit, options, expected in (
        ("core", "km", {"unit": "km", "scale": 0.1}, {"core_error": 1000.0}),
        ("height", "km", {"unit": "km"}, {"height_error": 1000.0}),
        ("direction", "deg", {}, {"direction_error": np.pi / 180}),
        ("energy", "decades", {"log10": True, "unit": "TeV"}, {"log10_energy_error": 1.0}),
    ):
        made, frame = target(name, loss="likelihood", **options)
        predicted = made.physical(torch.zeros(3, made.channels), frame)
        in_files = made.in_files(predicted)
        assert made.units[f"{name}_error"] == unit
        for error, factor in expected.items():
            np.testing.assert_allclose(in_files[error], factor * predicted[f"{name}_error"])
        without, _ = target(name, **options)
        assert not expected.keys() & without.in_files(predicted).keys()
