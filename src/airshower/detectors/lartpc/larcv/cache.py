"""A columnar copy of a file's wires and labels that decodes several times faster than gzip'd records.

Row and column (u2), charge (f4) and class (u1) are four columns, blosc-lz4 with bitshuffle. The copy lies in the cache
folder under the digest of the file's index and its time of change, so that a changed file gets a new copy.

Every byte that is read has a checksum: HDF5's own for structures (`libver="v110"`) and small tables (fletcher32), and
CRC-32 of the columns' chunks as stored, which is compared when a chunk is read for the first time.
"""

import contextlib
import hashlib
import os
from collections.abc import Sequence
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
from isal import isal_zlib

from airshower.data.handles import HANDLES, stamp_of
from airshower.detectors.lartpc.larcv.wires import WireEvent, WireFile
from airshower.errors import UserError
from airshower.runtime import folders
from airshower.runtime.hdf5_input import reading
from airshower.runtime.hdf5_output import OutputFile
from airshower.runtime.log import progress

VERSION = 2  # raise when the copies' content or layout changes
CHUNK = 65_536
COLUMNS = {"row": np.uint16, "column": np.uint16, "value": np.float32, "label": np.uint8}


class CachedReader:
    """Reads the columnar copy of a wire file, after making it if there is none."""

    def __init__(self, source: WireFile):
        if max(source.shape) > np.iinfo(np.uint16).max:
            raise UserError(f"data.cache: images of {source.shape[0]} x {source.shape[1]} pixels are too large for it")
        made_from = f"{VERSION} {source.digest} {source.path.stat().st_mtime_ns}"
        key = hashlib.sha256(made_from.encode()).hexdigest()[:20]
        self.copy = folders.cache_folder() / "lartpc" / f"{key}.columns.h5"
        if not self.copy.exists():
            _write(source, self.copy, key)
        with self._reading():
            self.stamp = stamp_of(self.copy)
            HANDLES.close(self.copy)
            with h5py.File(self.copy, "r") as file:
                self.counts = file["counts"][:]
                self.checksums = file["checksums"][:]
                self.first = np.concatenate([[0], np.cumsum(self.counts.sum(1))])
                self.names = [name for name in COLUMNS if name != "label" or source.labels is not None]
                if file.attrs["key"] != np.bytes_(key) or self.counts.shape != source.images.counts.shape:
                    raise OSError("it is of another file")
                if any(len(file[name]) != self.first[-1] for name in self.names):
                    raise OSError("its columns differ in length")
        self.checked = np.zeros(self.checksums.shape[1], bool)
        HANDLES.close_with(self, self.copy)

    def read(self, entry: int) -> WireEvent:
        """One event."""
        return self.read_several([entry])[0]

    def read_several(self, entries: Sequence[int]) -> list[WireEvent]:
        """Some events, column by column, since those of neighbours lie beside each other."""
        spans = [slice(int(self.first[entry]), int(self.first[entry + 1])) for entry in entries]
        with self._reading(), HANDLES.using(self.copy, self.stamp, _OpenCopy) as copy:
            for span in spans:
                for chunk in range(span.start // CHUNK, -(-span.stop // CHUNK)):
                    if not self.checked[chunk]:
                        self._check(copy, chunk)
            columns = [[copy.column(name)[span] for span in spans] for name in self.names]
        labels = columns[3] if "label" in self.names else [None] * len(spans)
        return [
            WireEvent(row.astype(np.int32), column.astype(np.int32), value, label, self.counts[entry])
            for entry, row, column, value, label in zip(entries, *columns[:3], labels, strict=True)
        ]

    def _check(self, copy: "_OpenCopy", chunk: int) -> None:
        """Raise `OSError` if a chunk of a column is not as it was written."""
        for name, expected in zip(COLUMNS, self.checksums[:, chunk], strict=True):
            if name in self.names and _checksum(copy.column(name), chunk) != expected:
                raise OSError(f"the checksum of {name} differs in chunk {chunk}")
        self.checked[chunk] = True

    def _reading(self) -> contextlib.AbstractContextManager[None]:
        return reading(str(self.copy), "is damaged; delete it, it will be made again")


class _OpenCopy:
    """An open copy and its columns."""

    def __init__(self, path: Path):
        self.file = h5py.File(path, "r")
        self.columns: dict[str, h5py.Dataset] = {}

    def column(self, name: str) -> h5py.Dataset:
        if name not in self.columns:
            self.columns[name] = self.file[name]
        return self.columns[name]

    def close(self) -> None:
        self.file.close()


def _checksum(column: h5py.Dataset, chunk: int) -> int:
    _, stored = column.id.read_direct_chunk((chunk * CHUNK,))
    return isal_zlib.crc32(stored)


def _write(source: WireFile, path: Path, key: str) -> None:
    compression = hdf5plugin.Blosc(cname="lz4", clevel=5, shuffle=hdf5plugin.Blosc.BITSHUFFLE)
    partial = folders.partial(path)
    counts = np.zeros((len(source), source.planes), np.int64)
    names = [name for name in COLUMNS if name != "label" or source.labels is not None]
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with OutputFile(partial) as output, h5py.File(output, "w", libver=("v110", "v110")) as file:
            file.attrs["source"] = str(source.path)
            file.attrs["key"] = np.bytes_(key)
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
            growing = {"chunks": True, "maxshape": (None, None)}
            file.create_dataset("counts", data=counts, fletcher32=True, **growing)
            file.flush()
            chunks = range(-(-int(counts.sum()) // CHUNK))
            sums = [[_checksum(columns[name], n) if name in columns else 0 for n in chunks] for name in COLUMNS]
            file.create_dataset("checksums", data=np.array(sums, np.uint32), fletcher32=True, **growing)
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
