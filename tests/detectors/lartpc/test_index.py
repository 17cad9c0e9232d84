"""larcv3 files opened with their index are those that were read directly."""

import os
from pathlib import Path

import numpy as np
import pytest

from airshower.data.handles import HANDLES
from airshower.detectors.lartpc.larcv import wires as wires_module
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import DataError
from tests.detectors.lartpc.whole_file import write

OLD = 1_700_000_000
NAMES = {"image_producer": "wire", "label_producer": "label", "particle_producer": "nu", "downsample": 0}


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    paths = [write(tmp_path / f"{number}.h5") for number in range(3)]
    for path in paths:
        os.utime(path, (OLD, OLD))
    return list(map(str, paths))


def contents(source: LartpcEvents) -> list[object]:
    """All that a source says and reads."""
    entries = np.arange(len(source))[::-1]
    batch = source.read(entries)
    images = batch["images"]
    arrays = [images.row, images.column, images.value, images.label, images.counts, source.event_ids, source.showers]
    arrays += list(source.truth(entries).values()) + [file.images.planes.meta for file in source.files]
    return [source.digest, source.spec.known, source.selected.tolist(), *(np.asarray(a).tobytes() for a in arrays)]


@pytest.mark.parametrize("cuts", ["", "pixels > 3", "true_energy > 0.1 and pixels > 3"])
def test_a_source(files: list[str], monkeypatch: pytest.MonkeyPatch, cuts: str) -> None:
    config = LartpcConfig(**NAMES, cuts=cuts)
    products = Products("wire", "label", "nu")
    cold = LartpcEvents(config, files)
    expected = contents(cold)
    for file in cold.files:
        assert file.digest == WireFile(file.path, products).digest
        file.close()
    monkeypatch.setattr(wires_module, "LarcvFile", lambda path: pytest.fail(f"{path} is opened to be indexed"))
    warm = LartpcEvents(config, files)
    assert not HANDLES._open.keys() & set(map(Path, files)), "no file is opened before events are read"
    assert contents(warm) == expected, "truth, which was read by the first, included"


def test_truth_is_read_when_it_is_wanted(files: list[str], tmp_path: Path) -> None:
    source = LartpcEvents(LartpcConfig(**NAMES), files)
    (table,) = (tmp_path / "cache" / "index").iterdir()
    before = table.stat().st_size
    source.truth(np.arange(2), ("energy",))
    source.truth(np.arange(2), ("energy", "vertex"))
    assert table.stat().st_size > before
    os.utime(files[1], (OLD + 1, OLD + 1))
    fresh = LartpcEvents(LartpcConfig(**NAMES), files)
    os.utime(files[1], (OLD + 2, OLD + 2))
    with pytest.raises(DataError, match=r"1\.h5: has changed since"):
        fresh.truth(np.arange(2), ("energy",))


def test_other_products_have_another_index(files: list[str], tmp_path: Path) -> None:
    labelled = LartpcEvents(LartpcConfig(**NAMES), files)
    plain = LartpcEvents(LartpcConfig(**{**NAMES, "label_producer": ""}), files)
    assert labelled.read(np.arange(1))["images"].label is not None
    assert plain.read(np.arange(1))["images"].label is None
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 2
