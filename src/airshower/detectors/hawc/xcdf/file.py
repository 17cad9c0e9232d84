"""Reading XCDF files: some fields of all events, or of any events, without decoding the rest.

Opening a file reads its frames' heads, its headers and its trailer; blocks are read when events of them are wanted, and
those used last are kept undecoded. Files may be one after the other in one (as `cat` makes them). A file without a
trailer, whose header says that none was written yet, is read up to its last whole block.
"""

import difflib
import hashlib
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.data.handles import check_unchanged, stamp_of
from airshower.detectors.hawc.xcdf import frames
from airshower.detectors.hawc.xcdf.block import Columns, Events, Layout, Ragged, find_events, gather
from airshower.detectors.hawc.xcdf.encoder import Extent, merge, rounded
from airshower.detectors.hawc.xcdf.format import (
    Alias,
    BlockHeader,
    Field,
    FieldType,
    Header,
    Statistics,
    Trailer,
    from_bits,
)
from airshower.detectors.hawc.xcdf.frames import Frame, FrameReader, Truncated
from airshower.errors import DataError

KEPT_BYTES = 1 << 28
FREE_VALUES, VALUES_PER_BYTE = 1 << 25, 128  # values of any file, and of each of its bytes: constants take few
NAMED = 20  # fields in an error, those of the nearest names


@dataclass(frozen=True)
class Block:
    """Where a block is: its first event in the file, its header, the frame of its data."""

    first: int
    offset: int
    header: BlockHeader
    data: Frame


