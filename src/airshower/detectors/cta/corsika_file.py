"""Showers of CORSIKA that square cameras see without noise, in one npz file of CORSIKA_toy_IACT.

`images` f4 [events, 9, 40, 40] are Cherenkov photons by direction, in pixels of 0.2 degrees; `header` f8 [events, 7]
has a number, the energy in GeV, azimuth and zenith angle in rad, a column without a use here, and the core's x and y
in m.
Each shower is used for ten events. The primary is not named: it is the class `unknown`. The telescopes look at the
zenith and stand 120 m apart on a square, which the file does not say: the brightness of images against the core does.
"""

import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from airshower.detectors.cta.camera import CameraGeometry
from airshower.detectors.cta.image_file import SHOWER_EVENT, ZENITH, Events, ImageIndex, PlainFile, check_shape
from airshower.detectors.cta.primaries import UNKNOWN
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError

SPACING, SIDE = 120.0, 40  # m; pixels
PIXEL, FOCAL_LENGTH = 0.2, 10.0  # deg; m, of which nothing depends: pixels are angles
PART = 256  # events that are unpacked at once


class CorsikaFile(PlainFile):
    """See `ImageFile`. In memory are the pixels with light alone, 0.3 % of all; a telescope without light has none."""

    def __init__(self, path: Path):
        try:
            header, (self._first, self._pixel, self._charge), seen = _unpacked(path)
        except (zipfile.BadZipFile, zlib.error, EOFError, KeyError, ValueError, OSError, MemoryError) as error:
            raise DataError(f"{path}: can't be read, the file is damaged ({' '.join(str(error).split())})") from None
        count = len(header)
        number, energy, azimuth, zenith, _, core_x, core_y = header.T
        event, telescope = np.nonzero(seen)
        truth = {
            "energy": energy * 1e-3,
            "alt": np.pi / 2 - zenith,
            "az": -azimuth % (2 * np.pi),  # from north to east; the file's goes to the west, like y
            "core_x": core_x,
            "core_y": core_y,
            "primary": np.full(count, float(UNKNOWN)),
        }
        super().__init__(
            path,
            _subarray(),
            Events(
                np.ones(count, np.int64),
                number.astype(np.int64),
                np.full(count, SHOWER_EVENT),
                seen.sum(1),
                np.full(count, np.nan),
            ),
            ImageIndex(event, telescope, np.zeros(len(event), np.int64), np.arange(len(event))),
            truth,
            np.tile(ZENITH, (len(event), 1)),
        )

    @staticmethod
    def fits(path: Path) -> bool:
        """Whether a file has this layout."""
        with zipfile.ZipFile(path) as file:
            return {"images.npy", "header.npy"} <= set(file.namelist())

    def _stored(self, _: int, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        charge = np.zeros((len(rows), SIDE * SIDE), np.float32)
        counts = self._first[rows + 1] - self._first[rows]
        lit = np.repeat(self._first[rows] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        charge[np.repeat(np.arange(len(rows)), counts), self._pixel[lit]] = self._charge[lit]
        return charge, np.full_like(charge, np.nan)


def _unpacked(path: Path) -> tuple[np.ndarray, tuple[np.ndarray, np.ndarray, np.ndarray], np.ndarray]:
    """The header, of all images with light the first place, pixels and charges, and which telescopes have such."""
    with zipfile.ZipFile(path) as file:
        header = np.load(file.open("header.npy"), allow_pickle=False)
        check_shape(path, "header", header.shape, (len(header), 7))
        seen, counts, pixels, charges = [], [], [], []
        for part in _parts(file, path, len(header)):
            image, pixel = np.nonzero(part.reshape(-1, SIDE * SIDE))
            count = np.bincount(image, minlength=part.shape[0] * part.shape[1])
            seen.append(count.reshape(part.shape[:2]) > 0)
            counts.append(count[count > 0])
            pixels.append(pixel.astype(np.int16))
            charges.append(part.reshape(-1, SIDE * SIDE)[image, pixel])
    first = np.concatenate([[0], np.cumsum(np.concatenate(counts))])
    return header, (first, np.concatenate(pixels), np.concatenate(charges)), np.concatenate(seen)


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
    """Rows of an image look to rising altitude (southwards, at the zenith), columns to rising azimuth (eastwards)."""
    pitch = FOCAL_LENGTH * np.radians(PIXEL)
    rows, columns = np.indices((SIDE, SIDE)).reshape(2, -1) - (SIDE - 1) / 2
    camera = CameraGeometry("CORSIKA", rows * pitch, columns * pitch, np.full(SIDE**2, pitch**2), "square")
    y, x = np.indices((3, 3)).reshape(2, -1) * SPACING - SPACING
    return Subarray(
        np.arange(1, 10), ("toy",) * 9, tuple(f"toy{i}" for i in range(1, 10)), ("toy",) * 9,
        np.stack([x, y, np.zeros(9)], 1), np.full(9, FOCAL_LENGTH), np.zeros(9, np.int64), (camera,),
    )  # fmt: skip
