"""The array of tanks that events of an XCDF file are of: in a comment, or HAWC with the positions that hits have."""

from dataclasses import replace

import numpy as np

from airshower.detectors.hawc.event_fields import GRID_ID, HIT_NUMBERS, PMT_POSITION
from airshower.detectors.hawc.xcdf.block import Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import DataError
from airshower.geometry.tank_array import PMTS, HawcArray, TankArray, hawc_array
from airshower.geometry.tank_layouts import array_text, parsed_array

LAYOUT_EVENTS = 1000  # of which positions of PMTs are taken, where files have them
COMMENT = "airshower array:\n"  # and the table of PMTs, see `geometry.tank_layouts`


def array_comments(array: TankArray) -> list[str]:
    """The comments of a file of this array; none for HAWC."""
    return [] if isinstance(array, HawcArray) else [COMMENT + array_text(array)]


def stated_array(file: XcdfFile) -> str | None:
    """The table of PMTs in a file's comments; None for HAWC."""
    return next((text.removeprefix(COMMENT) for text in file.comments if text.startswith(COMMENT)), None)


def file_array(file: XcdfFile) -> TankArray:
    """The array of a file. Raises `DataError` naming it."""
    text = stated_array(file)
    if text is not None:
        return parsed_array(text, f"{file.path}: array in its comments")
    return replace(hawc_array(), position=pmt_positions(file))


def pmt_positions(file: XcdfFile) -> np.ndarray:
    """Positions f8 [1200, 3] in m of the PMTs that are hit in a file's first events, where it has them; else those of
    the built-in array."""
    position = hawc_array().position.copy()
    names = {field.name for field in file.fields}
    if names.issuperset(PMT_POSITION):
        columns = file.columns([GRID_ID, *PMT_POSITION], 0, LAYOUT_EVENTS)
        vectors = {name: hit_vector(column, name, file).values for name, column in columns.items()}
        grid_id = vectors[GRID_ID].astype(np.int64)
        stated = np.stack([vectors[name] for name in PMT_POSITION], 1)
        valid = (grid_id >= 1) & (grid_id <= PMTS) & np.isfinite(stated).all(1)
        position[grid_id[valid] - 1] = stated[valid]
    return position


def hit_vector(column: np.ndarray | Ragged, name: str, file: XcdfFile) -> Ragged:
    """A column with a value for each hit. Raises `DataError` for another one."""
    if not isinstance(column, Ragged) or file.field(name).parent != HIT_NUMBERS:
        raise DataError(f"{file.path}: {name} is not a vector of {HIT_NUMBERS} values")
    return column
