"""Files of ours read by the C++ library, and its files read by us: the same to the bit.

Runs where the library's Python package `xcdf` is installed; docs/tank_files.md says how to build it.
"""

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from airshower.detectors.hawc.quantities import CONDITIONS, PARAMETERS, QUANTITIES
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import Field, FieldType, to_bits
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from tests.detectors.hawc.small_xcdf import ALIASES, FIELDS, FLOAT, SIGNED, UNSIGNED, events, same

xcdf = pytest.importorskip("xcdf", reason="the C++ library's package xcdf is not installed (docs/tank_files.md)")

pytestmark = pytest.mark.heavy

EDGES = [0.0, -0.0, 5e-324, 1.7e308, -1.7e308, math.inf, -math.inf, math.nan, 0.1, 1e-4]
NAN_OF_OTHER_BITS = np.array([0x7FF4000000000001, 0xFFF8000000000002], "<u8").view("<f8")


def by_the_library(path: Path) -> Columns:
    """All of a file as the C++ library reads it, after its own check of the file."""
    xcdf.File(str(path)).check()
    file, ours = xcdf.File(str(path)), XcdfFile(path)
    theirs = [(field.name, field.raw_resolution, field.parent) for field in file.fields]
    assert theirs == [(f.name, to_bits(f.resolution, f.type), f.parent) for f in ours.fields]
    assert file.comments == list(ours.comments)
    read = list(file)
    assert len(file) == len(read) == len(ours)
    columns: Columns = {}
    for field in ours.fields:
        values = [event[field.name] for event in read]
        if field.parent:
            counts = np.array([len(value) for value in values], np.int64)
            values = np.concatenate([np.empty(0, field.type.dtype), *values])
            columns[field.name] = Ragged(values.astype(field.type.dtype), counts)
        else:
            columns[field.name] = np.array(values, field.type.dtype)
    return columns


def check(path: Path) -> None:
    assert same(by_the_library(path), XcdfFile(path).columns())


def write(path: Path, fields: list[Field], columns: Columns, **options: Any) -> Path:
    with XcdfWriter(path, fields, **options) as writer:
        writer.append(columns)
    return path


@pytest.mark.parametrize("deflate", [True, False])
@pytest.mark.parametrize("block_events", [1, 5, 1000])
@pytest.mark.parametrize("count", [0, 1, 23])
def test_vectors_of_vectors(count: int, block_events: int, deflate: bool, tmp_path: Path) -> None:
    options = {"comments": ["one", "two µ"], "aliases": ALIASES, "block_events": block_events, "deflate": deflate}
    path = write(tmp_path / "a.xcd", list(FIELDS), events(count), **options)
    check(path)
    file, whole = xcdf.File(str(path)), events(count)["event.nHit"]
    for event in np.random.default_rng(0).permutation(max(count - 1, 0)).tolist():
        file.seek(event)  # reads this event; `next` has the one after
        assert next(file)["event.nHit"] == whole[event + 1]


@pytest.mark.parametrize("bits", range(65))
def test_values_of_any_number_of_bits(bits: int, tmp_path: Path) -> None:
    """As scalars and in vectors, behind a field of one bit, so that values begin anywhere in a byte."""
    rng = np.random.default_rng(bits)
    most = (1 << bits) - 1
    values = np.array([0, most, *(int(rng.integers(0, 2**63)) * 2 % (most + 1) for _ in range(40))], "<u8")
    counts = np.diff([0, *np.sort(rng.integers(0, 43, 41)).tolist(), 42])
    steps = np.array([int(value) % 2**51 for value in values], float)
    columns = {
        "n": counts.astype(np.uint64),
        "flag": np.arange(42, dtype=np.uint64) % 2,
        "unsigned": values,
        "signed": (values - np.uint64(1 << 63 if bits == 64 else 77)).view("<i8"),
        "steps": 0.25 * steps - 1000.0,
        "many": Ragged(values[::-1].copy(), counts),
    }
    fields = [Field("n", UNSIGNED), Field("flag", UNSIGNED), Field("unsigned", UNSIGNED), Field("signed", SIGNED)]
    fields += [Field("steps", FLOAT, 0.25), Field("many", UNSIGNED, 1, "n")]
    path = write(tmp_path / "a.xcd", fields, columns)
    check(path)
    file = XcdfFile(path)
    sizes = dict(zip([field.name for field in file.fields], file.blocks[0].header.sizes.tolist(), strict=True))
    assert (sizes["unsigned"], sizes["many"]) == (bits, bits)
    assert same(file.columns(list(columns)), columns)


@pytest.mark.parametrize("resolution", [0.0, 0.1, 1e-4, 100.0])
@pytest.mark.parametrize("value", [*EDGES, *NAN_OF_OTHER_BITS])
def test_numbers_at_the_edge(value: float, resolution: float, tmp_path: Path) -> None:
    values = np.array([1.5, value, -2.25], "<f8")
    fields = [Field("n", UNSIGNED), Field("x", FLOAT, resolution), Field("v", FLOAT, resolution, "n")]
    counts = np.array([0, 2, 1])
    path = write(tmp_path / "a.xcd", fields, {"n": counts.astype(np.uint64), "x": values, "v": Ragged(values, counts)})
    check(path)
    if not math.isfinite(value) or not resolution:
        found = by_the_library(path)
        assert found["x"].view("<u8").tolist() == found["v"].values.view("<u8").tolist() == values.view("<u8").tolist()


