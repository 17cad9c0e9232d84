"""XCDF as HDF5 and back, and the command that does it."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.hawc import xcdf_hdf5
from airshower.detectors.hawc.xcdf_file import XcdfFile
from airshower.errors import DataError
from tests.detectors.hawc.small_xcdf import taken_apart

SCRIPT = Path(__file__).parents[3] / "scripts" / "xcdf"


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


@pytest.mark.parametrize("count", [0, 12, 2500])
def test_nothing_is_lost(count: int, write_xcdf: Callable[..., Path], tmp_path: Path) -> None:
    there_and_back(write_xcdf(tmp_path / "a.xcd", count, block_events=1000), tmp_path)


@pytest.mark.parametrize("name", ["xcdf_test_3d.xcd", "hawc_like_proton.xcd"])
def test_nothing_of_the_cpp_librarys_files_is_lost(name: str, sample: Callable[[str], Path], tmp_path: Path) -> None:
    there_and_back(sample(name), tmp_path)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda file: file.pop("fields"), "can't be read as HDF5 that was made of XCDF"),
        (lambda file: file["fields/rec.zenith"].attrs.pop("parent"), "can't be read as HDF5"),
        (lambda file: file["fields/rec.zenith"].attrs.modify("type", "text"), "can't be read as HDF5"),
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
