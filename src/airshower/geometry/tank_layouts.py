"""Arrays of tanks by name, or from a table of positions as text.

A table has a line with the names of its columns, then a line for each PMT, separated by commas or blanks; lines from #
on are comments. Columns are x, y and z in m, and where needed `tank` (any name; without it PMTs at the same x and y
share a tank), `layer` (upper or lower) and `diameter` of the tanks in m, the same in all lines.
"""

from collections.abc import Sequence
from functools import cache
from pathlib import Path

import numpy as np

from airshower.errors import DataError, UserError
from airshower.geometry.tank_array import TANK_AREA, TankArray, hawc_array

# Dense and sparse zones as in SWGO's reference layout, which has about 6000 tanks in a circle of 320 m (PoS
# ICRC2021 689). The numbers here are chosen: a tenth of the tanks, of which 80 % and 5 % of the zones are covered.
DIAMETER = 5.2  # m, of a tank
INNER_RADIUS, INNER_PITCH = 57.0, 5.55  # m: dense zone, tanks from each other
OUTER_RADIUS, OUTER_PITCH = 160.0, 22.0  # m: sparse zone
UPPER_Z, LOWER_Z = 0.5, 0.0  # m: PMTs on top of the lower cell, and at its bottom

REQUIRED = ("x", "y", "z")
OPTIONAL = ("tank", "layer", "diameter")
LAYERS = ("upper", "lower")
CENTRAL_RADIUS = 0.5  # m from the middle of its tank, within which a PMT is the central one
LEAST_PMTS, MOST_PMTS = 10, 20_000
FARTHEST = 1e5  # m, of coordinates, which have 32 bits in networks
LEAST_RADIUS = 10.0  # m, of an array
WIDEST = 50.0  # m, diameter of a tank


def tank_array(name: str) -> TankArray:
    """`hawc`, `swgo`, or the array of a file of positions. Raises `UserError` naming the file."""
    built_in = {"hawc": hawc_array, "swgo": swgo_array}
    return built_in[name]() if name in built_in else read_array(Path(name).expanduser())


