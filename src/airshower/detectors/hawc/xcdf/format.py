"""What XCDF's frames hold beside data: fields, aliases, the statistics of fields, comments, the table of blocks.

The format is that of the C++ library (github.com/jimbraun/XCDF), version 3; versions 1 and 2 have no aliases and no
statistics. Integers are little-endian, a string is a u32 that counts its bytes and a NUL, and these.
"""

import enum
import struct
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from airshower.errors import DataError

VERSION = 3
BLOCK_ROW = np.dtype([("first_event", "<u8"), ("offset", "<u8")])
ACTIVE = np.dtype([("minimum", "<u8"), ("size", "i1")])


class FieldType(enum.IntEnum):
    """What a field's values are; the order of fields in the data is that of their types."""

    UNSIGNED = 0
    SIGNED = 1
    FLOAT = 2

    @property
    def dtype(self) -> np.dtype:
        """Of a column of such values."""
        return np.dtype(("<u8", "<i8", "<f8")[self])


@dataclass(frozen=True)
class Field:
    """A column: values are stored in steps of `resolution` (floats: exactly where it is 0).

    A field with a `parent` is a vector: an event has as many values as the parent's value says, or, where the parent is
    a vector itself, the sum of its values in the event.
    """

    name: str
    type: FieldType
    resolution: float = 1
    parent: str = ""


@dataclass(frozen=True)
class Alias:
    """A name for an expression of fields, such as `double(nHit + 1)`, for the C++ tools; it is not evaluated here."""

    name: str
    expression: str
    type: FieldType


@dataclass(frozen=True)
class Statistics:
    """Of one field in a file: bits of the largest and least value, bytes of all, whether it has any value."""

    maximum: int
    minimum: int
    bytes: int
    filled: bool


@dataclass(frozen=True)
class Header:
    """The first frame; `trailer` is the offset of the trailer from the header's first byte, 0 where not known yet."""

    fields: tuple[Field, ...]
    aliases: tuple[Alias, ...] = ()
    trailer: int = 0
    version: int = VERSION

    @classmethod
    def parse(cls, payload: bytes, where: str) -> "Header":
        """Read and checked; `DataError` begins with `where`."""
        cursor = _Cursor(payload, where)
        version, trailer, count = cursor.take("<IQI")
        if not 1 <= version <= VERSION:
            raise DataError(f"{where}: is of XCDF version {version}, versions 1 to {VERSION} can be read")
        fields = []
        for _ in range(count):
            name, (kind, resolution) = cursor.string(), cursor.take("<bQ")
            type_ = cursor.type(kind, name)
            fields.append(Field(name, type_, from_bits(resolution, type_), cursor.string()))
        aliases = cursor.aliases() if version > 2 else ()
        return cls(data_order(fields, where), aliases, trailer, version)

    def pack(self) -> bytes:
        """The payload."""
        parts = [struct.pack("<IQI", VERSION, self.trailer, len(self.fields))]
        for f in self.fields:
            parts += [_string(f.name), struct.pack("<bQ", f.type, to_bits(f.resolution, f.type)), _string(f.parent)]
        return b"".join([*parts, _aliases(self.aliases)])


@dataclass(frozen=True)
class BlockHeader:
    """Of one block: `minima` (bits, u8 [fields]) and `sizes` (bits per value, int64 [fields]) in the order of data."""

    events: int
    minima: np.ndarray
    sizes: np.ndarray

    @classmethod
    def parse(cls, payload: bytes, fields: int, where: str) -> "BlockHeader":
        """Read and checked; `DataError` begins with `where`."""
        cursor = _Cursor(payload, where)
        events, count = cursor.take("<II")
        if count != fields:
            raise DataError(f"{where}: has {count} fields, the file has {fields}")
        rows = cursor.rows(ACTIVE, count)
        sizes = rows["size"].astype(np.int64)
        for index in np.flatnonzero((sizes < 0) | (sizes > 64))[:1]:
            raise DataError(f"{where}: values of field {index} have {sizes[index]} bits, 0 to 64 are possible")
        return cls(events, rows["minimum"].astype(np.uint64), sizes)

    def pack(self) -> bytes:
        """The payload."""
        rows = np.empty(len(self.sizes), ACTIVE)
        rows["minimum"], rows["size"] = self.minima, self.sizes
        return struct.pack("<II", self.events, len(rows)) + rows.tobytes()


