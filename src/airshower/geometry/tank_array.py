"""Tanks and their photomultipliers (PMTs): any array, and HAWC with its cells in an image of 40 x 40.

HAWC's tanks are in 20 rows, one pitch apart within a row. Each row is shifted by half a pitch relative to the one
before; two lanes for cars widen the rows. A tank is named by its row, a letter from X (row 0) to E (row 19), and a
number, 20 less its column: tank 1 is E9. It has PMTs A to D with grid ids one after the other; C is the larger one in
the middle, the others are 120 degrees apart. Coordinates are those of the detector: x to the east, y to the north, z
up, in metres.

The rule was fitted to surveyed positions: tanks lie within 6 cm of them, and so do nearly all positions of outer PMTs.
The letters of the three outer PMTs are right in three of four tanks; the survey has no simple rule for them.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np

TANKS, PMTS, SIDE = 300, 1200, 40
# of each row: (first tank, last tank, column of the first), columns fall by one per tank
ROWS = (
    ((287, 300, 19),), ((274, 286, 18),), ((258, 272, 19),), ((243, 257, 18),), ((228, 242, 18),),
    ((212, 227, 18),), ((196, 211, 18),), ((179, 195, 18),), ((162, 178, 18),), ((145, 161, 17),),
    ((131, 135, 17), (136, 144, 9)), ((117, 121, 17), (122, 130, 8)), ((101, 116, 16),), ((84, 100, 16),),
    ((69, 83, 15),), ((53, 68, 15),), ((39, 52, 14),), ((24, 38, 14),), ((12, 23, 12), (273, 273, 13)), ((1, 11, 11),),
)  # fmt: skip
PITCH, ALONG = 7.905, np.radians(105.53)  # m between tanks of a row; direction in which columns fall, from east
PAIR, NEAR = 16.743, 6.84  # m from a row to the next but one, and to the next (even rows)
ORIGIN = 340.678, -22.796  # m along and across the rows
LANE, DIAGONAL_LANE = 5.29, 1.80  # m, widths added before column 10, and before the column 21 - row
WALL = np.array([10, 11])  # rows that the counting house interrupts, and their shift (m)
WALL_SHIFT = -0.79
SOUTH, SOUTH_SHIFT = 12, 2.515  # first row with a wider lane, and the additional width (m)
OUTER, TURN = 1.848, np.radians(15.6)  # m from the middle of a tank to its outer PMTs, direction of D in even rows
SLOPE = 0.733, 2.9e-4, -9.62e-4  # z at the origin, and its rise with x and y
CENTRAL = 2  # PMT C
TANK_AREA = 41.8  # m2


@dataclass(frozen=True, eq=False)
class TankArray:
    """Tanks of water with one PMT or more each, which follow each other.

    `position` f8 [PMTs, 3] in m, in the order of their grid ids from 1 on; `tank` int64 [PMTs], rows of
    `tank_position` f8 [tanks, 3]; `central` bool [PMTs], the larger one in the middle of a tank; `lower` bool [PMTs],
    those of the lower cell of a double-layer tank; `area` of a tank in m2.
    """

    position: np.ndarray
    tank: np.ndarray
    tank_position: np.ndarray
    central: np.ndarray
    lower: np.ndarray
    area: float

    @property
    def centre(self) -> np.ndarray:
        """The middle of the tanks, x and y in m."""
        return self.tank_position[:, :2].mean(0)

    @property
    def densest(self) -> np.ndarray:
        """Around which cores are simulated, x and y in m: the middle of the tanks."""
        return self.centre

    @property
    def radius(self) -> float:
        """From the middle to the farthest tank, m."""
        return float(np.hypot(*(self.tank_position[:, :2] - self.centre).T).max())

    @property
    def per_tank(self) -> np.ndarray:
        """The number of PMTs of each tank, int64 [tanks]."""
        return np.bincount(self.tank, minlength=len(self.tank_position))


@dataclass(frozen=True, eq=False)
class HawcArray(TankArray):
    """HAWC, whose PMTs have cells in images: `cell` int64 [1200, 2], rows and columns of the image; `pmt` int64
    [40, 40] the PMT (row, grid id - 1) of each cell, -1 for the 400 dead ones."""

    cell: np.ndarray
    pmt: np.ndarray

    @property
    def densest(self) -> np.ndarray:
        """See `TankArray`: where most cores of published gammas lie, read off their histograms."""
        return np.array([90.0, 257.0])

    @property
    def radius(self) -> float:
        """See `TankArray`: without the corners."""
        return 90.0


@cache
def hawc_array() -> HawcArray:
    """The 300 tanks of HAWC."""
    column, row = tank_cells()
    tank_position = _tank_positions(column, row)
    slot = np.tile(np.arange(4), TANKS)
    tank = np.repeat(np.arange(TANKS), 4)
    cell = np.stack([2 * column[tank] + slot // 2, 2 * row[tank] + slot % 2], 1)
    pmt = np.full((SIDE, SIDE), -1)
    pmt[cell[:, 0], cell[:, 1]] = np.arange(PMTS)
    position = tank_position[tank] + _in_tank(column, row).reshape(PMTS, 3)
    return HawcArray(position, tank, tank_position, slot == CENTRAL, np.zeros(PMTS, bool), TANK_AREA, cell, pmt)


def tank_cells() -> tuple[np.ndarray, np.ndarray]:
    """Column and row of each tank, int64 [300]: its PMTs A to D have the cells (2 column + 0, 0, 1, 1, 2 row + 0, 1,
    0, 1), as in the images of hawc-deep-learning (arcelien et al.)."""
    column, row = np.zeros((2, TANKS), np.int64)
    for number, runs in enumerate(ROWS):
        for first, last, start in runs:
            column[first - 1 : last] = start - np.arange(last - first + 1)
            row[first - 1 : last] = number
    return column, row


def _tank_positions(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    at_wall = np.isin(row, WALL)
    along = ORIGIN[0] - PITCH * (column + row / 2) - LANE * (column >= 10) + WALL_SHIFT * at_wall
    along -= DIAGONAL_LANE * ((column >= 21 - row) & ~at_wall)
    along += SOUTH_SHIFT * ((row >= SOUTH) & (column < 10))
    across = ORIGIN[1] - PAIR * (row // 2) - NEAR * (row % 2)
    x, y = along * np.cos(ALONG) - across * np.sin(ALONG), along * np.sin(ALONG) + across * np.cos(ALONG)
    return np.stack([x, y, SLOPE[0] + SLOPE[1] * x + SLOPE[2] * y], 1)


def _in_tank(column: np.ndarray, row: np.ndarray) -> np.ndarray:
    """PMTs relative to the middle of their tanks, f8 [300, 4, 3]; every other tank of a row is rotated by 120
    degrees."""
    step = 2 * np.pi / 3
    angle = TURN + np.pi / 3 * (row % 2) + step * (column % 2) * np.where(row % 2, 1, -1)
    turned = angle[:, None] + step * np.array([2, 1, 0, 0])
    offset = OUTER * np.stack([np.cos(turned), np.sin(turned), np.zeros(turned.shape)], 2)
    offset[:, CENTRAL] = 0.0
    return offset
