"""Outputs of inference for generated events, from no network: reference events, changed in a known way."""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

import numpy as np
import pytest
import torch

from airshower.comparison.runs import read_run
from airshower.data.quantity import Quantity
from airshower.data.records import Records
from airshower.data.spec import Spec, TableSpec
from airshower.data.splits import Selection, Splits
from airshower.errors import TrainingError
from airshower.tasks.generation.judgement.judge import differences, judge
from airshower.tasks.generation.judgement.report import CLASSIFIER_LABELS
from airshower.tasks.generation.judgement.sample import LEAST, Events
from airshower.tasks.generation.plan import Generated
from airshower.tasks.generation.report import GenerationReport, GenerationReportConfig
from airshower.tasks.generation.views import TableView

HITS = Quantity("rec.nHit", "", 4.68, 0.8, logarithmic=True, step=1.0)
ZENITH = Quantity("rec.zenithAngle", "rad", 0.4, 0.2, step=0.0001)
AZIMUTH = Quantity("rec.azimuthAngle", "rad", 0.0, 1.8, period=2 * np.pi, step=0.0001)
CORE = Quantity("rec.coreX", "m", 66.0, 94.0, step=0.1)
ENERGY = Quantity("SimEvent.energyTrue", "GeV", 7.7, 1.7, logarithmic=True)
PHI = Quantity("SimEvent.phiTrue", "deg", 180.0, 103.8, period=360.0)
PARAMETERS = (HITS, ZENITH, AZIMUTH, CORE)
ALL = ("FPD", "KPD", "classifier_AUC", "correlation_difference")


def truth(events: int, seed: int, conditions: bool = True) -> Events:
    """Reconstructed events of a spectrum, and what was simulated."""
    generator = np.random.default_rng(seed)
    energy = 100 * generator.uniform(0.01, 1, events) ** -1.5
    phi = generator.uniform(0, 360, events)
    hits = 20 + 10 * energy**0.3 * np.exp(generator.normal(0, 0.4, events))
    zenith = np.abs(generator.normal(0.4, 0.2, events))
    azimuth = np.radians(phi) + generator.normal(0, 0.1, events)
    core = 66 + 40 * generator.standard_t(4, events)
    parameters = Records(PARAMETERS, np.stack([hits, zenith, azimuth, core], 1))
    asked = Records((ENERGY, PHI), np.stack([energy, phi], 1)) if conditions else Records((), np.zeros((events, 0)))
    return Events(*(Records.of_scaled(table.quantities, table.scaled) for table in (parameters, asked)))


@dataclass
class Source:
    """As much of a source as the report asks for; `written` is what its file has."""

    events: Events
    written: list[dict[str, np.ndarray]] = field(default_factory=list)

    @property
    def spec(self) -> Spec:
        return Spec({name: TableSpec(getattr(self.events, name).quantities) for name in ("parameters", "conditions")})

    def scaled(self, name: str, entries: np.ndarray) -> np.ndarray:
        return getattr(self.events, name).scaled[entries]

    def generated_writer(self, path: Path, provenance: dict[str, str]) -> Self:
        assert path.name == "generated"
        return self

    def append(self, columns: dict[str, np.ndarray]) -> None:
        self.written.append(columns)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None: ...


def splits(reference: Source, training: Source) -> Splits:
    parts = [Selection(source, np.arange(len(source.events))) for source in (training, reference)]
    return Splits(parts[0], None, parts[1])


def report(parts: Splits, made: Events, folder: Path, batches: int = 2) -> tuple[dict, list[Path]]:
    """metrics.json and the figures of these generated events."""
    entries = parts.test.entries
    view = TableView(parts.test.source.spec, "parameters")
    with GenerationReport(parts, GenerationReportConfig(), folder, {"step": "1"}, view) as opened:
        for rows in np.array_split(np.arange(len(made)), batches):
            tables = (torch.from_numpy(table.rows(rows).scaled) for table in (made.parameters, made.conditions))
            packed = opened.pack(Generated(*tables, torch.from_numpy(np.resize(entries, len(made))[rows])))
            assert len(packed) == len(rows)
            opened.add(packed)
    figures = opened.finish({"loss": 0.5})
    return json.loads((folder / "metrics.json").read_text()), figures


