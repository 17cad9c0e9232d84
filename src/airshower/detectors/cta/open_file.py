"""Opens a file of telescopes' images of any format, which is detected from the content, not the name."""

import os
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from airshower.data.handles import stamp_of
from airshower.data.index import FileIndex, Indexed
from airshower.data.index_table import OPTIONAL, Entry
from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.hdf5 import Hdf5, reading
from airshower.detectors.cta.foreign.corsika_file import CorsikaFile
from airshower.detectors.cta.foreign.extractor_file import ExtractorGrids, ExtractorTables
from airshower.detectors.cta.foreign.fact_file import FactFile
from airshower.detectors.cta.foreign.magic_file import MagicFile
from airshower.detectors.cta.image_file import ImageFile
from airshower.errors import DataError

HDF5_FILES = (Dl1File, FactFile, MagicFile, ExtractorTables, ExtractorGrids)
FORMATS = {kind.__name__: kind for kind in (*HDF5_FILES, CorsikaFile)}
ZIP = b"PK\x03\x04"
VERSION = 1  # raise when entries of the index change


def open_file(path: str | Path, zero_bad_pixels: bool = False) -> ImageFile:
    """The file with its index, see `ImageFile`. Raises `DataError` for a file of an unknown format, or a damaged
    one."""
    file = _opened(Path(path))
    file.zero_bad_pixels = zero_bad_pixels
    return file


def is_image_file(path: Path) -> bool:
    """Whether a file is of one of the formats that are read, by its content."""
    try:
        if _is_zip(path):
            return CorsikaFile.fits(path)
        file = Hdf5(path)
        try:
            with reading(str(path)):
                return any(kind.fits(file) for kind in HDF5_FILES)
        finally:
            file.close()  # it may be of another kind of data, which opens it in its own way
    except DataError:
        return False


def file_index(zero_bad_pixels: bool, parameters: Sequence[str] = ()) -> FileIndex:
    """The index of files of any format, with these image parameters, of which files may lack some."""

    def read(path: Path, entry: Entry, names: Sequence[str]) -> Entry:
        if entry:
            file = indexed_file(Indexed(path, stamp_of(path), entry), zero_bad_pixels)
        else:
            file = open_file(path, zero_bad_pixels)
        try:
            columns = file.parameters([name for name in names if file.find_parameter(name)])
            base = {} if entry else {**file.entry(), "format": np.array(type(file).__name__)}
            return {**base, **{OPTIONAL + name: values for name, values in columns.items()}}
        finally:
            file.close()

    pixels = " without bad pixels" if zero_bad_pixels else ""
    return FileIndex(f"cta version {VERSION}{pixels}", read, parameters)


def indexed_file(indexed: Indexed, zero_bad_pixels: bool = False) -> ImageFile:
    """The file of an entry of `file_index`; it is opened when images of it are read."""
    kind = FORMATS[str(indexed.entry["format"])]
    file = kind(indexed.path, indexed.stamp, indexed.entry)
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
