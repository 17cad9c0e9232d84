"""Reading through the larcv package: the one file that imports it."""

from typing import Any

import numpy as np

from airshower.detectors.lartpc.wires import WireEvent, WireFile, as_classes, row_and_column
from airshower.errors import UserError


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

    The file's index is checked by the native reader first, because larcv answers a damaged one by hanging or with the
    event before. Its queueloader is not used: with numpy >= 2, larcv 3.5.1 fills every batch with its first value.
    """

    def __init__(self, file: WireFile):
        self.file = file
        larcv = import_larcv()
        self.manager = larcv.IOManager()
        self.manager.add_in_file(str(file.path))
        self.manager.initialize()

    def read(self, entry: int) -> WireEvent:
        """One event."""
        self.manager.read_entry(int(entry))
        ids, values, counts = self._tensors(self.file.products.image)
        label = None
        if self.file.products.label:
            label_ids, labels, _ = self._tensors(self.file.products.label)
            if not np.array_equal(ids, label_ids):
                raise UserError(f"{self.file.path}, entry {entry}: wires and labels differ in pixels; use data.reader=native")
            label = as_classes(labels, str(self.file.path), entry)
        return WireEvent(*row_and_column(ids, self.file.shape[0]), values, label, counts)

    def _tensors(self, producer: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        tensors = self.manager.get_data("sparse2d", producer).as_vector()
        ids = [np.asarray(tensor.indexes()) for tensor in tensors]
        values = [np.asarray(tensor.values(), np.float32) for tensor in tensors]
        return np.concatenate(ids), np.concatenate(values), np.array([len(part) for part in ids])