def test_conditional_events(tmp_path: Path) -> None:
    folder = tmp_path / "predictions"
    folder.mkdir()
    reference, made = Source(truth(120, 0)), truth(120, 1)
    found, figures = report(splits(reference, Source(truth(200, 2))), made, folder, batches=3)
    assert (found["events"], found["real_events"], found["training_events"]) == (120, 120, 200)
    names = {f"{kind}/{quantity.name}" for quantity in (HITS, ZENITH, CORE) for kind in ("KS", "Wasserstein")}
    names |= {"Kuiper/rec.azimuthAngle", "Wasserstein/rec.azimuthAngle", *ALL, "classifier_AUC_with_conditions"}
    for mean in ("KS", "Wasserstein"):
        of_each = [value for name, value in found["metrics"].items() if name.startswith(f"{mean}/")]
        assert found["metrics"][mean] == pytest.approx(np.mean(of_each))
        names.add(mean)
    names |= {"closure_mean", "closure_spread"}
    assert set(found["floors"]) == names
    memory = {"memorisation/ratio_of_medians", "memorisation/share_near"}
    assert set(found["metrics"]) == names | memory | {"loss"}
    assert set(found["errors"]) == {"FPD", "KPD", "classifier_AUC", "classifier_AUC_with_conditions"}
    assert np.shape(found["correlations"]["real"]) == (5, 5) == np.shape(found["correlations"]["generated"])
    assert found["correlations"]["features"][2:4] == ["cos rec.azimuthAngle", "sin rec.azimuthAngle"]
    stems = {"distributions", "cumulative", "correlations", "classifier", "nearest_training_events"}
    assert {path.stem for path in figures} == stems | {"closure_SimEvent.energyTrue", "closure_SimEvent.phiTrue"}
    assert all(path.stat().st_size > 10_000 for path in figures)
    written = {name: np.concatenate([part[name] for part in reference.written]) for name in reference.written[0]}
    with np.load(folder / "generated.npz") as stored:
        assert stored["entry"].tolist() == list(range(120))
        for table in (made.parameters, made.conditions):
            for quantity, values in table.columns():
                np.testing.assert_allclose(stored[quantity.name], values, rtol=1e-5)
                assert (written[quantity.name] == stored[quantity.name]).all()
    (folder / "config.yaml").write_text("run: {id: run}\n")
    inference = read_run(tmp_path, "run").inference
    assert inference.metrics["FPD"] == found["metrics"]["FPD"]
    assert len(inference.curves) == 2 * 2 * len(PARAMETERS)


def test_events_that_were_trained_on_have_no_floor(tmp_path: Path) -> None:
    source = Source(truth(80, 3, conditions=False))
    every = Selection(source, np.arange(80))
    found, figures = report(Splits(every, None, every), truth(160, 4, conditions=False), tmp_path)
    assert found["floors"] == {}
    assert set(ALL) <= set(found["metrics"])
    assert not [name for name in found["metrics"] if name.startswith(("memorisation", "closure")) or "condit" in name]
    assert {path.stem for path in figures} == {"distributions", "cumulative", "correlations", "classifier"}
    half = Splits(every, None, Selection(source, np.arange(20)))
    assert report(half, truth(20, 4, conditions=False), tmp_path)[0]["training_events"] == 60


def test_without_conditions_asked_for_there_is_no_closure(tmp_path: Path) -> None:
    """The files have them, all the same."""
    parts = splits(Source(truth(60, 0)), Source(truth(60, 2)))
    found, _ = report(parts, truth(60, 1, conditions=False), tmp_path)
    assert not [name for name in found["floors"] if "condition" in name or "closure" in name]
    assert set(ALL) <= set(found["floors"])
    with np.load(tmp_path / "generated.npz") as stored:
        assert set(stored) == {"entry", *(quantity.name for quantity in PARAMETERS)}


