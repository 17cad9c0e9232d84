"""Tables that spreadsheets open, and do not compute."""

import csv
from pathlib import Path

import numpy as np
import pytest

from airshower.comparison.runs import read_run
from airshower.comparison.table import Comparison
from airshower.writers.tables import text_cell, write_events
from tests.scripts.test_compare import write_run

EVIL = '=HYPERLINK("http://evil","x")'


@pytest.mark.parametrize("text", [EVIL, "+1+cmd|'/C calc'!A0", "-2+3", "@SUM(A1)", "\t=1", "\r=1", " =1", "－１+1"])
def test_text_that_begins_as_a_formula_is_marked_as_text(text: str) -> None:
    assert text_cell(text) == f"'{text}"


@pytest.mark.parametrize("cell", ["-1", "+1e-3", "-inf", "gamma", "a=b", "", None, -1.5, 3, np.float32(-2.0)])
def test_numbers_and_other_text_stay(cell: object) -> None:
    assert text_cell(cell) is cell


def test_a_comparison_holds_no_formula(tmp_path: Path) -> None:
    """Neither in names of runs nor in values of configs."""
    runs = [write_run(tmp_path / "=1+1", auc=0.9), write_run(tmp_path / "b", auc=0.8, width=-4)]
    with open(runs[0] / "config.yaml", "a") as handle:
        handle.write(f"framework: {{name: '{EVIL}'}}\n")
    comparison = Comparison([read_run(folder, folder.name) for folder in runs])
    table = list(csv.reader(comparison.csv().splitlines()))
    assert [row[0] for row in table] == ["run", "'=1+1", "b"]
    differences = list(csv.reader(comparison.differences_csv().splitlines()))
    assert differences[0] == ["key", "'=1+1", "b"]
    assert ["framework.name", f"'{EVIL}", ""] in differences
    assert ["network.width", "8", "-4"] in differences


def test_a_table_of_events_holds_no_formula(tmp_path: Path) -> None:
    write_events(tmp_path / "events.csv", {"@type": np.array(["=1", "gamma"]), "score": np.array([-0.5, 1.0])})
    assert (tmp_path / "events.csv").read_text() == "'@type,score\n'=1,-0.5\ngamma,1\n"
