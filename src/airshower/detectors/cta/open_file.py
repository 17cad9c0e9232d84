"""Opens a file of telescopes' images, whatever its format: what is in it decides, not its name."""

import os
import zipfile
from pathlib import Path

from airshower.detectors.cta.corsika_file import CorsikaFile
from airshower.detectors.cta.dl1_file import Dl1File
from airshower.detectors.cta.dl1_hdf5 import Hdf5, reading
from airshower.detectors.cta.extractor_file import ExtractorGrids, ExtractorTables
from airshower.detectors.cta.fact_file import FactFile
from airshower.detectors.cta.image_file import ImageFile
from airshower.detectors.cta.magic_file import MagicFile
from airshower.errors import DataError

HDF5_FILES = (Dl1File, FactFile, MagicFile, ExtractorTables, ExtractorGrids)
ZIP = b"PK\x03\x04"


def open_file(path: str | Path, zero_bad_pixels: bool = False) -> ImageFile:
    """The file with its index, see `ImageFile`. Raises `DataError` in one line for a file that is none of those known,
    or damaged."""
    file = _opened(Path(path))
    file.zero_bad_pixels = zero_bad_pixels
    return file


def _opened(path: Path) -> ImageFile:
    if _is_zip(path):
        if not zipfile.is_zipfile(path):
            raise DataError(f"{path}: is truncated; copy or make it again")
        if not CorsikaFile.fits(path):
            raise DataError(f"{path}: is npz but has no images and header as CORSIKA_toy_IACT writes them")
        return CorsikaFile(path)
    file = Hdf5(path)
    with reading(str(path)):
        for kind in HDF5_FILES:
            if kind.fits(file):
                return kind(path)
    raise DataError(f"{path}: is HDF5 but not DL1 of ctapipe or lstchain, nor a file of ImageExtractor, FACT or MAGIC")


def _is_zip(path: Path) -> bool:
    if not path.is_file() or not os.access(path, os.R_OK):
        return False
    with reading(str(path)), path.open("rb") as file:
        return file.read(len(ZIP)) == ZIP
