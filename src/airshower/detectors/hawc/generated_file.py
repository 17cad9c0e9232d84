"""Generated events as an XCDF file, whose fields have the names, types and resolutions of the detector's own."""

import contextlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity
from airshower.data.source import predicted_error
from airshower.detectors.hawc.event_fields import CHARGE, EVENT_FIELDS, GRID_ID, HIT_NUMBERS, PMT_POSITION, TIME
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.format import Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError

MOST = 2.0**63
PREDICTED: dict[str, tuple[str, Callable[[np.ndarray], np.ndarray]]] = {
    "prediction": ("airshower.prediction", lambda score: score),
    "energy": ("airshower.energy", lambda energy: energy),
    "alt": ("airshower.zenithAngle", lambda altitude: np.pi / 2 - altitude),
    "az": ("airshower.azimuthAngle", lambda azimuth: azimuth),
    "core_x": ("airshower.coreX", lambda x: x),
    "core_y": ("airshower.coreY", lambda y: y),
    predicted_error("energy"): ("airshower.energyError", lambda error: error),
    predicted_error("energy", log10=True): ("airshower.logEnergyError", lambda error: error),
    predicted_error("direction"): ("airshower.directionError", lambda error: error),
    predicted_error("core"): ("airshower.coreError", lambda error: error),
}  # names of fields, and the functions from predictions to their values
LEAST_WRITTEN = 0.11  # p.e., the first number of a file above `LEAST_CHARGE`


class GeneratedFile(contextlib.ExitStack):
    """Writes events, quantities of any number of them at a time, to `path` with the ending .xcd; a context manager.

    The file's fields are the `quantities` of the first events, and hits if they have any. The file is created
    with these events under a temporary name, and renamed at the end; after an exception it is removed.
    `provenance` becomes comments. `position` f8 [PMTs, 3] in m is what hits have.
    """

    def __init__(self, path: Path, quantities: Sequence[Quantity], provenance: Mapping[str, str], position: np.ndarray):
        super().__init__()
        self.position = position
        self.path = path.with_suffix(".xcd")
        self.quantities = {quantity.name: quantity for quantity in quantities}
        self.comments = [f"airshower {name}: {value}" for name, value in provenance.items()]
        self.writer: XcdfWriter | None = None
        self.events = 0

    def append(self, columns: Mapping[str, np.ndarray], hits: TankHits | None = None, events: int = 0) -> None:
        """Add events: f8 [n] by name, in the quantities' units, rounded to their steps, and the hits of these events.
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
            values = of_hits | values
            fields = [field for field in EVENT_FIELDS if field.name in of_hits] + fields
        if self.writer is None:
            self.writer = self.enter_context(XcdfWriter(self.path, fields, self.comments))
        self.writer.append(values)
        self.events += len(next(iter(values.values()), ()))

    def _of_hits(self, hits: TankHits, events: int) -> Columns:
        """Columns as in the detector's files; without times if images have none. The least charges are
        rounded up: below that there is no hit."""
        columns = {GRID_ID: hits.grid_id, CHARGE: np.maximum(hits.charge, LEAST_WRITTEN)}
        columns |= {TIME: hits.time} if hits.time is not None else {}
        columns |= dict(zip(PMT_POSITION, self.position[hits.grid_id - 1].T, strict=True))
        order = np.argsort(hits.event, kind="stable")
        counts = np.bincount(hits.event, minlength=events)
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


class PredictedFile(contextlib.ExitStack):
    """Writes predictions for events to `path` with the ending .xcd; a context manager.

    A row for each event: `event.file` and `event.number`, the file among those read and the event in it, from
    `event_ids` int64 [entries, 3]; `airshower.` and prediction (score of the signal), energy (GeV), zenithAngle and
    azimuthAngle (rad), coreX and coreY (m), those that are predicted; within directionError (rad), coreError (m) and
    logEnergyError (of log10 of the energy; energyError in GeV where the energy itself is learned) an error lies with
    68.27 %. `provenance` becomes comments.
    """

    def __init__(self, path: Path, event_ids: np.ndarray, provenance: Mapping[str, str]):
        super().__init__()
        self.path = path.with_suffix(".xcd")
        self.event_ids = event_ids
        self.comments = [f"airshower {name}: {value}" for name, value in provenance.items()]
        self.writer: XcdfWriter | None = None

    def append(self, entries: np.ndarray, columns: Mapping[str, np.ndarray]) -> None:
        """See `data.source.EventWriter`."""
        values: Columns = {"event.file": self.event_ids[entries, 0], "event.number": self.event_ids[entries, 1]}
        fields = [Field(name, FieldType.UNSIGNED) for name in values]
        for name, column in columns.items():
            named, physical = PREDICTED[name]
            values[named] = physical(np.asarray(column, np.float64))
            fields.append(Field(named, FieldType.FLOAT, 0.0))
        if self.writer is None:
            self.writer = self.enter_context(XcdfWriter(self.path, fields, self.comments))
        self.writer.append(values)
