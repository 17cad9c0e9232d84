"""Images of FACT, the First G-APD Cherenkov Telescope: real events, simulated gammas and muon rings in one HDF5 file.

It has `photons` and `time_slice_500ps` [events, 1440] (arrival, NaN for a pixel without photons), `pixel_xy_pixsize`
[1440, 2] in pixels' widths, `class` (0 real, 1 gamma, 2 muon), `energy_GeV`, `trigger` (of real events; 4: shower) and
`source_file`. It has no size of pixels, focal length and pointing: sizes are the instrument's
(Anderhub et al., JINST 8 (2013) P06008), and the zenith is assumed.
"""

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.entry import pack
from airshower.detectors.cta.foreign.plain_file import ZENITH, PlainHdf5File, check_shape, plain_index
from airshower.detectors.cta.image_file import PEDESTAL_EVENT, SHOWER_EVENT, Events
from airshower.detectors.cta.subarray import Subarray
from airshower.geometry.camera import CameraGeometry

PIXEL, FOCAL_LENGTH = 0.0095, 4.889  # m
SLICE = 0.5  # ns
REAL, PHYSICS_TRIGGER = 0, 4
PRIMARY = np.array([np.nan, 0.0, 2.0])  # of each class: observed, gamma, muon


class FactFile(PlainHdf5File):
    """See `ImageFile`. Real events of other triggers than a shower's (pedestals, light pulses) are calibration."""

    def _read_entry(self) -> Entry:
        path = self.path
        with reading(str(path)):
            kind = self.file.values("class")
            position = self.file.values("pixel_xy_pixsize")
            energy = self.file.values("energy_GeV")
            trigger = self.file.values("trigger")
            run = np.unique(self.file.values("source_file"), return_inverse=True)[1]
            count = len(kind)
            for name in ("photons", "time_slice_500ps"):
                check_shape(path, name, self.file.shape(name), (count, len(position)))
            for name in ("energy_GeV", "trigger", "source_file"):
                check_shape(path, name, self.file.shape(name), (count,))
            primary = PRIMARY[kind]
        event = np.arange(count)
        event_type = np.where((kind == REAL) & (trigger != PHYSICS_TRIGGER), PEDESTAL_EVENT, SHOWER_EVENT)
        events = Events(run + 1, event, event_type, np.ones(count, np.int64), np.full(count, np.nan))
        truth = {"energy": energy * 1e-3, "primary": primary}
        entry = pack(_subarray(position), events, plain_index([event], [0], [event]), truth)
        return {**entry, "pointing": np.tile(ZENITH, (count, 1))}

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """True for files of this layout."""
        return "photons" in file and "time_slice_500ps" in file and "pixel_xy_pixsize" in file

    def _stored(self, _: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with reading(f"{self.path}: photons"):
            return self.file.rows("photons", rows), self.file.rows("time_slice_500ps", rows) * np.float32(SLICE)


def _subarray(position: np.ndarray) -> Subarray:
    area = np.full(len(position), 0.75**0.5 * PIXEL**2)
    camera = CameraGeometry("FACT", *(position.T * PIXEL), area=area, shape="hexagon", pixel_rotation=30.0)
    return Subarray(
        np.array([1]), ("SST",), ("FACT",), ("SST_FACT_FACT",), np.zeros((1, 3)), np.array([FOCAL_LENGTH]),
        np.array([0]), (camera,),
    )  # fmt: skip
