"""Decoding voxel tables: the stored chunks inflated directly, in half the time that HDF5 takes."""

import h5py
import numpy as np
from isal import isal_zlib

from airshower.detectors.lartpc.larcv.format import VOXEL

_DIRECT = ((h5py.h5z.FILTER_DEFLATE,), (h5py.h5z.FILTER_SHUFFLE, h5py.h5z.FILTER_DEFLATE))


class VoxelTable:
    """Reads spans of a `voxels` dataset.

    Chunks of larcv's record type, gzip'd with or without shuffle, are taken as stored and inflated by ISA-L; other
    data are read through HDF5. Errors are those of h5py and `isal_zlib.error`.
    """

    def __init__(self, dataset: h5py.Dataset):
        self.dataset = dataset
        plist = dataset.id.get_create_plist()
        filters = tuple(plist.get_filter(i)[0] for i in range(plist.get_nfilters()))
        self.shuffled = len(filters) == 2
        self.direct = dataset.dtype == VOXEL and dataset.chunks is not None and filters in _DIRECT

    def __len__(self) -> int:
        return len(self.dataset)

    def read(self, first: int, count: int) -> tuple[np.ndarray, np.ndarray]:
        """Ids (u8) and values (f4) of `count` rows from `first` on."""
        ids = np.empty(count, np.uint64)
        values = np.empty(count, np.float32)
        if not count:
            return ids, values
        if not self.direct:
            rows = self.dataset.fields(["id", "value"])[first : first + count]
            with np.errstate(over="ignore"):  # values become infinite, -1 the largest id: both are refused later
                return rows["id"].astype(np.uint64), rows["value"].astype(np.float32)
        size = self.dataset.chunks[0]
        for start in range(first // size * size, first + count, size):
            low, high = max(first, start), min(first + count, start + size)
            chunk = self._chunk(start, size)
            ids[low - first : high - first] = chunk["id"][low - start : high - start]
            values[low - first : high - first] = chunk["value"][low - start : high - start]
        return ids, values

    def _chunk(self, start: int, size: int) -> dict[str, np.ndarray] | np.ndarray:
        skipped, stored = self.dataset.id.read_direct_chunk((start,))
        if skipped:  # this one chunk was stored without one of its filters
            if skipped >> self.shuffled & 1 and len(stored) != size * VOXEL.itemsize:
                raise ValueError(f"the chunk at row {start} is not compressed and holds {len(stored)} bytes")
            stop = min(start + size, len(self.dataset))
            rows = np.empty(size, VOXEL)
            self.dataset.read_direct(rows, np.s_[start:stop], np.s_[: stop - start])
            return rows
        data = np.frombuffer(isal_zlib.decompress(stored, bufsize=size * VOXEL.itemsize), np.uint8)
        if data.size != size * VOXEL.itemsize:
            raise ValueError(f"the chunk at row {start} holds {data.size} bytes instead of {size * VOXEL.itemsize}")
        if not self.shuffled:
            return data.view(VOXEL)
        planes = data.reshape(VOXEL.itemsize, size)  # the first bytes of all rows, then the second ones, ...
        return {
            "id": np.ascontiguousarray(planes[0:8].T).view("<u8")[:, 0],
            "value": np.ascontiguousarray(planes[8:12].T).view("<f4")[:, 0],
        }