@pytest.mark.parametrize("events", [1, 2, LEAST - 1])
def test_few_events(tmp_path: Path, events: int) -> None:
    found, figures = report(splits(Source(truth(events, 5)), Source(truth(80, 6))), truth(events, 7), tmp_path)
    assert not set(found["metrics"]) & {*ALL, "closure_mean", "memorisation/share_near"}
    assert 0 <= found["metrics"]["KS/rec.nHit"] <= 1
    assert {path.stem for path in figures} == {"distributions", "cumulative"}


def test_what_is_not_a_number_is_an_error(tmp_path: Path) -> None:
    source = Source(truth(4, 8))
    parameters, conditions = (
        torch.from_numpy(source.scaled(name, np.arange(4))) for name in ("parameters", "conditions")
    )
    view = TableView(source.spec, "parameters")
    opened = GenerationReport(splits(source, source), GenerationReportConfig(), tmp_path, {}, view)
    for wrong in (float("nan"), 5000.0):  # the exponential of which is infinite
        parameters[2, 0] = wrong
        with pytest.raises(
            TrainingError, match=r"generated rec.nHit is not a number in 1 of 4 events, first for entry 12"
        ):
            opened.pack(Generated(parameters, conditions, torch.arange(10, 14)))


def test_zero_has_no_logarithm(tmp_path: Path) -> None:
    events = Records((ENERGY,), np.full((3, 1), 100.0))
    source = Source(Events(events, Records((), np.zeros((3, 0)))))
    view = TableView(source.spec, "parameters")
    opened = GenerationReport(splits(source, source), GenerationReportConfig(), tmp_path, {}, view)
    with pytest.raises(TrainingError, match=r"generated SimEvent\.energyTrue is not a number in 3 of 3 events"):
        opened.pack(Generated(torch.full((3, 1), -800.0), torch.zeros(3, 0), torch.arange(3)))


def changed(events: Events, name: str) -> Events:
    """Events with one thing wrong."""
    values = events.parameters.values.copy()
    generator = np.random.default_rng(0)
    if name == "shifted":
        values[:, 0] *= 1.3
    elif name == "smeared":
        values[:, 3] += generator.normal(0, 80, len(values))
    elif name == "uncorrelated":
        values[:, 1:] = generator.permutation(values[:, 1:])
    return Events(Records(PARAMETERS, values), events.conditions)


@pytest.fixture(scope="module")
def samples() -> tuple[Events, Events]:
    return truth(600, 9), truth(600, 10)


@pytest.mark.parametrize(
    ("name", "worse", "same"),
    [
        (
            "shifted",
            ["KS/rec.nHit", "Wasserstein/rec.nHit", "FPD", "classifier_AUC", "closure_mean"],
            ["KS/rec.coreX", "correlation_difference"],
        ),
        ("smeared", ["KS/rec.coreX", "Wasserstein/rec.coreX", "FPD", "classifier_AUC", "closure_spread"], []),
        (
            "uncorrelated",
            ["classifier_AUC_with_conditions", "closure_mean"],
            ["KS/rec.nHit", "Kuiper/rec.azimuthAngle", "Wasserstein/rec.azimuthAngle"],
        ),
    ],
)
def test_what_is_wrong_is_told(samples: tuple[Events, Events], name: str, worse: list[str], same: list[str]) -> None:
    """Above the value of equal samples, or equal to it."""
    reference, other = samples
    floor, found = differences(reference, other, 1000), differences(reference, changed(other, name), 1000)
    for metric in worse:
        margin = 2 * floor.errors.get(metric, 0.15 * abs(floor.values[metric]))
        assert found.values[metric] > floor.values[metric] + margin, metric
    for metric in same:
        assert found.values[metric] == pytest.approx(floor.values[metric], abs=1e-6), metric


