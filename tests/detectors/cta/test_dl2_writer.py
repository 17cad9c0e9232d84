"""DL2 files: what ctapipe's tools find in them, and what of the DL1 files."""

from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (its import teaches h5py the files' compression)
import numpy as np
import pytest

from airshower.detectors.cta.dl1_file import Dl1File
from airshower.detectors.cta.source import IactConfig, IactImages

GAMMAS, PROTONS = "gamma_diffuse_prod6_north.dl1.h5", "proton_prod6_north_602.dl1.h5"
COLUMNS = ("prediction", "energy", "alt", "az", "core_x", "core_y")


def values(entries: np.ndarray) -> dict[str, np.ndarray]:
    """A number for each prediction, another for each entry."""
    return {name: 0.01 * entries + 0.1 * place for place, name in enumerate(COLUMNS)}


def predict(source: IactImages, path: Path, entries: np.ndarray) -> Path:
    with source.prediction_writer(path, {"step": "3"}) as writer:
        for part in np.array_split(entries, 3):
            writer.append(part, values(part))
    return path


@pytest.fixture(params=["stereo", "mono"])
def predicted(request: pytest.FixtureRequest, sample: Callable[[str], Path], tmp_path: Path) -> tuple[IactImages, Path]:
    """Two official files, of which the first entry is not predicted; in mono only the LSTs."""
    types = ["LST"] if request.param == "mono" else []
    config = IactConfig(mode=request.param, telescope_types=types)
    source = IactImages(config, [str(sample(GAMMAS)), str(sample(PROTONS))])
    return source, predict(source, tmp_path / "p.dl2.h5", np.arange(1, len(source)))


def tables(file: h5py.File, source: IactImages, kind: str) -> dict[int, np.ndarray]:
    """Predictions by telescope, 0 for events."""
    if source.spec.mode == "stereo":
        return {0: file[f"dl2/event/subarray/{kind}/airshower"][:]}
    group = file[f"dl2/event/telescope/{kind}/airshower"]
    return {int(name.removeprefix("tel_")): table[:] for name, table in group.items()}


def test_predictions_are_at_their_events(predicted: tuple[IactImages, Path]) -> None:
    source, path = predicted
    prefix = "airshower" if source.spec.mode == "stereo" else "airshower_tel"
    expected = values(np.arange(len(source)))
    ids = [tuple(row) for row in source.event_ids.tolist()]
    with h5py.File(path) as file:
        assert file.attrs["airshower_step"] == b"3"
        found = 0
        for kind, columns in (("classification", COLUMNS[:1]), ("energy", COLUMNS[1:2]), ("geometry", COLUMNS[2:])):
            for tel_id, table in tables(file, source, kind).items():
                for row in table:
                    key = (int(row["obs_id"]), int(row["event_id"]), tel_id)
                    entry = ids.index(key) if key in ids else 0
                    assert bool(row[f"{prefix}_is_valid"]) == (entry > 0)
                    for name in columns:
                        value = np.degrees(expected[name][entry]) if name in ("alt", "az") else expected[name][entry]
                        np.testing.assert_allclose(row[f"{prefix}_{name}"], value if entry else np.nan)
                    found += entry > 0
        assert found == 3 * (len(source) - 1)


def test_there_is_a_row_for_all_that_triggered(predicted: tuple[IactImages, Path]) -> None:
    source, path = predicted
    dl1 = Dl1File(source.files[0].path)
    with h5py.File(path) as file, h5py.File(dl1.path) as first:
        trigger = file["dl1/event/subarray/trigger"][:]
        assert len(trigger) == sum(len(one.events) for one in source.files)
        np.testing.assert_array_equal(trigger[: len(dl1.events)], first["dl1/event/subarray/trigger"][:])
        for tel_id, table in tables(file, source, "energy").items():
            own = file["dl1/event/telescope/trigger"][:]
            expected = own[own["tel_id"] == tel_id] if tel_id else trigger
            for key in ("obs_id", "event_id"):
                np.testing.assert_array_equal(table[key], expected[key])
        assert file["configuration/simulation/run"]["obs_id"].tolist() == [10, 1]
        assert len(file["configuration/instrument/subarray/layout"]) == len(dl1.subarray.ids)
        assert len(file["simulation/event/subarray/shower"]) == len(trigger)
        table = file["dl1/event/subarray/trigger"].id.get_type()
        assert table.get_member_class(table.get_member_index(b"tels_with_trigger")) == h5py.h5t.ARRAY
        assert file.attrs["CTA PRODUCT DATA LEVELS"] == b"DL2"


@pytest.mark.heavy
@pytest.mark.filterwarnings("ignore")
def test_ctapipe_loads_and_merges_it(predicted: tuple[IactImages, Path], tmp_path: Path) -> None:
    io = pytest.importorskip("ctapipe.io", reason="ctapipe is not installed")
    source, path = predicted
    merged = tmp_path / "merged.dl2.h5"
    with io.HDF5Merger(merged) as merge:
        merge(path)
    energy = np.sort(values(np.arange(1, len(source)))["energy"])
    for written in (path, merged):
        with io.TableLoader(written) as loader:
            events, images = loader.read_subarray_events(), loader.read_telescope_events()
            assert len(events) == len(loader) == 6
            table, column = (
                (events, "airshower_energy") if source.spec.mode == "stereo" else (images, "airshower_tel_energy")
            )
            assert table[column].unit == "TeV"
            found = table[column].value
            np.testing.assert_allclose(np.sort(found[np.isfinite(found)]), energy)
            assert len(loader.read_simulation_configuration()) == len(loader.read_observation_information()) == 2
    with io.EventSource(merged) as events:
        assert sum(1 for event in events if event.dl2 is not None) == 6


def test_what_was_not_predicted_has_no_table(write_dl1: Callable[..., Path], tmp_path: Path) -> None:
    source = IactImages(IactConfig(mode="stereo"), str(write_dl1(tmp_path / "a.h5", "observed")))
    path = tmp_path / "p.dl2.h5"
    with source.prediction_writer(path, {}) as writer:
        writer.append(np.array([0]), {"energy": np.array([2.0])})
    with h5py.File(path) as file:
        assert list(file["dl2/event/subarray"]) == ["energy"]
        assert "simulation" not in file
        used = file["dl2/event/subarray/energy/airshower"]["airshower_telescopes"]
        np.testing.assert_array_equal(used[0], source.files[0].triggered()[source.files[0].images.event[0]])
        assert not used[1:].any()


def test_files_that_repeat_observations_are_kept_apart(write_dl1: Callable[..., Path], tmp_path: Path) -> None:
    """Gammas of runs 7 and 8, protons of run 7: two files of predictions."""
    places = [("a.h5", 0, 7), ("b.h5", 0, 8), ("c.h5", 101, 7)]
    paths = [str(write_dl1(tmp_path / name, primary=primary, obs_id=run)) for name, primary, run in places]
    source = IactImages(IactConfig(mode="stereo"), paths)
    predict(source, tmp_path / "out" / "p.dl2.h5", np.arange(len(source)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.dl2.h5", "p_2.dl2.h5"]
    for name, runs in (("p.dl2.h5", {7, 8}), ("p_2.dl2.h5", {7})):
        with h5py.File(tmp_path / "out" / name) as file:
            assert set(file["dl2/event/subarray/energy/airshower"]["obs_id"].tolist()) == runs


def test_a_failure_leaves_nothing_and_an_old_file_as_it_was(write_dl1: Callable[..., Path], tmp_path: Path) -> None:
    source = IactImages(IactConfig(mode="stereo"), str(write_dl1(tmp_path / "in" / "a.h5")))
    path = tmp_path / "p.dl2.h5"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), source.prediction_writer(path, {}):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["p.dl2.h5"]


def test_what_was_thrown(sample: Callable[[str], Path]) -> None:
    source = IactImages(IactConfig(mode="stereo"), [str(sample(GAMMAS)), str(sample(PROTONS))])
    gammas, protons = source.thrown()
    assert (gammas.primary, gammas.showers, protons.primary, protons.showers) == (0, 1000, 1, 25)
    assert gammas.energy_range == pytest.approx((0.03, 10.0))
    assert gammas.spectral_index == -2.0
    assert gammas.area == pytest.approx(np.pi * 2000**2)
