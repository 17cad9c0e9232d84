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
FIRST_CARD = b"SIMPLE  ="
MOST_COLUMNS = 999  # of a table, by the standard
FREE_BYTES, INFLATED = 1 << 28, 16  # bytes of any list in gzip, and of each of its bytes


def is_fits(path: Path) -> bool:
    """Whether a file begins as FITS files do."""
    try:
        with open(path, "rb") as file:
            zipped = file.read(len(GZIPPED)) == GZIPPED
        with gzip.open(path) if zipped else open(path, "rb") as file:
            return file.read(len(FIRST_CARD)) == FIRST_CARD
    except (OSError, EOFError, zlib.error):
        return False


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
        self.path = path
        fits = import_fits()
        content = self._content()
        self.digest = hashlib.sha256(content).hexdigest()
        with self._reading(), fits.open(io.BytesIO(content), checksum=True) as units:
            if TABLE not in units:
                tables = ", ".join(unit.name for unit in units)
                raise DataError(f"{path}: has no table {TABLE}; it has: {tables}")
            self._check(units[TABLE], fits)
            table = units[TABLE].data
            scalars = [index for index, name in enumerate(table.names) if not table.dtype[index].shape]
            columns = {table.names[index]: table.field(index) for index in scalars}  # dec is not DEC
            self._columns = {name: np.array(c) for name, c in columns.items() if c.dtype.kind in "iuf"}
        self._events = len(table)

    @property
    def scalars(self) -> list[str]:
        """Names of the columns."""
        return list(self._columns)

    def __len__(self) -> int:
        return self._events

    def columns(self, names: Sequence[str]) -> dict[str, np.ndarray]:
        """Columns [events] by name; `DataError` for a missing one names the existing ones."""
        for name in names:
            if name not in self._columns:
                raise DataError(f"{self.path}: has no column {name}; it has: {', '.join(self._columns)}")
        return {name: self._columns[name] for name in names}

    def _check(self, unit: Any, fits: Any) -> None:
        """Raise `DataError` unless the header's lengths agree with each other; astropy compares them with the file."""
        header = unit.header
        if not isinstance(unit, fits.BinTableHDU):
            raise DataError(f"{self.path}: {TABLE} is no binary table")
        if header["TFIELDS"] > MOST_COLUMNS:
            raise DataError(f"{self.path}: {TABLE} has {header['TFIELDS']} columns, {MOST_COLUMNS} are possible")
        width = unit.columns.dtype.itemsize
        if (header["NAXIS"], header["BITPIX"], header["NAXIS1"]) != (2, 8, width) or header["NAXIS2"] < 0:
            raise DataError(
                f"{self.path}: {TABLE} has columns of {width} bytes, its header says {header['NAXIS2']} rows of "
                f"{header['NAXIS1']} bytes; the file is damaged"
            )

    def _content(self) -> bytes:
        try:
            content = self.path.read_bytes()
            if not content.startswith(GZIPPED):
                return content
            return self._inflated(content)
        except EOFError:
            raise DataError(f"{self.path}: is truncated, its gzip stream does not end") from None
        except (OSError, zlib.error) as error:
            raise DataError(f"{self.path}: can't be read ({getattr(error, 'strerror', None) or error})") from None

    def _inflated(self, content: bytes) -> bytes:
        most = FREE_BYTES + INFLATED * len(content)
        parts = []
        size = 0
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as stream:
            while part := stream.read(1 << 20):
                parts.append(part)
                size += len(part)
                if size > most:
                    raise DataError(f"{self.path}: its {len(content)} bytes inflate to more than {most}")
        return b"".join(parts)

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        """Convert astropy's errors and warnings for a damaged file, such as a truncated one, to a `DataError`."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("error", UserWarning)
                yield
        except DataError:
            raise
        except Exception as error:  # astropy raises errors of many types for damage, also AssertionError
            message = " ".join(str(error).split()) or type(error).__name__
            raise DataError(f"{self.path}: can't be read as a FITS file ({message})") from None
