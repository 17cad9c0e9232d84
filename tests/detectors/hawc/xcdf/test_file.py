"""Reading XCDF: what the C++ library wrote, any events, several files in one, files that are being written."""

import math
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.hawc.xcdf.block import Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import Alias, Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError
from tests.detectors.hawc.small_xcdf import (
    FIELDS,
    FLOAT,
    SIGNED,
    UNSIGNED,
    decoded_slowly,
    events,
    float_bits,
    packed,
    put_together,
    raw_file,
    same,
    taken_apart,
)


def test_the_test_file_of_the_cpp_library(sample: Callable[[str], Path]) -> None:
    file = XcdfFile(sample("xcdf_test_3d.xcd"))
    assert (len(file), file.comments, file.unfinished) == (1002, ("test file",), None)
    assert [field.name for field in file.fields] == [f"field{i}" for i in (1, 2, 6, 8, 3, 4, 5, 7, 9)]
    assert {field.name: field.parent for field in file.fields if field.parent} == {
        "field2": "field1", "field8": "field2", "field9": "field8",
    }  # fmt: skip
    assert file.aliases == (
        Alias("testAlias", "field1 + 1", FieldType.UNSIGNED),
        Alias("testTrailerAlias", "double(testAlias + 2)", FieldType.FLOAT),
    )
    columns = file.columns()
    # the first event differs from the 1001 others
    assert set(columns["field1"].tolist()) == {2}
    assert set(columns["field6"].tolist()) == {0xDEADBEEFDEADBEEF}
    assert columns["field3"].tolist() == [0.1] + 1001 * [0.1 + 2 * 0.1]
    assert columns["field5"].tolist() == [5.0] + 1001 * [math.inf]
    assert columns["field7"].tolist() == 1002 * [0.12]
    assert columns["field4"][0] == 5.0
    assert np.isnan(columns["field4"][1:]).all()
    lengths = {name: columns[name].counts.tolist() for name in ("field2", "field8", "field9")}
    assert lengths == {"field2": 1002 * [2], "field8": [2] + 1001 * [4], "field9": [3] + 1001 * [6]}
    vectors = file.read([0, 1001], ["field2", "field8", "field9"])
    assert [column.values.tolist() for column in vectors.values()] == [
        [1, 1, 1, 3], [2, 1, 2, 2, 1, 1], [1, 2, 3, 1, 2, 3, 4, 5, 6],
    ]  # fmt: skip


@pytest.mark.parametrize("name", ["xcdf_test_3d.xcd", "hawc_like_gamma.xcd", "hawc_like_proton.xcd"])
def test_files_of_the_cpp_library_are_what_decoding_bit_by_bit_gives(name: str, sample: Callable[[str], Path]) -> None:
    path = sample(name)
    file, payloads = XcdfFile(path), [payload for kind, payload in taken_apart(path.read_bytes()) if kind != "file"]
    for number, block in enumerate(file.blocks[:2]):
        slow = decoded_slowly(*payloads[2 * number : 2 * number + 2], list(file.fields), 3)
        fast = file.columns(start=block.first, stop=block.first + len(slow))
        for field in file.fields:
            column = fast[field.name]
            values = column.values if isinstance(column, Ragged) else column
            expected = [value for event in slow for value in event[field.name]]
            np.testing.assert_array_equal(values, np.array(expected, field.type.dtype))


def test_toy_hawc_events(sample: Callable[[str], Path]) -> None:
    file = XcdfFile(sample("hawc_like_gamma.xcd"))
    columns = file.columns(["event.nHit", "event.hit.gridId", "event.hit.time"])
    assert np.array_equal(columns["event.nHit"].astype(int), columns["event.hit.gridId"].counts)
    assert columns["event.nHit"].sum() == len(columns["event.hit.time"].values) == 789015
    statistics = dict(zip([field.name for field in file.fields], file.statistics[0], strict=True))
    ids, known = columns["event.hit.gridId"].values, statistics["event.hit.gridId"]
    assert (ids.min(), ids.max()) == (known.minimum, known.maximum) == (1, 1200)


def test_what_is_written_is_read(small: Path) -> None:
    file, wanted = XcdfFile(small), events(12)
    columns = file.columns()
    assert len(file) == 12
    assert [block.header.events for block in file.blocks] == [5, 5, 2]
    for field in FIELDS:
        read, written = columns[field.name], wanted[field.name]
        if isinstance(read, Ragged):
            assert np.array_equal(read.counts, written.counts)
            read, written = read.values, written.values
        assert read.dtype == field.type.dtype
        np.testing.assert_allclose(read, written, rtol=0, atol=1e-9 if field.type == FieldType.FLOAT else 0)


