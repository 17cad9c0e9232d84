"""mode=inspect through the command line: reports against the events themselves, for each detector and for the toy."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from airshower.data.splits import Selection
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from tests.command import Outcome, airshower
from tests.samples import simulated
from tests.test_toy import CONF

QUIET = ("run.compute_mode=cpu", "framework.intra_op_parallelism_threads=1")
SHOWERS = {"simulation": CtaSimulation(lsts=2, msts=2, energy_min=0.5), "mode": "stereo"}
OVERRIDES = ("data.simulation.lsts=2", "data.simulation.msts=2", "data.simulation.energy_min=0.5")


def inspect(folder: Path, *overrides: str) -> tuple[Outcome, dict[str, Any]]:
    """What is printed, and the report."""
    outcome = airshower(*overrides, "mode=inspect", *QUIET, f"output_dir={folder}")
    assert outcome.code == 0, outcome.err
    return outcome, json.loads((folder / "inspect" / "report.json").read_text())


def in_order(about: dict[str, Any]) -> bool:
    values = [about["min"], *about["quantiles"].values(), about["max"]]
    return values == sorted(values)


def test_wire_images_are_described_as_they_are(tmp_path: Path) -> None:
    path = simulated(6, seed=4)
    outcome, report = inspect(
        tmp_path,
        "data=lartpc",
        f"data.file={path}",
        "data.test_fraction=0.3",
        "data.validation_fraction=0.3",
        "mode.displays=2",
    )
    source = LartpcEvents(LartpcConfig(), path)
    batch = source.read(np.arange(6))
    images, truth = batch["images"], source.truth(np.arange(6))
    assert report["version"] == 1
    assert report["files"] == [str(path)]
    assert report["entries"]["splits"] == {
        name: {"entries": 2, "also_in_train": 0} for name in ("train", "validation", "test")
    }
    assert (report["entries"]["distinct"], report["entries"]["read"]) == (6, 6)
    assert report["ids"]["columns"]["event"] == {"min": 0, "max": 5, "distinct": 6}
    assert report["ids"]["duplicates"] == 0
    for plane in range(3):
        values = images.value[images.image_index % 3 == plane].astype(np.float64)
        about = report["inputs"]["images"]["channels"][f"charge, plane {plane}"]
        assert about["unit"] == "ADC"
        assert about["values"] == len(values)
        assert (about["min"], about["max"]) == (values.min(), values.max())
        assert about["mean"] == pytest.approx(values.mean(), rel=1e-12)
        assert about["quantiles"]["q50"] == pytest.approx(np.median(values), rel=0.005)
        assert in_order(about)
    counts = images.counts.sum(1)
    pixels = report["inputs"]["images"]["channels"]["non-empty pixels"]
    assert (pixels["min"], pixels["max"], pixels["quantiles"]["q50"]) == (counts.min(), counts.max(), np.median(counts))
    of_class = report["inputs"]["images"]["channels"]["class of pixels"]["classes"]
    assert list(of_class.values()) == np.bincount(images.label, minlength=3).tolist()
    energy = report["truth"]["energy"]["parts"]["energy"]
    assert (energy["min"], energy["unit"]) == (truth["energy"].min(), "GeV")
    kinds = report["truth"]["interaction"]["classes"]
    assert list(kinds.values()) == np.bincount(truth["interaction"], minlength=6).tolist()
    folder = tmp_path / "inspect"
    figures = {path.name for path in (folder / "figures").glob("*.png")}
    assert {
        "event_1.png",
        "event_2.png",
        "truth_energy.png",
        "inputs_images_charge.png",
        "truth_interaction.png",
    } <= figures
    assert all((folder / "figures" / name).stat().st_size > 3000 for name in figures)
    assert {"config.yaml", "provenance.json", "index.html"} <= {path.name for path in folder.iterdir()}
    assert (folder / "index.html").read_text().count("data:image/png;base64,") >= 2
    assert "6 events in 1 file" in outcome.out
    assert "true interaction:" in outcome.out


def test_telescopes_need_no_network_that_fits(tmp_path: Path) -> None:
    """The default network is of wire images."""
    sizes = ("data.events=8", "data.validation_events=3", "data.test_events=2")
    _, report = inspect(tmp_path, "data=cta_simulated", *OVERRIDES, *sizes, "mode.displays=1", "mode.events=5")
    config = SimulatedCta.Config(events=8, validation_events=3, test_events=2, **SHOWERS)
    splits = SimulatedCta(config, 0).open()
    parts = [splits.train, splits.validation, splits.test]
    entries = report["entries"]
    assert (entries["in_files"], entries["distinct"], entries["read"], entries["unit"]) == (13, 13, 5, "events")
    assert [split["entries"] for split in entries["splits"].values()] == [8, 3, 2]
    truth = [part.source.truth(part.entries) for part in parts]
    energy = np.concatenate([columns["energy"] for columns in truth])
    about = report["truth"]["energy"]["parts"]["energy"]
    assert (about["min"], about["max"]) == (energy.min(), energy.max())
    assert about["quantiles"]["q84"] == pytest.approx(np.quantile(energy, 0.84), rel=1e-12)
    direction = np.degrees(np.concatenate([columns["direction"] for columns in truth]))
    assert report["truth"]["direction"]["parts"]["azimuth"]["max"] == pytest.approx(direction[:, 1].max())
    read = [np.array(rows) for rows in ([0, 2, 5, 7], [2], [])]  # 0, 2.6, 5.2, 7.8 and 10.4 of 13
    batches = [part.source.read(rows) for part, rows in zip(parts, read, strict=True)]
    charge = np.concatenate([batch["images"].cameras[0].charge.ravel() for batch in batches]).astype(float)
    camera = parts[0].source.spec["images"].cameras[0].name
    channel = report["inputs"]["images"]["channels"][f"charge, {camera}"]
    assert (channel["values"], channel["max"]) == (len(charge), charge.max())
    assert report["frame"].startswith("an axis at altitude 70, azimuth 180 deg")
    assert report["inputs"]["images"]["shape"][camera]["telescopes"] == 2


def test_tanks_have_images_although_no_network_asks(tmp_path: Path) -> None:
    sizes = ("data.events=30", "data.validation_events=10", "data.test_events=10")
    _, report = inspect(tmp_path, "data=hawc_mixed_simulated", *sizes, "mode.displays=1")
    inputs = report["inputs"]
    assert {"images", "parameters", "conditions", "frame"} == set(inputs)
    assert inputs["images"]["channels"]["time of hits"]["unit"] == "ns"
    failed = sum(report["entries"]["removed"].values())
    assert set(report["entries"]["removed"]) <= {"failed fits"}
    assert report["entries"]["distinct"] == report["entries"]["in_files"] - failed == 50 - failed
    assert sum(inputs["conditions"]["channels"]["primary"]["classes"].values()) == 50 - failed
    hits = inputs["parameters"]["channels"]["rec.nHit"]
    assert hits["min"] >= 28
    assert hits["min"] == round(hits["min"])
    assert report["truth"]["primary"]["classes"] == inputs["conditions"]["channels"]["primary"]["classes"]


def test_files_of_tanks_are_read_as_they_are(tmp_path: Path) -> None:
    """Observed events have neither truth nor conditions, and generated ones may have no hits."""
    path = tmp_path / "events.xcd"
    made = airshower("mode=simulate", "data=hawc_simulated", "data.events=20", f"mode.file={path}")
    assert made.code == 0, made.err
    _, report = inspect(tmp_path / "observed", "data=hawc", f"data.file={path}", "mode.displays=0")
    assert report["truth"] == {}
    assert "the files have no truth: they can be predicted, not trained on" in report["remarks"]
    assert report["inputs"]["images"]["channels"]["hits"]["min"] > 0


def test_the_toy_is_inspected_without_a_change(tmp_path: Path) -> None:
    """Its tables of signals are drawn as bars."""
    sizes = ("data.events=50", "data.validation_events=10", "data.test_events=10")
    outcome, report = inspect(tmp_path, *CONF, "data=toy", *sizes)
    assert report["entries"]["distinct"] == 70
    assert report["inputs"]["signals"]["channels"]["scintillator 7"]["unit"] == "particles"
    assert set(report["truth"]) == {"primary", "energy", "core"}
    assert (tmp_path / "inspect" / "figures" / "event_4.png").exists()
    assert "scintillator 7" in outcome.out


def test_cuts_are_counted(tmp_path: Path) -> None:
    path = simulated(6, seed=4)
    pixels = np.sort(LartpcEvents(LartpcConfig(), path).read(np.arange(6))["images"].counts.sum(1))
    cut = f"pixels > {pixels[3]}"
    _, report = inspect(tmp_path, "data=lartpc", f"data.file={path}", f"data.cuts='{cut}'", "mode.displays=0")
    assert report["entries"]["removed"] == {cut: 4}
    assert (report["entries"]["in_files"], report["entries"]["distinct"]) == (6, 2)
    assert f"cuts leave 2 of 6 events ({cut}: 4)" in report["remarks"]
    assert not list((tmp_path / "inspect" / "figures").glob("event_*"))


def test_a_second_inspection_replaces_the_first(tmp_path: Path) -> None:
    path = simulated(6, seed=4)
    file = ("data=lartpc", f"data.file={path}")
    inspect(tmp_path, *file, "mode.displays=2")
    _, report = inspect(tmp_path, *file, "mode.displays=0", "mode.events=2")
    assert report["entries"]["read"] == 2
    assert not list((tmp_path / "inspect" / "figures").glob("event_*"))


@pytest.mark.parametrize(
    ("overrides", "line"),
    [
        (("data=lartpc", "data.file=nowhere.h5"), "nowhere.h5"),
        (("data=cta",), "data.file: has no value"),
        (("data=lartpc_simulated", "mode.events=-1"), "mode.events=-1: must be at least 0"),
        (
            ("data=lartpc_simulated", "mode.display=1"),
            "mode.display",
        ),
    ],
)
def test_mistakes_are_one_line(overrides: tuple[str, ...], line: str, tmp_path: Path) -> None:
    outcome = airshower("mode=inspect", *QUIET, f"output_dir={tmp_path / 'run'}", *overrides)
    assert outcome.code == 2
    assert line in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
    assert not (tmp_path / "run").exists()


def test_a_file_of_sbnd(sbnd_file: Path, tmp_path: Path) -> None:
    """Its five events have no ids of their own."""
    _, report = inspect(tmp_path, "data=lartpc", f"data.file={sbnd_file}", "mode.displays=1")
    assert report["ids"]["duplicates"] == 4
    assert report["inputs"]["images"]["shape"] == {"planes": 3, "rows": 1280, "columns": 2048}
    assert report["inputs"]["images"]["channels"]["non-empty pixels"]["values"] == 5


def test_entries_are_spread_over_sources() -> None:
    from airshower.modes.inspect import spread

    pools = [Selection(None, np.arange(10, 20)), Selection(None, np.arange(5)), Selection(None, np.arange(0))]
    assert [part.entries.tolist() for part in spread(pools, 5)] == [[10, 13, 16, 19], [2], []]
    assert [part.entries.tolist() for part in spread(pools, 0)] == [pool.entries.tolist() for pool in pools]
    assert [len(part.entries) for part in spread(pools, 100)] == [10, 5, 0]
