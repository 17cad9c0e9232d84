"""Damaged XCDF files: one line that names file and byte, never another value, a crash or a hang."""

import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.hawc.xcdf.block import Columns
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import Field
from airshower.errors import DataError
from tests.detectors.hawc.small_xcdf import FLOAT, UNSIGNED, put_together, raw_file, same, taken_apart
from tests.memory import little_memory

Frames = list[tuple[str, bytes]]
LONG = struct.pack("<Q", 1 << 60)


def contents(path: Path) -> Columns | str:
    """All values of a file, or the one line that says why not."""
    try:
        return XcdfFile(path).columns()
    except DataError as error:
        said = str(error)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said


def patched(payload: bytes, at: int, new: bytes) -> bytes:
    """A payload with other bytes from `at` on."""
    at %= len(payload)
    return payload[:at] + new + payload[at + len(new) :]


def replaced(number: int, change: Callable[[bytes], bytes]) -> Callable[[Frames], Frames]:
    """Replaces the payload of a frame: 0 file header, 1 and 2 first block, -1 trailer."""

    def apply(frames: Frames) -> Frames:
        frames[number] = frames[number][0], change(frames[number][1])
        return frames

    return apply


# fields of the small file's block header: event.nHit is row 0, hit.nPulse row 2
FAULTS = {
    "begins with a trailer": (lambda f: f[-1:], "byte 0: file trailer, where an XCDF file has its header"),
    "version": (replaced(0, lambda p: patched(p, 0, b"\4")), "is of XCDF version 4, versions 1 to 3 can be read"),
    "version 0": (replaced(0, lambda p: patched(p, 0, b"\0")), "is of XCDF version 0"),
    "empty header": (replaced(0, lambda p: p[:12]), "file header: ends after 12 bytes, more are needed"),
    "many fields": (replaced(0, lambda p: patched(p, 12, b"\xff" * 4)), "file header: "),
    "long name": (replaced(0, lambda p: patched(p, 16, b"\xff" * 4)), "file header: ends after"),
    "type": (replaced(0, lambda p: patched(p, 20 + 11, b"\7")), "event.nHit is of type 7, known are 0"),
    "same name": (replaced(0, lambda p: p.replace(b"hit.nPulse\0", b"hit.gridId\0", 1)), "has two fields hit.gridId"),
    "no name": (replaced(0, lambda p: patched(p, 20, b"\0")), "has a field without a name"),
    "no parent": (replaced(0, lambda p: p.replace(b"hit.nPulse\0", b"hit.xPulse\0", 1)), "no field before it"),
    "float parent": (replaced(0, lambda p: patched(p, 20 + 11, b"\2")), "the parent event.nHit, which is no field"),
    "block without data": (lambda f: [*f[:2], *f[3:]], "block header, where the data of a block are due"),
    "data without block": (lambda f: [f[0], *f[2:]], "block data, where a block or the trailer is due"),
    "empty block header": (replaced(1, lambda _: b""), "header of block 0: ends after 0 bytes"),
    "fewer fields": (replaced(1, lambda p: patched(p, 4, b"\7")), "header of block 0: has 7 fields, the file has 8"),
    "65 bits": (replaced(1, lambda p: patched(p, 16, b"\x41")), "values of field 0 have 65 bits, 0 to 64 are possible"),
    "-1 bits": (replaced(1, lambda p: patched(p, 16, b"\xff")), "values of field 0 have -1 bits"),
    "more bits": (replaced(1, lambda p: patched(p, 16 + 9, b"\x40")), "bytes end inside event"),
    "no data": (replaced(2, lambda _: b""), "block 0: its 0 bytes end inside event 0 of it"),
    "less data": (replaced(2, lambda p: p[:-1]), "bytes end inside event 4 of it"),
    "events": (replaced(1, lambda p: patched(p, 0, b"\6")), "counts 12 events, the blocks have 13"),
    "long vectors": (replaced(1, lambda p: patched(p, 8, LONG)), "block 0: event 0 of it has a vector of 11529215"),
    "long constants": (replaced(1, lambda p: p[:8] + LONG + bytes(9 * 7 + 1)), "has a vector of 1152921504606846976"),
    "trailer's events": (replaced(-1, lambda p: patched(p, 0, b"\5")), "file trailer: counts 5 events"),
    "trailer's table": (replaced(-1, lambda p: patched(p, 20, b"\1")), "has the blocks at other bytes than they are"),
    "many comments": (replaced(-1, lambda p: patched(p, 60, b"\xff" * 4)), "file trailer: ends after"),
    "no trailer": (lambda f: f[:-1], ""),
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_is_named(fault: str, small: Path, tmp_path: Path) -> None:
    change, said = FAULTS[fault]
    frames = taken_apart(small.read_bytes())
    path = tmp_path / "damaged.xcd"
    path.write_bytes(put_together(with_table(change(frames), fault)))
    found = contents(path)
    if said:
        assert isinstance(found, str), "nothing was said"
        assert said in found
        assert ": byte " in found
    else:
        assert same(found, XcdfFile(small).columns())


def with_table(frames: Frames, fault: str) -> Frames:
    """Put the blocks' bytes into the trailer's table, unless that is the fault."""
    at, offsets = 0, []
    for kind, payload in frames:
        offsets += [at] if kind == "block" else []
        at += 12 + len(payload)
    if frames[-1][0] != "trailer" or len(offsets) != 3 or fault == "trailer's table":
        return frames
    table = b"".join(struct.pack("<QQ", 5 * i, offset) for i, offset in enumerate(offsets))
    return [*frames[:-1], ("trailer", patched(frames[-1][1], 12, table))]


def test_blocks_that_changed_places_are_found(small: Path, tmp_path: Path) -> None:
    frames = with_table(taken_apart(small.read_bytes()), "")
    path = tmp_path / "damaged.xcd"
    path.write_bytes(put_together([frames[0], *frames[5:7], *frames[1:5], frames[-1]]))
    assert "has the blocks at other bytes than they are" in contents(path)


def test_a_missing_field_is_answered_by_those_there_the_nearest_first(small: Path) -> None:
    file = XcdfFile(small)
    with pytest.raises(DataError, match=r"small.xcd: has no field hit.chrage; it has: hit.charge, .*rec.zenith"):
        file.columns(["hit.chrage"])
    with pytest.raises(DataError, match=r"hits is an alias of event.nHit \+ 1 and can't be read as a field"):
        file.read([0], ["hits"])


@pytest.mark.parametrize("entry", [-1, 12])
def test_a_missing_entry_is_named(entry: int, small: Path) -> None:
    with pytest.raises(DataError, match=rf"small.xcd: has no entry {entry}; it has 12 events"):
        XcdfFile(small).read([0, entry])


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "empty.xcd").touch()
    (tmp_path / "text.xcd").write_text("not XCDF at all")
    for name, said in {
        "absent.xcd": "there is no such file",
        ".": "is a directory",
        "empty.xcd": "is empty",
        "text.xcd": "byte 0: no XCDF frame begins here",
    }.items():
        with pytest.raises(DataError, match=said):
            XcdfFile(tmp_path / name)


