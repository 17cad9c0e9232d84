"""XCDF files opened with their index are those that were read directly."""

import os
from pathlib import Path

import numpy as np
import pytest

from airshower.detectors.hawc import indexed_file
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.source import Hawc, HawcEvents
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import DataError

OLD = 1_700_000_000


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """Two files of gammas, one of protons, in a cache of their own."""
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    simulated = SimulatedHawc(SimulatedHawc.Config(proton_fraction=0.5), 0)
    for seed in (1, 2):
        for primary, file in simulated.files("a", 20, seed).items():
            target = tmp_path / f"{primary}s_{seed}.xcd"
            target.write_bytes(file.cached().read_bytes())
            os.utime(target, (OLD, OLD))
    return {"gammas": str(tmp_path / "gammas_*.xcd"), "protons": str(tmp_path / "protons_1.xcd")}


def opened(files: dict[str, str], cuts: str) -> HawcEvents:
    config = Hawc.Config(**files, channels=["charge", "time"], conditions=["primary"], cuts=cuts, validation_fraction=0)
    return Hawc(config, 0).open().test.source


def contents(source: HawcEvents) -> list[object]:
    """All that a source says and reads."""
    entries = np.arange(len(source))[::-1]
    batch = source.read(entries)
    arrays = [batch["images"].values, batch["parameters"].values, batch["conditions"].values, source.event_ids]
    arrays += [*source.truth(entries).values(), *source.estimates(entries).values(), source.showers]
    return [source.digest, source.spec.known, *(np.ascontiguousarray(array).tobytes() for array in arrays)]


@pytest.mark.parametrize("cuts", ["", "rec.nHit > 50"])
def test_a_source(files: dict[str, str], monkeypatch: pytest.MonkeyPatch, cuts: str) -> None:
    cold = opened(files, cuts)
    expected = contents(cold)
    assert [file.digest for file in cold.files] == [XcdfFile(file.path).digest for file in cold.files]
    opening = []
    monkeypatch.setattr(indexed_file, "XcdfFile", lambda *given: opening.append(given[0].name) or XcdfFile(*given))
    warm = opened(files, cuts)
    assert opening == ["gammas_1.xcd"], "for positions of PMTs"
    assert contents(warm) == expected
    assert sorted(opening) == ["gammas_1.xcd", "gammas_2.xcd", "protons_1.xcd"]


def test_another_cut_reads_another_column_alone(files: dict[str, str], tmp_path: Path) -> None:
    opened(files, "")
    (table,) = (tmp_path / "cache" / "index").iterdir()
    with np.load(table) as members:
        before = set(members.files)
    opened(files, "event.nHit > 3")
    with np.load(table) as members:
        assert {name.split("|")[0] for name in set(members.files) - before} == {"+event.nHit"}


def test_a_file_that_changes_while_it_is_used(files: dict[str, str]) -> None:
    source = opened(files, "")
    source.read(np.arange(3))
    for file in source.files:
        os.utime(file.path, (OLD + 1, OLD + 1))
    with pytest.raises(DataError, match=r"\.xcd: has changed since"):
        source.read(np.arange(len(source)))
