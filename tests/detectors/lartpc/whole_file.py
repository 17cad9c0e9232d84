"""A larcv3 file of all products, and everything that is read of it and of its columnar copy."""

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from airshower.data.handles import HANDLES
from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.format import PARTICLE
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents


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
    source = LartpcEvents(LartpcConfig(**names), str(path))
    yield source.event_ids
    entries = np.arange(len(source))
    images = source.read(entries)["images"]
    yield from (images.row, images.column, images.value, images.label, images.counts)
    yield source.files[0].images.planes.meta["origin"]
    yield from source.truth(entries, ("energy", "interaction", "vertex")).values()
    source.files[0].close()


def read_copy(copy: Path) -> Iterator[np.ndarray]:
    """All that is read of the columnar copy of a file, which lies two folders above it."""
    file = WireFile(copy.parents[2] / "whole.h5", Products("wire", "label", "nu"))
    reader = CachedReader(file)
    assert reader.copy == copy
    for entry in range(len(file)):
        event = reader.read(entry)
        yield from (event.row, event.column, event.value, event.label, event.counts)
    HANDLES.close(reader.copy)
