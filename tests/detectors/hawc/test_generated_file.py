"""Generated events as XCDF files: read back, and what can't be written."""

from pathlib import Path

import numpy as np
import pytest

from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.generated_file import field_of
from airshower.detectors.hawc.quantities import CONDITIONS, PARAMETERS, QUANTITIES
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.detectors.hawc.source import Hawc, HawcEvents
from airshower.detectors.hawc.xcdf.file import XcdfFile
from airshower.errors import DataError, UserError

COUNTS = ("rec.nHit", "rec.nTankHit")


@pytest.fixture(scope="module")
def source() -> HawcEvents:
    config = SimulatedHawc.Config(events=20)
    return SimulatedHawc(config, 0).open().train.source


def generated(count: int, names: tuple[str, ...] = PARAMETERS + CONDITIONS, seed: int = 0) -> dict[str, np.ndarray]:
    """Any numbers, on no steps, of the size that the quantities have."""
    rng = np.random.default_rng(seed)
    return {name: QUANTITIES[name].physical(rng.uniform(-1.0, 1.0, count)) for name in names}


def write(source: HawcEvents, path: Path, *parts: dict[str, np.ndarray], **provenance: str) -> None:
    with source.generated_writer(path, provenance) as writer:
        for part in parts:
            writer.append(part)


def test_fields_are_those_of_the_detectors_files() -> None:
    theirs = {field.name: field for field in EVENT_FIELDS}
    assert [field_of(quantity) for quantity in QUANTITIES.values()] == [theirs[name] for name in QUANTITIES]


@pytest.mark.parametrize("names", [PARAMETERS, PARAMETERS[::-1] + CONDITIONS[:1]])
def test_values_come_back_within_half_a_step(source: HawcEvents, names: tuple[str, ...], tmp_path: Path) -> None:
    parts = [generated(count, names, seed) for seed, count in enumerate((700, 1, 900))]
    write(source, tmp_path / "generated.h5", *parts, checkpoint="a/b.pt", step="3")
    assert [path.name for path in tmp_path.iterdir()] == ["generated.xcd"]
    file = XcdfFile(tmp_path / "generated.xcd")
    assert file.comments == ("airshower checkpoint: a/b.pt", "airshower step: 3")
    found = file.columns()
    assert set(found) == set(names)
    for name in names:
        values, step = np.concatenate([part[name] for part in parts]), QUANTITIES[name].step
        if name in COUNTS:
            assert found[name].dtype == np.uint64
            assert np.array_equal(found[name], np.rint(values))
        else:
            assert np.abs(found[name] - values).max() <= 0.500001 * step
            assert step or np.array_equal(found[name], values)


def test_generated_events_are_read_as_any_other(source: HawcEvents, tmp_path: Path) -> None:
    columns = generated(30)
    write(source, tmp_path / "generated.xcd", columns)
    config = Hawc.Config(gammas=str(tmp_path / "generated.xcd"), channels=[], validation_fraction=0.0)
    again = Hawc(config, 0).open().train.source
    np.testing.assert_allclose(again.columns["rec.coreX"], columns["rec.coreX"], atol=0.0500001)
    assert len(again.read(np.arange(30))) == 30


@pytest.mark.parametrize("channels", [["charge"], ["charge", "time"]])
def test_generated_images_are_read_as_they_were(channels: list[str], tmp_path: Path) -> None:
    """To the file's resolutions, with the least and the largest values that a generator gives, and without hits."""
    config = SimulatedHawc.Config(events=20, channels=channels)
    source = SimulatedHawc(config, 0).open().train.source
    images, spec = source.read(np.arange(20))["images"].values, source.spec["images"]
    row, column = spec.cell[:3].T
    images[3, :, row, column] = np.array([1, 128, 255])[:, None] / 255
    images[7] = 0.0
    hits = spec.hits(images)
    with source.generated_writer(tmp_path / "generated", {"step": "1"}) as writer:
        for events in (np.arange(8), np.arange(8, 20)):
            chosen = hits.rows(np.isin(hits.event, events))
            writer.append({}, chosen._replace(event=chosen.event - events[0]), len(events))
    path = tmp_path / "generated.xcd"
    shown = {"channels": channels, "time": "absolute", "parameters": [], "conditions": [], "validation_fraction": 0.0}
    again = Hawc(Hawc.Config(gammas=str(path), **shown), 0).open().train.source
    found = again.read(np.arange(20))["images"].values
    assert ((found > 0) == (images > 0)).all()
    charges = [spec.channels[0].physical(values[images[:, 0] > 0]) for values in (images[:, 0], found[:, 0])]
    assert np.abs(charges[1] - charges[0]).max() < 0.0101
    timed = len(channels) == 2
    if timed:
        assert np.abs(found - images)[:, 1].max() * 300.0 < 0.0501
    said = "airshower times: behind the plane of the shower; read them with data.time=absolute"
    assert (said in XcdfFile(path).comments) == timed


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        (
            {"channels": ["charge", "time"]},
            r"data.channels=.charge,time.: hits of .*a.xcd have no times; leave time out",
        ),
        (
            {"channels": [], "features": ["charge", "time"]},
            r"data.features=.charge,time.: hits of .*a.xcd have no times; leave time out",
        ),
        ({"hits": "first"}, r"data.hits=first: hits of .*a.xcd have no times; use data.hits=largest"),
    ],
)
def test_what_needs_times_that_files_do_not_have(source: HawcEvents, changed: dict, said: str, tmp_path: Path) -> None:
    hits = TankHits(np.array([0, 1]), np.array([5, 7]), np.array([2.0, 3.0]), None)
    with source.generated_writer(tmp_path / "a", {}) as writer:
        writer.append({}, hits, 2)
    shown = {"channels": ["charge"], "parameters": [], "conditions": [], "validation_fraction": 0.0}
    assert Hawc(config(tmp_path, shown), 0).open().train.source.hits(np.arange(2)).time is None
    with pytest.raises(UserError, match=said):
        Hawc(config(tmp_path, shown | changed), 0).open()