@cache
def swgo_array() -> TankArray:
    """Double-layer tanks in a dense zone and a sparse one around it, with a PMT in each cell."""
    inner = _triangular(INNER_PITCH, 0.0, INNER_RADIUS)
    outer = _triangular(OUTER_PITCH, INNER_RADIUS + INNER_PITCH, OUTER_RADIUS)
    place = np.repeat(np.concatenate([inner, outer]), 2, 0)
    lower = np.arange(len(place)) % 2 == 1
    position = np.column_stack([place, np.where(lower, LOWER_Z, UPPER_Z)])
    return _assembled(position, np.arange(len(place)) // 2, lower, DIAMETER)


def read_array(path: Path) -> TankArray:
    """The array of a table of positions. Raises `UserError` or `DataError` naming the file, and the line."""
    try:
        text = path.read_text("utf-8-sig")
    except FileNotFoundError:
        raise UserError(f"data.simulation.array={path}: there is no such file; give hawc, swgo, or one") from None
    except UnicodeDecodeError:
        raise DataError(f"{path}: is no text; positions of PMTs are a table with columns x, y, z") from None
    except OSError as error:
        raise UserError(f"data.simulation.array={path}: can't be read ({error.strerror})") from None
    return parsed_array(text, str(path))


def array_text(array: TankArray) -> str:
    """The table of an array, which `parsed_array` reads; positions have cm."""
    diameter = 2.0 * np.sqrt(array.area / np.pi)
    rows = (
        f"{x:.2f},{y:.2f},{z:.2f},{tank},{LAYERS[lower]},{diameter:.6g}"
        for (x, y, z), tank, lower in zip(array.position, array.tank, array.lower.astype(int), strict=True)
    )
    return "\n".join([",".join(REQUIRED + OPTIONAL), *rows])


def parsed_array(text: str, where: str) -> TankArray:
    """The array of a table; PMTs are numbered tank by tank, in the order of the lines. Raises `DataError` naming
    `where` and the line."""
    lines, rows = _rows(text, where)
    names, *cells = rows
    columns = dict(zip(names, zip(*cells, strict=True), strict=True))
    number = {name: _numbers(columns[name], lines, name, where) for name in (*REQUIRED, "diameter") if name in columns}
    position = np.stack([number[name] for name in REQUIRED], 1).round(2)
    layer = columns.get("layer", ["upper"] * len(cells))
    for line, word in zip(lines, layer, strict=True):
        if word not in LAYERS:
            raise DataError(f"{where}: line {line}: layer is {word}; it must be upper or lower")
    lower = np.array([word == "lower" for word in layer])
    if lower.all():
        raise DataError(f"{where}: all PMTs are in the lower layer; some must be in the upper one")
    diameter = number.get("diameter", np.array([2.0 * np.sqrt(TANK_AREA / np.pi)]))
    if not 0 < diameter.min() == diameter.max() <= WIDEST:
        raise DataError(
            f"{where}: diameter is {diameter.min():g} to {diameter.max():g} m; it must be one number above 0, up to "
            f"{WIDEST:g}"
        )
    key = columns.get("tank") or [tuple(place) for place in position[:, :2].tolist()]
    order = {name: place for place, name in enumerate(dict.fromkeys(key))}
    tank = np.array([order[name] for name in key])
    by_tank = np.argsort(tank, kind="stable")
    array = _assembled(position[by_tank], tank[by_tank], lower[by_tank], float(diameter[0]))
    _check_places(array, np.array(lines)[by_tank], float(diameter[0]), where)
    return array


def _assembled(position: np.ndarray, tank: np.ndarray, lower: np.ndarray, diameter: float) -> TankArray:
    """The array of PMTs whose `tank` ascends from 0."""
    position = position.round(2)
    count = np.bincount(tank)
    tank_position = np.stack([np.bincount(tank, axis) / count for axis in position.T], 1)
    central = np.hypot(*(position - tank_position[tank])[:, :2].T) < CENTRAL_RADIUS
    return TankArray(position, tank, tank_position, central, lower, float(np.pi * diameter**2 / 4.0))


def _triangular(pitch: float, low: float, high: float) -> np.ndarray:
    """Points of a triangular lattice at distances between `low` and `high` from the origin, row by row [n, 2]."""
    steps = np.arange(-int(high // pitch) - 1, int(high // pitch) + 2)
    row, column = (index.ravel() for index in np.meshgrid(2 * steps, steps, indexing="ij"))
    row, column = np.concatenate([row, row + 1]), np.concatenate([column, column])
    place = pitch * np.stack([column + row % 2 / 2, row * np.sqrt(0.75)], 1)
    order = np.lexsort((column, row))
    distance = np.hypot(*place[order].T)
    return place[order][(distance >= low) & (distance <= high)]


def _rows(text: str, where: str) -> tuple[list[int], list[list[str]]]:
    """The numbers of lines with a PMT, and the cells of the names' line and of these."""
    written = [(number, line.partition("#")[0].strip()) for number, line in enumerate(text.splitlines(), 1)]
    written = [(number, line) for number, line in written if line]
    if not LEAST_PMTS < len(written) <= MOST_PMTS + 1:
        raise DataError(f"{where}: has {max(len(written) - 1, 0)} PMTs; there must be {LEAST_PMTS} to {MOST_PMTS}")
    separator = "," if "," in written[0][1] else None
    rows = [[cell.strip() for cell in line.split(separator)] for _, line in written]
    names = [name.lower() for name in rows[0]]
    if not set(REQUIRED) <= set(names) <= set(REQUIRED + OPTIONAL) or len(set(names)) < len(names):
        given = ", ".join(rows[0])[:80]
        raise DataError(f"{where}: its columns are {given}; there must be x, y, z, and may be {', '.join(OPTIONAL)}")
    for (number, _), row in zip(written, rows, strict=True):
        if len(row) != len(names):
            raise DataError(f"{where}: line {number}: has {len(row)} values for {len(names)} columns")
    return [number for number, _ in written[1:]], [names, *rows[1:]]


def _numbers(cells: Sequence[str], lines: Sequence[int], name: str, where: str) -> np.ndarray:
    """The values of a column, f8 [PMTs]."""
    values = np.empty(len(cells))
    for place, (line, cell) in enumerate(zip(lines, cells, strict=True)):
        try:
            values[place] = float(cell)
        except ValueError:
            raise DataError(f"{where}: line {line}: {name} is {cell[:20]}, no number") from None
        if not abs(values[place]) <= FARTHEST:
            raise DataError(
                f"{where}: line {line}: {name} is {cell[:20]}; it must be within {FARTHEST:g} m of 0, so "
                "subtract the middle"
            )
    return values


def _check_places(array: TankArray, lines: np.ndarray, diameter: float, where: str) -> None:
    """Raise `DataError` for PMTs that are outside of their tank, or at the same place, and for an array too small."""
    off = np.hypot(*(array.position - array.tank_position[array.tank])[:, :2].T)
    for pmt in np.flatnonzero(off > diameter / 2)[:1]:
        raise DataError(
            f"{where}: line {lines[pmt]}: is {off[pmt]:.1f} m from the middle of its tank, whose "
            f"diameter is {diameter:g} m"
        )
    place = np.column_stack([array.position, array.lower])
    _, first = np.unique(place, axis=0, return_index=True)
    for pmt in np.setdiff1d(np.arange(len(place)), first)[:1]:
        raise DataError(f"{where}: line {lines[pmt]}: there is a PMT at this place already")
    if array.radius < LEAST_RADIUS:
        raise DataError(f"{where}: its tanks are within {array.radius:.1f} m; an array has at least {LEAST_RADIUS:g} m")
