"""Small XCDF files, and XCDF taken apart, put together and decoded bit by bit."""

import struct
import zlib
from pathlib import Path

import numpy as np

from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.format import Alias, Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter

UNSIGNED, SIGNED, FLOAT = FieldType
FIELDS = (
    Field("event.nHit", UNSIGNED),
    Field("hit.gridId", UNSIGNED, 1, "event.nHit"),
    Field("hit.nPulse", UNSIGNED, 1, "event.nHit"),
    Field("event.offset", SIGNED, 5),
    Field("rec.zenith", FLOAT, 1e-4),
    Field("event.energy", FLOAT, 0.0),
    Field("hit.charge", FLOAT, 0.01, "event.nHit"),
    Field("pulse.time", FLOAT, 0.1, "hit.nPulse"),
)
ALIASES = (Alias("hits", "event.nHit + 1", UNSIGNED),)
DEFLATED, KINDS = 0x7E4A26B7, {0x436FC8A4: "file", 0x160E17E4: "block", 0x37DF239D: "data", 0xBD340AF6: "trailer"}


def events(count: int, seed: int = 0) -> Columns:
    """Events of `FIELDS`, some without hits; values lie on the steps of their fields."""
    rng = np.random.default_rng(seed)
    hits = rng.integers(0, 5, count)
    pulses = rng.integers(0, 3, hits.sum())
    event = np.repeat(np.arange(count), hits)
    pulse_counts = np.bincount(event, pulses, count).astype(np.int64)
    return {
        "event.nHit": hits.astype(np.uint64),
        "hit.gridId": Ragged(rng.integers(1, 1201, hits.sum()).astype(np.uint64), hits),
        "hit.nPulse": Ragged(pulses.astype(np.uint64), hits),
        "event.offset": 5 * rng.integers(-100, 100, count),
        "rec.zenith": rng.integers(0, 10000, count) * 1e-4,
        "event.energy": rng.exponential(1000.0, count),
        "hit.charge": Ragged(rng.integers(10, 10000, hits.sum()) * 0.01, hits),
        "pulse.time": Ragged(rng.integers(-5000, 5000, pulses.sum()) * 0.1, pulse_counts),
    }


def write_xcdf(path: Path, count: int = 12, seed: int = 0, block_events: int = 5, deflate: bool = True) -> Path:
    """Write events of `FIELDS` in blocks of 5."""
    with XcdfWriter(path, FIELDS, ["a small file"], ALIASES, block_events, deflate) as writer:
        writer.append(events(count, seed))
    return path


def same(one: Columns, other: Columns) -> bool:
    """Whether columns are the same to the bit."""

    def equal(a: np.ndarray, b: np.ndarray) -> bool:
        return a.dtype == b.dtype and np.array_equal(a.view(np.uint64), b.view(np.uint64))

    return list(one) == list(other) and all(
        equal(a.values, b.values) and equal(a.counts, b.counts) if isinstance(a, Ragged) else equal(a, b)
        for a, b in zip(one.values(), other.values(), strict=True)
    )


def taken_apart(data: bytes) -> list[tuple[str, bytes]]:
    """Kind and inflated payload of each frame."""
    frames, at = [], 0
    while at < len(data):
        kind, size, checksum = struct.unpack_from("<III", data, at)
        begin = at + 12 + 4 * (kind == DEFLATED)
        payload, at = data[begin : begin + size], begin + size
        assert zlib.adler32(payload) == checksum
        if kind == DEFLATED:
            (kind,) = struct.unpack_from("<I", data, begin - 4)
            payload = zlib.decompress(payload) if payload else b""
        frames.append((KINDS[kind], payload))
    return frames