@pytest.mark.parametrize("kept_bytes", [0, 1 << 20])
def test_any_events_are_those_of_a_pass(kept_bytes: int, small: Path) -> None:
    file, rng = XcdfFile(small, kept_bytes), np.random.default_rng(0)
    one_by_one = [file.columns(start=entry, stop=entry + 1) for entry in range(12)]
    for entries in ([], [11], rng.permutation(12), [7, 7, 0, 7], np.arange(12)):
        found = file.read(entries)
        for name, column in found.items():
            vector = isinstance(column, Ragged)
            values = [(one_by_one[e][name].values if vector else one_by_one[e][name]) for e in entries]
            expected = np.concatenate([np.empty(0, file.field(name).type.dtype), *values])
            assert np.array_equal(column.values if vector else column, expected)
            if vector:
                assert column.counts.tolist() == [len(v) for v in values]
    assert same(file.read(np.arange(12)), file.columns())


def test_slices_are_python_slices(small: Path) -> None:
    file = XcdfFile(small)
    for start, stop in [(0, 0), (3, 8), (-2, None), (4, 100), (8, 3)]:
        expected = file.read(np.arange(12)[start:stop], ["rec.zenith", "pulse.time"])
        assert same(file.columns(["rec.zenith", "pulse.time"], start, stop), expected)