@dataclass(frozen=True)
class Trailer:
    """The last frame: `blocks` are the first event and offset of each, statistics are in the order of the header."""

    events: int
    blocks: np.ndarray = field(repr=False)
    comments: tuple[str, ...] = ()
    statistics: tuple[Statistics, ...] = ()
    aliases: tuple[Alias, ...] = ()

    @classmethod
    def parse(cls, payload: bytes, version: int, where: str) -> "Trailer":
        """Read and checked; `DataError` begins with `where`."""
        cursor = _Cursor(payload, where)
        events, count = cursor.take("<QI")
        blocks = cursor.rows(BLOCK_ROW, count)
        comments = tuple(cursor.string() for _ in range(cursor.take("<I")[0]))
        if version < 3:
            return cls(events, blocks, comments)
        statistics = [cursor.take("<QQQb") for _ in range(cursor.take("<I")[0])]
        return cls(
            events,
            blocks,
            comments,
            tuple(Statistics(low, high, size, bool(filled)) for low, high, size, filled in statistics),
            cursor.aliases(),
        )

    def pack(self) -> bytes:
        """The payload."""
        parts = [struct.pack("<QI", self.events, len(self.blocks)), self.blocks.astype(BLOCK_ROW).tobytes()]
        parts += [struct.pack("<I", len(self.comments)), *map(_string, self.comments)]
        parts += [struct.pack("<I", len(self.statistics))]
        parts += [struct.pack("<QQQb", s.maximum, s.minimum, s.bytes, s.filled) for s in self.statistics]
        return b"".join([*parts, _aliases(self.aliases)])


def data_order(fields: Sequence[Field], where: str) -> tuple[Field, ...]:
    """Fields as data have them, unsigned, then signed, then floats; `DataError` where they can't be a file's fields."""
    ordered = tuple(sorted(fields, key=lambda f: f.type))
    before: dict[str, Field] = {}
    for f in ordered:
        if not f.name:
            raise DataError(f"{where}: has a field without a name")
        if f.name in before:
            raise DataError(f"{where}: has two fields {f.name}")
        if f.parent and f.parent not in before:
            raise DataError(f"{where}: {f.name} has the parent {f.parent}, which is no field before it")
        if f.parent and before[f.parent].type != FieldType.UNSIGNED:
            raise DataError(f"{where}: {f.name} has the parent {f.parent}, which is not unsigned and can't be a length")
        before[f.name] = f
    return ordered


def from_bits(bits: int, type_: FieldType) -> Any:
    """The number that 64 bits are as a value of this type."""
    return np.array(bits, "<u8").view(type_.dtype).item()


def to_bits(value: Any, type_: FieldType) -> int:
    """The 64 bits of a value of this type."""
    return np.array(value, type_.dtype).view("<u8").item()


class _Cursor:
    """Takes a payload apart from front to back; `DataError` where it is shorter than it says."""

    def __init__(self, payload: bytes, where: str):
        self.payload = payload
        self.where = where
        self.at = 0

    def take(self, layout: str) -> tuple:
        return struct.unpack(layout, self._bytes(struct.calcsize(layout)))

    def string(self) -> str:
        (count,) = self.take("<I")
        return self._bytes(count).split(b"\0", 1)[0].decode(errors="backslashreplace")

    def rows(self, dtype: np.dtype, count: int) -> np.ndarray:
        return np.frombuffer(self._bytes(count * dtype.itemsize), dtype)

    def aliases(self) -> tuple[Alias, ...]:
        aliases = []
        for _ in range(self.take("<I")[0]):
            name, expression, (kind,) = self.string(), self.string(), self.take("<b")
            aliases.append(Alias(name, expression, self.type(kind, name)))
        return tuple(aliases)

    def type(self, kind: int, name: str) -> FieldType:
        if kind not in tuple(FieldType):
            raise DataError(f"{self.where}: {name} is of type {kind}, known are 0 (unsigned), 1 (signed), 2 (float)")
        return FieldType(kind)

    def _bytes(self, count: int) -> bytes:
        data = self.payload[self.at : self.at + count]
        if len(data) < count:
            raise DataError(f"{self.where}: ends after {len(self.payload)} bytes, more are needed")
        self.at += count
        return data


def _string(text: str) -> bytes:
    data = text.encode() + b"\0"
    return struct.pack("<I", len(data)) + data


def _aliases(aliases: Sequence[Alias]) -> bytes:
    parts = [_string(a.name) + _string(a.expression) + struct.pack("<b", a.type) for a in aliases]
    return struct.pack("<I", len(aliases)) + b"".join(parts)
