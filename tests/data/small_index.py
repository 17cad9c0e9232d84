"""An index of files of numbers, which notes what it reads."""

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from airshower.data.index import FileIndex
from airshower.data.index_table import OPTIONAL, Entry
from airshower.errors import DataError

OLD = 1_700_000_000  # seconds; a file that was changed just now is read again


def write(folder: Path, first: int, count: int) -> list[Path]:
    """Files number `first` and on, that were not changed for long."""
    folder.mkdir(exist_ok=True)
    paths = [folder / f"{number:03}.txt" for number in range(first, first + count)]
    for number, path in enumerate(paths, first):
        path.write_text(" ".join(map(str, range(number))))
        os.utime(path, (OLD, OLD))
    return paths


class SmallIndex(FileIndex):
    """Entries with arrays of several types and shapes; `log` are the files that were read, with the optional names."""

    def __init__(self, wanted: Sequence[str] = ()):
        super().__init__("small version 1", self.read_file, wanted)
        self.log: list[tuple[str, ...]] = []

    def read_file(self, path: Path, entry: Entry, names: Sequence[str]) -> Entry:
        """See `FileIndex`."""
        self.log.append((path.name, *names))
        try:
            numbers = np.array(path.read_text().split(), np.int64)
        except OSError as error:
            raise DataError(f"{path}: {error.strerror}") from None
        extra = {OPTIONAL + name: numbers * 0.5 for name in names if name != "nowhere"}
        return extra if entry else {**base(numbers), **extra}


def base(numbers: np.ndarray) -> dict[str, np.ndarray]:
    """What opening reads."""
    odd = {"odd": numbers % 2 > 0} if len(numbers) % 3 else {}
    text = np.array([f"number {number}" for number in numbers.tolist()], np.str_)
    shapes = {"pairs": np.stack([numbers, numbers], 1), "one": np.array(len(numbers) > 2), "same": np.arange(4.0)}
    return {"numbers": numbers, "text": text, **shapes, **odd}


def assert_equal(entry: Entry, expected: Entry) -> None:
    """Both have the same arrays."""
    assert entry.keys() == expected.keys()
    for name, values in expected.items():
        assert entry[name].dtype.kind == values.dtype.kind, name
        np.testing.assert_array_equal(entry[name], values)
