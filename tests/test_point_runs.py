"""Networks on points learn from a file of one's own and predict events that were observed."""

import csv
from pathlib import Path

import h5py
import numpy as np
import pytest

import airshower as library
from tests.command import TINY, TINY_SHOWERS, airshower
from tests.data.points.small_points import write_points

COUNTS = np.arange(40) % 9
OBSERVABLES = "task.report.observables=[true_energy]"
NETWORK = ("network=points_latent", "network.features=[charge,time]", "network.latents=2", "network.blocks=1")
SMALL = (
    *NETWORK,
    "network.width=16",
    "network.hit_width=8",
    "network.heads=2",
    "task.report.observables=[true_energy]",
)


def table_of(run: Path) -> list[dict[str, str]]:
    """Rows of the table of predicted events."""
    with (run / "predictions" / "events.csv").open() as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("points")
    file = f"data.file={write_points(folder / 'points.h5', counts=COUNTS)}"
    words = ("mode=train", "data=points", file, "data.test_fraction=0.3", *SMALL, *TINY[-5:])
    outcome = airshower(*words, f"output_dir={folder / 'run'}")
    assert outcome.code == 0, outcome.err
    return folder / "run"


def test_inference_writes_predictions_with_the_ids_of_events(run: Path) -> None:
    outcome = airshower("mode=inference", f"run.folder={run}", "mode.displays=1")
    assert outcome.code == 0, outcome.err
    rows = table_of(run)
    assert len(rows) == 12
    with h5py.File(run / "predictions" / "predictions.h5") as file:
        assert file["events/event"][:].tolist() == [int(row["event"]) for row in rows]
        np.testing.assert_allclose(file["predictions/energy"][:], [float(row["energy"]) for row in rows], rtol=1e-5)
        assert set(file["predictions"]) == {
            "prediction", "energy", "direction_alt", "direction_az", "core_x", "core_y",
            "log10_energy_error", "direction_error", "core_error",
        }  # fmt: skip
        for name, of_table in (("log10_energy_error", 1.0), ("direction_error", 180 / np.pi), ("core_error", 1.0)):
            errors = [float(row[name.removeprefix("log10_")]) for row in rows]
            np.testing.assert_allclose(of_table * file[f"predictions/{name}"][:], errors, rtol=1e-5)
        units = {name: file[f"predictions/{name}"].attrs["unit"] for name in ("log10_energy_error", "core_error")}
        assert units == {"log10_energy_error": "decades", "core_error": "m"}


def test_observed_events_are_predicted(run: Path, tmp_path: Path) -> None:
    def observe(file: h5py.File) -> None:
        for name in list(file["truth"]):
            attributes = dict(file[f"truth/{name}"].attrs)
            values = file[f"truth/{name}"][:0]
            del file[f"truth/{name}"]
            file[f"truth/{name}"] = values
            file[f"truth/{name}"].attrs.update(attributes)

    path = write_points(tmp_path / "observed.h5", seed=1, change=observe)
    outcome = airshower(
        "mode=inference",
        f"run.folder={run}",
        f"data.file={path}",
        "data.validation_fraction=0",
        f"output_dir={tmp_path / 'out'}",
    )
    assert outcome.code == 0, outcome.err
    rows = table_of(tmp_path / "out")
    assert len(rows) == 6
    table = library.load(run).predict(path)
    np.testing.assert_allclose(table["energy"], [float(row["energy"]) for row in rows], rtol=1e-5)


def test_the_file_says_what_can_be_learned(tmp_path: Path) -> None:
    def nothing(file: h5py.File) -> None:
        del file["truth"]

    path = write_points(tmp_path / "points.h5", change=nothing)
    outcome = airshower("mode=train", "data=points", f"data.file={path}", *SMALL)
    assert outcome.code == 2
    assert "this data has no true primary, energy, direction, core; it has no truth" in outcome.err
    outcome = airshower(
        "mode=inspect", f"data.file={path}", "data.validation_fraction=0", f"output_dir={tmp_path / 'out'}"
    )
    assert outcome.code == 0, outcome.err


def test_telescopes_train_networks_on_points(tmp_path: Path) -> None:
    """With the features that the data name, figures and DL2 as of any network for telescopes."""
    words = [
        word for word in TINY_SHOWERS if not word.startswith(("network.filters", "network.blocks", "network.head_"))
    ]
    small = ("network=points_set", "network.hit_width=8", "data=cta_simulated", *words, f"output_dir={tmp_path}")
    trained = airshower("mode=train", *small)
    assert trained.code == 0, trained.err
    predicted = airshower("mode=inference", *small, "mode.displays=1")
    assert predicted.code == 0, predicted.err
    rows = table_of(tmp_path)
    assert {"multiplicity", "hits", "direction_error"} <= rows[0].keys()
    assert (tmp_path / "predictions" / "predictions.dl2.h5").exists()
    lacking = airshower("mode=train", *small, "network.features=[charge,time]", f"output_dir={tmp_path / 'out'}")
    assert lacking.code == 2
    assert "network.features: points on the sky need telescope_x, telescope_y, too" in lacking.err
    unknown = airshower("mode=train", *small, "network.features=[charge,time,central]")
    assert "data.features: there is no central; there are charge, time, telescope_x" in unknown.err
