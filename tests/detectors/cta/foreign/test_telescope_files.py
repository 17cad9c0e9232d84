"""Whole runs on files of several experiments, from the command line."""

import csv
from pathlib import Path

import numpy as np
import pytest

from tests.command import TINY_SHOWERS, airshower
from tests.detectors.cta import layouts

TINY = tuple(item for item in TINY_SHOWERS if not item.startswith("data."))


def run(*options: str):
    """What a tiny run says; figures are left out."""
    train = ("mode.no_summary_images=true",) if "mode=train" in options else ()
    return airshower(*options, *train, *TINY)


def rows(folder: Path) -> list[dict[str, str]]:
    with open(folder / "predictions" / "events.csv") as handle:
        return list(csv.DictReader(handle))


def test_gammas_against_real_events(tmp_path: Path) -> None:
    path = layouts.fact(tmp_path / "a.h5", events=30)
    where = ("experiment=cta_fact", f"data.file={path}", "data.cuts=", f"output_dir={tmp_path / 'run'}")
    for options in (["mode=iotest"], ["mode=train"], ["mode=inference", "data.validation_fraction=0"]):
        outcome = run(*options, *where)
        assert outcome.code == 0, outcome.err
    types = [row["true_type"] for row in rows(tmp_path / "run")]
    assert (types.count("gamma"), types.count("observed")) == (10, 6)


def test_energy_direction_and_core_of_one_class(tmp_path: Path) -> None:
    path = layouts.corsika(tmp_path / "a.npz")
    where = ("experiment=cta_corsika", f"data.file={path}", f"output_dir={tmp_path / 'run'}")
    where += ("data.cuts=''", "data.multiplicity=1")  # the made-up images are faint
    for mode in ("mode=train", "mode=inference"):
        outcome = run(mode, *where, "network.normalization=none")
        assert outcome.code == 0, outcome.err
    table = rows(tmp_path / "run")
    assert {row["true_type"] for row in table} == {"unknown"}
    assert all(np.isfinite(float(row[name])) for row in table for name in ("energy", "alt", "az", "core_x", "core_y"))
    assert len({row["true_energy"] for row in table}) == 1, "a tenth of six showers is one"
    assert len(table) == 10


def test_observations_are_not_trained_on_but_reconstructed(tmp_path: Path, write_dl1) -> None:
    """Also by the weights of a run on simulations with the same telescopes."""
    simulated = write_dl1(tmp_path / "gamma.h5", events=12), write_dl1(tmp_path / "proton.h5", primary=101, obs_id=8)
    observed = write_dl1(tmp_path / "observed.h5", "observed")
    options = ("network=cta_mono_resnet", "data=cta", "data.telescope_types=[LST]")
    files = f"data.file=[{','.join(map(str, simulated))}]"
    trained = run("mode=train", *options, files, f"output_dir={tmp_path / 'run'}")
    assert trained.code == 0, trained.err
    refused = run("mode=train", *options, f"data.file={observed}", f"output_dir={tmp_path / 'other'}")
    assert refused.code == 2
    assert "training needs simulated events, but these are observations" in refused.err
    weights = f"mode.weights_location={tmp_path / 'run'}"
    read = ("mode=inference", *options, f"data.file={observed}", f"output_dir={tmp_path / 'other'}", weights)
    outcome = run(*read)
    assert outcome.code == 0, outcome.err
    assert len(rows(tmp_path / "other")) == 8
    assert "true_energy" not in rows(tmp_path / "other")[0]


@pytest.mark.parametrize(("layout", "said"), [("magic", "these are observations"), ("nothing", "is not an HDF5 file")])
def test_files_that_can_not_be_trained_on(tmp_path: Path, layout: str, said: str) -> None:
    path = tmp_path / "a.h5"
    if layout == "magic":
        layouts.magic(path)
    else:
        path.write_text("no file of telescopes")
    outcome = run(
        "mode=train", "network=cta_mono_resnet", "data=cta", f"data.file={path}", f"output_dir={tmp_path / 'o'}"
    )
    assert outcome.code == 2
    assert said in outcome.err
    assert len(outcome.err.strip().splitlines()) == 1
