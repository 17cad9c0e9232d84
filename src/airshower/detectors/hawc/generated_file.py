"""Generated events as an XCDF file, whose fields have the names, types and resolutions of the detector's own."""

import contextlib
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from airshower.data.tanks import Quantity, TankHits
from airshower.detectors.hawc.event_fields import CHARGE, EVENT_FIELDS, GRID_ID, HIT_NUMBERS, POSITION, TIME
from airshower.detectors.hawc.xcdf_block import Columns, Ragged
from airshower.detectors.hawc.xcdf_format import Field, FieldType
from airshower.detectors.hawc.xcdf_writer import XcdfWriter
from airshower.errors import DataError

MOST = 2.0**63
LEAST_WRITTEN = 0.11  # p.e., the first number of a file above `LEAST_CHARGE`


class GeneratedFile(contextlib.ExitStack):
    """Writes events, quantities of any number of them at a time, to `path` with the ending .xcd; a context manager.

    The file's fields are those `quantities` that the first events have, and hits if they have any. The file is made
    with these events, under a temporary name that becomes its own in the end; after an exception nothing is left.
    `provenance` becomes comments. `position` f8 [PMTs, 3] in m is what hits have.
    """

    def __init__(self, path: Path, quantities: Sequence[Quantity], provenance: Mapping[str, str], position: np.ndarray):
        super().__init__()
        self.position = position
        self.path, self.quantities = path.with_suffix(".xcd"), {quantity.name: quantity for quantity in quantities}
        self.comments = [f"airshower {name}: {value}" for name, value in provenance.items()]
        self.writer: XcdfWriter | None = None
        self.events = 0

    def append(self, columns: Mapping[str, np.ndarray], hits: TankHits | None = None, events: int = 0) -> None:
        """Add events: f8 [n] by name, in the quantities' units, rounded to their steps, and the hits of so many events.
        Raises `DataError` naming the field for a name that is none of the quantities, numbers that are not finite,
        counts that can't be."""
        for name in columns:
            if name not in self.quantities:
                raise DataError(f"{self.path}: there is no {name}; there are {', '.join(self.quantities)}")
        quantities = [quantity for name, quantity in self.quantities.items() if name in columns]
        values: Columns = {quantity.name: self._values(quantity, columns[quantity.name]) for quantity in quantities}
        fields = list(map(field_of, quantities))
        if hits is not None:
            of_hits = self._of_hits(hits, events)
            values, fields = of_hits | values, [field for field in EVENT_FIELDS if field.name in of_hits] + fields
        if self.writer is None:
            self.writer = self.enter_context(XcdfWriter(self.path, fields, self.comments))
        self.writer.append(values)
        self.events += len(next(iter(values.values()), ()))

    def _of_hits(self, hits: TankHits, events: int) -> Columns:
        """Columns as the detector's files have them; without times where images have none. The least charges are
        rounded up: below that there is no hit."""
        columns = {GRID_ID: hits.grid_id, CHARGE: np.maximum(hits.charge, LEAST_WRITTEN)}
        columns |= {TIME: hits.time} if hits.time is not None else {}
        columns |= dict(zip(POSITION, self.position[hits.grid_id - 1].T, strict=True))
        order, counts = np.argsort(hits.event, kind="stable"), np.bincount(hits.event, minlength=events)
        return {HIT_NUMBERS: counts} | {name: Ragged(values[order], counts) for name, values in columns.items()}

    def _values(self, quantity: Quantity, column: np.ndarray) -> np.ndarray:
        """The numbers of a field; whole ones of counts."""
        column = np.asarray(column, np.float64)
        for event in np.flatnonzero(~np.isfinite(column))[:1]:
            raise DataError(f"{self.path}: event {self.events + event}: {quantity.name} is {column[event]}, not finite")
        if field_of(quantity).type != FieldType.UNSIGNED:
            return column
        counts = np.rint(column)
        for event in np.flatnonzero((counts < 0) | (counts >= MOST))[:1]:
            raise DataError(
                f"{self.path}: event {self.events + event}: {quantity.name} is {column[event]}, which is no count"
            )
        return counts.astype(np.uint64)


def field_of(quantity: Quantity) -> Field:
    """The field that a quantity is written as: a count where its step is 1, else a float of this resolution."""
    if quantity.step == 1.0:
        return Field(quantity.name, FieldType.UNSIGNED)
    return Field(quantity.name, FieldType.FLOAT, quantity.step)
