"""What is read and reconstructed of an event is the same to the bit with any events beside it."""

from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import (
    AZIMUTH,
    CHARGE,
    EVENT_FIELDS,
    FAILED_ZENITH,
    GRID_ID,
    HIT_NUMBERS,
    TIME,
    ZENITH,
)
from airshower.detectors.hawc.simulation.reconstruction import reconstruct
from airshower.detectors.hawc.source import HawcConfig, HawcEvents
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.geometry.tank_array import PMTS, hawc_array

EVENTS = 120
CUTS = [range(1, EVENTS), range(7, EVENTS, 7), [64]]
FIELDS = [field for field in EVENT_FIELDS if field.name in (HIT_NUMBERS, GRID_ID, CHARGE, TIME, ZENITH, AZIMUTH)]


def written(path: Path, infinite: int | None = None) -> Path:
    """Events of hits in the detector's own steps, some of them equal; one charge may be infinite."""
    rng = np.random.default_rng(3)
    counts = rng.integers(1, 120, EVENTS)
    charge = rng.integers(15, 300, counts.sum()) * 0.01
    if infinite is not None:
        charge[infinite] = np.inf
    columns: Columns = {
        HIT_NUMBERS: counts.astype(np.uint64),
        GRID_ID: Ragged(rng.integers(1, PMTS + 1, counts.sum()).astype(np.uint64), counts),
        CHARGE: Ragged(charge, counts),
        TIME: Ragged(rng.integers(0, 900, counts.sum()) * 0.1, counts),
        ZENITH: rng.uniform(0.0, 1.0, EVENTS),
        AZIMUTH: rng.uniform(-3.0, 3.0, EVENTS),
    }
    with XcdfWriter(path, FIELDS) as writer:
        writer.append(columns)
    return path


def source(path: Path, **config: object) -> HawcEvents:
    return HawcEvents(
        HawcConfig(channels=["charge", "time"], parameters=[], conditions=[], **config), {"gamma": [path]}
    )


def images(events: HawcEvents, cuts: object = ()) -> np.ndarray:
    return np.concatenate([events.read(part)["images"].values for part in np.split(np.arange(len(events)), list(cuts))])


@pytest.mark.parametrize("keep", ["largest", "first", "last"])
def test_images(keep: str, tmp_path: Path) -> None:
    events = source(written(tmp_path / "a.xcd"), hits=keep)
    whole = images(events)
    assert whole.any((1, 2, 3)).all()
    for cuts in CUTS:
        assert np.array_equal(images(events, cuts), whole)
    order = np.random.default_rng(0).permutation(EVENTS)
    assert np.array_equal(events.read(order)["images"].values, whole[order])


def test_images_of_a_sample_file(sample: Callable[[str], Path]) -> None:
    """With running sums over a batch, 11 of its 5000 events were moved, by up to 70 ns."""
    events = source(sample("hawc_like_gamma.xcd"))
    assert np.array_equal(images(events, range(64, len(events), 64)), images(events, range(500, len(events), 500)))


def test_an_infinite_charge_moves_no_other_event(tmp_path: Path) -> None:
    finite, infinite = source(written(tmp_path / "a.xcd")), source(written(tmp_path / "b.xcd", infinite=1000))
    (moved,) = np.flatnonzero((images(finite) != images(infinite)).any((1, 2, 3)))
    counts = XcdfFile(tmp_path / "a.xcd").columns([HIT_NUMBERS])[HIT_NUMBERS]
    assert counts[:moved].sum() <= 1000 < counts[: moved + 1].sum()
    assert np.isfinite(images(infinite)).all()


def test_reconstruction_and_summaries(tmp_path: Path) -> None:
    events, array = source(written(tmp_path / "a.xcd"), time="absolute"), hawc_array()
    hits, spec = events.hits(np.arange(EVENTS)), events.spec["images"]

    def part(begin: int, end: int) -> TankHits:
        some = hits.rows((hits.event >= begin) & (hits.event < end))
        return some._replace(event=some.event - begin)

    def found(cuts: object) -> list[np.ndarray]:
        ends = list(pairwise([0, *cuts, EVENTS]))
        fitted = [vars(reconstruct(part(a, b), b - a, array)) for a, b in ends]
        seen = [(events.read(np.arange(a, b))["images"].values, b - a) for a, b in ends]
        shown = [spec.summaries(spec.hits(some), count).scaled for some, count in seen]
        return [np.concatenate([each[name] for each in fitted]) for name in fitted[0]] + [np.concatenate(shown)]

    whole = found([])
    assert not (whole[0] == FAILED_ZENITH).all()
    for cuts in CUTS:
        assert all(map(np.array_equal, found(cuts), whole))
