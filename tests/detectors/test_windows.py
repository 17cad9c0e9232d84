"""Batches of runs that are read together are, bit for bit, those that a source reads one by one."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from airshower.data.batch import Batch
from airshower.data.feeder import Feeder
from airshower.data.order import OrderConfig
from airshower.data.plan import Dealer, EntryPlan
from airshower.data.source import Source
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from tests.one_rank import OneOf
from tests.samples import simulated, simulated_showers
from tests.sources import SOURCES, arrays
from tests.toy.detector import Toy


def two_files_of_wires() -> Source:
    return LartpcEvents(LartpcConfig(), [str(simulated(9)), str(simulated(7, seed=3))])


def two_files_of_showers(**options: Any) -> Source:
    simulation = CtaSimulation(lsts=2, msts=2, energy_min=1.0)
    data = SimulatedCta(SimulatedCta.Config(simulation=simulation), seed=0)
    files = [str(data.file("part", events, seed)) for events, seed in ((8, 1), (6, 2))]
    return CtaEvents(CtaConfig(**options), files)


def gammas_and_protons() -> Source:
    config = SimulatedHawc.Config(events=120, validation_events=2, proton_fraction=0.4, channels=["charge", "time"])
    return SimulatedHawc(config, 0).open().train.source


def toy() -> Source:
    return Toy(Toy.Config(events=50), 0).open().train.source


ALL: dict[str, Callable[[], Source]] = {
    **SOURCES,
    "lartpc of two files": two_files_of_wires,
    "cta of two files, stereo": lambda: two_files_of_showers(mode="stereo"),
    "cta of two files, mono": lambda: two_files_of_showers(mode="mono", telescope_types=["LST"]),
    "hawc gammas and protons": gammas_and_protons,
    "toy": toy,
}
FILES = {"lartpc of two files": 2, "cta of two files, stereo": 2, "hawc gammas and protons": 2}


def everything(source: Source, batch: Batch) -> list[np.ndarray]:
    """All arrays of a batch and its columns of truth."""
    truth = batch.truth.get(*(column.name for column in source.spec.truth)) if batch.truth else {}
    return [*arrays(batch), *truth.values()]


def assert_equal(source: Source, batch: Batch, expected: Batch) -> None:
    one, other = everything(source, batch), everything(source, expected)
    assert len(one) == len(other)
    for values, wanted in zip(one, other, strict=True):
        assert values.dtype == wanted.dtype
        assert values.shape == wanted.shape
        assert values.tobytes() == wanted.tobytes()


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(("rank", "size"), [(0, 1), (1, 2), (2, 3)])
def test_batches_of_a_window_are_those_of_the_source(name: str, rank: int, size: int) -> None:
    source = ALL[name]()
    order = OrderConfig("random_blocks", 3, 12)
    plan = EntryPlan(np.arange(len(source)), 4, order, 1, source.file_ends())
    steps = min(2 * plan.steps_per_epoch, 20)
    read = 0
    with Feeder(source, Dealer(plan, 2, OneOf(rank, size)), steps, threads=2) as feeder:
        for dealt, batches in feeder:
            for piece, batch in zip(dealt.pieces, batches, strict=True):
                assert_equal(source, batch, source.read(piece))
                read += len(piece)
    assert read or size == 3


@pytest.mark.parametrize("name", FILES)
def test_ends_of_files(name: str) -> None:
    source = ALL[name]()
    ends = source.file_ends()
    assert len(ends) == FILES[name]
    assert ends[-1] == len(source)
    assert (np.diff(ends, prepend=0) > 0).all()
    ids = source.event_ids
    assert tuple(ids[ends[0] - 1]) != tuple(ids[ends[0]])
    if name == "hawc gammas and protons":
        assert np.flatnonzero(np.diff(source.truth(np.arange(len(source)))["primary"])).tolist() == [ends[0] - 1]


@pytest.mark.parametrize("name", ["cta", "lartpc", "hawc"])
def test_rows_may_repeat_and_come_in_any_order(name: str) -> None:
    source = SOURCES[name]()
    whole = source.read(np.arange(8))
    for rows in ([5, 2, 2, 7, 5], [0], [*range(8)], []):
        taken = whole.taken(np.array(rows, np.int64))
        assert_equal(source, taken, source.read(np.array(rows, np.int64)))
    parts = [whole.taken(np.array(rows, np.int64)) for rows in ([0, 1], [], [2], [3, 4, 5, 6, 7])]
    assert_equal(source, Batch.joined(parts), whole)
    assert Batch.joined(parts).to(torch.device("cpu")).device == torch.device("cpu")


def test_the_official_files(sample_file: Callable[[str], Path]) -> None:
    """Of larcv, with images of many pixels, and of ctapipe, with several kinds of cameras."""
    wires = LartpcEvents(LartpcConfig(downsample=0), str(sample_file("lartpc/cosmic_tagging_light.h5")))
    showers = CtaEvents(CtaConfig(mode="stereo"), str(sample_file("cta/proton_prod6_north_602.dl1.h5")))
    for source in (wires, showers):
        whole = source.read(np.arange(4))
        rows = np.array([3, 0, 1])
        assert_equal(source, whole.taken(rows), source.read(rows))
        parts = [source.read(np.array([2, 3])), source.read(np.array([0]))]
        assert_equal(source, Batch.joined(parts).taken(np.array([2, 0])), source.read(np.array([0, 2])))


def test_showers_without_images_of_a_camera() -> None:
    source = simulated_showers().source
    counts = [len(camera) for camera in source.read(np.arange(len(source)))["images"].cameras]
    for entry in range(len(source)):
        one = source.read(np.arange(len(source))).taken(np.array([entry]))
        assert_equal(source, one, source.read(np.array([entry])))
    assert len(counts) == 2
