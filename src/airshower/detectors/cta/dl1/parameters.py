"""The image parameters of a DL1 file, in the units of cuts.

ctapipe has sizes and positions in degrees in the telescope's frame, or in metres in the camera's frame with names
camera_frame_...; lstchain omits hillas_.
"""

from collections.abc import Callable, Sequence
from functools import partial

import numpy as np

from airshower.detectors.cta.dl1.hdf5 import UNITS, Hdf5
from airshower.detectors.cta.subarray import Subarray

CAMERA_FRAME, ELLIPSE = "camera_frame_", "hillas_"
ANGLES = {"deg": 1.0, "rad": 180 / np.pi, "arcmin": 1 / 60, "arcsec": 1 / 3600}  # in deg
LENGTHS = {"m": 1.0, "cm": 1e-2, "mm": 1e-3}  # in m
OF_THE_CAMERA = (CAMERA_FRAME, ELLIPSE, "timing_")  # prefixes of names of lengths and positions in a camera
OF_AN_ELLIPSE = {"x", "y", "r", "length", "width", "cog_x", "cog_y", "length_uncertainty", "width_uncertainty"}


class ImageParameters:
    """Columns of some tables, joined to images: `row` int64 [images] counts the tables' rows one after another, -1 for
    an image without parameters, and `telescope` int64 [images] those of `subarray`. `names` are those of
    `parameter_names`."""

    def __init__(
        self,
        file: Hdf5,
        tables: Sequence[str],
        names: tuple[str, ...],
        row: np.ndarray,
        telescope: np.ndarray,
        subarray: Subarray,
    ):
        self.file = file
        self.tables = tables
        self.row = row
        self.telescope = telescope
        self.subarray = subarray
        self.names = names

    def find(self, name: str) -> str | None:
        """What this file calls a parameter: hillas_intensity may be camera_frame_hillas_intensity or intensity."""
        plain = name.removeprefix(CAMERA_FRAME).removeprefix(ELLIPSE)
        spelled = (name, ELLIPSE + plain, CAMERA_FRAME + ELLIPSE + plain, CAMERA_FRAME + plain, plain)
        return next((candidate for candidate in spelled if candidate in self.names), None)

    def quantities(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Some of `names`, f8 [images] each in rad, m, TeV and g/cm2, as stored without a unit; NaN for an image that
        has none."""
        return {name: self._joined(name, lambda values, unit, _: values * UNITS.get(unit, 1.0)) for name in names}

    def __call__(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Parameters, f8 [images] each, NaN for an image without. Angles are in degrees, and so is what is measured in
        the camera, but in metres under a name that begins with camera_frame_: a length over the focal length is the
        angle in rad, as in ctapipe."""
        columns = {}
        for name in names:
            stored = self.find(name) or name  # a missing column is refused when its table is read
            convert = partial(_in_unit, stored, lengths=name.startswith(CAMERA_FRAME))
            columns[name] = self._joined(stored, convert)
        return columns

    def _joined(self, name: str, convert: Callable[[np.ndarray, str, np.ndarray], np.ndarray]) -> np.ndarray:
        """A column of each image. `convert` takes values, their unit, and the focal lengths of their telescopes."""
        joined = np.full(len(self.row), np.nan)
        first = 0
        for path in self.tables:
            values = self.file.numbers(path, name)
            images = np.flatnonzero((self.row >= first) & (self.row < first + len(values)))
            focal_length = self.subarray.focal_length[self.telescope[images]]
            stored = values[self.row[images] - first].astype(np.float64)
            joined[images] = convert(stored, self.file.unit(path, name), focal_length)
            first += len(values)
        return joined


def parameter_names(file: Hdf5, tables: Sequence[str]) -> tuple[str, ...]:
    """The names of columns of numbers that all tables have."""
    types = [file.dtype(path) for path in tables]
    return tuple(
        name
        for name in (file.names(tables[0]) if tables else ())
        if all(name in (kind.names or ()) and kind[name].shape == () and kind[name].kind in "fiub" for kind in types)
    )


def _in_unit(name: str, values: np.ndarray, unit: str, focal_length: np.ndarray, lengths: bool) -> np.ndarray:
    """Angles in degrees, and what is measured in a camera likewise or, with `lengths`, in m. Of a slope, of which the
    unit is under a fraction, the fraction."""
    measured = name.startswith(OF_THE_CAMERA) or name in OF_AN_ELLIPSE
    unit, power = _power(unit)
    if not unit and name.startswith(CAMERA_FRAME) and name.removeprefix(CAMERA_FRAME + ELLIPSE) in OF_AN_ELLIPSE:
        unit = "m"
    if unit in ANGLES:
        values = values * ANGLES[unit] ** power
        in_camera = measured and lengths and not {"phi", "psi"} & set(name.split("_"))
        return values * (np.radians(1.0) * focal_length) ** power if in_camera else values
    if unit in LENGTHS and measured:
        values = values * LENGTHS[unit] ** power
        return values if lengths else values * np.degrees(1.0 / focal_length) ** power
    return values


def _power(unit: str) -> tuple[str, int]:
    """deg -> deg, 1; 1 / deg, deg-1 and ns / deg -> deg, -1."""
    plain = unit.replace(" ", "")
    if "/" in plain:
        return plain.split("/", 1)[1], -1
    return (plain.removesuffix("-1"), -1) if plain.endswith("-1") else (plain, 1)