def test_threads_read_beside_each_other(small: Path) -> None:
    file, expected, wrong = XcdfFile(small, kept_bytes=0), XcdfFile(small).columns(), []

    def read() -> None:
        wrong.extend(1 for _ in range(20) if not same(file.read(np.arange(12)), expected))

    threads = [threading.Thread(target=read) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not wrong


def test_files_one_after_the_other(tmp_path: Path, write_xcdf: Callable[..., Path]) -> None:
    parts = [write_xcdf(tmp_path / f"{seed}.xcd", count, seed) for seed, count in enumerate((12, 0, 7))]
    path = tmp_path / "all.xcd"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    file = XcdfFile(path)
    assert (len(file), len(file.statistics), file.comments) == (19, 3, ("a small file",) * 3)
    assert same(file.columns(start=12), XcdfFile(parts[2]).columns())
    assert same(file.read(np.arange(12)), XcdfFile(parts[0]).columns())


def test_files_of_other_fields_do_not_follow(tmp_path: Path, small: Path) -> None:
    with XcdfWriter(tmp_path / "other.xcd", FIELDS[:2]):
        pass
    path, size = tmp_path / "all.xcd", small.stat().st_size
    path.write_bytes(small.read_bytes() + (tmp_path / "other.xcd").read_bytes())
    with pytest.raises(DataError, match=rf"all.xcd: byte {size}: the file that follows here has other fields"):
        XcdfFile(path)


@pytest.mark.parametrize("deflate", [True, False])
def test_a_file_without_events(deflate: bool, tmp_path: Path, write_xcdf: Callable[..., Path]) -> None:
    file = XcdfFile(write_xcdf(tmp_path / "none.xcd", 0, deflate=deflate))
    assert len(file) == 0
    assert all(len(column) == 0 for column in [*file.columns().values(), *file.read([]).values()])


def test_a_file_that_is_being_written_is_read_up_to_its_last_whole_block(tmp_path: Path, small: Path) -> None:
    frames = [frame for frame in taken_apart(small.read_bytes()) if frame[0] != "trailer"]
    whole, path, expected = put_together(frames), tmp_path / "unfinished.xcd", XcdfFile(small).columns()
    ends = {len(put_together(frames[: 1 + 2 * blocks])): events for blocks, events in enumerate((0, 5, 10, 12))}
    for size in range(min(ends), len(whole) + 1):
        path.write_bytes(whole[:size])
        file, end = XcdfFile(path), max(end for end in ends if end <= size)
        assert (len(file), file.unfinished) == (ends[end], size - end)
        if size in ends:
            assert list(file.columns(["event.nHit"])["event.nHit"]) == list(expected["event.nHit"][: ends[size]])


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("counts", [[1], [1000, 1], [3, 1, 2]])
def test_blocks_in_which_no_field_varies(counts: list[int], deflate: bool, tmp_path: Path) -> None:
    """Such a block has no data; a deflated frame of it is of 0 bytes, which is no stream of zlib."""
    fields = [Field("n", UNSIGNED), Field("s", SIGNED, 5), Field("x", FLOAT, 0.5), Field("v", FLOAT, 0.1, "n")]
    least = [(number, -5 * number % 2**64, 0.5 * number, 7.0 * (number > 0)) for number in range(3)]
    minima = [[n, s, float_bits(x), float_bits(v)] for n, s, x, v in least]
    blocks = [(count, [(m, 0) for m in minima[number]], b"") for number, count in enumerate(counts)]
    path = tmp_path / "constant.xcd"
    path.write_bytes(raw_file(fields, blocks, deflate))
    file, numbers = XcdfFile(path), np.repeat([0, 1, 2][: len(counts)], counts)
    for columns in (file.columns(), file.read(np.arange(len(file)))):
        assert columns["n"].tolist() == numbers.tolist()
        assert columns["s"].tolist() == (-5 * numbers).tolist()
        assert columns["x"].tolist() == (0.5 * numbers).tolist()
        assert columns["v"].counts.tolist() == numbers.tolist()
        assert set(columns["v"].values.tolist()) <= {7.0}
    again = tmp_path / "again.xcd"
    with XcdfWriter(again, fields, block_events=1000, deflate=deflate) as writer:
        writer.append(file.columns())
    assert same(XcdfFile(again).columns(), file.columns())
    if counts != [3, 1, 2]:
        frames = [path.read_bytes()[file.blocks[0].offset :], again.read_bytes()[file.blocks[0].offset :]]
        sizes = [block.data.end - block.offset for block in file.blocks]
        assert frames[0][: sum(sizes)] == frames[1][: sum(sizes)], "bytes as the C++ library writes them"


def test_the_digest_tells_values_fields_and_places_apart(tmp_path: Path) -> None:
    """Values of one range, in as many bits: only the data differ."""
    fields, digests = [Field("x", UNSIGNED), Field("y", FLOAT, 0.5)], {}
    active = [(5, 3), (float_bits(1.0), 0)]
    variants = {
        "one": raw_file(fields, [(4, active, packed([0, 1, 2, 7], 3))]),
        "other": raw_file(fields, [(4, active, packed([0, 2, 1, 7], 3))]),
        "deflated": raw_file(fields, [(4, active, packed([0, 1, 2, 7], 3))], deflate=True),
        "named": raw_file([fields[0], Field("z", FLOAT, 0.5)], [(4, active, packed([0, 1, 2, 7], 3))]),
        "finer": raw_file([fields[0], Field("y", FLOAT, 0.25)], [(4, active, packed([0, 1, 2, 7], 3))]),
        "moved": raw_file(fields, [(4, [(6, 3), active[1]], packed([0, 1, 2, 7], 3))]),
    }
    for name, data in variants.items():
        for copy in ("a", "b"):
            path = tmp_path / f"{name}_{copy}.xcd"
            path.write_bytes(data)
            digests[name, copy] = XcdfFile(path).digest
        assert digests[name, "a"] == digests[name, "b"]
    assert len(set(digests.values())) == len(variants)


def test_sums_of_vectors_are_exact() -> None:
    large = np.array([2**53 + 1, 2**60 + 3, 1, 2**64 - 1], np.uint64)
    assert Ragged(large, np.array([1, 0, 2, 1])).sums().tolist() == [2**53 + 1, 0, 2**60 + 4, 2**64 - 1]


def test_old_versions_have_no_aliases_and_may_have_fields_in_any_order(tmp_path: Path, small: Path) -> None:
    frames = taken_apart(small.read_bytes())
    by_version = {}
    for version in (1, 2):
        header = version.to_bytes(4, "little") + _header_of(frames[0][1], reverse_floats_first=True)
        trailer = frames[-1][1][: frames[-1][1].index(b"a small file\0") + len("a small file\0")]
        path = tmp_path / f"{version}.xcd"
        path.write_bytes(put_together([("file", header), *frames[1:-1], ("trailer", _moved(trailer, frames, header))]))
        by_version[version] = XcdfFile(path)
    for file in by_version.values():
        assert (file.aliases, file.comments) == ((), ("a small file",))
        assert same(file.columns(), XcdfFile(small).columns())


def _header_of(payload: bytes, reverse_floats_first: bool) -> bytes:
    """A header after its version: fields with the floats in front, no aliases."""
    ordered = sorted(FIELDS, key=lambda field: field.type != FieldType.FLOAT) if reverse_floats_first else FIELDS
    parts = {}
    for field in FIELDS:
        name = len(field.name + "\0").to_bytes(4, "little") + field.name.encode() + b"\0"
        begin = payload.index(name)
        parts[field.name] = payload[begin : begin + len(name) + 9 + 4 + len(field.parent) + 1]
    return payload[4:16] + b"".join(parts[field.name] for field in ordered)


def _moved(trailer: bytes, frames: list[tuple[str, bytes]], header: bytes) -> bytes:
    """A trailer with the blocks where they are when frames are put together after `header`."""
    at, table = 12 + len(header), b""
    for number, (kind, payload) in enumerate(frames[1:-1]):
        if kind == "block":
            table += (5 * (number // 2)).to_bytes(8, "little") + at.to_bytes(8, "little")
        at += 12 + len(payload)
    return trailer[:12] + table + trailer[12 + len(table) :]
