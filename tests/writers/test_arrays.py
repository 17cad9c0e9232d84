"""Arrays in files that are whole or not there."""

from pathlib import Path

import numpy as np
import pytest

from airshower.errors import DataError
from airshower.writers.tables import write_arrays


def test_arrays_come_back(tmp_path: Path) -> None:
    arrays = {"entry": np.array([3, 1]), "rec.nHit": np.array([2.5, np.nan])}
    write_arrays(tmp_path / "a.npz", arrays)
    with np.load(tmp_path / "a.npz") as stored:
        assert list(stored) == list(arrays)
        assert all(np.array_equal(stored[name], arrays[name], equal_nan=True) for name in arrays)
    assert list(tmp_path.iterdir()) == [tmp_path / "a.npz"]


def test_a_file_that_is_not_finished_replaces_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.npz"
    write_arrays(path, {"entry": np.arange(5)})
    old = path.read_bytes()
    with monkeypatch.context() as context:
        context.setattr("airshower.runtime.folders.partial", lambda path: path.with_name("full"))
        (tmp_path / "full").symlink_to("/dev/full")
        with pytest.raises(DataError, match=r"a.npz: can't be written \(No space left on device\)"):
            write_arrays(path, {"entry": np.arange(100_000)})
    monkeypatch.setattr("airshower.runtime.folders.os.replace", interrupted)
    with pytest.raises(KeyboardInterrupt):
        write_arrays(path, {"entry": np.arange(7)})
    assert path.read_bytes() == old
    assert list(tmp_path.iterdir()) == [path]


def interrupted(*_: Path) -> None:
    raise KeyboardInterrupt
