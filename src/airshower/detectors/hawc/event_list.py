"""Event lists of the GADF kind: tables EVENTS of FITS files, gzip'd or not. The one file that imports astropy."""

import contextlib
import gzip
import hashlib
import io
import warnings
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from airshower.errors import DataError, UserError

TABLE, GZIPPED = "EVENTS", b"\x1f\x8b"


def import_fits() -> Any:
    """The module astropy.io.fits, or a `UserError` that says how to get it."""
    try:
        from astropy.io import fits
    except ImportError as error:
        raise UserError(
            f"astropy, which reads FITS files, can't be imported ({error}); pip install 'airshower[fits]'"
        ) from None
    return fits


class EventList:
    """The columns of numbers of one list, all in memory. `digest` is that of the file's content, without gzip.

    Raises `DataError` naming the file if there is none, or it is damaged or no FITS file with a table EVENTS.
    """

    def __init__(self, path: Path):
        self.path, fits = path, import_fits()
        content = self._content()
        self.digest = hashlib.sha256(content).hexdigest()
        with self._reading(), fits.open(io.BytesIO(content)) as units:
            if TABLE not in units:
                there = ", ".join(unit.name for unit in units)
                raise DataError(f"{path}: has no table {TABLE}; it has: {there}")
            table = units[TABLE].data
            columns = {name: table.field(place) for place, name in enumerate(table.names)}  # dec is not DEC
            self._columns = {
                name: np.array(column)
                for name, column in columns.items()
                if column.ndim == 1 and column.dtype.kind in "iuf"
            }
        self._events = len(table)

    @property
    def scalars(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __len__(self) -> int:
        return self._events

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns [events] by name; `DataError` names those there are where one is missing."""
        for name in names:
            if name not in self._columns:
                raise DataError(f"{self.path}: has no column {name}; it has: {', '.join(self._columns)}")
        return {name: self._columns[name] for name in names}

    def _content(self) -> bytes:
        try:
            content = self.path.read_bytes()
            return gzip.decompress(content) if content.startswith(GZIPPED) else content
        except EOFError:
            raise DataError(f"{self.path}: is truncated, its gzip stream does not end") from None
        except (OSError, zlib.error) as error:
            raise DataError(f"{self.path}: can't be read ({getattr(error, 'strerror', None) or error})") from None

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """What astropy says of a damaged file, such as the warning that it is truncated, as a `DataError`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                yield
        except (OSError, UserWarning, LookupError, TypeError, ValueError, import_fits().VerifyError) as error:
            said = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.path}: can't be read as a FITS file ({said})") from None
