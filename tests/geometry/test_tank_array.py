"""The lattice of tanks against surveyed positions and a published figure; cells of the image."""

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airshower.geometry.tank_array import PMTS, SIDE, TANKS, hawc_array, tank_cells


@pytest.fixture(scope="module")
def surveyed(sample_file: Callable[[str], Path]) -> tuple[dict[str, int], dict[str, np.ndarray]]:
    """Ids of tanks by their names, and positions (m) of tanks and PMTs by theirs."""
    tanks = [line.split() for line in sample_file("hawc/tank-layout-03").read_text().splitlines() if line.strip()]
    pmts = [line.split() for line in sample_file("hawc/pmt-layout-03").read_text().splitlines() if line.strip()]
    positions = {row[0]: np.array(row[-3:], float) / 100.0 for row in (*tanks, *pmts)}
    return {row[0]: int(row[1]) for row in tanks}, positions


def distances(one: np.ndarray, other: np.ndarray) -> np.ndarray:
    """To the nearest of the others."""
    return np.linalg.norm(one[:, None] - other, axis=2).min(1)


def test_tanks_are_where_they_were_surveyed(surveyed: tuple) -> None:
    ids, positions = surveyed
    assert sorted(ids.values()) == list(range(1, TANKS + 1))
    own, found = hawc_array().tank_position, np.empty((TANKS, 3))
    for name, number in ids.items():
        found[number - 1] = positions[name]
    np.testing.assert_allclose(own[:, :2], found[:, :2], atol=0.06)
    np.testing.assert_allclose(own[:, 2], found[:, 2], atol=0.3)


def test_names_of_tanks_are_their_cells(surveyed: tuple) -> None:
    column, row = tank_cells()
    names = {f"{chr(ord('X') - y)}{20 - x}": t for t, (x, y) in enumerate(zip(column, row, strict=True), 1)}
    assert names == surveyed[0]


def test_pmts_are_where_they_were_surveyed(surveyed: tuple) -> None:
    ids, positions = surveyed
    array = hawc_array()
    own = array.position[:, :2].reshape(TANKS, 4, 2)
    found = np.empty((TANKS, 4, 2))
    for name, number in ids.items():
        found[number - 1] = [positions[name + letter][:2] for letter in "ABCD"]
    np.testing.assert_allclose(own[:, 2], found[:, 2], atol=0.06)
    assert array.central.reshape(TANKS, 4)[:, 2].all()
    places = np.sort(distances(own.reshape(-1, 2), found.reshape(-1, 2)))
    assert places[-10] < 0.1
    assert places[-1] < 0.5
    by_letter = np.linalg.norm(own - found, axis=2).max(1) < 0.5
    assert by_letter.mean() > 0.7


def test_lattice_agrees_with_the_published_figure(sample_file: Callable[[str], Path]) -> None:
    with sample_file("hawc/hawc_layout_from_figure.csv").open() as file:
        seen = [(float(row["x_m"]), float(row["y_m"])) for row in csv.DictReader(file) if row["seen_in_figure"] == "1"]
    assert len(seen) > 1100
    assert distances(np.array(seen), hawc_array().position[:, :2]).max() < 0.2  # the figure's axes are that exact


def test_cells_and_pmts_are_each_others_inverse() -> None:
    array = hawc_array()
    assert array.pmt.shape == (SIDE, SIDE)
    np.testing.assert_array_equal(array.pmt[array.cell[:, 0], array.cell[:, 1]], np.arange(PMTS))
    assert (array.pmt < 0).sum() == SIDE * SIDE - PMTS


@pytest.mark.parametrize(
    ("grid_id", "cell"), [(8, [21, 39]), (1200, [13, 1]), (1, [22, 38]), (1145, [38, 0]), (1089, [26, 36])]
)
def test_cells_of_some_pmts(grid_id: int, cell: list[int]) -> None:
    """Worked out by hand from the tanks' names: PMT 8 is D of tank 2, E10, in column 10 of row 19, say."""
    assert hawc_array().cell[grid_id - 1].tolist() == cell


def test_tanks_of_a_row_are_neighbours() -> None:
    array, (column, row) = hawc_array(), tank_cells()
    near = np.sort(np.linalg.norm(array.tank_position[:, None] - array.tank_position, axis=2), 1)[:, 1]
    assert 7.8 < near.min() <= near.max() < 8.0
    assert len({*zip(column.tolist(), row.tolist(), strict=True)}) == TANKS
