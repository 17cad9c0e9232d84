"""Events in a block: where each begins in the stream of bits, how long its vectors are, and columns of values.

An event is its fields in the order of data, a field its values one after the other, without alignment. A value is
`minimum + resolution * number`, with the block's minimum and number of bits for the field; floats of 64 bits are
stored as they are. The length of a vector is the value of its parent (of all its values, where that is a vector), so
the beginning of an event is known when the lengths in those before it are: `find_events` steps through a block once,
reading only the lengths, and all else is done for many events at once.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from airshower.detectors.hawc.xcdf import bits as xcdf_bits
from airshower.detectors.hawc.xcdf.format import BlockHeader, Field, FieldType, to_bits
from airshower.errors import DataError

MOST_EVENTS = 1 << 20  # in a block; the C++ library ends one at 1000, or at 100 MB
MOST_VALUES = 1 << 24  # of all fields in a block, beside one for each bit of data
MODULUS = 1 << 64
RUN = 1 << 14  # values of a column that are decoded at once: arrays of them stay in the processor's cache


@dataclass(frozen=True, eq=False)
class Ragged:
    """A column of vectors: `values` of all events in a row, `counts` int64 [events] of them in each."""

    values: np.ndarray
    counts: np.ndarray

    def __len__(self) -> int:
        return len(self.counts)

    def slice(self, start: int, stop: int) -> "Ragged":
        """The vectors of the events from `start` to before `stop`."""
        begin, end = self.counts[:start].sum(), self.counts[:stop].sum()
        return Ragged(self.values[begin:end], self.counts[start:stop])

    def sums(self) -> np.ndarray:
        """Sum of each event's values, which are integers: running sums of floats would depend on the events before."""
        ends = np.cumsum(self.counts)
        total = np.concatenate([np.zeros(1, self.values.dtype), np.cumsum(self.values)])
        return total[ends] - total[ends - self.counts]


Columns = dict[str, np.ndarray | Ragged]


class Layout:
    """Which fields have the same lengths: `group` int64 [fields], 0 for scalars, else one more than the row of the
    parent in `parents` (rows of fields that others have as parent)."""

    def __init__(self, fields: Sequence[Field]):
        self.fields = tuple(fields)
        self.row = {field.name: row for row, field in enumerate(self.fields)}
        used = {field.parent for field in self.fields}
        self.parents = [row for row, field in enumerate(self.fields) if field.name in used]
        number = {"": 0} | {self.fields[row].name: i for i, row in enumerate(self.parents, 1)}
        self.group = np.array([number[field.parent] for field in self.fields], np.int64)

    def weights(self, sizes: np.ndarray, stop: int) -> list[int]:
        """Bits of the first `stop` fields in an event for one value in each group."""
        bits = np.zeros(len(self.parents) + 1, np.int64)
        np.add.at(bits, self.group[:stop], sizes[:stop])
        return bits.tolist()


