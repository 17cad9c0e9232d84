"""What inference leaves of showers, from outputs of no network."""

import csv
import json
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from airshower.data.source import Selection, Splits
from airshower.detectors.cta.source import IactConfig, IactImages
from airshower.tasks.reconstruction import Reconstruction
from airshower.tasks.shower_performance import ReportConfig
from tests.detectors.cta.small_dl1 import rewrite, write_dl1


def report(source: IactImages, folder: Path, batches: int, worst: int = 0, scores: bool = True) -> list[Path]:
    """A report of random outputs, packed in so many batches."""
    config = Reconstruction.Config(report=ReportConfig(["true_energy"] if worst else [], worst=worst))
    task = Reconstruction(config, source.spec, lambda images, entries: images)
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
    source = IactImages(IactConfig(mode=mode, telescope_types=types), [str(path) for path in files])
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
    charge = [np.where(part.clean, part.charge, 0).sum() for part in source.read(np.array([0])).images]
    assert float(table[0]["intensity"]) == pytest.approx(sum(charge))
    offset = [float(row["true_offset"]) for row in table]
    assert all(0 <= value < 180 for value in offset)


def test_observations(tmp_path: Path) -> None:
    source = IactImages(IactConfig(mode="stereo"), str(write_dl1(tmp_path / "o.h5", "observed")))
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
    source = IactImages(IactConfig(mode="stereo", classes=["gamma", "proton"]), str(path))
    made = report(source, tmp_path / "out", 2)
    assert "effective_area" in {found.stem for found in made}
    record = json.loads((tmp_path / "out" / "metrics.json").read_text())
    (area,) = (curve for curve in record["curves"] if curve["name"] == "effective_area")
    assert [value for value in area["value"] if not np.isnan(value)] == pytest.approx([0.9 * np.pi * 500**2])
    assert sum(area["events"]) == 9


def one_energy(rows: np.ndarray, name: str, energy: float) -> np.ndarray:
    rows[name] = energy
    return rows
