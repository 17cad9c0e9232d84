"""Small larcv3 files, ways to alter them, and larcv to compare with."""

from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.format import PARTICLE, UNSET_PARTICLE
from airshower.detectors.lartpc.larcv.wires import WireEvent
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels

WIRES, TICKS = 16, 12


@pytest.fixture(scope="session")
def larcv() -> ModuleType:
    """The larcv package."""
    return pytest.importorskip("larcv", reason="the larcv package is not installed (pip install airshower[larcv])")


@pytest.fixture(scope="session")
def write_wires() -> Callable[..., Path]:
    """Writes events of 3 planes of 16 wires x 12 ticks: wires `wire`, labels `label`, particles `nu`.

    The middle plane of event 2 is empty, and so is all of event 3.
    """

    def write(path: Path, events: int = 4, seed: int = 0, shape: tuple[int, int] = (WIRES, TICKS)) -> Path:
        rng, meta = np.random.default_rng(seed), ImageMeta.unit(shape)
        with LarcvWriter(path) as writer:
            for entry in range(events):
                wires, labels = [], []
                for plane in range(3):
                    empty = (entry == 2 and plane == 1) or entry == 3
                    count = 0 if empty else int(rng.integers(1, shape[0] * shape[1]))
                    ids = np.sort(rng.choice(shape[0] * shape[1], count, replace=False))
                    wires.append((meta, Voxels(ids, rng.uniform(5, 2000, count))))
                    labels.append((meta, Voxels(ids, rng.integers(0, 3, count))))
                particles = np.full(entry % 3 + 1, UNSET_PARTICLE, PARTICLE)
                particles["pdg"], particles["energy_init"] = 14, rng.uniform(0.1, 3, len(particles))
                particles["current_type"] = 0
                writer.append((seed, 1, entry), {"wire": wires, "label": labels}, particles={"nu": particles})
        return path

    return write


@pytest.fixture
def wires(tmp_path: Path, write_wires: Callable[..., Path]) -> Path:
    """A file of four events, see `write_wires`."""
    return write_wires(tmp_path / "wires.h5")


@pytest.fixture(scope="session")
def rewrite() -> Callable[..., None]:
    """Replaces a table of a file by what `change` makes of its rows (None: nothing), stored with `options`."""

    def rewrite(path: Path, table: str, change: Callable[[np.ndarray], Any], **options: Any) -> None:
        with h5py.File(path, "r+") as file:
            rows = change(file[table][:])
            del file[table]
            if rows is not None:
                file.create_dataset(table, data=rows, **options)

    return rewrite


@pytest.fixture(scope="session")
def same_event() -> Callable[[WireEvent, WireEvent], bool]:
    """Compares two events in every array and its type."""

    def same(one: WireEvent, other: WireEvent) -> bool:
        arrays = [[getattr(event, name) for name in ("row", "column", "value", "label")] for event in (one, other)]
        return np.array_equal(one.counts, other.counts) and all(
            (a is None and b is None) or (a.dtype == b.dtype and np.array_equal(a, b))
            for a, b in zip(*arrays, strict=True)
        )

    return same