def test_events_of_two_classes_are_read_as_what_they_are(tmp_path: Path) -> None:
    """Their file is named for both."""
    simulated = SimulatedHawc.Config(events=20, proton_fraction=0.5, conditions=["primary"])
    source = SimulatedHawc(simulated, 0).open().train.source
    write(source, tmp_path / "a", generated(4, PARAMETERS) | {"primary": np.array([0.0, 1.0, 1.0, 0.0])})
    both = {"protons": str(tmp_path / "a.xcd"), "conditions": ["primary"]}
    for shown, classes, events in (({"conditions": []}, [0, 0], [0, 3]), (both, [0, 0, 1, 1], [0, 3, 1, 2])):
        again = Hawc(config(tmp_path, shown | {"validation_fraction": 0.0}), 0).open().train.source
        assert again.truth(np.arange(len(classes)))["primary"].tolist() == classes
        assert again.event_ids[:, 1].tolist() == events


def test_times_behind_a_plane_are_not_put_behind_another(source: HawcEvents, tmp_path: Path) -> None:
    hits = TankHits(np.array([0, 1]), np.array([5, 7]), np.array([2.0, 3.0]), np.zeros(2))
    with source.generated_writer(tmp_path / "a", {}) as writer:
        writer.append({}, hits, 2)
    shown = {"channels": ["charge"], "parameters": [], "conditions": [], "validation_fraction": 0.0}
    with pytest.raises(UserError, match=r"no rec.zenithAngle in all files; .* are read with data.time=absolute"):
        Hawc(config(tmp_path, shown), 0).open()


def config(folder: Path, shown: dict) -> Hawc.Config:
    return Hawc.Config(gammas=str(folder / "a.xcd"), **shown)


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("rec.coreX", np.nan, "event 3: rec.coreX is nan, not finite"),
        ("rec.CxPE40", np.inf, "event 3: rec.CxPE40 is inf, not finite"),
        ("rec.nHit", np.nan, "event 3: rec.nHit is nan, not finite"),
        ("rec.nTankHit", -1.2, r"event 3: rec.nTankHit is -1.2, which is no count"),
        ("rec.nHit", 1e19, r"event 3: rec.nHit is 1e\+19, which is no count"),
        ("rec.core", 1.0, "there is no rec.core; there are rec.logNPE, rec.nHit, .*SimEvent.phiTrue"),
    ],
)
def test_what_can_not_be_written_is_told(
    source: HawcEvents, name: str, value: float, said: str, tmp_path: Path
) -> None:
    wrong = generated(4)
    wrong[name] = np.concatenate([np.zeros(1), np.full(3, value)])
    with pytest.raises(DataError, match=rf"generated.xcd: {said}$"):
        write(source, tmp_path / "generated.xcd", generated(2), wrong)
    assert not list(tmp_path.iterdir())


def test_a_count_just_below_zero_is_zero(source: HawcEvents, tmp_path: Path) -> None:
    write(source, tmp_path / "a.xcd", {"rec.nHit": np.array([-0.4, 2.6])})
    assert XcdfFile(tmp_path / "a.xcd").columns()["rec.nHit"].tolist() == [0, 3]


def test_all_events_have_the_same_columns(source: HawcEvents, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"they differ in rec.nHit"):
        write(source, tmp_path / "a.xcd", generated(2, ("rec.coreX", "rec.nHit")), generated(2, ("rec.coreX",)))
    assert not list(tmp_path.iterdir())


def test_a_place_that_can_not_be_written_is_told(source: HawcEvents, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"below.xcd: can't be written"):
        write(source, tmp_path / "file" / "below.xcd", generated(2))