NUMBERS = {
    UNSIGNED: st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 3)),
    SIGNED: st.one_of(st.integers(-(2**63), 2**63 - 1), st.integers(-3, 3)),
    FLOAT: st.one_of(st.floats(), st.floats(-1e6, 1e6), st.sampled_from(EDGES)),
}


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), type_=st.sampled_from(list(FieldType)))
def test_any_numbers(data: st.DataObject, type_: FieldType, tmp_path: Path) -> None:
    resolution = data.draw(st.sampled_from([0.0, 0.1, 0.5, 1e-4] if type_ == FLOAT else [1, 5, 1000]))
    counts = np.array(data.draw(st.lists(st.integers(0, 4), min_size=1, max_size=8)), np.int64)
    values = data.draw(st.lists(NUMBERS[type_], min_size=int(counts.sum()), max_size=int(counts.sum())))
    fields = [Field("n", UNSIGNED), Field("x", type_, resolution, "n")]
    columns = {"n": counts.astype(np.uint64), "x": Ragged(np.array(values, type_.dtype), counts)}
    check(write(tmp_path / "a.xcd", fields, columns, block_events=3))


def test_files_one_after_the_other(tmp_path: Path) -> None:
    parts = [write(tmp_path / f"{seed}.xcd", list(FIELDS), events(7, seed), block_events=3) for seed in range(3)]
    whole = tmp_path / "whole.xcd"
    whole.write_bytes(b"".join(part.read_bytes() for part in parts))
    assert len(XcdfFile(whole)) == 21
    check(whole)


@pytest.fixture(scope="module")
def simulated() -> SimulatedHawc:
    return SimulatedHawc(SimulatedHawc.Config(events=120, proton_fraction=0.5), 0)


def test_simulated_events(simulated: SimulatedHawc) -> None:
    source = simulated.open().train.source
    for file in source.files:
        check(file.path)
    assert sum(map(len, source.files)) == 120


def test_generated_events(simulated: SimulatedHawc, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    columns = {name: QUANTITIES[name].physical(rng.normal(0.0, 0.3, 2500)) for name in PARAMETERS + CONDITIONS}
    with simulated.open().train.source.generated_writer(tmp_path / "generated.h5", {"step": "3"}) as writer:
        writer.append({name: np.abs(column) for name, column in columns.items()})
    check(tmp_path / "generated.xcd")


@pytest.mark.parametrize("name", ["xcdf_test_3d.xcd", "hawc_like_gamma.xcd", "hawc_like_proton.xcd"])
def test_sample_files(name: str, sample: Callable[[str], Path], tmp_path: Path) -> None:
    check(sample(name))
    file = XcdfFile(sample(name))
    again = write(tmp_path / name, list(file.fields), file.columns())
    assert same(by_the_library(again), by_the_library(sample(name)))


def test_a_file_that_the_library_makes_to_test_itself(tmp_path: Path) -> None:
    xcdf.write_test_file(str(tmp_path / "test.xcd"))
    assert len(XcdfFile(tmp_path / "test.xcd")) == 1002
    check(tmp_path / "test.xcd")


@pytest.mark.parametrize("count", [1, 1001])
def test_blocks_of_the_library_in_which_no_field_varies(count: int, tmp_path: Path) -> None:
    """The last block has one event; ours has the same bytes, and the library reads it."""
    path, file = tmp_path / "theirs.xcd", xcdf.File(str(tmp_path / "theirs.xcd"), "w")
    clock, number = 1e9 * 86400 + 0.03 + 0.1 * np.arange(count), np.arange(count, dtype=np.uint64)
    fields = file.allocate_uint_field("number", 1, ""), file.allocate_float_field("clock", 0.1, "")
    for values in zip(number.tolist(), clock.tolist(), strict=True):
        for field, value in zip(fields, values, strict=True):
            field.add(value)
        file.write()
    file.close()
    check(path)
    columns = XcdfFile(path).columns()
    assert columns["number"].tolist() == number.tolist()
    assert columns["clock"].tolist() == clock.tolist()
    ours = write(tmp_path / "ours.xcd", list(XcdfFile(path).fields), columns)
    check(ours)
    blocks = [(f.path.read_bytes()[f.blocks[0].offset : f.blocks[-1].data.end]) for f in map(XcdfFile, (path, ours))]
    assert blocks[0] == blocks[1]


def in_events(columns: Columns) -> Iterator[dict[str, Any]]:
    """Columns event by event; vectors are lists."""
    for event in range(len(columns["event.nHit"])):
        parts = {
            name: column.slice(event, event + 1) if isinstance(column, Ragged) else column[event]
            for name, column in columns.items()
        }
        yield {n: part.values.tolist() if isinstance(part, Ragged) else part.item() for n, part in parts.items()}


def test_files_of_the_library(tmp_path: Path) -> None:
    path, columns = tmp_path / "theirs.xcd", events(1500)
    file = xcdf.File(str(path), "w")
    makers = {UNSIGNED: file.allocate_uint_field, SIGNED: file.allocate_int_field, FLOAT: file.allocate_float_field}
    fields = {field.name: makers[field.type](field.name, field.resolution, field.parent) for field in FIELDS}
    for event in in_events(columns):
        for name, value in event.items():
            fields[name].add(value)
        file.write()
    file.add_comment("made by the library")
    file.close()
    check(path)
    assert XcdfFile(path).comments == ("made by the library",)
    ours = write(tmp_path / "ours.xcd", list(FIELDS), columns, comments=["made by the library"])
    assert same(XcdfFile(path).columns(), XcdfFile(ours).columns())
