"""Writing XCDF: as the C++ library does, exact where a format can be, and all or nothing."""

import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import Field, FieldType, to_bits
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError, UserError
from tests.detectors.hawc.small_xcdf import FIELDS, FLOAT, SIGNED, UNSIGNED, events, same, taken_apart


def round_trip(path: Path, fields: list[Field], columns: Columns, **options: Any) -> Columns:
    """What is read of what was written."""
    with XcdfWriter(path, fields, **options) as writer:
        writer.append(columns)
    return XcdfFile(path).columns()


@pytest.mark.parametrize("name", ["xcdf_test_3d.xcd", "hawc_like_gamma.xcd", "hawc_like_proton.xcd"])
def test_files_of_the_cpp_library_are_written_again_with_the_same_blocks(
    name: str, sample: Callable[[str], Path], tmp_path: Path
) -> None:
    file, path = XcdfFile(sample(name)), tmp_path / name
    columns = file.columns()
    assert same(columns, round_trip(path, list(file.fields), columns, comments=file.comments))
    old, new = taken_apart(file.path.read_bytes()), taken_apart(path.read_bytes())
    assert [kind for kind, _ in old] == [kind for kind, _ in new]
    assert old[1:-1] == new[1:-1]
    if not file.aliases:
        assert old[0] == new[0]
    # the C++ library takes maxima before rounding; all else of the statistics is the same
    for ours, theirs in zip(XcdfFile(path).statistics[0], file.statistics[0], strict=True):
        assert (ours.minimum, ours.bytes, ours.filled) == (theirs.minimum, theirs.bytes, theirs.filled)


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("block_events", [1, 5, 1000])
def test_blocks_hold_so_many_events_however_they_were_added(block_events: int, deflate: bool, tmp_path: Path) -> None:
    whole, paths = events(23), [tmp_path / name for name in ("at_once.xcd", "in_parts.xcd")]
    reference = round_trip(paths[0], list(FIELDS), whole, block_events=block_events, deflate=deflate)
    with XcdfWriter(paths[1], FIELDS, block_events=block_events, deflate=deflate) as writer:
        for start, stop in [(0, 1), (1, 1), (1, 4), (4, 17), (17, 23)]:
            writer.append({
                name: column.slice(start, stop) if isinstance(column, Ragged) else column[start:stop]
                for name, column in whole.items()
            })  # fmt: skip
    assert paths[0].read_bytes() == paths[1].read_bytes()
    file = XcdfFile(paths[1])
    assert [block.header.events for block in file.blocks] == [min(block_events, 23 - b.first) for b in file.blocks]
    assert same(file.columns(), reference)


def test_a_block_ends_at_so_many_values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("airshower.detectors.hawc.xcdf.writer.BLOCK_VALUES", 40)
    columns = round_trip(tmp_path / "a.xcd", list(FIELDS), events(23))
    assert np.array_equal(columns["event.nHit"], events(23)["event.nHit"])
    file = XcdfFile(tmp_path / "a.xcd")
    assert len(file) == 23
    for block in file.blocks:
        part = file.columns(start=block.first, stop=block.first + block.header.events)
        values = sum(len(c.values) if isinstance(c, Ragged) else len(c) for c in part.values())
        assert values <= 40 or block.header.events == 1


