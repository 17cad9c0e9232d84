"""Real images of the two MAGIC telescopes in one HDF5 file.

It has `pixel_xy_m` [pixels, 2] and, of M1 and M2, `photons` and `arrival_time` [images, pixels] and the
`stereo_event_number` [images] that both share. It has no positions of telescopes, focal length, unit of
time and pointing: positions and the focal length with coma are those of MAGIC's own reader for ctapipe,
times are taken as slices of 2 GHz readout, and the zenith is assumed.
"""

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.entry import pack
from airshower.detectors.cta.foreign.plain_file import ZENITH, PlainHdf5File, check_shape, plain_index
from airshower.detectors.cta.image_file import PEDESTAL_EVENT, SHOWER_EVENT, Events
from airshower.detectors.cta.subarray import Subarray
from airshower.geometry.camera import CameraGeometry

TELESCOPES = ("M1", "M2")
POSITION = np.array([(34.99, -24.02, 0.0), (-34.99, 24.02, 0.0)])  # m: x to the north, y to the west
PITCH, FOCAL_LENGTH = 0.03, 17 * 1.0713  # m
SLICE, SLICES = 0.5, 80  # ns; a time outside of the readout is invalid


class MagicFile(PlainHdf5File):
    """See `ImageFile`. A number that a telescope has a second time is no new trigger: that image is taken to be an
    interleaved pedestal, an event of its own, and counts as calibration."""

    def _read_entry(self) -> Entry:
        path = self.path
        with reading(str(path)):
            position = self.file.values("pixel_xy_m")
            numbers = [self.file.values(f"{name}/stereo_event_number").astype(np.int64) for name in TELESCOPES]
            for name, number in zip(TELESCOPES, numbers, strict=True):
                for values in ("photons", "arrival_time"):
                    node = f"{name}/{values}"
                    check_shape(path, node, self.file.shape(node), (len(number), len(position)))
        keys = [np.stack([number, _repetition(number)], 1) for number in numbers]
        events, event = np.unique(np.concatenate(keys), axis=0, return_inverse=True)
        event = event.reshape(-1)
        pedestal = events[:, 1] > 0
        found = Events(
            np.ones(len(events), np.int64),
            events[:, 0],
            np.where(pedestal, PEDESTAL_EVENT, SHOWER_EVENT),
            np.bincount(event),
            np.full(len(events), np.nan),
        )
        rows = [np.arange(len(number)) for number in numbers]
        images = plain_index(np.split(event, [len(numbers[0])]), [0, 1], rows)
        return {**pack(_subarray(position), found, images, None), "pointing": np.tile(ZENITH, (len(event), 1))}

    @staticmethod
    def fits(file: Hdf5) -> bool:
        """True for files of this layout."""
        return "pixel_xy_m" in file and all(f"{name}/stereo_event_number" in file for name in TELESCOPES)

    def _stored(self, table: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        with reading(f"{self.path}: {TELESCOPES[table]}"):
            charge = self.file.rows(f"{TELESCOPES[table]}/photons", rows)
            time = self.file.rows(f"{TELESCOPES[table]}/arrival_time", rows)
        return charge, np.where((time >= 0) & (time < SLICES), time * np.float32(SLICE), np.float32(np.nan))


def _repetition(number: np.ndarray) -> np.ndarray:
    """The number of earlier occurrences of each number, int64."""
    order = np.argsort(number, kind="stable")
    first = np.searchsorted(number[order], number[order])
    count = np.empty(len(number), np.int64)
    count[order] = np.arange(len(number)) - first
    return count


def _subarray(position: np.ndarray) -> Subarray:
    area = np.full(len(position), 0.75**0.5 * PITCH**2)
    camera = CameraGeometry("MAGICCam", *position.T, area=area, shape="hexagon", pixel_rotation=19.1)
    names = tuple(f"LST_{name}_MAGICCam" for name in TELESCOPES)
    return Subarray(
        np.array([1, 2]), ("LST", "LST"), TELESCOPES, names, POSITION, np.full(2, FOCAL_LENGTH), np.array([0, 0]),
        (camera,),
    )  # fmt: skip
