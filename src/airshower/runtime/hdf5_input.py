"""HDF5 files that are read: h5py and numpy raise errors of many types for damaged ones; here each is a `DataError`."""

import contextlib
import errno
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import hdf5plugin  # noqa: F401  (lets HDF5 read blosc, zstd and the like)
from isal import isal_zlib

from airshower.errors import DataError

_INFLATE_ERROR: Any = isal_zlib.error  # by isal's types no class
_RAISED = (OSError, RuntimeError, LookupError, TypeError, ValueError, AttributeError, MemoryError, _INFLATE_ERROR)


@contextlib.contextmanager
def reading(where: str, fault: str = "can't be read, the file is damaged") -> Iterator[None]:
    """Convert HDF5's errors for a damaged file to a `DataError` that begins with `where` and names the fault."""
    try:
        yield
    except _RAISED as error:
        message = " ".join(str(error).split()) or type(error).__name__
        if getattr(error, "errno", None) in (errno.EMFILE, errno.ENFILE) or "Too many open files" in message:
            fault = "can't be opened beside so many open files; raise their number (ulimit -n) or merge files"
        raise DataError(f"{where}: {fault} ({message})") from None


def open_hdf5(path: Path, kind: str) -> h5py.File:
    """The HDF5 file at `path`, which should be a file of this kind. Raises `DataError` if it can't be opened."""
    try:
        if path.is_dir():
            raise DataError(f"{path}: is a directory, a {kind} file is needed")
        with path.open("rb") as file:
            if not file.read(1):
                raise DataError(f"{path}: is empty")
        if not h5py.is_hdf5(path):
            raise DataError(f"{path}: is not an HDF5 file")
        return h5py.File(path, "r")
    except FileNotFoundError:
        raise DataError(f"{path}: there is no such file") from None
    except PermissionError:
        raise DataError(f"{path}: there is no permission to read it") from None
    except (OSError, RuntimeError) as error:
        with reading(str(path), "is truncated" if "truncated" in str(error) else "can't be opened"):
            raise error from None
