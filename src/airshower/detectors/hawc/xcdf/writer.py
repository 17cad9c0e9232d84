"""Writing XCDF files that the C++ library reads."""

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from airshower.detectors.hawc.xcdf import frames
from airshower.detectors.hawc.xcdf.block import MOST_EVENTS, Columns, Layout, Ragged
from airshower.detectors.hawc.xcdf.encoder import Extent, encode, lengths, merge
from airshower.detectors.hawc.xcdf.format import (
    BLOCK_ROW,
    Alias,
    BlockHeader,
    Field,
    FieldType,
    Header,
    Statistics,
    Trailer,
    data_order,
)
from airshower.errors import DataError, UserError
from airshower.runtime import folders

BLOCK_EVENTS, BLOCK_VALUES = 1000, 100_000_000 // 8  # a block is ended at either, as by the C++ library


class XcdfWriter:
    """Writes one XCDF file, columns of any number of events at a time, under a temporary name that becomes `path`.

    Values are rounded to their field's resolution, integers to the nearest multiple of it that their type has. `maxima`
    has, for fields whose values were rounded before, bits of the greatest value and of what it was: the trailer has
    that, if the greatest value is still the same. Use as a
    context manager; after an exception nothing is left and an existing file stays as it was. Raises `UserError` if the
    file can't be made, `DataError` for what can't be written.
    """

    def __init__(
        self,
        path: str | Path,
        fields: Sequence[Field],
        comments: Sequence[str] = (),
        aliases: Sequence[Alias] = (),
        block_events: int = BLOCK_EVENTS,
        deflate: bool = True,
    ):
        self.path = Path(path)
        self.comments = tuple(comments)
        self.block_events = block_events
        self.deflate = deflate
        if not 1 <= block_events <= MOST_EVENTS:
            raise DataError(f"{self.path}: a block of {block_events} events can't be written, 1 to {MOST_EVENTS} can")
        self.layout = Layout(data_order(fields, str(self.path)))
        self._check_resolutions()
        self.header = Header(self.layout.fields, tuple(aliases))
        self.waiting: list[Columns] = []
        self.events, self.waiting_events, self.waiting_values = 0, 0, 0
        self.blocks: list[tuple[int, int]] = []
        self.extents: list[list[Extent | None]] = [[] for _ in self.layout.fields]
        self.maxima: dict[str, tuple[int, int]] = {}
        self.partial = folders.partial(self.path)
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.file = open(self.partial, "wb", buffering=1 << 20)  # noqa: SIM115  (closed by __exit__)
        except OSError as error:
            raise UserError(f"{self.path}: can't be written ({error.strerror})") from None

    def __enter__(self) -> "XcdfWriter":
        self._frame(frames.FILE_HEADER, self.header.pack(), False)  # to the buffer: a full disk shows later
        return self

    def __exit__(self, kind: type | None, *_: Any) -> None:
        try:
            if kind is None:
                with self._writing():
                    self._finish()
        finally:
            with contextlib.suppress(OSError):  # what is not written yet, of which an error was told before
                self.file.close()
            self.partial.unlink(missing_ok=True)

    def append(self, columns: Columns) -> None:
        """Add events: arrays [events] of scalar fields, `Ragged` of vectors, all fields of the file."""
        columns = self._checked(columns)
        self.waiting.append(columns)
        self.waiting_events += len(next(iter(columns.values()))) if columns else 0
        self.waiting_values += sum(len(c.values) if isinstance(c, Ragged) else len(c) for c in columns.values())
        if self.waiting_events >= self.block_events or self.waiting_values >= BLOCK_VALUES:
            with self._writing():
                self._write_blocks(last=False)

    def append_block(self, columns: Columns, like: BlockHeader) -> None:
        """Add the events of a block of another file: they become a block with the same header and the same bits (see
        `encode`)."""
        columns = self._checked(columns)
        with self._writing():
            if self.waiting_events:
                self._write_blocks(last=True)
            self._block(columns, like.events, like)

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise DataError(f"{self.path}: can't be written ({error.strerror})") from None

    def _check_resolutions(self) -> None:
        for row, field in enumerate(self.layout.fields):
            if field.type != FieldType.FLOAT and not _is_step(field):
                raise DataError(f"{self.path}: {field.name} has resolution {field.resolution}; integers need 1 or more")
            if row in self.layout.parents and field.resolution != 1:
                raise DataError(f"{self.path}: {field.name} has resolution {field.resolution}; lengths need 1")

    def _checked(self, columns: Columns) -> Columns:
        """The columns in the order of data and of their fields' types; their lengths agree."""
        if set(columns) != set(self.layout.row):
            wrong = ", ".join(sorted(set(columns) ^ set(self.layout.row)))
            raise DataError(f"{self.path}: columns and the file's fields are not the same, they differ in {wrong}")
        checked: Columns = {}
        for field in self.layout.fields:
            column = columns[field.name]
            if isinstance(column, Ragged) != bool(field.parent):
                raise DataError(f"{self.path}: {field.name} is {'a vector' if field.parent else 'a scalar'} field")
            if not isinstance(column, Ragged):
                checked[field.name] = self._typed(field, column)
                continue
            counts = np.asarray(column.counts, np.int64)
            wanted = lengths(self.layout, checked, self.layout.row[field.parent])
            if len(counts) != len(wanted) or (differ := counts != wanted).any():
                event = int(np.argmax(differ)) if len(counts) == len(wanted) else min(len(counts), len(wanted))
                raise DataError(f"{self.path}: event {event}: {field.name} is not as long as {field.parent} says")
            if counts.sum() != len(column.values):
                raise DataError(
                    f"{self.path}: {field.name} has {len(column.values)} values, its counts are {counts.sum()}"
                )
            checked[field.name] = Ragged(self._typed(field, column.values), counts)
        events = {len(column) for column in checked.values()}
        if len(events) > 1:
            raise DataError(f"{self.path}: columns have {' and '.join(map(str, sorted(events)))} events")
        return checked

    def _typed(self, field: Field, values: Any) -> np.ndarray:
        values = np.asarray(values)
        if values.ndim != 1 or (values.dtype.kind not in ("fiu" if field.type == FieldType.FLOAT else "iu")):
            raise DataError(
                f"{self.path}: {field.name} is {field.type.name.lower()}, given is an array {list(values.shape)} of "
                f"{values.dtype}"
            )
        typed = values.astype(field.type.dtype)
        if values.dtype.kind in "iu" and field.type != FieldType.FLOAT and ((typed < 0) != (values < 0)).any():
            raise DataError(f"{self.path}: {field.name} is {field.type.name.lower()}, it has values outside that range")
        return typed

    def _write_blocks(self, last: bool) -> None:
        """Write the events that wait as blocks; what does not fill one goes on waiting unless it is the `last`."""
        columns = {name: _joined([part[name] for part in self.waiting]) for name in self.layout.row}
        values = sum((c.counts if isinstance(c, Ragged) else np.ones(len(c), np.int64)) for c in columns.values())
        before = np.concatenate([[0], np.cumsum(values)])
        start = 0
        events = self.waiting_events
        while start < events:
            full = int(np.searchsorted(before, before[start] + BLOCK_VALUES, side="right")) - 1
            stop = min(start + self.block_events, max(full, start + 1), events)
            if stop == events and stop < start + self.block_events and not last:
                break
            self._block({name: _slice(column, start, stop) for name, column in columns.items()}, stop - start)
            start = stop
        self.waiting = [{name: _slice(column, start, events) for name, column in columns.items()}]
        self.waiting_events = events - start
        self.waiting_values = int(before[events] - before[start])

    def _block(self, columns: Columns, events: int, like: BlockHeader | None = None) -> None:
        block = encode(self.layout, columns, events, like)
        self.blocks.append((self.events, self.file.tell()))
        self._frame(frames.BLOCK_HEADER, block.header.pack(), self.deflate)
        self._frame(frames.BLOCK_DATA, block.data, self.deflate)
        for extents, new in zip(self.extents, block.extents, strict=True):
            extents.append(new)
        self.events += events

    def _frame(self, kind: int, payload: bytes, deflate: bool) -> None:
        self.file.write(frames.frame_bytes(kind, payload, deflate))

    def _finish(self) -> None:
        if self.waiting_events:
            self._write_blocks(last=True)
        statistics = tuple(self._statistics(*row) for row in zip(self.layout.fields, self.extents, strict=True))
        trailer = Trailer(self.events, np.array(self.blocks, BLOCK_ROW), self.comments, statistics)
        at = self.file.tell()
        self._frame(frames.TRAILER, trailer.pack(), self.deflate)
        self.file.seek(0)
        self._frame(frames.FILE_HEADER, replace(self.header, trailer=at).pack(), False)
        self.file.flush()
        os.fsync(self.file.fileno())
        os.replace(self.partial, self.path)

    def _statistics(self, field: Field, extents: list[Extent | None]) -> Statistics:
        total = merge(field, extents)
        greatest, before = self.maxima.get(field.name, (0, 0))
        return replace(total, maximum=before) if total.filled and total.maximum == greatest else total


def _is_step(field: Field) -> bool:
    """True for a resolution that integers of the field's type can have."""
    return 1 <= field.resolution <= np.iinfo(field.type.dtype).max and field.resolution == int(field.resolution)


def _joined(parts: list[np.ndarray | Ragged]) -> np.ndarray | Ragged:
    if len(parts) == 1:
        return parts[0]
    vectors = [part for part in parts if isinstance(part, Ragged)]
    if vectors:
        return Ragged(np.concatenate([p.values for p in vectors]), np.concatenate([p.counts for p in vectors]))
    return np.concatenate([part for part in parts if not isinstance(part, Ragged)])


def _slice(column: np.ndarray | Ragged, start: int, stop: int) -> np.ndarray | Ragged:
    return column.slice(start, stop) if isinstance(column, Ragged) else column[start:stop]
