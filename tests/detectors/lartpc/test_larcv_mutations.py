"""Mutated larcv3 files and columnar copies: one line, or the same values, and little memory."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.lartpc.cache import CachedReader
from airshower.detectors.lartpc.larcv_file import LarcvFile
from airshower.detectors.lartpc.larcv_format import PARTICLE
from airshower.detectors.lartpc.larcv_writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import WireConfig, WireImages
from airshower.detectors.lartpc.wires import Products, WireFile
from tests.mutations import fuzz


def write(path: Path) -> Path:
    """Four events of three planes: wires, labels, vertices and particles."""
    rng, meta = np.random.default_rng(0), ImageMeta.unit((64, 48))
    with LarcvWriter(path) as writer:
        for entry in range(4):
            wires, labels, marks = [], [], []
            for _ in range(3):
                ids = np.sort(rng.choice(64 * 48, 300, replace=False))
                wires.append((meta, Voxels(ids, rng.uniform(5, 500, 300))))
                labels.append((meta, Voxels(ids, rng.integers(0, 3, 300))))
                marks.append((meta, [Voxels(ids[5:9], np.ones(4))]))
            particles = np.zeros(3, PARTICLE)
            particles["pdg"], particles["energy_init"] = [14, 13, 2212], rng.uniform(0, 2, 3)
            writer.append((1, 2, entry), {"wire": wires, "label": labels}, {"nu": marks}, {"nu": particles})
    return path


def read_all(path: Path) -> Iterator[np.ndarray]:
    """All that a source reads of a file."""
    names = {"image_producer": "wire", "label_producer": "label", "particle_producer": "nu", "downsample": 0}
    source = WireImages(WireConfig(**names), str(path))
    yield source.event_ids
    entries = np.arange(len(source))
    images = source.read(entries).images
    yield from (images.row, images.column, images.value, images.label, images.counts)
    yield source.files[0].images.planes.meta["origin"]
    yield from source.truth(entries, ("energy", "interaction", "vertex")).values()
    source.files[0].file.close()


def read_copy(copy: Path) -> Iterator[np.ndarray]:
    """All that is read of the columnar copy of a file, which lies two folders above it."""
    file = WireFile(copy.parents[2] / "whole.h5", Products("wire", "label", "nu"))
    reader = CachedReader(file)
    assert reader.copy == copy
    for entry in range(len(file)):
        event = reader.read(entry)
        yield from (event.row, event.column, event.value, event.label, event.counts)
    reader.file.close()


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
