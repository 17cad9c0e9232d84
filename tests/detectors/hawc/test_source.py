"""Events of XCDF files as entries: simulated files, the sample files, and what is said of wrong ones."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from airshower.data.splits import Splits, digest
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.quantities import CONDITIONS, PARAMETERS
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.source import Hawc, HawcEvents
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError, UserError
from airshower.geometry.tank_array import hawc_array

EVENTS, HELD_OUT, TESTED = 40, 12, 8


@pytest.fixture(scope="module")
def simulated() -> SimulatedHawc:
    return SimulatedHawc(
        SimulatedHawc.Config(
            events=EVENTS, validation_events=HELD_OUT, test_events=TESTED, proton_fraction=0.25, failed_fits=True
        ),
        0,
    )


@pytest.fixture(scope="module")
def files(simulated: SimulatedHawc) -> dict[str, Path]:
    return {primary: file.cached() for primary, file in simulated.files("train", EVENTS, 2).items()}


def opened(files: dict[str, Path], **config: object) -> Splits:
    given = {f"{primary}s": str(path) for primary, path in files.items()}
    shown = {"validation_fraction": 0.0, "failed_fits": True, "channels": ["charge", "time"]}
    return Hawc(Hawc.Config(**shown | given | config), 0).open()


def in_files(files: dict[str, Path], names: list[str], entries: np.ndarray) -> dict[str, np.ndarray]:
    """Fields of the events of all files, one file after the other."""
    columns = [XcdfFile(path).columns(names) for path in files.values()]
    return {name: np.concatenate([of_file[name] for of_file in columns])[entries] for name in names}


def rewritten(path: Path, made: Path, change: Callable[[Columns], None], leave_out: str = "") -> Path:
    """The same events, changed, without some field."""
    columns = XcdfFile(path).columns([field.name for field in EVENT_FIELDS if field.name != leave_out])
    change(columns)
    with XcdfWriter(made, [field for field in EVENT_FIELDS if field.name in columns]) as writer:
        writer.append(columns)
    return made


def test_simulated_events_are_those_of_the_files(simulated: SimulatedHawc, files: dict[str, Path]) -> None:
    splits = simulated.open()
    assert [len(part.entries) for part in (splits.train, splits.validation)] == [EVENTS, HELD_OUT]
    assert len(splits.test.entries) == TESTED
    source = splits.train.source
    assert source.spec.column("primary").classes == ("gamma", "proton")
    assert np.bincount(source.truth(np.arange(EVENTS), ("primary",))["primary"]).tolist() == [30, 10]
    parts = ("train", "validation", "test")
    assert digest(splits.selections(parts)) == digest(simulated.open().selections(parts))
    assert len({part.source.digest for part in splits.selections(parts)}) == 3
    assert len(XcdfFile(files["gamma"])) == 30


@pytest.mark.parametrize("time", ["plane", "absolute"])
@pytest.mark.parametrize("keep", ["largest", "first", "last"])
def test_images_are_the_hits_of_the_file(files: dict[str, Path], time: str, keep: str) -> None:
    """Event by event, hit by hit."""
    source = opened(files, hits=keep, time=time, earliest=-3000.0, latest=3000.0).train.source
    entries = np.array([35, 3, 3, 0])
    batch = source.read(entries)
    for image, entry in zip(batch["images"].values, entries, strict=True):
        own, event, _ = source.event_ids[entry]
        stored = XcdfFile(list(files.values())[own]).read([event])
        best: dict[int, tuple[float, float, float]] = {}
        columns = [stored[f"event.hit.{name}"].values for name in ("gridId", "charge", "time", "xPMT", "yPMT")]
        zenith, azimuth = stored["rec.zenithAngle"][0], stored["rec.azimuthAngle"][0]
        for grid_id, charge, at, x, y in zip(*columns, strict=True):
            late = at + np.sin(zenith) * (x * np.cos(azimuth) + y * np.sin(azimuth)) / 0.299792458
            rank = {"largest": charge, "first": -late, "last": late}[keep]
            if int(grid_id) not in best or rank > best[int(grid_id)][0]:
                best[int(grid_id)] = rank, charge, late if time == "plane" else at
        found = source.spec["images"].hits(image[None])
        assert sorted(found.grid_id) == sorted(best)
        np.testing.assert_allclose(found.charge, [best[i][1] for i in found.grid_id], rtol=1e-4)
        offset = found.time - [best[i][2] for i in found.grid_id]
        np.testing.assert_allclose(offset, offset[0] if time == "plane" else 0.0, atol=0.01)
        assert not image[:, source.spec["images"].dead].any()


def test_plane_times_are_near_zero_where_absolute_ones_are_not(files: dict[str, Path]) -> None:
    spread = {}
    for time in ("plane", "absolute"):
        source = opened(files, time=time, earliest=-400.0, latest=900.0).train.source
        found = source.hits(np.flatnonzero(source.columns["rec.logNPE"] > 2.0))
        strong = found.charge > 5.0
        events = [found.time[strong & (found.event == event)] for event in np.unique(found.event[strong])]
        spread[time] = np.median([np.median(np.abs(times - np.median(times))) for times in events])
    assert spread["plane"] < 10.0
    assert spread["absolute"] > 4.0 * spread["plane"]


def test_parameters_and_conditions_come_back(files: dict[str, Path]) -> None:
    source = opened(files).train.source
    entries = np.array([5, 31, 0])
    batch, stored = source.read(entries), in_files(files, list(CONDITIONS + PARAMETERS), entries)
    spec, physical = source.spec, {}
    for name in ("parameters", "conditions"):
        physical |= spec[name].physical(batch[name].values)
    assert len(physical) == 11
    for name, values in physical.items():
        np.testing.assert_allclose(values, stored[name], rtol=1e-4, atol=1e-3)


def test_parameters_alone_read_no_hits(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(files, channels=[], parameters=["rec.PINC"], conditions=[]).train.source
    monkeypatch.setattr(XcdfFile, "read", None)
    batch = source.read(np.arange(4))
    assert {name: table.values.shape for name, table in batch.inputs.items()} == {
        "parameters": (4, 1),
        "conditions": (4, 0),
    }


def test_the_primary_is_a_condition(files: dict[str, Path], tmp_path: Path) -> None:
    """And what is generated for it is written."""
    source = opened(files, conditions=["SimEvent.energyTrue", "primary"]).train.source
    entries = np.array([5, 31, 0])
    assert source.scaled("conditions", entries)[:, 1].tolist() == [-1.0, 1.0, -1.0]
    assert source.columns["primary"].sum() == 10
    with source.generated_writer(tmp_path / "generated", {}) as writer:
        writer.append({"primary": np.array([0.0, 1.0, 1.0])})
    assert XcdfFile(tmp_path / "generated.xcd").columns()["primary"].tolist() == [0, 1, 1]


def test_the_primary_of_one_class_is_refused(files: dict[str, Path]) -> None:
    with pytest.raises(UserError, match=r"data.conditions: primary needs both classes, but all events are protons"):
        opened({"gamma": "", "proton": files["proton"]}, conditions=["primary"])
    with pytest.raises(UserError, match=r"data.parameters: there is no primary"):
        opened(files, parameters=["primary"])


def test_tables_read_no_hits(files: dict[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    source = opened(files).train.source
    batch = source.read(np.array([7, 2]))
    monkeypatch.setattr(XcdfFile, "read", None)
    for name in ("parameters", "conditions"):
        assert (source.scaled(name, np.array([7, 2])) == batch[name].values).all()


def test_a_batch_becomes_tensors(files: dict[str, Path]) -> None:
    batch = opened(files, channels=["charge"]).train.source.read(np.arange(3))
    images = batch.to(torch.device("cpu"))["images"].values
    assert (images.shape, images.dtype) == ((3, 1, 40, 40), torch.float32)
    assert batch.nbytes == 4 * (3 * 1600 + 3 * 8 + 3 * 3)


def test_cuts_on_fields(files: dict[str, Path]) -> None:
    source = opened(files, cuts="rec.nHit > 80 and SimEvent.energyTrue < 5000").train.source
    assert 0 < len(source) < EVENTS
    assert source.columns["rec.nHit"].min() > 80
    assert source.truth(np.arange(len(source)))["energy"].max() < 5000.0
    assert source.read(np.arange(len(source))).event_ids.tolist() == source.event_ids.tolist()


def test_failed_fits_are_left_out(files: dict[str, Path], tmp_path: Path) -> None:
    def fail(columns: Columns) -> None:
        columns["rec.zenithAngle"][[2, 4]] = 3.1416

    path = rewritten(files["gamma"], tmp_path / "failed.xcd", fail)
    assert len(opened({"gamma": path}, failed_fits=False).train.source) == 28
    assert len(opened({"gamma": path}, failed_fits=True).train.source) == 30
    assert opened({"gamma": path}, failed_fits=False).train.source.event_ids[:4, 1].tolist() == [0, 1, 3, 5]


def test_showers_are_not_split(files: dict[str, Path], tmp_path: Path) -> None:
    """Ten showers that are used three times each."""

    def again(columns: Columns) -> None:
        for name in ("SimEvent.energyTrue", "SimEvent.thetaTrue", "SimEvent.phiTrue"):
            columns[name] = np.tile(columns[name][:10], 3)

    path = rewritten(files["gamma"], tmp_path / "again.xcd", again)
    splits = opened({"gamma": path}, validation_fraction=0.2, test_fraction=0.3)
    assert [len(part.entries) for part in (splits.train, splits.validation, splits.test)] == [15, 6, 9]
    parts = [set((part.entries % 10).tolist()) for part in (splits.train, splits.validation, splits.test)]
    assert sorted(shower for part in parts for shower in part) == list(range(10))


def test_patterns_name_several_files(simulated: SimulatedHawc, tmp_path: Path) -> None:
    for name, events, seed in (("train", EVENTS, 2), ("validation", HELD_OUT, 3)):
        path = simulated.files(name, events, seed)["gamma"].cached()
        (tmp_path / path.name).symlink_to(path)
    source = opened({"gamma": tmp_path / "*_gamma_*.xcd"}).train.source
    assert len(source) == 30 + 9
    both = source.read(np.array([35, 2, 10]))
    assert both.event_ids[:, 0].tolist() == [0, 1, 1] or both.event_ids[:, 0].tolist() == [1, 0, 0]
    for row, entry in enumerate((35, 2, 10)):
        alone = source.read(np.array([entry]))["images"].values
        np.testing.assert_array_equal(both["images"].values[row], alone[0])


def test_positions_are_those_of_the_file(files: dict[str, Path], tmp_path: Path) -> None:
    def move(columns: Columns) -> None:
        x = columns["event.hit.xPMT"]
        columns["event.hit.xPMT"] = Ragged(x.values + 1.0, x.counts)

    path = rewritten(files["gamma"], tmp_path / "moved.xcd", move)
    off = opened({"gamma": path}).train.source.spec["images"].position - hawc_array().position
    hit = np.unique(XcdfFile(path).columns(["event.hit.gridId"])["event.hit.gridId"].values.astype(int)) - 1
    np.testing.assert_allclose(off[hit, 0], 1.0, atol=0.01)
    np.testing.assert_allclose(np.delete(off, hit, 0), 0.0)


def test_positions_that_are_no_numbers_are_those_of_the_array(files: dict[str, Path], tmp_path: Path) -> None:
    def lose(columns: Columns) -> None:
        columns["event.hit.yPMT"].values[:] = np.nan

    path = rewritten(files["gamma"], tmp_path / "lost.xcd", lose)
    np.testing.assert_equal(opened({"gamma": path}).train.source.spec["images"].position, hawc_array().position)


def test_one_position_for_an_event_is_refused(files: dict[str, Path], tmp_path: Path) -> None:
    columns = XcdfFile(files["gamma"]).columns([field.name for field in EVENT_FIELDS])
    columns["event.hit.xPMT"] = np.zeros(len(columns["rec.nHit"]))
    fields = [replace(field, parent="") if field.name == "event.hit.xPMT" else field for field in EVENT_FIELDS]
    with XcdfWriter(tmp_path / "flat.xcd", fields) as writer:
        writer.append(columns)
    with pytest.raises(DataError, match=r"flat.xcd: event.hit.xPMT is not a vector of event.nHit values"):
        opened({"gamma": tmp_path / "flat.xcd"})


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"cuts": "rec.nHits > 2"}, r"no column rec.nHits .*did you mean rec.nHit\?"),
        ({"cuts": "rec.nHit > 5000"}, "no event is left of the 40"),
        ({"parameters": ["rec.zenith"]}, "data.parameters: there is no rec.zenith"),
        ({"conditions": ["energy"]}, "data.conditions: there is no energy"),
        ({"channels": ["time"]}, "data.channels"),
        ({"latest": -200.0}, "data.latest=-200.0: must be above"),
        ({"validation_fraction": 0.6, "test_fraction": 0.5}, "leave none of 40 showers"),
    ],
)
def test_wrong_keys_are_one_line(files: dict[str, Path], config: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        opened(files, **config)


def test_no_file_at_all() -> None:
    with pytest.raises(UserError, match=r"data.gammas, data.protons, data.file: name files"):
        opened({"gamma": "", "proton": ""})
    with pytest.raises(DataError, match=r"nowhere\*.xcd: no file matches"):
        opened({"gamma": "nowhere*.xcd"})


def test_files_for_validation(files: dict[str, Path], simulated: SimulatedHawc) -> None:
    aux = {
        f"aux_{primary}s": str(file.cached()) for primary, file in simulated.files("validation", HELD_OUT, 3).items()
    }
    splits = opened(files, validation_fraction=0.5, **aux)
    assert (len(splits.train.entries), len(splits.validation.entries)) == (EVENTS, HELD_OUT)
    assert splits.test is splits.validation
    with pytest.raises(UserError, match="files for validation are of gamma, but those to train on are of gamma and"):
        opened(files, aux_gammas=aux["aux_gammas"])
    with pytest.raises(UserError, match=r"\.xcd: is among the files for validation and those to train on"):
        opened(files, **aux | {"aux_gammas": str(files["gamma"])})


def test_observed_events(files: dict[str, Path], tmp_path: Path) -> None:
    path = rewritten(files["gamma"], tmp_path / "observed.xcd", lambda columns: None, "SimEvent.energyTrue")
    splits = opened({}, file=str(path), conditions=[], validation_fraction=0.2)
    source = splits.test.source
    assert source.classes == ("observed",)
    assert not source.spec.known
    assert len(np.unique(splits.test.source.showers)) == 30
    assert len(splits.test.entries) == 6
    with pytest.raises(UserError, match=r"data\.file: is for observed events; give it alone"):
        opened(files, file=str(path))
    with pytest.raises(UserError, match=r"observed\.xcd: is among the files for validation and those to train on"):
        opened({}, file=str(path), aux_file=str(path), conditions=[])


def test_observations_have_no_conditions(files: dict[str, Path], tmp_path: Path) -> None:
    path = rewritten(files["gamma"], tmp_path / "observed.xcd", lambda columns: None, "SimEvent.energyTrue")
    with pytest.raises(DataError, match=r"observed.xcd: has no field SimEvent.energyTrue"):
        opened({"gamma": path})
    source = opened({"gamma": path}, conditions=[], validation_fraction=0.5).train.source
    assert "energy" not in source.truth(np.arange(3))
    assert source.spec.known == {"primary", "direction", "core"}


def test_grid_ids_that_no_pmt_has(files: dict[str, Path], tmp_path: Path) -> None:
    def wrong(columns: Columns) -> None:
        columns["event.hit.gridId"].values[columns["event.hit.gridId"].counts[:7].sum()] = 1201

    path = rewritten(files["gamma"], tmp_path / "wrong.xcd", wrong)
    source = opened({"gamma": path}).train.source
    source.read(np.arange(7))
    with pytest.raises(DataError, match=r"wrong.xcd: event 7: event.hit.gridId is 1201, PMTs have 1 to 1200"):
        source.read(np.arange(9))


@pytest.mark.parametrize("name", ["hawc_like_gamma.xcd", "hawc_like_proton.xcd"])
def test_sample_files(name: str, sample: Callable[[str], Path]) -> None:
    source = opened({"gamma": sample(name)}, time="absolute", earliest=-500.0, latest=1000.0).train.source
    entries = np.array([1400, 7, 600])
    stored = XcdfFile(sample(name)).read(source.event_ids[entries, 1], ["event.hit.gridId"])["event.hit.gridId"]
    found = source.hits(entries)
    starts = np.cumsum(stored.counts) - stored.counts
    for row, (start, count) in enumerate(zip(starts, stored.counts, strict=True)):
        assert found.grid_id[found.event == row].tolist() == np.unique(stored.values[start : start + count]).tolist()
    assert isinstance(source, HawcEvents)
