"""Showers of CORSIKA in square cameras without noise, in one npz file of CORSIKA_toy_IACT.

`images` f4 [events, 9, 40, 40] are Cherenkov photons by direction, in pixels of 0.2 degrees; `header` f8 [events, 7]
has a number, the energy in GeV, azimuth and zenith angle in rad, a column without a use here, and the core's x and y in
m. Each shower is used for ten events. The primary is not named: it is the class `unknown`. The telescopes point to the
zenith and are 120 m apart on a square. The file does not have this; it follows from the brightness of images against
the core distance.
"""

import zipfile
import zlib
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path

import numpy as np

from airshower.data.handles import check_unchanged
from airshower.data.index_table import Entry
from airshower.detectors.cta.entry import pack
from airshower.detectors.cta.foreign.plain_file import ZENITH, PlainFile, check_shape
from airshower.detectors.cta.image_file import SHOWER_EVENT, Events, ImageIndex
from airshower.detectors.cta.primaries import UNKNOWN
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError
from airshower.geometry.camera import CameraGeometry

SPACING, SIDE = 120.0, 40  # m; pixels
PIXEL, FOCAL_LENGTH = 0.2, 10.0  # deg; m, arbitrary, as pixels are angles
PART = 256  # events that are unpacked at once


class CorsikaFile(PlainFile):
    """See `ImageFile`. In memory are the pixels with light alone, 0.3 % of all; a telescope without light has none."""

    def _read_entry(self) -> Entry:
        header, has_image = self._unpacked[0], self._unpacked[2]
        count = len(header)
        number, energy, azimuth, zenith, _, core_x, core_y = header.T
        event, telescope = np.nonzero(has_image)
        truth = {
            "energy": energy * 1e-3,
            "alt": np.pi / 2 - zenith,
            "az": -azimuth % (2 * np.pi),  # from north to east; the file's goes to the west, like y
            "core_x": core_x,
            "core_y": core_y,
            "primary": np.full(count, float(UNKNOWN)),
        }
        events = Events(
            np.ones(count, np.int64),
            number.astype(np.int64),
            np.full(count, SHOWER_EVENT),
            has_image.sum(1),
            np.full(count, np.nan),
        )
        images = ImageIndex(event, telescope, np.zeros(len(event), np.int64), np.arange(len(event)))
        return {**pack(_subarray(), events, images, truth), "pointing": np.tile(ZENITH, (len(event), 1))}

    @staticmethod
    def fits(path: Path) -> bool:
        """True for files of this layout."""
        with zipfile.ZipFile(path) as file:
            return {"images.npy", "header.npy"} <= set(file.namelist())

    def _stored(self, _: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        first, pixel, values = self._unpacked[1]
        charge = np.zeros((len(rows), SIDE * SIDE), np.float32)
        counts = first[rows + 1] - first[rows]
        lit = np.repeat(first[rows] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        charge[np.repeat(np.arange(len(rows)), counts), pixel[lit]] = values[lit]
        return charge, np.full_like(charge, np.nan)

    @cached_property
    def _unpacked(self) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
        """See `_unpack`; read when it is first needed."""
        check_unchanged(self.path, self.stamp)
        try:
            return _unpack(self.path)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, MemoryError) as error:
            message = " ".join(str(error).split())
            raise DataError(f"{self.path}: can't be read, the file is damaged ({message})") from None


def _unpack(path: Path) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """The header; of all images with light the index of the first pixel, pixels and charges; and the telescopes with
    images."""
    with zipfile.ZipFile(path) as file:
        header = np.load(file.open("header.npy"), allow_pickle=False)
        check_shape(path, "header", header.shape, (len(header), 7))
        has_image = []
        counts = []
        pixels = []
        charges = []
        for part in _parts(file, path, len(header)):
            image, pixel = np.nonzero(part.reshape(-1, SIDE * SIDE))
            count = np.bincount(image, minlength=part.shape[0] * part.shape[1])
            has_image.append(count.reshape(part.shape[:2]) > 0)
            counts.append(count[count > 0])
            pixels.append(pixel.astype(np.int16))
            charges.append(part.reshape(-1, SIDE * SIDE)[image, pixel])
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return header, (first, np.concatenate(pixels), np.concatenate(charges)), np.concatenate(has_image)


def _parts(file: zipfile.ZipFile, path: Path, events: int) -> Iterator[np.ndarray]:
    """The images f4 [n, 9, 40, 40], some events at a time: all together they would need 0.5 GB."""
    with file.open("images.npy") as stream:
        version = np.lib.format.read_magic(stream)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, kind = read(stream)
        check_shape(path, "images", shape, (events, 9, SIDE, SIDE))
        for start in range(0, events, PART):
            part = (min(PART, events - start), *shape[1:])
            yield np.frombuffer(stream.read(int(np.prod(part)) * kind.itemsize), kind).reshape(part)


def _subarray() -> Subarray:
    """Rows of an image are along rising altitude (southwards, at the zenith), columns along rising azimuth
    (eastwards)."""
    pitch = FOCAL_LENGTH * np.radians(PIXEL)
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1) - (SIDE - 1) / 2
    camera = CameraGeometry("CORSIKA", rows * pitch, columns * pitch, np.full(SIDE**2, pitch**2), "square")
    y, x = np.indices((3, 3)).reshape(2, -1) * SPACING - SPACING
    return Subarray(
        np.arange(1, 10), ("toy",) * 9, tuple(f"toy{i}" for i in range(1, 10)), ("toy",) * 9,
        np.stack([x, y, np.zeros(9)], 1), np.full(9, FOCAL_LENGTH), np.zeros(9, np.int64), (camera,),
    )  # fmt: skip