class XcdfFile:
    """The events of an XCDF file. It is not held open, and threads can read it beside each other.

    Attributes: `fields` in the order of the data, `aliases`, `comments`; `blocks`; `statistics` of each segment (file
    in the file) that has them; `unfinished` bytes after the last whole block of a file that is being written, None for
    a finished one. `kept_bytes` of blocks stay in memory. Raises `DataError` naming file and byte for what can't be
    read; what the file's end cuts off is such, unless the file is unfinished.
    """

    def __init__(self, path: str | Path, kept_bytes: int = KEPT_BYTES):
        self.path = Path(path)
        self.kept_bytes = kept_bytes
        self.fields: tuple[Field, ...] = ()
        self.aliases: tuple[Alias, ...] = ()
        self.comments: tuple[str, ...] = ()
        self.statistics: list[tuple[Statistics, ...]] = []
        self.blocks: list[Block] = []
        self.unfinished: int | None = None
        with FrameReader(self.path) as reader:
            self.stamp = stamp_of(self.path)
            if not reader.length:
                raise DataError(f"{self.path}: is empty")
            self.most_values = FREE_VALUES + VALUES_PER_BYTE * reader.length
            at = 0
            while at < reader.length:
                at = self._segment(reader, at)
        self._check_values(len(self), "events")
        self.layout = Layout(self.fields)
        self.first = np.array([block.first for block in self.blocks] + [len(self)], np.int64)
        self._kept: OrderedDict[int, Events] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        return self.blocks[-1].first + self.blocks[-1].header.events if self.blocks else 0

    @property
    def scalars(self) -> list[str]:
        """Names of the fields that have one value in each event."""
        return [field.name for field in self.fields if not field.parent]

    @property
    def digest(self) -> str:
        """What tells the content from that of other files: a hash of its fields and its blocks' places, headers and
        checksums of data."""
        blocks = [
            (block.offset, block.header.minima.tobytes(), block.header.sizes.tobytes(), block.data.checksum)
            for block in self.blocks
        ]
        return hashlib.sha256(repr((len(self), self.fields, blocks)).encode()).hexdigest()

    def total(self, row: int) -> Statistics:
        """Statistics of the field `row` in all segments that have them, its maximum before rounding."""
        parts = [segment[row] for segment in self.statistics if row < len(segment) and segment[row].filled]
        return merge(self.fields[row], [Extent(part.maximum, part.minimum, 8 * part.bytes) for part in parts])

    def extent(self, row: int) -> tuple[float, float]:
        """The least and the greatest value of a field as they are read, by its statistics, which must have them."""
        field = self.fields[row]
        total = self.total(row)
        exact = field.type == FieldType.FLOAT and any(block.header.sizes[row] == 64 for block in self.blocks)
        greatest = total.maximum if exact else rounded(field, total)
        return from_bits(total.minimum, field.type), from_bits(greatest, field.type)

    def field(self, name: str) -> Field:
        """A field by its name; `DataError` names the nearest ones where there is none."""
        for field in self.fields:
            if field.name == name:
                return field
        for alias in self.aliases:
            if alias.name == name:
                raise DataError(f"{self.path}: {name} is an alias of {alias.expression} and can't be read as a field")
        names = [field.name for field in self.fields]
        near = difflib.get_close_matches(name, names, NAMED, 0.0)
        others = f" and {len(names) - NAMED} others" if len(names) > NAMED else ""
        raise DataError(f"{self.path}: has no field {name}; it has: {', '.join(near) or 'none'}{others}")

    def columns(self, names: Sequence[str] | None = None, start: int = 0, stop: int | None = None) -> Columns:
        """Values of some fields (all: None) in the events from `start` to before `stop`; vectors are `Ragged`."""
        start, stop, _ = slice(start, stop).indices(len(self))
        return self._joined(names, self._runs(start, stop))

    def read(self, entries: Sequence[int] | np.ndarray, names: Sequence[str] | None = None) -> Columns:
        """The same of any events, in the order asked for."""
        entries = np.asarray(entries, np.int64)
        for entry in entries[(entries < 0) | (entries >= len(self))][:1]:
            raise DataError(f"{self.path}: has no entry {entry}; it has {len(self)} events")
        number = np.searchsorted(self.first, entries, side="right") - 1
        blocks = {int(block): self._events(int(block)) for block in np.unique(number)}
        rows = (entries - self.first[number]).tolist()
        parts = [gather([blocks[block] for block in number.tolist()], rows)] if rows else []
        return self._joined(names, iter(parts))

    def check(self) -> None:
        """Read all; `DataError` at the first fault."""
        for number in range(len(self.blocks)):
            self._load(number)

    def _joined(self, names: Sequence[str] | None, parts: Iterator[Events]) -> Columns:
        fields = self.fields if names is None else [self.field(name) for name in names]
        wanted = [field.name for field in fields]
        columns = []
        number = 0
        for part in parts:
            number += part.number(wanted)
            self._check_values(number, "values")
            columns.append(part.columns(wanted))
        return {field.name: _join(field, [part[field.name] for part in columns]) for field in fields}

    def _check_values(self, number: int, what: str) -> None:
        """Raise `DataError` for more than so many bytes can mean, before they take memory."""
        if number > self.most_values:
            raise DataError(
                f"{self.path}: has {number} or more {what}, {self.most_values} can be read at once of so short a file"
            )

    def _runs(self, start: int, stop: int) -> Iterator[Events]:
        for number, block in enumerate(self.blocks):
            begin, end = max(start - block.first, 0), min(stop - block.first, block.header.events)
            if begin < end:
                yield from self._events(number).runs(begin, end)

    def _events(self, number: int) -> Events:
        with self._lock:
            if number in self._kept:
                self._kept.move_to_end(number)
                return self._kept[number]
        events = self._load(number)
        with self._lock:
            self._kept[number] = events
            while len(self._kept) > 1 and sum(kept.nbytes for kept in self._kept.values()) > self.kept_bytes:
                self._kept.popitem(last=False)
        return events

    def _load(self, number: int) -> Events:
        block = self.blocks[number]
        if self.unfinished is None:  # others grow
            check_unchanged(self.path, self.stamp)
        with FrameReader(self.path) as reader:
            data = reader.payload(block.data)
        return find_events(self.layout, block.header, data, f"{self.path}: byte {block.data.offset}: block {number}")

    def _segment(self, reader: FrameReader, start: int) -> int:
        """Index the file that begins at byte `start`, up to its end; returns where that is."""
        frame = reader.frame(start)
        if frame.kind != frames.FILE_HEADER:
            raise DataError(f"{self._at(start)}: {frames.KINDS[frame.kind]}, where an XCDF file has its header")
        header = Header.parse(reader.payload(frame), f"{self._at(start)}: file header")
        if start and header.fields != self.fields:
            raise DataError(f"{self._at(start)}: the file that follows here has other fields than those before")
        self.fields, first, at = header.fields, len(self.blocks), frame.end
        self._add_aliases(header.aliases)
        while at < reader.length:
            try:
                frame = reader.frame(at)
                if frame.kind == frames.TRAILER:
                    self._trailer(reader, frame, start, header, self.blocks[first:])
                    return frame.end
                at = self._block(reader, frame)
            except Truncated:
                if header.trailer:
                    raise
                break
        if header.trailer:
            raise DataError(
                f"{self.path}: is truncated: it ends at byte {reader.length}, its trailer should be at byte "
                f"{start + header.trailer}"
            )
        self.unfinished = reader.length - at
        return reader.length

    def _block(self, reader: FrameReader, frame: Frame) -> int:
        """Index a block; returns its end."""
        at = self._at(frame.offset)
        where = f"{self._at(frame.offset)}: header of block {len(self.blocks)}"
        if frame.kind != frames.BLOCK_HEADER:
            raise DataError(f"{at}: {frames.KINDS[frame.kind]}, where a block or the trailer is due")
        header = BlockHeader.parse(reader.payload(frame), len(self.fields), where)
        data = reader.frame(frame.end)
        if data.kind != frames.BLOCK_DATA:
            raise DataError(f"{self._at(data.offset)}: {frames.KINDS[data.kind]}, where the data of a block are due")
        self.blocks.append(Block(len(self), frame.offset, header, data))
        return data.end

    def _trailer(self, reader: FrameReader, frame: Frame, start: int, header: Header, blocks: list[Block]) -> None:
        where = f"{self._at(frame.offset)}: file trailer"
        trailer = Trailer.parse(reader.payload(frame), header.version, where)
        if header.trailer and start + header.trailer != frame.offset:
            raise DataError(f"{where}: should be at byte {start + header.trailer}, the file is damaged")
        events = sum(block.header.events for block in blocks)
        if trailer.events != events:
            raise DataError(f"{where}: counts {trailer.events} events, the blocks have {events}")
        offsets = [(block.first - blocks[0].first, block.offset - start) for block in blocks]
        if len(trailer.blocks) and trailer.blocks.tolist() != offsets:
            raise DataError(f"{where}: has the blocks at other bytes than they are, the file is damaged")
        if len(trailer.statistics) not in (0, len(self.fields)):
            raise DataError(
                f"{where}: has statistics of {len(trailer.statistics)} fields, the file has {len(self.fields)}"
            )
        self.comments += trailer.comments
        self.statistics.append(trailer.statistics)
        self._add_aliases(trailer.aliases)

    def _add_aliases(self, aliases: Sequence[Alias]) -> None:
        self.aliases = tuple(dict.fromkeys([*self.aliases, *aliases]))

    def _at(self, offset: int) -> str:
        return f"{self.path}: byte {offset}"


def _join(field: Field, parts: list[np.ndarray | Ragged]) -> np.ndarray | Ragged:
    if len(parts) == 1:
        return parts[0]
    none = np.empty(0, field.type.dtype)
    vectors = [part for part in parts if isinstance(part, Ragged)]
    if not field.parent:
        return np.concatenate([none, *(part for part in parts if not isinstance(part, Ragged))])
    counts = np.concatenate([np.empty(0, np.int64), *(part.counts for part in vectors)])
    return Ragged(np.concatenate([none, *(part.values for part in vectors)]), counts)
