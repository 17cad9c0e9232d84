"""An index is made once, is what the files have, and never more than the loss of time."""

import os
import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np
import pytest

from airshower.data import index as index_module
from airshower.data.index_table import OPTIONAL
from airshower.errors import DataError
from tests.data.small_index import OLD, SmallIndex, assert_equal, base, write


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "index"


@pytest.fixture
def warnings(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Warnings in the log."""
    lines: list[str] = []
    monkeypatch.setattr(index_module.logger, "warning", lambda text, *values: lines.append(text % values))
    return lines


def opened(paths: list[Path], *wanted: str) -> list[tuple[str, ...]]:
    """The files that a new process would read to open these, after a look at what it gets."""
    index = SmallIndex(wanted)
    for indexed, path in zip(index.open(paths), paths, strict=True):
        numbers = np.array(path.read_text().split(), np.int64)
        extra = {OPTIONAL + name: numbers * 0.5 for name in wanted}
        kept = {
            name: values for name, values in indexed.entry.items() if not name.startswith(OPTIONAL) or name in extra
        }
        assert indexed.path == path
        assert indexed.stamp == (path.stat().st_size, path.stat().st_mtime_ns)
        assert_equal(kept, {**base(numbers), **extra})
    return index.log


def names(paths: list[Path]) -> list[tuple[str, ...]]:
    return [(path.name,) for path in paths]


def test_files_are_read_once(tmp_path: Path) -> None:
    paths = write(tmp_path / "files", 0, 7)
    assert opened(paths) == names(paths)
    assert opened(paths) == []
    assert opened(paths[::-1]) == [], "in another order it is another data set, of the same files"


def test_only_new_files_are_read(tmp_path: Path) -> None:
    some = write(tmp_path / "files", 0, 3)
    opened(some)
    more = write(tmp_path / "files", 3, 2)
    assert opened([*some, *more]) == names(more)
    assert opened(more) == []


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    paths = write(tmp_path / "files", 4, 5)
    opened(paths)
    paths[1].write_text("5 4 3 2 1")  # as long, at another time
    os.utime(paths[2], (OLD + 1, OLD + 1))
    os.truncate(paths[3], 5)
    os.utime(paths[3], (OLD, OLD))
    assert opened(paths) == names(paths[1:4])
    paths[1].unlink()
    with pytest.raises(DataError, match=r"005\.txt: No such file"):
        SmallIndex().open(paths)


def test_a_file_that_was_just_changed_is_read_again(tmp_path: Path) -> None:
    """A second change may have the same time."""
    paths = write(tmp_path / "files", 0, 3)
    paths[1].write_text("1")
    opened(paths)
    assert opened(paths) == names(paths[1:2])


def test_optional_arrays_are_added_when_they_are_wanted(tmp_path: Path, cache: Path) -> None:
    paths = write(tmp_path / "files", 0, 4)
    opened(paths)
    assert opened(paths, "half") == [(path.name, "half") for path in paths]
    assert opened(paths, "half") == []
    assert opened(paths) == []
    more = write(tmp_path / "files", 4, 1)
    assert opened([*paths, *more]) == names(more)
    assert opened([*paths, *more], "half") == [(more[0].name, "half")], "the others' were carried over"
    assert len(list(cache.iterdir())) == 2


def test_arrays_that_a_file_does_not_have(tmp_path: Path) -> None:
    paths = write(tmp_path / "files", 0, 2)
    entries = SmallIndex(["nowhere"]).open(paths)
    assert all(OPTIONAL + "nowhere" not in indexed.entry for indexed in entries)
    (again := SmallIndex(["nowhere"])).open(paths)
    assert again.log == []


@pytest.mark.parametrize("damage", ["truncated", "flipped", "empty", "other"])
def test_a_damaged_table_is_named_and_made_again(tmp_path: Path, cache: Path, warnings: list[str], damage: str) -> None:
    paths = write(tmp_path / "files", 0, 9)
    opened(paths)
    (table,) = cache.iterdir()
    content = bytearray(table.read_bytes())
    if damage == "other":
        np.savez(table, something=np.arange(3))
    else:
        with zipfile.ZipFile(table) as archive:
            at = archive.getinfo("numbers|values.npy").header_offset + 200
        content[at] ^= 1
        table.write_bytes({"truncated": content[:-30], "flipped": content, "empty": b""}[damage])
    assert opened(paths) == names(paths)
    assert [line.split(" (")[0] for line in warnings] == [f"{table}: is damaged"]
    assert opened(paths) == []


def test_a_cache_that_cannot_be_written_costs_time_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, warnings: list[str]
) -> None:
    (tmp_path / "a file").touch()
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "a file" / "cache"))
    paths = write(tmp_path / "files", 0, 3)
    assert opened(paths) == opened(paths) == names(paths)
    assert len(warnings) == 2
    assert "the index of 3 files can't be kept (Not a directory)" in warnings[0]


def test_the_tables_used_last_are_kept(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "KEPT", 2)
    paths = write(tmp_path / "files", 0, 6)
    for start in (0, 2, 4):
        opened(paths[start : start + 2])
        for table in cache.iterdir():
            os.utime(table, (table.stat().st_atime, table.stat().st_mtime - 10))
    assert len(list(cache.iterdir())) == 2
    assert opened(paths[2:]) == []
    assert opened(paths[:2]) == names(paths[:2])


def test_relative_paths_are_those_of_the_present_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for folder, first in (("a", 3), ("b", 5)):
        for path, name in zip(write(tmp_path / folder, first, 2), "xy", strict=True):
            path.rename(path.with_name(name))
        monkeypatch.chdir(tmp_path / folder)
        assert opened([Path("x"), Path("y")]) == [("x",), ("y",)]


def test_nothing_is_kept_of_one_file(tmp_path: Path, cache: Path) -> None:
    assert opened(write(tmp_path / "files", 5, 1)) == [("005.txt",)]
    assert not cache.exists()


def test_an_index_remembers_its_files(tmp_path: Path) -> None:
    paths = write(tmp_path / "files", 0, 4)
    index = SmallIndex()
    index.open(paths)
    index.open(paths, ["half"])
    index.open(paths)
    assert index.log == [*names(paths), *((path.name, "half") for path in paths)]


def test_two_processes_make_one_index(tmp_path: Path, cache: Path) -> None:
    paths = write(tmp_path / "files", 0, 40)
    program = "import sys; from pathlib import Path; from tests.data.small_index import SmallIndex; "
    program += "print(len(SmallIndex().open(sorted(Path(sys.argv[1]).iterdir()))))"
    command = [sys.executable, "-c", program, str(tmp_path / "files")]
    both = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    assert [process.communicate(timeout=120)[0].strip() for process in both] == ["40", "40"]
    assert len(list(cache.iterdir())) == 1
    assert opened(paths) == []
