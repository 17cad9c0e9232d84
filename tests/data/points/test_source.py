"""Files of points: what is read of them, of several, and how their events are split and cut."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.data.batch import Batch
from airshower.data.points.file import GAP
from airshower.data.points.source import PointData, PointEvents, PointsConfig
from airshower.errors import UserError
from tests.data.points.small_points import COUNTS, EVENTS, add, write_points


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return write_points(tmp_path / "points.h5")


def events(*paths: Path, **config: object) -> PointEvents:
    return PointEvents(PointsConfig(**config), paths)


def assert_same(one: Batch, other: Batch) -> None:
    for name in ("position", "features", "counts"):
        np.testing.assert_array_equal(getattr(one["points"], name), getattr(other["points"], name))
    np.testing.assert_array_equal(one.event_ids, other.event_ids)


def test_units_and_scales_are_those_of_the_file(path: Path) -> None:
    source = events(path)
    batch = source.read(np.arange(EVENTS))
    with h5py.File(path) as file:
        np.testing.assert_array_equal(batch["points"].position, file["points/position"][:].astype(np.float32))
        charge = ((np.log(file["points/charge"][:]) - 1.0) / 2.0).astype(np.float32)
        np.testing.assert_array_equal(batch["points"].features, np.stack([charge, file["points/time"][:]], 1))
        core, direction = file["truth/core"][:] * 1e3, np.radians(file["truth/direction"][:])
    assert batch.truth is not None
    truth = batch.truth.get()
    np.testing.assert_allclose(truth["core"], core, rtol=1e-15)
    np.testing.assert_allclose(truth["direction"], direction, rtol=1e-15)
    columns = {column.name: column for column in source.spec.truth}
    assert [columns[name].unit for name in ("energy", "core", "direction")] == ["TeV", "m", "rad"]
    assert columns["primary"].classes == ("gamma", "proton", "iron")
    assert columns["core"].parts == ("core_x", "core_y")


def test_the_frame_is_the_zenith_and_the_centre_unless_stated(path: Path, tmp_path: Path) -> None:
    frame = events(path).read(np.array([2])).frame
    assert frame is not None
    np.testing.assert_allclose(frame.axis, [[np.pi / 2, 0.0]], rtol=1e-7)
    np.testing.assert_array_equal(frame.origin, [[0.0, 0.0]])

    def state(file: h5py.File) -> None:
        file["array/sensors"] = [[0.0, 10.0], [20.0, 30.0]]
        add(file, "frame/axis", np.array([45.0, 90.0]), unit="deg")
        add(file, "frame/origin", np.arange(2.0 * EVENTS).reshape(EVENTS, 2), unit="km")

    source = events(write_points(tmp_path / "other.h5", change=state))
    frame = source.read(np.array([2])).frame
    assert frame is not None
    np.testing.assert_allclose(frame.axis, np.radians([[45.0, 90.0]]), rtol=1e-6)
    np.testing.assert_array_equal(frame.origin, [[4000.0, 5000.0]])
    np.testing.assert_array_equal(source.spec["points"].centre, [10.0, 20.0])


@pytest.mark.parametrize("entries", [[2], [1], [1, 4], [5, 0, 3], [2, 2, 0, 2], list(range(EVENTS))[::-1], []])
def test_any_entries_are_those_of_all(path: Path, entries: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    source = events(path)
    rows = np.array(entries, np.int64)
    expected = source.read(np.arange(EVENTS)).taken(rows)
    assert_same(source.read(rows), expected)
    monkeypatch.setattr("airshower.data.points.file.GAP", -1)
    assert GAP > 0
    assert_same(source.read(rows), expected)


def test_events_without_any_points(tmp_path: Path) -> None:
    def empty(file: h5py.File) -> None:
        for name in ("position", "charge", "time"):
            add(file, f"points/{name}", file[f"points/{name}"][:0])
        add(file, "points/counts", 0 * COUNTS)

    points = events(write_points(tmp_path / "empty.h5", change=empty)).read(np.array([1, 0]))["points"]
    assert points.position.shape == (0, 2)
    assert points.features.shape == (0, 2)
    assert points.counts.tolist() == [0, 0]


def test_two_files_are_read_one_after_the_other(path: Path, tmp_path: Path) -> None:
    other = write_points(tmp_path / "other.h5", seed=1)
    both = events(path, other)
    assert len(both) == 2 * EVENTS
    assert both.file_ends().tolist() == [EVENTS, 2 * EVENTS]
    mixed = both.read(np.array([EVENTS + 2, 2, EVENTS]))
    apart = Batch.joined([events(other).read(np.array([2])), events(path).read(np.array([2]))])
    np.testing.assert_array_equal(mixed["points"].position[:10], apart["points"].position)
    assert mixed.event_ids.tolist() == [[1, 2, 0], [0, 2, 0], [1, 0, 0]]
    assert len(np.unique(both.showers)) == 2 * EVENTS


def test_cuts_are_on_columns_of_events_truth_and_numbers_of_points(path: Path) -> None:
    cut = events(path, cuts="points > 0 and night < 4 and true_energy > 0 and true_core_x < 1e9")
    assert cut.event_ids[:, 1].tolist() == [0, 2, 3]
    assert cut.contents().removed == {"points > 0": 2, "night < 4": 1}
    assert_same(cut.read(np.array([1])), events(path).read(np.array([2])))
    with pytest.raises(UserError, match="did you mean night"):
        events(path, cuts="nigt > 1")


def test_features_are_chosen_by_name(path: Path) -> None:
    both = events(path).read(np.array([0]))["points"].features
    chosen = events(path, features=["time", "charge"])
    np.testing.assert_array_equal(chosen.read(np.array([0]))["points"].features, both[:, ::-1])
    with pytest.raises(UserError, match=r"data\.features=\[central\]: .*h5 has no central; it has charge, time"):
        events(path, features=["central"])


def test_showers_are_in_one_part(tmp_path: Path) -> None:
    def number(file: h5py.File) -> None:
        file["events/shower"] = [7, 7, 8, 8, 9, 9]

    path = write_points(tmp_path / "showers.h5", change=number)
    splits = PointData(PointData.Config(file=str(path), validation_fraction=0.3, test_fraction=0.3), 1).open()
    assert splits.validation is not None
    parts = [splits.train.entries, splits.validation.entries, splits.test.entries]
    assert sorted(part.tolist() for part in parts) == [[0, 1], [2, 3], [4, 5]]
    with pytest.raises(UserError, match="3 showers are also in the files to train on"):
        PointData(PointData.Config(file=str(path), aux_file=str(path)), 1).open()


def test_other_features_are_no_validation(path: Path, tmp_path: Path) -> None:
    def without(file: h5py.File) -> None:
        del file["points/time"]

    other = write_points(tmp_path / "other.h5", seed=1, change=without)
    with pytest.raises(UserError, match=r"data\.aux_file: .* other features"):
        PointData(PointData.Config(file=str(path), aux_file=str(other)), 1).open()
    with pytest.raises(UserError, match=r"other\.h5: has other features than .*points\.h5"):
        events(path, other)


def test_classes_are_resampled(path: Path) -> None:
    config = PointData.Config(file=str(path), validation_fraction=0.0, resample="undersample")
    train = PointData(config, 1).open().train
    primary = train.source.truth(train.entries, ("primary",))["primary"]
    assert len(set(np.bincount(primary)[np.bincount(primary) > 0])) == 1


def test_declared_columns_are_not_known(tmp_path: Path) -> None:
    def observe(file: h5py.File) -> None:
        add(file, "truth/energy", np.zeros(0), unit="TeV")

    source = events(write_points(tmp_path / "observed.h5", change=observe))
    assert "energy" in [column.name for column in source.spec.truth]
    assert source.spec.known == {"primary", "direction", "core"}
    assert "energy" not in source.truth(np.arange(2))