def put_together(frames: list[tuple[str, bytes]]) -> bytes:
    """Frames with their checksums, none deflated, and a trailer offset that fits."""
    number = {name: kind for kind, name in KINDS.items()}
    sizes = np.cumsum([0] + [12 + len(payload) for _, payload in frames])
    trailer = next((int(at) for at, (kind, _) in zip(sizes, frames, strict=False) if kind == "trailer"), 0)
    parts = []
    for kind, payload in frames:
        if kind == "file":
            payload = payload[:4] + struct.pack("<Q", trailer) + payload[12:]
        parts.append(struct.pack("<III", number[kind], len(payload), zlib.adler32(payload)) + payload)
    return b"".join(parts)


RawBlock = tuple[int, list[tuple[int, int]], bytes]  # events, minimum (bits) and size of each field, data


def raw_file(fields: list[Field], blocks: list[RawBlock], deflate: bool = False) -> bytes:
    """A file of these blocks; deflated as by the C++ library, which leaves nothing as nothing."""

    def text(string: str) -> bytes:
        return struct.pack("<I", len(string) + 1) + string.encode() + b"\0"

    def frame(name: str, payload: bytes, deflated: bool = deflate) -> bytes:
        (kind,) = (kind for kind, known in KINDS.items() if known == name)
        stored = zlib.compress(payload) if deflated and payload else payload
        head = struct.pack("<III", DEFLATED if deflated else kind, len(stored), zlib.adler32(stored))
        return head + struct.pack("<I", kind) * deflated + stored

    def bits(field: Field) -> bytes:
        return struct.pack("<d" if field.type == FLOAT else "<Q", field.resolution)

    of_fields = b"".join(text(f.name) + struct.pack("<b", f.type) + bits(f) + text(f.parent) for f in fields)
    parts, table, first = [frame("file", bytes(16) + of_fields + bytes(4), deflated=False)], b"", 0
    for events, active, data in blocks:
        table += struct.pack("<QQ", first, sum(map(len, parts)))
        header = struct.pack("<II", events, len(active)) + b"".join(struct.pack("<Qb", *field) for field in active)
        parts += [frame("block", header), frame("data", data)]
        first += events
    trailer = sum(map(len, parts))
    parts[0] = frame("file", struct.pack("<IQI", 3, trailer, len(fields)) + of_fields + bytes(4), deflated=False)
    return b"".join([*parts, frame("trailer", struct.pack("<QI", first, len(blocks)) + table + bytes(12))])


def packed(numbers: list[int], size: int) -> bytes:
    """Numbers of so many bits each as a stream, lowest bit first."""
    stream = sum(number << size * place for place, number in enumerate(numbers))
    return stream.to_bytes(-(-size * len(numbers) // 8), "little")


def float_bits(value: float) -> int:
    """The 64 bits of a float."""
    return struct.unpack("<Q", struct.pack("<d", value))[0]


def decoded_slowly(header: bytes, data: bytes, fields: list[Field], most: int) -> list[dict[str, list]]:
    """The first events of a block, one bit and one value after the other."""
    count, number = struct.unpack_from("<II", header)
    active = {field.name: struct.unpack_from("<Qb", header, 8 + 9 * i) for i, field in enumerate(fields)}
    assert number == len(fields)
    stream, at, found = int.from_bytes(data[:40_000], "little"), 0, []
    for _ in range(min(count, most)):
        event: dict[str, list] = {}
        for field in fields:
            minimum, size = active[field.name]
            values = []
            for _ in range(sum(event[field.parent]) if field.parent else 1):
                raw, at = (stream >> at) & ((1 << size) - 1), at + size
                if field.type != FLOAT:
                    raw = (minimum + raw * int(field.resolution)) % (1 << 64)
                    values.append(raw - (1 << 64) * (field.type == SIGNED and raw >> 63))
                elif size == 64:
                    values.append(struct.unpack("<d", struct.pack("<Q", raw))[0])
                else:
                    values.append(struct.unpack("<d", struct.pack("<Q", minimum))[0] + field.resolution * raw)
            event[field.name] = values
        found.append(event)
    return found