def test_the_end_of_the_turn_is_no_difference() -> None:
    generator = np.random.default_rng(11)
    none = Records((), np.zeros((300, 0)))
    angles = [np.pi + generator.normal(0, 0.2, 300) for _ in range(2)]
    folded = [Events(Records((AZIMUTH,), ((angle + np.pi) % (2 * np.pi) - np.pi)[:, None]), none) for angle in angles]
    moved = [Events(Records((AZIMUTH,), (angle - np.pi)[:, None]), none) for angle in angles]
    at_the_end, in_the_middle = differences(*folded, 300), differences(*moved, 300)
    for metric in ("Kuiper/rec.azimuthAngle", "Wasserstein/rec.azimuthAngle", "FPD"):
        assert at_the_end.values[metric] == pytest.approx(in_the_middle.values[metric], abs=1e-5)
    assert folded[0].feature_names == ["cos rec.azimuthAngle", "sin rec.azimuthAngle"]


def test_closure_of_angles_all_around_has_no_mean() -> None:
    around = np.linspace(-3, 3, 200)[:, None]
    asked = Records((ENERGY,), np.random.default_rng(17).uniform(100, 1000, (200, 1)))
    events = Events(Records((AZIMUTH,), around), asked)
    found = differences(events, events, 200).values
    assert np.isnan(found["closure_mean"])
    assert found["closure_spread"] == 0.0


def test_images_have_a_classifier_of_their_own() -> None:
    """Which sees what numbers of them do not say; and training events give its floor."""
    generator = np.random.default_rng(18)
    images = [generator.integers(0, 256, (200, 1, 40)).astype(np.uint8) for _ in range(3)]
    images[1][:, :, :20] //= 4
    reference, made, training = (
        replace(truth(200, 19 + i), images=of_one, tank=np.arange(40) // 4) for i, of_one in enumerate(images)
    )
    judgement = judge(reference, made, training, 200)
    assert judgement.metrics["classifier_AUC_of_images"] > 0.8
    assert abs(judgement.floor.values["classifier_AUC_of_images"] - 0.5) < 0.15
    assert judgement.metrics["classifier_AUC"] < 0.65
    assert set(judgement.generated.scores) == set(CLASSIFIER_LABELS)


def test_events_of_the_training_are_found() -> None:
    reference, training, new = truth(300, 12), truth(500, 13), truth(300, 14)
    honest = judge(reference, new, training, 300).metrics
    assert 0.8 < honest["memorisation/ratio_of_medians"] < 1.25
    assert honest["memorisation/share_near"] < 0.05
    copied = Events(training.parameters.rows(np.arange(300)), training.conditions.rows(np.arange(300)))
    found = judge(reference, copied, training, 300).metrics
    assert (found["memorisation/ratio_of_medians"], found["memorisation/share_near"]) == (0.0, 1.0)


def test_copies_of_judged_events_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    said = []
    monkeypatch.setattr("airshower.tasks.generation.judgement.judge.logger.info", lambda text, *_: said.append(text))
    reference, none = truth(200, 15, conditions=False), truth(0, 15, conditions=False)
    judge(reference, reference, none, 200)
    assert "copies" in said[-1]
    judge(reference, truth(200, 16, conditions=False), none, 200)
    assert "copies" not in said[-1]


def test_what_tanks_have() -> None:
    """Two tanks of two PMTs, one of them without a hit; levels of charges and of times."""
    images = np.array([[[51, 0, 0, 0], [102, 0, 0, 0]], [[51, 153, 0, 0], [255, 255, 0, 0]]], np.uint8)
    found = replace(truth(2, 0), images=images, tank=np.array([7, 7, 2, 2])).in_tanks.reshape(2, 5, 2)
    np.testing.assert_allclose(found[:, :, 0], 0)
    np.testing.assert_allclose(found[:, :, 1], [[1, 0.2, 0.4, 0, 0], [2, 0.4, 1, 0.2, 0]], atol=1e-6)
