"""HDF5 files that are whole or not there."""

import contextlib
import io
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import h5py

from airshower.errors import DataError, UserError
from airshower.runtime import folders


class OutputFile(io.RawIOBase):
    """A file for HDF5 to write to that keeps its first error to itself; `check` raises it.

    HDF5 does not recover from a failed write, such as one on a full disk: closing fails too, and the process ends with
    a segmentation fault. So HDF5 is told that all is well, and the file is thrown away.
    """

    descriptor: int = -1
    error: OSError | None = None

    def __init__(self, path: Path):
        self.descriptor, self.place = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666), 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; called by HDF5, as are the other methods below."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self.place}
        self.place = offset + (starts[whence] if whence in starts else os.fstat(self.descriptor).st_size)
        return self.place

    def tell(self) -> int:
        return self.place

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            while not self.error and len(rest):  # the part that fits on a disk is written without an error
                done = os.pwrite(self.descriptor, rest, self.place)
                rest, self.place = rest[done:], self.place + done
        except OSError as error:
            self.error = error
        self.place += len(rest)
        return memoryview(data).nbytes

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self.descriptor, len(buffer), self.place)
        buffer[: len(data)] = data
        self.place += len(buffer)
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        size = self.place if size is None else size
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            self.error = self.error or error
        return size

    def close(self) -> None:
        """Put everything on disk."""
        if not self.closed and self.descriptor >= 0:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                self.error = self.error or error
            os.close(self.descriptor)
        super().close()


class Hdf5Output:
    """An HDF5 file that is written to a temporary name, which becomes `path` when all is on disk.

    Use as a context manager: it calls `_finish` at the end. After an exception nothing is left and an existing file
    stays as it was. Raises `UserError` if the file can't be made and `DataError` if it can't be written to its end.
    `options` are those of `h5py.File`.
    """

    def __init__(self, path: str | Path, **options: Any):
        self.path = Path(path)
        self.partial = folders.partial(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.output = OutputFile(self.partial)
        except OSError as error:
            raise UserError(f"{self.path}: can't be written ({error.strerror})") from None
        self.file = h5py.File(self.output, "w", **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._finish()
                    self.file.close()
                    self.output.close()
                    self.output.check()
                    os.replace(self.partial, self.path)
        finally:
            with contextlib.suppress(OSError, RuntimeError):
                self.file.close()
            self.output.close()
            self.partial.unlink(missing_ok=True)

    def _finish(self) -> None:
        """Write what is known at the end."""

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
            self.output.check()
        except (OSError, RuntimeError) as error:
            reason = self.output.error or error
            raise DataError(f"{self.path}: can't be written ({getattr(reason, 'strerror', None) or reason})") from None
