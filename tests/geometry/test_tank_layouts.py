"""Arrays of tanks that are like SWGO's, and those of tables of positions."""

from pathlib import Path

import numpy as np
import pytest

from airshower.errors import DataError, UserError
from airshower.geometry.tank_array import TANK_AREA, hawc_array
from airshower.geometry.tank_layouts import array_text, parsed_array, swgo_array, tank_array

RING = [(20.0 * np.cos(angle), 20.0 * np.sin(angle)) for angle in np.linspace(0.0, 6.0, 12)]
GOOD = "\n".join(["x,y,z", *(f"{x:.2f},{y:.2f},0" for x, y in RING)])


def test_swgo_has_a_dense_and_a_sparse_zone() -> None:
    array = swgo_array()
    off = array.tank_position[:, None, :2] - array.tank_position[None, :, :2]
    distance = np.hypot(*off.T)
    np.fill_diagonal(distance, np.inf)
    assert 400 <= len(array.tank_position) <= 600
    assert distance.min() > 5.2  # no tanks overlap
    from_middle = np.hypot(*array.tank_position[:, :2].T)
    inner = from_middle < 57.0
    zones = np.pi * 57.0**2, np.pi * (160.0**2 - 57.0**2)
    filled = [count * array.area / zone for count, zone in zip((inner.sum(), (~inner).sum()), zones, strict=True)]
    np.testing.assert_allclose(filled, [0.8, 0.05], rtol=0.03)
    np.testing.assert_allclose(array.centre, 0.0, atol=1e-9)


def test_a_tank_of_swgo_has_an_upper_and_a_lower_pmt() -> None:
    array = swgo_array()
    assert (array.per_tank == 2).all()
    assert (array.lower[1::2]).all()
    assert not (array.lower[::2]).any()
    np.testing.assert_array_equal(array.position[::2, :2], array.position[1::2, :2])
    assert (array.position[::2, 2] > array.position[1::2, 2]).all()


@pytest.mark.parametrize("name", ["hawc", "swgo"])
def test_an_array_is_its_table(name: str) -> None:
    array = tank_array(name)
    again = parsed_array(array_text(array), "text")
    np.testing.assert_allclose(again.position, array.position, rtol=0, atol=0.005 + 1e-9)
    np.testing.assert_array_equal(again.tank, array.tank)
    np.testing.assert_array_equal(again.lower, array.lower)
    np.testing.assert_array_equal(again.central, array.central)
    assert again.area == pytest.approx(array.area, rel=1e-4)
    assert array_text(again) == array_text(array)


def test_columns_may_be_in_any_order_and_separated_by_blanks(tmp_path: Path) -> None:
    path = tmp_path / "array.txt"
    rows = [f"upper {y:.2f} {x:.2f} 1.5  # a comment" for x, y in RING]
    path.write_text(
        "\ufeff# Positions\n\nLayer Y X Z\n" + "\n".join(rows) + f"\nlower {RING[0][1]:.2f} {RING[0][0]:.2f} 0\n"
    )
    array = tank_array(str(path))
    np.testing.assert_allclose(array.tank_position[1:, :2], np.round(RING, 2)[1:], atol=1e-9)
    assert array.per_tank.tolist() == [2] + 11 * [1]  # PMTs at one place share a tank
    assert np.flatnonzero(array.lower).tolist() == [1]
    assert array.position[:3, 2].tolist() == [1.5, 0.0, 1.5]
    assert array.area == pytest.approx(TANK_AREA)


def test_tanks_have_names_and_a_diameter() -> None:
    """PMTs are numbered tank by tank; the one in the middle is the central one."""
    rows = [f"{x + dx:.2f},{y:.2f},0,t{n},4.0" for dx in (-1.0, 0.0, 1.0) for n, (x, y) in enumerate(RING)]
    array = parsed_array("\n".join(["x,y,z,tank,diameter", *rows]), "text")
    assert array.tank.tolist() == np.repeat(np.arange(12), 3).tolist()
    assert array.central.tolist() == 12 * [False, True, False]
    np.testing.assert_allclose(array.tank_position[:, :2], RING, atol=0.01)
    assert array.area == pytest.approx(np.pi * 4.0)


def changed(line: int, text: str) -> str:
    lines = GOOD.splitlines()
    lines[line - 1] = text
    return "\n".join(lines)


def more(name: str, value: str, last: str = "") -> str:
    """With another column."""
    first, *lines, end = GOOD.splitlines()
    return "\n".join([f"{first},{name}", *(f"{line},{value}" for line in lines), f"{end},{last or value}"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a.csv: has 0 PMTs; there must be 10 to 20000"),
        ("\n".join(GOOD.splitlines()[:6]), "a.csv: has 5 PMTs"),
        ("x,y,z\n" + "1,2,3\n" * 20_001, "a.csv: has 20001 PMTs"),
        (changed(1, "x,y"), "a.csv: its columns are x, y; there must be x, y, z, and may be tank, layer, diameter"),
        (changed(1, "x,y,y"), "a.csv: its columns are x, y, y;"),
        (changed(1, "x,y,z,colour"), "a.csv: its columns are x, y, z, colour;"),
        (GOOD.replace("x,y,z\n", ""), "a.csv: its columns are 20.00, 0.00, 0;"),
        (changed(4, "1,2"), "a.csv: line 4: has 2 values for 3 columns"),
        (changed(4, "1,two,3"), "a.csv: line 4: y is two, no number"),
        (changed(4, "1,nan,3"), "a.csv: line 4: y is nan; it must be within"),
        (changed(4, "1,2,inf"), "a.csv: line 4: z is inf; it must be within"),
        (changed(4, "7400000,2,3"), "a.csv: line 4: x is 7400000; it must be within 100000 m of 0, so subtract"),
        (more("layer", "middle"), "a.csv: line 2: layer is middle; it must be upper or lower"),
        (more("layer", "lower"), "a.csv: all PMTs are in the lower layer"),
        (more("diameter", "-2"), "a.csv: diameter is -2 to -2 m"),
        (more("diameter", "3", "4"), "a.csv: diameter is 3 to 4 m"),
        (more("tank", "a"), r"a.csv: line 2: is \d+.\d m from the middle"),
        (GOOD + "\n" + GOOD.splitlines()[5], "a.csv: line 14: there is a PMT at this place already"),
        ("x,y,z\n" + "\n".join(f"{n},0,0" for n in range(12)), "a.csv: its tanks are within 5.5 m; an array has"),
    ],
)  # fmt: skip
def test_bad_tables_are_answered_by_a_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as error:
        parsed_array(text, "a.csv")
    assert "\n" not in str(error.value)


def test_bad_files_are_named(tmp_path: Path) -> None:
    (tmp_path / "image.csv").write_bytes(b"\x89PNG\xff\xfe")
    for name, message in (
        ("absent.csv", "absent.csv: there is no such file; give hawc, swgo, or one"),
        ("image.csv", "image.csv: is no text"),
        (".", "can't be read"),
    ):
        with pytest.raises(UserError, match=message):
            tank_array(str(tmp_path / name))


def test_hawc_is_as_before() -> None:
    assert tank_array("hawc") is hawc_array()
    assert hawc_array().per_tank.tolist() == 300 * [4]
    assert not hawc_array().lower.any()
    middle = hawc_array().tank_position[:, :2]
    assert np.quantile(np.hypot(*(middle - hawc_array().centre).T), 0.98) < hawc_array().radius + 5.0
