"""XCDF as HDF5 and back, and the command that does it."""

import math
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.hawc.xcdf import hdf5 as xcdf_hdf5
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.format import ACTIVE, Field, FieldType
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError
from tests.detectors.hawc.small_xcdf import FLOAT, SIGNED, UNSIGNED, float_bits, raw_file, same, taken_apart

SCRIPT = Path(__file__).parents[4] / "scripts" / "xcdf"


def command(*arguments: object) -> subprocess.CompletedProcess:
    """Run scripts/xcdf."""
    line = [sys.executable, str(SCRIPT), *map(str, arguments)]
    return subprocess.run(line, capture_output=True, text=True, check=False)


def there_and_back(path: Path, folder: Path) -> None:
    """Compare the frames after a way through HDF5."""
    hdf5, again = folder / "a.h5", folder / "again.xcd"
    assert xcdf_hdf5.to_hdf5(path, hdf5) == xcdf_hdf5.from_hdf5(hdf5, again) == len(XcdfFile(path))
    old, new = XcdfFile(path), XcdfFile(again)
    assert (new.fields, set(new.aliases), new.comments) == (old.fields, set(old.aliases), old.comments)
    assert taken_apart(path.read_bytes())[1:-1] == taken_apart(again.read_bytes())[1:-1]
    assert new.statistics == old.statistics


@pytest.mark.parametrize(("count", "block_events"), [(0, 1000), (1, 1), (12, 5), (2500, 1000)])
def test_nothing_is_lost(count: int, block_events: int, write_xcdf: Callable[..., Path], tmp_path: Path) -> None:
    there_and_back(write_xcdf(tmp_path / "a.xcd", count, block_events=block_events), tmp_path)


@pytest.mark.parametrize("name", ["xcdf_test_3d.xcd", "hawc_like_proton.xcd"])
def test_nothing_of_the_cpp_librarys_files_is_lost(name: str, sample: Callable[[str], Path], tmp_path: Path) -> None:
    there_and_back(sample(name), tmp_path)


@pytest.mark.parametrize("type_", [UNSIGNED, SIGNED, FLOAT])
@pytest.mark.parametrize("step", [0.1, 3, 10, 2**40])
def test_files_of_ours_come_back_whole(step: float, type_: FieldType, tmp_path: Path) -> None:
    """With the trailer, whose maxima are those before rounding."""
    step = max(step, 1) if type_ != FLOAT else step
    values = (np.random.default_rng(0).uniform(1 if type_ == UNSIGNED else -50, 50, 2500) * step).astype(type_.dtype)
    paths = [tmp_path / name for name in ("a.xcd", "a.h5", "b.xcd")]
    with XcdfWriter(paths[0], [Field("x", type_, step)]) as writer:
        writer.append({"x": values})
    xcdf_hdf5.to_hdf5(*paths[:2])
    xcdf_hdf5.from_hdf5(*paths[1:])
    assert paths[0].read_bytes() == paths[2].read_bytes()
    with h5py.File(paths[1], "r+") as file:  # the trailer has another greatest value then
        changed = file["fields/x"][:]
        changed[changed == changed.max()] -= step
        file["fields/x"][:] = changed
    xcdf_hdf5.from_hdf5(*paths[1:])
    assert XcdfFile(paths[2]).total(0).maximum == int(changed.max().view("<u8"))
    assert XcdfFile(paths[2]).extent(0)[1] == XcdfFile(paths[2]).columns()["x"].max()


def test_the_command_shows_ranges_that_hold_all_values(tmp_path: Path) -> None:
    with XcdfWriter(tmp_path / "a.xcd", [Field("x", SIGNED, 10)]) as writer:
        writer.append({"x": np.array([-1])})
    assert "  x  signed    step 10  -10 to 0, 0 bytes\n" in command("info", tmp_path / "a.xcd").stdout


FLOATS = [0.0, -0.0, 1e18, -86400e9 + 0.03, 1.3e9 + 0.3e-6, 5e-324, -1.7e308, math.inf, math.nan]


