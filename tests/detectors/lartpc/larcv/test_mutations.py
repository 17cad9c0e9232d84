"""Mutated larcv3 files and columnar copies: one line, or the same values, and little memory."""

from pathlib import Path

import pytest

from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from tests.detectors.lartpc.whole_file import read_all, read_copy, write
from tests.mutations import fuzz


@pytest.mark.full
def test_mutated_files(tmp_path: Path) -> None:
    """Tables are compressed, so that zlib's checksums tell of damage in them. HDF5's structures have none here: another
    byte in a product's name makes the file one without that product, the one silent outcome that is allowed."""
    outcome = fuzz(read_all, write(tmp_path / "whole.h5"), 500, seed=1)
    assert len(outcome["refused"]) > 250
    for number in outcome.get("silent", []):
        products = LarcvFile(tmp_path / f"mutation{number}.h5").products
        assert not {("cluster2d", "nu"), ("particle", "nu")} <= set(products)


@pytest.mark.full
def test_mutated_copies(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All that is read of a copy has a checksum: nothing is silent."""
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    copy = CachedReader(WireFile(write(tmp_path / "whole.h5"), Products("wire", "label", "nu"))).copy
    outcome = fuzz(read_copy, copy, 500, seed=2)
    assert len(outcome["refused"]) > 250
    assert "silent" not in outcome
