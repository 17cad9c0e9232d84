"""What is predicted of events of points, as an HDF5 file."""

from pathlib import Path
from typing import Self

import h5py
import numpy as np

from airshower.data.source import predicted_error
from airshower.data.spec import Spec
from airshower.runtime.hdf5_output import Hdf5Output

CHUNK = 4096  # events
FORMAT = "airshower predictions"


class PointPredictions:
    """Writes predictions to `path` with the ending .h5; a context manager, see `data.source.EventWriter`.

    The group `events` has the ids of events, `predictions` a dataset for each predicted column with the attribute
    `unit`. `provenance` are attributes of the file.
    """

    def __init__(self, path: Path, spec: Spec, event_ids: np.ndarray, provenance: dict[str, str]):
        self.path = path.with_suffix(".h5")
        self.spec = spec
        self.event_ids = event_ids
        self.provenance = provenance
        self.units = {part: column.unit for column in spec.truth for part in column.parts or (column.name,)}
        for column in spec.truth:
            self.units |= {predicted_error(column.name): column.unit, predicted_error(column.name, True): "decades"}

    def __enter__(self) -> Self:
        self.output = Hdf5Output(self.path)
        self.output.file.attrs.update({"format": FORMAT, **self.provenance})
        return self

    def __exit__(self, *error: object) -> None:
        self.output.__exit__(*error)  # type: ignore[arg-type]

    def append(self, entries: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """See `EventWriter`."""
        ids = dict(zip(self.spec.ids, self.event_ids[entries].T, strict=False))
        with self.output.writing():
            for group, of_group in (("events", ids), ("predictions", columns)):
                for name, values in of_group.items():
                    appended(self.output.file, f"{group}/{name}", np.asarray(values), CHUNK, self.units.get(name, ""))


def appended(file: h5py.File, name: str, values: np.ndarray, chunk: int, unit: str = "") -> h5py.Dataset:
    """The dataset of this name after `values` [rows, ...] were added to its end; it is made with the first ones."""
    if name not in file:
        made = file.create_dataset(
            name, data=values, maxshape=(None, *values.shape[1:]), chunks=(chunk, *values.shape[1:])
        )
        if unit:
            made.attrs["unit"] = unit
        return made
    node = file[name]
    before = len(node)
    node.resize(before + len(values), 0)
    node[before:] = values
    return node