@pytest.mark.parametrize("seed", range(12))
def test_no_bit_is_lost_of_files_of_any_writer(seed: int, tmp_path: Path) -> None:
    """Least values that are no multiples of the resolution, other ones in each block; numbers of any size; NaN, -0."""
    rng = np.random.default_rng(seed)
    steps = {UNSIGNED: [1, 5, 12, 1000], SIGNED: [1, 7, 48], FLOAT: [1e-6, 0.1, 3.7, 0.25, 0.0]}
    fields, blocks = [Field("n", UNSIGNED)], []
    fields += [Field(f"{kind.name}{i}", kind, s, "n" * (i % 2)) for kind in steps for i, s in enumerate(steps[kind])]
    for events in rng.integers(1, 9, 4).tolist():
        length, active, sizes = int(rng.integers(0, 4)), [], []
        for field in fields:
            lows = FLOATS if field.type == FLOAT else [0, 3, 2**63, 2**64 - 7, int(rng.integers(0, 2**40))]
            low = lows[int(rng.integers(len(lows)))]
            sizes.append(0 if field.name == "n" else int(rng.integers(0, 53)) if rng.random() < 0.9 else 64)
            active.append((length if field.name == "n" else float_bits(low) if field.type == FLOAT else low, sizes[-1]))
        stream, at = 0, 0
        for _ in range(events):
            for field, size in zip(fields, sizes, strict=True):
                for _ in range(length if field.parent else 1):
                    stream |= (int.from_bytes(rng.bytes(8), "little") & ((1 << size) - 1)) << at
                    at += size
        blocks.append((events, active, stream.to_bytes(-(-at // 8), "little")))
    (tmp_path / "a.xcd").write_bytes(raw_file(fields, blocks, deflate=bool(seed % 2)))
    xcdf_hdf5.to_hdf5(tmp_path / "a.xcd", tmp_path / "a.h5")
    xcdf_hdf5.from_hdf5(tmp_path / "a.h5", tmp_path / "b.xcd")
    assert same(XcdfFile(tmp_path / "a.xcd").columns(), XcdfFile(tmp_path / "b.xcd").columns())


def test_clocks_come_back(tmp_path: Path) -> None:
    """With the blocks as they were, and of several files in one."""
    low, fields = 1e9 * 86400 + 0.03, [Field("t", FLOAT, 0.1)]
    blocks = [(200, [(float_bits(low + shift), 8)], bytes(range(200))) for shift in (0.0, 1e7 + 0.07)]
    (tmp_path / "a.xcd").write_bytes(raw_file(fields, blocks) + raw_file(fields, blocks[:1]))
    xcdf_hdf5.to_hdf5(tmp_path / "a.xcd", tmp_path / "a.h5")
    assert xcdf_hdf5.from_hdf5(tmp_path / "a.h5", tmp_path / "b.xcd") == 600
    file = XcdfFile(tmp_path / "b.xcd")
    expected = np.concatenate([low + 0.1 * np.arange(200), low + (1e7 + 0.07) + 0.1 * np.arange(200)])
    assert file.columns()["t"].tolist() == [*expected, *expected[:200]]
    assert [block.header.sizes.tolist() for block in file.blocks] == [[8]] * 3


def test_values_put_in_are_written_as_they_are_or_to_their_resolution(small: Path, tmp_path: Path) -> None:
    """Floats of a file with blocks are; without blocks values are written as any others."""
    path = tmp_path / "a.h5"
    xcdf_hdf5.to_hdf5(small, path)
    expected = XcdfFile(small).columns()
    with h5py.File(path, "r+") as file:
        file["fields/rec.zenith"][3] = 0.123456
        file["fields/event.offset"][3] = 1003
    xcdf_hdf5.from_hdf5(path, tmp_path / "b.xcd")
    expected["rec.zenith"][3], expected["event.offset"][3] = 0.123456, 1005
    assert same(XcdfFile(tmp_path / "b.xcd").columns(), expected)
    with h5py.File(path, "r+") as file:
        del file["blocks"], file["encoding"]
    xcdf_hdf5.from_hdf5(path, tmp_path / "c.xcd")
    assert XcdfFile(tmp_path / "c.xcd").columns()["rec.zenith"][3] == pytest.approx(0.1235, abs=1e-12)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.pop("fields"), "can't be read as HDF5 that was made of XCDF"),
        (lambda file: file["fields/rec.zenith"].attrs.pop("parent"), "can't be read as HDF5"),
        (lambda file: file["fields/rec.zenith"].attrs.modify("type", "text"), "can't be read as HDF5"),
        (lambda file: file["fields/rec.zenith"].resize((10**11,)), "rec.zenith has 100000000000 values, 16384 are in"),
        (lambda file: file["encoding"].pop("rec.zenith"), "can't be read as HDF5"),
        (lambda file: file["encoding/rec.zenith"].attrs.create("maximum", 1), "can't be read as HDF5"),
        (lambda file: file["encoding/rec.zenith"].write_direct(np.array([(0, -1)] * 3, ACTIVE)), "is not 0 to 64 bits"),
        (lambda file: file["blocks"].write_direct(np.array([5, 5, 3], "u4")), "blocks have 13 events, columns 12"),
        (lambda file: file["blocks"].write_direct(np.array([5, 2**32 - 1, 3], "u4")), "blocks have 4294967303 events"),
        (lambda file: file["fields/rec.zenith"].resize((11,)), "columns have 11 and 12 events"),
        (lambda file: file["fields/hit.charge"].resize((2,)), "hit.charge has 2 values, its counts are"),
        (lambda file: file["fields/hit.charge"].resize((99,)), "hit.charge has 99 values, .* are needed"),
    ],
)
def test_hdf5_that_does_not_fit_is_refused(
    change: Callable[[h5py.File], object], said: str, small: Path, tmp_path: Path
) -> None:
    path = tmp_path / "a.h5"
    xcdf_hdf5.to_hdf5(small, path)
    with h5py.File(path, "r+") as file:
        change(file)
    with pytest.raises(DataError, match=said):
        xcdf_hdf5.from_hdf5(path, tmp_path / "b.xcd")
    assert not (tmp_path / "b.xcd").exists()


def test_the_command(small: Path, tmp_path: Path) -> None:
    said = command("info", small)
    assert said.returncode == 0, said.stderr
    for line in ("12 events in 3 blocks, 8 fields", "vector of hit.nPulse", "alias hits", "comment: a small file"):
        assert line in said.stdout
    assert command("to-hdf5", small, tmp_path / "a.h5").returncode == 0
    with h5py.File(tmp_path / "a.h5") as file:
        assert np.array_equal(file["fields/event.nHit"][:], XcdfFile(small).columns()["event.nHit"])
    assert command("from-hdf5", tmp_path / "a.h5", tmp_path / "b.xcd").stdout.endswith("b.xcd: 12 events\n")


def test_the_command_tells_what_is_wrong(small: Path, tmp_path: Path) -> None:
    cut = tmp_path / "cut.xcd"
    cut.write_bytes(small.read_bytes()[:-1])
    checked = command("check", small, cut)
    assert checked.returncode == 2
    assert f"{small}: ok, 12 events" in checked.stdout
    assert f"{cut}: byte " in checked.stdout
    failed = command("info", tmp_path / "absent.xcd")
    assert (failed.returncode, failed.stderr) == (2, f"xcdf: {tmp_path / 'absent.xcd'}: there is no such file\n")