NUMBERS = {
    UNSIGNED: st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3)),
    SIGNED: st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)),
    FLOAT: st.one_of(st.floats(), st.floats(-1e6, 1e6), st.sampled_from([0.0, 0.05, -0.0, 0.3, math.nan, math.inf])),
}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), type_=st.sampled_from(list(FieldType)), vector=st.booleans())
def test_any_numbers_come_back(data: st.DataObject, type_: FieldType, vector: bool, tmp_path: Path) -> None:
    resolution = data.draw(st.sampled_from([0.0, 0.1, 0.5, 1e-4, 100.0])) if type_ == FLOAT else 1
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=8)), np.int64)
    total = int(counts.sum()) if vector else len(counts)
    values = np.array(data.draw(st.lists(NUMBERS[type_], min_size=total, max_size=total)), type_.dtype)
    fields = [Field("n", UNSIGNED), Field("x", type_, resolution, "n" if vector else "")]
    columns = {"n": counts.astype(np.uint64), "x": Ragged(values, counts) if vector else values}
    found = round_trip(tmp_path / "a.xcd", fields, columns, block_events=3)
    read = found["x"].values if vector else found["x"]
    if resolution in (0.0, 1):
        assert np.array_equal(read.view(np.uint64), values.view(np.uint64))
    else:
        finite = np.isfinite(values)
        assert np.array_equal(read[~finite], values[~finite], equal_nan=True)
        error = np.abs(read[finite] - values[finite])
        with np.errstate(over="ignore"):  # the largest number of all has none above it
            rounding = 4 * np.spacing(np.abs(values[finite]))
        assert (error <= resolution * 0.5 * (1 + 1e-9) + rounding).all()
    again = round_trip(tmp_path / "b.xcd", fields, found, block_events=3)
    assert same(found, again)


@pytest.mark.parametrize("type_", [UNSIGNED, SIGNED])
def test_integers_are_rounded_to_their_resolution(type_: FieldType, tmp_path: Path) -> None:
    values = np.array([1003, 1004, 1006, 1012, 1999], type_.dtype) - (1500 if type_ == SIGNED else 0)
    columns = round_trip(tmp_path / "a.xcd", [Field("x", type_, 5)], {"x": values})
    assert (columns["x"] + (1500 if type_ == SIGNED else 0)).tolist() == [1005, 1005, 1005, 1010, 2000]