def test_a_file_that_is_replaced_while_in_use_is_named(small: Path) -> None:
    file = XcdfFile(small)
    small.write_bytes(small.read_bytes()[:400])
    with pytest.raises(DataError, match=r"small.xcd: has changed since it was opened"):
        file.columns()


@pytest.mark.parametrize("deflate", [True, False])
def test_a_file_that_is_cut_anywhere_is_refused(deflate: bool, tmp_path: Path, write_xcdf: Callable[..., Path]) -> None:
    whole, path = write_xcdf(tmp_path / "whole.xcd", deflate=deflate).read_bytes(), tmp_path / "cut.xcd"
    for size in range(len(whole)):
        path.write_bytes(whole[:size])
        assert isinstance(contents(path), str), f"cut at {size}"


def mutated(whole: bytes, rng: np.random.Generator) -> bytes:
    """A copy with some bits flipped, cut, some bytes swapped, or a part moved."""
    data, kind = bytearray(whole), rng.integers(4)
    if kind == 0:
        for at in rng.integers(0, 8 * len(data), rng.integers(1, 4)).tolist():
            data[at // 8] ^= 1 << at % 8
    elif kind == 1:
        del data[rng.integers(len(data)) :]
    elif kind == 2:
        one, two = rng.integers(0, len(data), 2).tolist()
        data[one], data[two] = data[two], data[one]
    else:
        begin, end, to = np.sort(rng.integers(0, len(data), 3)).tolist()
        data[begin:to] = data[end:to] + data[begin:end]
    return bytes(data)


COUNTS = [60, pytest.param(500, marks=pytest.mark.full)]


@pytest.mark.parametrize("count", COUNTS)
def test_a_damaged_file_is_refused_or_gives_the_same_values(count: int, small: Path, tmp_path: Path) -> None:
    whole, expected, rng = small.read_bytes(), XcdfFile(small).columns(), np.random.default_rng(count)
    path = tmp_path / "damaged.xcd"
    refused = 0
    with little_memory():
        for number in range(count):
            path.write_bytes(mutated(whole, rng))
            found = contents(path)
            refused += isinstance(found, str)
            assert isinstance(found, str) or same(found, expected), number
    assert refused > 0.9 * count


@pytest.mark.parametrize("count", COUNTS)
def test_damage_with_right_checksums_neither_crashes_nor_takes_memory(count: int, small: Path, tmp_path: Path) -> None:
    frames, rng = with_table(taken_apart(small.read_bytes()), ""), np.random.default_rng(count)
    path = tmp_path / "damaged.xcd"
    with little_memory():
        for _ in range(count):
            damaged = list(frames)
            number = int(rng.integers(len(frames)))
            damaged[number] = frames[number][0], mutated(frames[number][1], rng)
            path.write_bytes(put_together(damaged))
            contents(path)


@pytest.mark.parametrize("count", COUNTS)
def test_claims_with_right_checksums_take_no_memory(count: int, small: Path, tmp_path: Path) -> None:
    """Any four or eight bytes that may be a length, made large."""
    frames, rng = with_table(taken_apart(small.read_bytes()), ""), np.random.default_rng(count)
    claims = [struct.pack("<I", number) for number in (2**20, 2**24, 2**31, 2**32 - 1)]
    claims += [struct.pack("<Q", number) for number in (2**20, 2**24, 2**31, 2**40, 2**63, 2**64 - 1)]
    path = tmp_path / "damaged.xcd"
    with little_memory():
        for _ in range(count):
            number, claim = int(rng.integers(len(frames))), claims[int(rng.integers(len(claims)))]
            kind, payload = frames[number]
            changed = patched(payload, int(rng.integers(len(payload))), claim)
            path.write_bytes(put_together([*frames[:number], (kind, changed), *frames[number + 1 :]]))
            contents(path)


N, V = Field("n", UNSIGNED), Field("v", FLOAT, 0.1, "n")
LARGE = {
    "events": lambda: raw_file([N], [(1 << 20, [(0, 0)], b"")] * 40),
    "more events": lambda: raw_file([N], [(1 << 21, [(0, 0)], b"")]),
    "vectors": lambda: raw_file([N, V], [(1, [(1 << 23, 0), (0, 0)], b"")] * 40),
    "fields": lambda: raw_file(
        [N, *(Field(f"v{i}", FLOAT, 0.1, "n") for i in range(40))], [(1, [(1 << 20, 0)] * 41, b"")]
    ),
    "zeros": lambda: raw_file([N], [(4, [(0, 64)], bytes(300 << 20))], deflate=True),
}


@pytest.mark.parametrize("what", [*list(LARGE)[:-1], pytest.param("zeros", marks=pytest.mark.full)])
def test_a_small_file_of_large_claims_is_refused(what: str, tmp_path: Path) -> None:
    path = tmp_path / "large.xcd"
    path.write_bytes(LARGE[what]())
    assert path.stat().st_size < 400_000
    with little_memory():
        assert isinstance(contents(path), str)


def test_a_frame_of_a_file_with_holes_is_refused(small: Path, tmp_path: Path) -> None:
    """The file is as long as its frame says, but nothing of it is on the disk."""
    path, size = tmp_path / "holes.xcd", (1 << 32) - 1
    head = small.read_bytes()[: XcdfFile(small).blocks[0].offset]
    for kind in (0x160E17E4, 0x37DF239D, 0xBD340AF6):
        with open(path, "wb") as file:
            file.write(head + struct.pack("<III", kind, size, 1))
            file.truncate(len(head) + 12 + size)
        with little_memory():
            assert f"of {size} bytes" in contents(path)
