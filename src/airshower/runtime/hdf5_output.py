"""HDF5 files that are written atomically."""

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
    """A file object for HDF5 that stores its first error; `check` raises it.

    HDF5 does not recover from a failed write, such as one on a full disk: closing fails too, and the process ends with
    a segmentation fault. So errors are not passed to HDF5, and the file is discarded.
    """

    descriptor: int = -1
    error: OSError | None = None

    def __init__(self, path: Path):
        self.descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o666)
        self.position = 0

    def check(self) -> None:
        """Raise the first error, if there was one."""
        if self.error:
            raise self.error

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Move; called by HDF5, as are the other methods below."""
        starts = {os.SEEK_SET: 0, os.SEEK_CUR: self.position}
        self.position = offset + (starts[whence] if whence in starts else os.fstat(self.descriptor).st_size)
        return self.position

    def tell(self) -> int:
        return self.position

    def write(self, data: Any) -> int:
        rest = memoryview(data).cast("B")
        try:
            while not self.error and len(rest):  # os.pwrite writes the part that fits on the disk without an error
                done = os.pwrite(self.descriptor, rest, self.position)
                rest = rest[done:]
                self.position = self.position + done
        except OSError as error:
            self.error = error
        self.position += len(rest)
        return memoryview(data).nbytes

    def readinto(self, buffer: Any) -> int:
        data = os.pread(self.descriptor, len(buffer), self.position)
        buffer[: len(data)] = data
        self.position += len(buffer)
        return len(buffer)

    def truncate(self, size: int | None = None) -> int:
        size = self.position if size is None else size
        try:
            os.ftruncate(self.descriptor, size)
        except OSError as error:
            self.error = self.error or error
        return size

    def close(self) -> None:
        """Flush everything to disk."""
        if not self.closed and self.descriptor >= 0:
            try:
                os.fsync(self.descriptor)
            except OSError as error:
                self.error = self.error or error
            os.close(self.descriptor)
        super().close()


class Hdf5Output:
    """An HDF5 file that is written to a temporary name, which becomes `path` when all is on disk.

    Use as a context manager: it calls `_finish` at the end. After an exception the temporary file is removed
    and an existing file is unchanged. Raises `UserError` if the file can't be created and `DataError` if it can't be
    written completely.
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
                with self.writing():
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
        """Write what is complete only at the end."""

    @contextlib.contextmanager
    def writing(self) -> Iterator[None]:
        """A context in which something is written. Raises `DataError` naming the file if that fails."""
        try:
            yield
            self.output.check()
        except (OSError, RuntimeError) as error:
            reason = self.output.error or error
            raise DataError(f"{self.path}: can't be written ({getattr(reason, 'strerror', None) or reason})") from None
