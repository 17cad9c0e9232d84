"""Sample DL1 files, small ones, and altered copies."""

import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import pytest

from tests.detectors.cta import small_dl1


@pytest.fixture(scope="session")
def sample(sample_file: Callable[[str], Path]) -> Callable[[str], Path]:
    """The path of a sample file of telescopes; skips where it is absent."""
    return lambda name: sample_file(f"cta/{name}")


@pytest.fixture
def altered(tmp_path: Path) -> Callable[..., Path]:
    """A copy of a file after `change(file)`, the file being open in h5py."""

    def alter(path: Path, change: Callable[[h5py.File], Any], name: str = "altered.h5") -> Path:
        copy = tmp_path / name
        shutil.copyfile(path, copy)
        copy.chmod(0o644)
        with h5py.File(copy, "r+") as file:
            change(file)
        return copy

    return alter


@pytest.fixture(scope="session")
def write_dl1() -> Callable[..., Path]:
    """See `small_dl1.write_dl1`."""
    return small_dl1.write_dl1