@pytest.mark.parametrize(
    ("type_", "step", "written", "read"),
    [
        (UNSIGNED, 10, [0, 2**64 - 1], [0, 2**64 - 6]),
        (UNSIGNED, 10, [2**64 - 1], [2**64 - 6]),
        (UNSIGNED, 2**63, [0, 2**62, 2**64 - 1], [0, 2**63, 2**63]),
        (UNSIGNED, 2**64 - 1, [0, 2**63 - 1, 2**63, 2**64 - 1], [0, 0, 2**64 - 1, 2**64 - 1]),
        (SIGNED, 10, [0, 2**63 - 1], [0, 2**63 - 8]),
        (SIGNED, 10, [-(2**63), 0], [-(2**63) + 8, 0]),
        (SIGNED, 10, [-(2**63), -(2**63) + 9, 2**63 - 1], [-(2**63) + 8, -(2**63) + 8, 2**63 - 8]),
        (SIGNED, 1, [-(2**63), 2**63 - 1], [-(2**63), 2**63 - 1]),
        (SIGNED, 2**63 - 1, [-(2**63), 0, 2**63 - 1], [-(2**63) + 1, 0, 2**63 - 1]),
    ],
)
def test_integers_at_the_ends_of_their_range_do_not_go_round(
    type_: FieldType, step: int, written: list[int], read: list[int], tmp_path: Path
) -> None:
    """They become the nearest multiple of the resolution that their type has."""
    counts = np.array([len(written)])
    columns = {"n": counts.astype(np.uint64), "v": Ragged(np.array(written, type_.dtype), counts)}
    found = round_trip(tmp_path / "a.xcd", [Field("n", UNSIGNED), Field("v", type_, step, "n")], columns)
    assert found["v"].values.tolist() == read
    again = round_trip(tmp_path / "b.xcd", [Field("n", UNSIGNED), Field("v", type_, step, "n")], found)
    assert again["v"].values.tolist() == read


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), type_=st.sampled_from([UNSIGNED, SIGNED]))
def test_integers_are_at_most_a_step_off(data: st.DataObject, type_: FieldType, tmp_path: Path) -> None:
    limits = np.iinfo(type_.dtype)
    ends = [st.integers(limits.min, limits.min + 30), st.integers(limits.max - 30, limits.max), NUMBERS[type_]]
    step = data.draw(st.one_of(st.integers(1, 40), st.integers(1, limits.max)))
    written = data.draw(st.lists(st.one_of(*ends), min_size=1, max_size=6))
    read = round_trip(tmp_path / "a.xcd", [Field("x", type_, step)], {"x": np.array(written, type_.dtype)})["x"]
    for one, other in zip(written, read.tolist(), strict=True):
        assert other % step == 0
        lowest, highest = -(-limits.min // step) * step, limits.max // step * step
        assert abs(other - one) <= step / 2 or other in (lowest, highest)
        assert abs(other - one) < step


@pytest.mark.parametrize(("start", "step"), [(1e9 * 86400 + 0.03, 0.1), (1.3e9 + 0.3e-6, 1e-6), (-1e14 - 0.4, 0.5)])
def test_clocks_come_back_as_they_were_read(start: float, step: float, tmp_path: Path) -> None:
    """The least value of a block far from 0 is no multiple of the resolution, as in the C++ library."""
    values = start + step * np.arange(200)
    read = round_trip(tmp_path / "a.xcd", [Field("t", FLOAT, step)], {"t": values})["t"]
    assert read.tolist() == values.tolist()
    near = round_trip(tmp_path / "b.xcd", [Field("t", FLOAT, step)], {"t": np.array([0.3, 1.7]) * step})["t"]
    assert near.tolist() == [0.0, 2 * step]


def test_statistics(tmp_path: Path) -> None:
    fields = [Field("n", UNSIGNED), Field("x", FLOAT, 0.5, "n"), Field("y", FLOAT, 0.0), Field("i", SIGNED)]
    counts = np.array([2, 0, 1])
    columns = {"n": counts, "x": Ragged(np.array([1.0, -2.0, 7.5]), counts), "y": np.array([3.0, math.nan, 1.0])}
    round_trip(tmp_path / "a.xcd", fields, columns | {"i": np.array([-5, 2, 3])}, block_events=2)
    file = XcdfFile(tmp_path / "a.xcd")
    n, i, x, y = file.statistics[0]
    assert (n.minimum, n.maximum, n.filled) == (0, 2, True)
    assert (i.minimum, i.maximum) == (to_bits(-5, SIGNED), 3)
    assert (x.minimum, x.maximum) == (to_bits(-2.0, FLOAT), to_bits(7.5, FLOAT))
    assert (y.bytes, math.isnan(np.uint64(y.maximum).view("f8"))) == (24, True)
    round_trip(tmp_path / "b.xcd", fields, {name: column[:0] for name, column in columns.items() if name != "x"} | {
        "x": Ragged(np.empty(0), counts[:0]), "i": counts[:0],
    })  # fmt: skip
    assert not any(statistics.filled for statistics in XcdfFile(tmp_path / "b.xcd").statistics[0])


@pytest.mark.parametrize(
    ("type_", "step", "written", "least", "greatest"),
    [
        (SIGNED, 10, [-1], -10, 0),
        (SIGNED, 10, [-23, 14], -30, 10),
        (UNSIGNED, 3, [4, 8], 3, 9),
        (UNSIGNED, 10, [0, 2**64 - 1], 0, 2**64 - 6),
        (FLOAT, 0.1, [0.1, 0.3], 0.1, 0.1 + 2 * 0.1),
        (FLOAT, 2.0**40, [2.0**40, 2.6 * 2**40], 2.0**40, 3 * 2.0**40),
        (FLOAT, 0.0, [0.12, 0.34], 0.12, 0.34),
        (FLOAT, 0.5, [0.3, math.inf], 0.3, math.inf),
    ],
)
def test_the_extent_has_the_greatest_value_as_it_is_read(
    type_: FieldType, step: float, written: list, least: float, greatest: float, tmp_path: Path
) -> None:
    """The trailer has it before rounding, as the C++ library's."""
    values = np.array(written, type_.dtype)
    read = round_trip(tmp_path / "a.xcd", [Field("x", type_, step)], {"x": values})["x"]
    file = XcdfFile(tmp_path / "a.xcd")
    assert file.total(0).maximum == int(values.view("<u8")[-1])
    assert file.extent(0) == (least, greatest)
    assert read.max() == greatest


def changed(name: str, column: Any) -> Columns:
    """Three events with a column replaced; None leaves it out."""
    columns = {name: c.slice(0, 3) if isinstance(c, Ragged) else c[:3] for name, c in events(12).items()}
    columns[name] = column
    return {name: column for name, column in columns.items() if column is not None}


@pytest.mark.parametrize(
    ("name", "column", "said"),
    [
        ("rec.zenith", None, "fields are not the same, they differ in rec.zenith"),
        ("other", np.zeros(3), "they differ in other"),
        ("rec.zenith", np.zeros(2), "columns have 2 and 3 events"),
        ("rec.zenith", np.zeros((3, 1)), r"rec.zenith is float, given is an array \[3, 1\] of float64"),
        ("rec.zenith", np.array(["a"] * 3), "rec.zenith is float, given is an array"),
        ("rec.zenith", Ragged(np.zeros(3), np.ones(3, int)), "rec.zenith is a scalar field"),
        ("event.offset", np.zeros(3), "event.offset is signed, given is an array .* of float64"),
        ("event.offset", np.full(3, 2**63, np.uint64), "event.offset is signed, it has values outside that range"),
        ("event.nHit", np.array([-1, 0, 0]), "event.nHit is unsigned, it has values outside that range"),
        ("hit.charge", np.zeros(3), "hit.charge is a vector field"),
        ("hit.charge", Ragged(np.zeros(1), np.array([0, 1, 0])), "event 0: hit.charge is not as long as event.nHit"),
        ("hit.charge", Ragged(np.zeros(1), np.array([4, 3, 2])), "hit.charge has 1 values, its counts are 9"),
        ("hit.charge", Ragged(np.zeros(7), np.array([4, 3])), "event 2: hit.charge is not as long as event.nHit"),
    ],
)
def test_columns_that_do_not_fit_are_refused(name: str, column: Any, said: str, tmp_path: Path) -> None:
    assert [int(n) for n in events(12)["event.nHit"][:3]] == [4, 3, 2]
    with pytest.raises(DataError, match=rf"a.xcd: .*{said}"), XcdfWriter(tmp_path / "a.xcd", FIELDS) as writer:
        writer.append(changed(name, column))
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ([Field("x", UNSIGNED, 0)], "x has resolution 0; integers need 1 or more"),
        ([Field("x", SIGNED, 2**63)], "x has resolution 9223372036854775808; integers need 1 or more"),
        ([Field("x", UNSIGNED, math.nan)], "x has resolution nan; integers need 1 or more"),
        ([Field("x", SIGNED, math.inf)], "x has resolution inf; integers need 1 or more"),
        ([Field("x", SIGNED, 0.5)], "x has resolution 0.5; integers need 1 or more"),
        ([Field("n", UNSIGNED, 2), Field("x", FLOAT, 0.1, "n")], "n has resolution 2; lengths need 1"),
        ([Field("x", FLOAT, 0.1, "n")], "x has the parent n, which is no field before it"),
        ([Field("n", SIGNED), Field("x", FLOAT, 0.1, "n")], "x has the parent n, which is not unsigned"),
        ([Field("x", FLOAT), Field("x", FLOAT)], "has two fields x"),
    ],
)
def test_fields_that_can_not_be_are_refused(fields: list[Field], said: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=rf"a.xcd: {said}"):
        XcdfWriter(tmp_path / "a.xcd", fields)
    assert not list(tmp_path.iterdir())


def test_after_an_exception_the_old_file_is_there(small: Path) -> None:
    old = small.read_bytes()

    def interrupted() -> None:
        with XcdfWriter(small, FIELDS, block_events=2) as writer:
            writer.append(events(9))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert small.read_bytes() == old
    assert list(small.parent.iterdir()) == [small]


def test_a_full_disk_is_told(small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old = small.read_bytes()
    monkeypatch.setattr("airshower.runtime.folders.partial", lambda path: path.with_name("full"))
    (small.parent / "full").symlink_to("/dev/full")
    with pytest.raises(DataError, match=r"small.xcd: can't be written \(No space left on device\)"):
        with XcdfWriter(small, FIELDS) as writer:
            writer.append(events(9))
    monkeypatch.undo()
    assert small.read_bytes() == old


def test_a_place_that_can_not_be_written_is_told(small: Path) -> None:
    with pytest.raises(UserError, match=r"below.xcd: can't be written \(File exists\)"):
        XcdfWriter(small / "below.xcd", FIELDS)
