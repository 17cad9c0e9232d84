"""Frames, of which XCDF files are made: type, size, Adler-32 of the payload, payload, perhaps deflated.

A frame is `u32 type, u32 size, u32 checksum, payload`; a deflated one has type `DEFLATED` and, after the checksum, a
further u32 with the type of what it holds; size and checksum are of the compressed bytes. All is little-endian. A
payload of no bytes, as of a block in which no field varies, is stored as no bytes, deflated or not.
"""

import os
import struct
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from isal import isal_zlib

from airshower.errors import DataError

FILE_HEADER, BLOCK_HEADER, BLOCK_DATA, TRAILER = 0x436FC8A4, 0x160E17E4, 0x37DF239D, 0xBD340AF6
DEFLATED = 0x7E4A26B7
KINDS = {FILE_HEADER: "file header", BLOCK_HEADER: "block header", BLOCK_DATA: "block data", TRAILER: "file trailer"}
# bytes of a frame, also inflated: the C++ library ends a block at 100 MB, and a million of them are 16 MB in a trailer
MOST_BYTES = {FILE_HEADER: 1 << 22, BLOCK_HEADER: 1 << 22, BLOCK_DATA: 1 << 28, TRAILER: 1 << 24}
INFLATE_ERROR: Any = isal_zlib.error  # by isal's types no class

_HEAD = struct.Struct("<III")
_KIND = struct.Struct("<I")


class Truncated(DataError):
    """The file ends inside a frame."""


@dataclass(frozen=True)
class Frame:
    """Where a frame is: `offset` of its first byte, `begin` and `end` of its payload as stored."""

    kind: int
    offset: int
    begin: int
    end: int
    checksum: int
    deflated: bool


def is_xcdf(path: Path) -> bool:
    """Whether a file begins as XCDF files do."""
    try:
        with FrameReader(path) as reader:
            return reader.frame(0).kind == FILE_HEADER
    except DataError:
        return False


class FrameReader:
    """An open file of `length` bytes to read frames of; a context manager.

    Raises `DataError` where there is no such file or it can't be read.
    """

    def __init__(self, path: Path):
        self.path = path
        if path.is_dir():
            raise DataError(f"{path}: is a directory, an XCDF file is needed")
        try:
            self.file = open(path, "rb", buffering=0)  # noqa: SIM115  (closed by __exit__)
        except FileNotFoundError:
            raise DataError(f"{path}: there is no such file") from None
        except OSError as error:
            raise DataError(f"{path}: can't be opened ({error.strerror})") from None
        self.length = os.fstat(self.file.fileno()).st_size

    def __enter__(self) -> "FrameReader":
        return self

    def __exit__(self, *_: Any) -> None:
        self.file.close()

    def frame(self, offset: int) -> Frame:
        """The frame at `offset`; its payload is within the file, but not read yet."""
        kind, size, checksum = _HEAD.unpack(self._read(offset, _HEAD.size, offset))
        begin = offset + _HEAD.size
        deflated = kind == DEFLATED
        if deflated:
            (kind,) = _KIND.unpack(self._read(begin, _KIND.size, offset))
            begin += _KIND.size
        if kind not in KINDS:
            raise DataError(f"{self.path}: byte {offset}: no XCDF frame begins here (its type is {kind:#010x})")
        if size > MOST_BYTES[kind]:
            raise DataError(
                f"{self.path}: byte {offset}: a {KINDS[kind]} of {size} bytes, {MOST_BYTES[kind]} can be read"
            )
        if begin + size > self.length:
            raise Truncated(
                f"{self.path}: byte {offset}: the file ends at byte {self.length}, inside a frame of {KINDS[kind]} "
                f"that goes to byte {begin + size}"
            )
        return Frame(kind, offset, begin, begin + size, checksum, deflated)

    def payload(self, frame: Frame) -> bytes:
        """What a frame holds, inflated, its checksum compared."""
        where = f"{self.path}: byte {frame.offset}: {KINDS[frame.kind]}"
        stored = self._read(frame.begin, frame.end - frame.begin, frame.offset)
        if isal_zlib.adler32(stored) != frame.checksum:
            raise DataError(f"{where}: does not agree with its checksum, the file is damaged")
        if not frame.deflated or not stored:
            return stored
        stream = isal_zlib.decompressobj()
        try:
            payload = stream.decompress(stored, MOST_BYTES[frame.kind])
        except INFLATE_ERROR as error:
            raise DataError(f"{where}: can't be inflated ({error})") from None
        if not stream.eof:
            raise DataError(f"{where}: can't be inflated (its stream has no end within {len(payload)} bytes)")
        return payload

    def _read(self, start: int, count: int, offset: int) -> bytes:
        """`count` bytes from `start`, for the frame at `offset`."""
        try:
            self.file.seek(start)
            data = self.file.read(count)
            while len(data) < count and (more := self.file.read(count - len(data))):
                data += more
        except OSError as error:
            raise DataError(f"{self.path}: byte {start}: can't be read ({error.strerror})") from None
        if len(data) < count:
            raise Truncated(f"{self.path}: byte {offset}: the file ends inside the frame that begins here")
        return data


def frame_bytes(kind: int, payload: bytes, deflate: bool) -> bytes:
    """A frame as it is stored; nothing is deflated to nothing, as by the C++ library."""
    stored = zlib.compress(payload) if deflate and payload else payload
    tag = _KIND.pack(kind) if deflate else b""
    return _HEAD.pack(DEFLATED if deflate else kind, len(stored), zlib.adler32(stored)) + tag + stored
