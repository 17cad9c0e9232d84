"""Reading through the larcv package: the one file that imports it."""

import threading
from collections.abc import Sequence
from typing import Any

import numpy as np

from airshower.detectors.lartpc.larcv.format import product_name
from airshower.detectors.lartpc.larcv.images import ImageTable, RawImages
from airshower.detectors.lartpc.larcv.wires import WireEvent, WireFile
from airshower.errors import DataError, UserError

_lock = threading.Lock()  # larcv is not thread-safe, even for different files


def import_larcv() -> Any:
    """The larcv module, or a `UserError` that says how to get it."""
    try:
        import larcv
    except ImportError as error:
        raise UserError(
            f"data.reader=larcv: the larcv package can't be imported ({error}); scripts/larcv builds it, "
            "data.reader=native needs nothing"
        ) from None
    return larcv


class LarcvReader:
    """Reads wires and labels through larcv's IOManager.

    The file's index is checked by the native reader first, because larcv hangs on a damaged one or returns the
    event before; its data are compared with that index. Its queueloader is not used: with numpy >= 2, larcv 3.5.1
    fills every batch with its first value.
    """

    def __init__(self, file: WireFile):
        self.file = file
        larcv = import_larcv()
        self._check_groups()
        self.manager = larcv.IOManager()
        self.manager.add_in_file(str(file.path))
        self.manager.initialize()

    def read(self, entry: int) -> WireEvent:
        """One event."""
        images = self.file.images
        labels = self.file.labels
        with _lock:
            self.manager.read_entry(int(entry))
            wires = self._tensors(self.file.products.image, images, entry)
            truth = None if labels is None else self._tensors(self.file.products.label, labels, entry)
        return self.file.joined(entry, wires, truth)

    def read_several(self, entries: Sequence[int]) -> list[WireEvent]:
        """Some events."""
        return [self.read(entry) for entry in entries]

    def _tensors(self, producer: str, table: ImageTable, entry: int) -> RawImages:
        counts = table.counts[entry]
        planes = table.planes
        if not counts.any():  # for an event without projections larcv has those of the event before
            return RawImages(np.empty(0, np.uint64), np.empty(0, np.float32), counts)
        stored = self.manager.get_data("sparse2d", producer).as_vector()
        tensors = [stored[position] for position in planes.order[entry] if position < len(stored)]
        if len(stored) != planes.count or [tensor.size() for tensor in tensors] != counts.tolist():
            raise DataError(f"{table.where}, entry {entry}: larcv reads other pixels; use data.reader=native")
        ids = np.concatenate([np.asarray(tensor.indexes()) for tensor in tensors])
        values = np.concatenate([np.asarray(tensor.values(), np.float32) for tensor in tensors])
        images = RawImages(ids, values, counts)
        table.check(entry, images)
        return images

    def _check_groups(self) -> None:
        """Raise `DataError` for groups in /Data that larcv does not know: it would read every event as the first one,
        or stop."""
        supported = {f"{kind}{d}d" for kind in ("sparse", "cluster", "bbox") for d in (2, 3)} | {"particle"}
        supported |= {f"tensor{d}d" for d in (1, 2, 3, 4)}
        for name in self.file.entry["group"].tolist():
            if (product_name(name) or ("",))[0] not in supported:
                raise DataError(f"{self.file.path}: larcv does not know its group /Data/{name}; use data.reader=native")
