"""Two ranks fit a network without steps as one does."""

import csv
from pathlib import Path

import pytest

from airshower.writers.scalars import read_table
from tests.checkpoints import assert_same, newest
from tests.command import TINY_FITS, airshower
from tests.launch import together

pytestmark = pytest.mark.mpi

TRAIN = ("mode=train", *TINY_FITS, "mode.no_summary_images=true")
INFERENCE = ("mode=inference", *TINY_FITS, "mode.displays=0", "task.report.worst=0")


def predicted(run: Path) -> list[dict[str, str]]:
    with open(run / "predictions" / "events.csv") as file:
        return list(csv.DictReader(file))


def test_two_ranks_fit_and_predict_as_one(tmp_path: Path) -> None:
    for words in (TRAIN, INFERENCE):
        assert airshower(*words, f"output_dir={tmp_path / 'one'}").code == 0
    two = f"output_dir={tmp_path / 'two'}"
    ranks = together(
        2,
        tmp_path / "jobs",
        train=("run", "run.distributed=true", *TRAIN, two),
        inference=("run", "run.distributed=true", *INFERENCE, two),
    )
    for name in ("train", "inference"):
        assert ranks.run(name).code == 0, ranks.run(name).err
    assert_same(newest(tmp_path / "two")["model"], newest(tmp_path / "one")["model"])
    validations = [read_table(tmp_path / name / "metrics" / "validation.csv")[0] for name in ("one", "two")]
    assert validations[1] == pytest.approx(validations[0], rel=1e-6)
    one, two = (predicted(tmp_path / name) for name in ("one", "two"))
    assert [row["type"] for row in two] == [row["type"] for row in one]
    for name in ("entry", "score_gamma", "energy", "alt", "az", "core_x", "core_y"):
        values = [[float(row[name]) for row in rows] for rows in (one, two)]
        assert values[1] == pytest.approx(values[0], rel=1e-5), name
