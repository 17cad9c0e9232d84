"""Sample XCDF files, and small ones."""

from collections.abc import Callable
from pathlib import Path

import pytest

from tests.detectors.hawc import small_xcdf


@pytest.fixture(scope="session")
def sample(sample_file: Callable[[str], Path]) -> Callable[[str], Path]:
    """The path of a sample file of water tanks; skips where it is absent."""
    return lambda name: sample_file(f"hawc/{name}")


@pytest.fixture(scope="session")
def write_xcdf() -> Callable[..., Path]:
    """See `small_xcdf.write_xcdf`."""
    return small_xcdf.write_xcdf


@pytest.fixture
def small(tmp_path: Path) -> Path:
    """Twelve events in blocks of 5, 5 and 2."""
    return small_xcdf.write_xcdf(tmp_path / "small.xcd")
