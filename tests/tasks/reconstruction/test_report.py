"""What inference leaves of showers, from outputs of no network."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from airshower.data.splits import Selection, Splits
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.tasks.reconstruction.task import Reconstruction
from airshower.writers.figures import Figure, pyplot
from tests.detectors.cta.small_dl1 import rewrite, write_dl1
from tests.targets import Options, reconstruction


def report(
    source: CtaEvents,
    folder: Path,
    batches: int,
    worst: int = 0,
    scores: bool = True,
    targets: dict[str, Options] | None = None,
    **options: object,
) -> list[Path]:
    """A report of random outputs, packed in so many batches; with options of targets and of the report."""
    config = reconstruction(
        targets, report={"observables": ["true_energy"] if worst else [], "worst": worst, **options}
    )
    task = Reconstruction(config, source.spec, lambda batch: batch)
    entries, counters = np.arange(len(source)), {}
    generator = torch.Generator().manual_seed(2)
    outputs = {name: 0.2 * torch.randn(len(source), size, generator=generator) for name, size in task.outputs.items()}
    made = task.report(Splits(*[Selection(source, entries)] * 3), folder, {"step": "1"}, scores)
    with made:
        for part in np.array_split(entries, batches):
            batch = source.read(part).to(torch.device("cpu"))
            sample, own = task.prepare(batch), {name: output[part] for name, output in outputs.items()}
            packed = made.pack(batch, sample, own)
            assert len(packed) == len(part)
            made.add(packed)
            if sample.targets is not None:
                for name, value in task.count(sample, own, task.loss(own, sample)).items():
                    counters[name] = counters.get(name, 0) + value
    return made.finish(entries, task.metrics(counters), counters)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "events.csv") as handle:
        return list(csv.DictReader(handle))


@pytest.mark.parametrize("mode", ["mono", "stereo"])
def test_simulations(tmp_path: Path, mode: str) -> None:
    files = [write_dl1(tmp_path / "g.h5", events=9), write_dl1(tmp_path / "p.h5", events=6, primary=101, obs_id=8)]
    types = ["LST"] if mode == "mono" else []
    source = CtaEvents(CtaConfig(mode=mode, telescope_types=types), [str(path) for path in files])
    made = report(source, tmp_path / "one", 1, worst=1)
    report(source, tmp_path / "many", 7)  # some batches are empty
    assert rows(tmp_path / "one") == rows(tmp_path / "many")
    names = {path.stem for path in made}
    assert {
        "confusion",
        "scores",
        "roc",
        "migration",
        "worst_direction_1",
        "worst_energy_1",
        "angular_resolution",
    } <= names
    record, table = json.loads((tmp_path / "one" / "metrics.json").read_text()), rows(tmp_path / "one")
    assert record["events"] == len(table) == len(source)
    types = np.array([row["true_type"] for row in table])
    score = np.array([float(row["score_gamma"]) for row in table])
    pairs = score[types == "gamma", None] - score[types == "proton"]
    assert record["metrics"]["AUC"] == pytest.approx((pairs > 0).mean() + (pairs == 0).mean() / 2)
    assert record["metrics"]["AUC"] == json.loads((tmp_path / "many" / "metrics.json").read_text())["metrics"]["AUC"]
    charge = [np.where(part.clean, part.charge, 0).sum() for part in source.read(np.array([0]))["images"].cameras]
    assert float(table[0]["intensity"]) == pytest.approx(sum(charge))
    for entry in range(len(source)):
        images = source.read(np.array([entry]))["images"].cameras
        sizes = np.sort(np.concatenate([np.where(part.clean, part.charge, 0).sum(1) for part in images]))
        second = sizes[-2] if len(sizes) > 1 else 0.0
        assert float(table[entry]["second_intensity"]) == pytest.approx(second, rel=1e-5)
    offset = [float(row["true_offset"]) for row in table]
    assert all(0 <= value < 180 for value in offset)


def test_observations(tmp_path: Path) -> None:
    source = CtaEvents(CtaConfig(mode="stereo"), str(write_dl1(tmp_path / "o.h5", "observed")))
    assert report(source, tmp_path / "out", 2, scores=False) == []
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["events.csv", "predictions.dl2.h5"]
    table = rows(tmp_path / "out")
    assert len(table) == len(source)
    assert not [name for name in table[0] if name.startswith(("true_", "score_"))]
    assert source.thrown() == []


def test_showers_of_one_energy(tmp_path: Path) -> None:
    """As official simulations have, at an edge of bins: 9 of 10 showers over 500 m around the array."""
    path = write_dl1(tmp_path / "g.h5", events=9)
    with h5py.File(path, "r+") as file:
        rewrite(file, "/simulation/event/subarray/shower", lambda rows: one_energy(rows, "true_energy", 100.0))  # GeV
        for name in ("energy_range_min", "energy_range_max"):
            rewrite(file, "/configuration/simulation/run", lambda rows, name=name: one_energy(rows, name, 0.1))
    source = CtaEvents(CtaConfig(mode="stereo", classes=["gamma", "proton"]), str(path))
    made = report(source, tmp_path / "out", 2)
    assert "effective_area" in {found.stem for found in made}
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (area,) = (curve for curve in record["curves"] if curve["name"] == "effective_area")
    assert [value for value in area["value"] if not np.isnan(value)] == pytest.approx([0.9 * np.pi * 500**2])
    assert sum(area["events"]) == 9


def own_metric(events: dict[str, np.ndarray]) -> tuple[dict[str, float], dict[str, Figure]]:
    """How many events are gammas, and a figure of their energies."""
    gammas = events["true_type"] == "gamma"
    drawn = pyplot().figure()
    drawn.gca().hist(events["true_energy"][gammas])
    return {"gammas": float(gammas.sum())}, {"gamma_energies": drawn}


def gammas_and_protons(folder: Path) -> CtaEvents:
    files = [write_dl1(folder / "g.h5", events=9), write_dl1(folder / "p.h5", events=6, primary=101, obs_id=8)]
    return CtaEvents(CtaConfig(mode="stereo"), [str(path) for path in files])


def test_own_metrics_and_their_figures(tmp_path: Path) -> None:
    made = report(gammas_and_protons(tmp_path), tmp_path / "out", 2, metrics=[f"{__name__}.own_metric"])
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    assert record["metrics"]["gammas"] == 9
    assert tmp_path / "out" / "figures" / "gamma_energies.png" in made
    assert all(path.exists() for path in made)


def test_bins_of_curves_are_those_asked_for(tmp_path: Path) -> None:
    bins = {
        "true_energy": {"low": 0.1, "high": 1000.0, "bins": 4},
        "multiplicity": {"low": 0.5, "high": 3.5, "bins": 3},
    }
    report(gammas_and_protons(tmp_path), tmp_path / "out", 1, observables=list(bins), bins=bins)
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    edges = {curve["against"]: curve["edges"] for curve in record["curves"] if curve["name"] == "angular_resolution"}
    assert edges["true_energy"] == pytest.approx([0.1, 1.0, 10.0, 100.0, 1000.0])
    assert edges["multiplicity"] == pytest.approx([0.5, 1.5, 2.5, 3.5])


def test_other_units_are_those_of_the_table_and_the_curves_alone(tmp_path: Path) -> None:
    """DL2 files, effective areas and migrations are as of TeV and m."""
    source = gammas_and_protons(tmp_path)
    units: dict[str, Options] = {"energy": {"unit": "GeV", "middle": 3.0}, "core": {"unit": "km", "scale": 0.1}}
    records, tables, files = {}, {}, {}
    for name, targets in (("usual", {}), ("others", units)):
        report(source, tmp_path / name, 1, worst=1, targets=targets, observables=["true_core_distance"])
        records[name], tables[name] = json.loads((tmp_path / name / "metrics.json").read_text()), rows(tmp_path / name)
        with h5py.File(tmp_path / name / "predictions.dl2.h5") as file:
            group = file["dl2/event/subarray"]
            energy = group["energy/airshower"]["airshower_energy"]
            files[name] = np.stack([energy, group["geometry/airshower"]["airshower_core_x"]])
    np.testing.assert_allclose(files["others"], files["usual"], rtol=1e-4)
    for usual, other in zip(tables["usual"], tables["others"], strict=True):
        for column, size in (("energy", 1e3), ("true_energy", 1e3), ("core_x", 1e-3), ("true_core_distance", 1e-3)):
            assert float(other[column]) == pytest.approx(size * float(usual[column]), rel=1e-4)
    for key in ("core_resolution", "energy_resolution"):
        size = 1e-3 if key.startswith("core") else 1.0
        assert records["others"]["metrics"][key] == pytest.approx(size * records["usual"]["metrics"][key], rel=1e-3)
    assert records["others"]["migration"]["counts"] == records["usual"]["migration"]["counts"]
    areas = {
        name: next(curve for curve in record["curves"] if curve["name"] == "effective_area")
        for name, record in records.items()
    }
    assert areas["others"]["value"] == pytest.approx(areas["usual"]["value"], nan_ok=True)
    (curve,) = [curve for curve in records["others"]["curves"] if curve["name"] == "core_resolution"]
    assert (curve["unit"], curve["against_unit"]) == ("km", "km")


def test_classes_of_another_name(tmp_path: Path) -> None:
    """The type is not learned, its column under another name is; ROC and areas are of that."""
    targets: dict[str, Options] = {"type": {"weight": 0.0}, "kind": {"column": "primary"}}
    made = report(gammas_and_protons(tmp_path), tmp_path / "out", 2, worst=1, targets=targets)
    assert {"roc", "scores", "confusion", "effective_area", "worst_type_1"} <= {path.stem for path in made}
    record, table = json.loads((tmp_path / "out" / "metrics.json").read_text()), rows(tmp_path / "out")
    score = np.array([float(row["score_gamma"]) for row in table])
    gammas = np.array([row["true_kind"] == "gamma" for row in table])
    assert record["metrics"]["AUC"] == pytest.approx((score[gammas, None] > score[~gammas]).mean())
    with h5py.File(tmp_path / "out" / "predictions.dl2.h5") as file:
        predicted = file["dl2/event/subarray/classification/airshower"]["airshower_prediction"]
    np.testing.assert_allclose(np.sort(predicted), np.sort(score), rtol=1e-5)


def one_energy(rows: np.ndarray, name: str, energy: float) -> np.ndarray:
    rows[name] = energy
    return rows
