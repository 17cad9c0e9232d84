"""A columnar copy of a file's wires and labels that decodes several times faster than gzip'd records.

Row and column (u2), charge (f4) and class (u1) are four columns, blosc-lz4 with bitshuffle. The copy lies in the cache
folder under the digest of the file's index and its time of change, so that a changed file gets a new copy.
"""

import contextlib
import hashlib
import os
from collections.abc import Iterator
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np

from airshower.detectors.lartpc.wires import WireEvent, WireFile
from airshower.errors import DataError, UserError
from airshower.runtime import folders
from airshower.runtime.hdf5_output import OutputFile
from airshower.runtime.log import progress

CHUNK = 65_536
COLUMNS = {"row": np.uint16, "column": np.uint16, "value": np.float32, "label": np.uint8}


class CachedReader:
    """Reads the columnar copy of a wire file, after making it if there is none."""

    def __init__(self, source: WireFile):
        if max(source.shape) > np.iinfo(np.uint16).max:
            raise UserError(f"data.cache: images of {source.shape[0]} x {source.shape[1]} pixels are too large for it")
        changed = str(source.path.stat().st_mtime_ns)
        key = hashlib.sha256(f"{source.digest} {changed}".encode()).hexdigest()[:20]
        self.copy = folders.cache_folder() / "lartpc" / f"{key}.columns.h5"
        if not self.copy.exists():
            _write(source, self.copy)
        with self._reading():
            self.file = h5py.File(self.copy, "r")
            self.counts = self.file["counts"][:]
            self.first = np.concatenate([[0], np.cumsum(self.counts.sum(1))])
            self.columns = [self.file.get(name) for name in COLUMNS]
            if any(len(column) != self.first[-1] for column in self.columns if column is not None):
                raise OSError("its columns differ in length")

    def read(self, entry: int) -> WireEvent:
        """One event."""
        span = slice(int(self.first[entry]), int(self.first[entry + 1]))
        with self._reading():
            row, column, value = (data[span] for data in self.columns[:3])
            label = None if self.columns[3] is None else self.columns[3][span]
        return WireEvent(row.astype(np.int32), column.astype(np.int32), value, label, self.counts[entry])

    @contextlib.contextmanager
    def _reading(self) -> Iterator[None]:
        try:
            yield
        except (OSError, RuntimeError, KeyError) as error:
            said = " ".join(str(error).split())
            raise DataError(f"{self.copy}: is damaged; delete it, it will be made again ({said})") from None


def _write(source: WireFile, path: Path) -> None:
    compression = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
    partial = folders.partial(path)
    counts = np.zeros((len(source), source.planes), np.int64)
    names = [name for name in COLUMNS if name != "label" or source.labels is not None]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with OutputFile(partial) as output, h5py.File(output, "w", libver="earliest") as file:
            file.attrs["source"] = str(source.path)
            columns = {
                name: file.create_dataset(name, (0,), COLUMNS[name], maxshape=(None,), chunks=(CHUNK,), **compression)
                for name in names
            }
            for entry in progress(range(len(source)), f"caching {source.path.name}"):
                event = source.read(entry)
                counts[entry] = event.counts
                for name, data in columns.items():
                    data.resize((len(data) + int(event.counts.sum()),))
                    data[len(data) - int(event.counts.sum()) :] = getattr(event, name)
                output.check()
            file["counts"] = counts
        output.check()
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise UserError(
            f"data.cache: {path} can't be written ({reason}); set AIRSHOWER_CACHE to another folder"
        ) from None
    finally:
        with contextlib.suppress(OSError):
            partial.unlink(missing_ok=True)