@dataclass(frozen=True, eq=False)
class Events:
    """Undecoded events: `words` with their bits, `first` int64 [events + 1 or events] bit of each, `counts` int64
    [groups, events] values in a vector, `minima` u8 and `sizes` int64 [fields, events or 1 (the same for all)]."""

    layout: Layout
    words: np.ndarray
    first: np.ndarray
    counts: np.ndarray
    minima: np.ndarray
    sizes: np.ndarray

    def __len__(self) -> int:
        return self.counts.shape[1]

    def number(self, names: Sequence[str]) -> int:
        """How many values some fields have."""
        rows = [self.layout.row[name] for name in names]
        return int(self.counts.sum(1)[self.layout.group[rows]].sum())

    @property
    def nbytes(self) -> int:
        """Memory in use."""
        return self.words.nbytes + self.first.nbytes + self.counts.nbytes

    def runs(self, start: int, stop: int) -> Iterator["Events"]:
        """The events from `start` to before `stop` of a block, in parts of about `RUN` values in the longest column."""
        step = max(1, RUN * len(self) // max(self.counts.sum(1).max(initial=0), 1))
        for begin in range(start, stop, step):
            end = min(begin + step, stop)
            first = self.first[begin : end + 1]
            counts = self.counts[:, begin:end]
            yield Events(self.layout, self.words, first, counts, self.minima, self.sizes)

    def columns(self, names: Sequence[str]) -> Columns:
        """Values of some fields."""
        number = self.counts[self.layout.group]  # of values [fields, events]
        first = self.first[: len(self)] + np.cumsum(self.sizes * number, 0) - self.sizes * number
        return {name: self._column(self.layout.row[name], first) for name in names}

    def _column(self, row: int, first: np.ndarray) -> np.ndarray | Ragged:
        field = self.layout.fields[row]
        group = self.layout.group[row]
        first = first[row]
        minimum = self.minima[row]
        size = self.sizes[row]
        counts = self.counts[group]
        constant = not size.any()
        if group:
            first = first if constant else bit_positions(first, counts, size)
            if len(size) > 1:
                minimum = np.repeat(minimum, counts)
                size = np.repeat(size, counts)
        numbers = np.zeros(counts.sum(), np.uint64) if constant else xcdf_bits.unpack(self.words, first, size)
        values = decode(field, numbers, minimum, size)
        return Ragged(values, counts.copy()) if group else values


def bit_positions(first: np.ndarray, counts: np.ndarray, size: np.ndarray) -> np.ndarray:
    """First bit of each value of vectors that begin at `first` and have so many values of `size` bits."""
    before = np.cumsum(counts) - counts
    if len(size) == 1:
        return np.repeat(first - before * size, counts) + np.arange(counts.sum()) * size
    return np.repeat(first, counts) + (np.arange(counts.sum()) - np.repeat(before, counts)) * np.repeat(size, counts)


def decode(field: Field, numbers: np.ndarray, minimum: np.ndarray, size: np.ndarray) -> np.ndarray:
    """Values of numbers u8 as they are stored, with the `minimum` (bits, u8) and `size` in bits of each, or of all."""
    if field.type != FieldType.FLOAT:
        step = np.uint64(to_bits(field.resolution, field.type))
        return (minimum + step * numbers).view(field.type.dtype)
    exact = size == 64
    if exact.all():
        return numbers.view("<f8")
    with np.errstate(all="ignore"):  # a least value that is not finite, in a damaged file
        values = minimum.view("<f8") + field.resolution * numbers.astype("<f8")
    return np.where(exact, numbers.view("<f8"), values) if exact.any() else values


def find_events(layout: Layout, header: BlockHeader, data: bytes, where: str) -> Events:
    """The events of a block; `DataError`, which begins with `where`, if the data end before they do.

    Bytes after the last event are not looked at, as in the C++ library.
    """
    if header.events > MOST_EVENTS:
        raise DataError(f"{where}: has {header.events} events in one block, {MOST_EVENTS} can be read")
    walk = _Walk(layout, header, data, where)
    alike = not any(header.sizes[row] for row in layout.parents)  # no length is among the data: events have one shape
    rows = [walk.step(event) for event in range(min(header.events, 1) if alike else header.events)]
    first = np.array([bit for bit, _ in rows] + [walk.bit], np.int64)
    counts = np.array([counts for _, counts in rows], np.int64).reshape(len(rows), len(layout.parents) + 1)
    if alike:
        walk.require(walk.bit * header.events, header.events - 1)
        first = np.arange(header.events + 1) * walk.bit
        counts = np.repeat(counts, header.events, 0)
    if counts.sum(0) @ np.bincount(layout.group, minlength=counts.shape[1]) > MOST_VALUES + walk.bits:
        raise DataError(f"{where}: has vectors of more values than its {len(data)} bytes can mean, the file is damaged")
    minima = header.minima[:, None]
    sizes = header.sizes[:, None]
    return Events(layout, walk.words, first, np.ascontiguousarray(counts.T), minima, sizes)


class _Walk:
    """Steps from event to event, reading the values of parents."""

    def __init__(self, layout: Layout, header: BlockHeader, data: bytes, where: str):
        self.data = data
        self.where = where
        self.bits = 8 * len(data)
        self.bit = 0
        self.words = xcdf_bits.to_words(data)
        self.total = layout.weights(header.sizes, len(layout.fields))
        self.parents = [
            (
                layout.weights(header.sizes, row)[: index + 1],
                int(layout.group[row]),
                int(header.sizes[row]),
                int(header.minima[row]),
                int(layout.fields[row].resolution),
            )
            for index, row in enumerate(layout.parents)
        ]

    def step(self, event: int) -> tuple[int, list[int]]:
        """First bit of this event, and the number of values in each group of fields."""
        begin = self.bit
        counts = [1]
        for weights, group, size, minimum, resolution in self.parents:
            first = begin + sum(map(int.__mul__, weights, counts))
            number = counts[group]
            self.require(first + number * size, event)
            if number == 1 or not size:
                value = self._number(first, size)
            else:
                value = int(xcdf_bits.unpack(self.words, first + np.arange(number) * size, size).sum())
            length = (minimum * number + resolution * value) % MODULUS
            if length > MOST_VALUES + self.bits:
                raise DataError(f"{self.where}: event {event} of it has a vector of {length} values")
            counts.append(length)
        self.bit = begin + sum(map(int.__mul__, self.total, counts))
        self.require(self.bit, event)
        return begin, counts

    def require(self, stop: int, event: int) -> None:
        """Raise `DataError` where there are fewer bits."""
        if stop > self.bits:
            raise DataError(f"{self.where}: its {len(self.data)} bytes end inside event {event} of it")

    def _number(self, first: int, size: int) -> int:
        stop = first + size
        return (int.from_bytes(self.data[first >> 3 : (stop + 7) >> 3], "little") >> (first & 7)) & ((1 << size) - 1)


def gather(blocks: Sequence[Events], rows: Sequence[int]) -> Events:
    """Some events, each a row of its block, as if they were of one block."""
    pieces = []
    first = []
    counts = []
    at = 0
    for block, row in zip(blocks, rows, strict=True):
        begin, end = int(block.first[row]), int(block.first[row + 1])
        word = begin >> 6
        pieces.append(block.words[word : (end >> 6) + xcdf_bits.PADDING])
        first.append(64 * at + (begin & 63))
        counts.append(block.counts[:, row])
        at += len(pieces[-1])
    layout = blocks[0].layout
    minima, sizes = (np.concatenate([getattr(b, name) for b in blocks], 1) for name in ("minima", "sizes"))
    return Events(layout, np.concatenate(pieces), np.array(first, np.int64), np.stack(counts, 1), minima, sizes)
