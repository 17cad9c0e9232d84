"""DL2 files: what ctapipe's tools find in them, and what of the DL1 files."""

from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (its import teaches h5py the files' compression)
import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.pytables import append_table
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError
from tests.detectors.cta.small_dl1 import rewrite

GAMMAS, PROTONS = "gamma_diffuse_prod6_north.dl1.h5", "proton_prod6_north_602.dl1.h5"
COLUMNS = ("prediction", "energy", "alt", "az", "core_x", "core_y")


def values(entries: np.ndarray) -> dict[str, np.ndarray]:
    """A number for each prediction, another for each entry."""
    return {name: 0.01 * entries + 0.1 * place for place, name in enumerate(COLUMNS)}


def predict(source: CtaEvents, path: Path, entries: np.ndarray) -> Path:
    """The file of predictions for these entries; `path` is without its ending."""
    with source.event_writer(path, {"step": "3"}) as writer:
        for part in np.array_split(entries, 3):
            writer.append(part, values(part))
    return path.with_name(f"{path.name}.dl2.h5")


@pytest.fixture(params=["stereo", "mono"])
def predicted(request: pytest.FixtureRequest, sample: Callable[[str], Path], tmp_path: Path) -> tuple[CtaEvents, Path]:
    """Two official files, of which the first entry is not predicted; in mono only the LSTs."""
    types = ["LST"] if request.param == "mono" else []
    config = CtaConfig(mode=request.param, telescope_types=types)
    source = CtaEvents(config, [str(sample(GAMMAS)), str(sample(PROTONS))])
    return source, predict(source, tmp_path / "p", np.arange(1, len(source)))


def tables(file: h5py.File, source: CtaEvents, kind: str) -> dict[int, np.ndarray]:
    """Predictions by telescope, 0 for events."""
    if source.spec["images"].mode == "stereo":
        return {0: file[f"dl2/event/subarray/{kind}/airshower"][:]}
    group = file[f"dl2/event/telescope/{kind}/airshower"]
    return {int(name.removeprefix("tel_")): table[:] for name, table in group.items()}


def test_predictions_are_at_their_events(predicted: tuple[CtaEvents, Path]) -> None:
    source, path = predicted
    prefix = "airshower" if source.spec["images"].mode == "stereo" else "airshower_tel"
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


def test_there_is_a_row_for_all_that_triggered(predicted: tuple[CtaEvents, Path]) -> None:
    source, path = predicted
    dl1 = Dl1File(source.files[0].path)
    with h5py.File(path) as file, h5py.File(dl1.path) as first:
        trigger = file["dl1/event/subarray/trigger"][:]
        profile = "simulation/service/atmosphere_density_profile"
        np.testing.assert_array_equal(file[profile][:], first[profile][:])  # the same in both
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
def test_ctapipe_loads_and_merges_it(predicted: tuple[CtaEvents, Path], tmp_path: Path) -> None:
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
            stereo = source.spec["images"].mode == "stereo"
            table, column = (events, "airshower_energy") if stereo else (images, "airshower_tel_energy")
            assert table[column].unit == "TeV"
            found = table[column].value
            np.testing.assert_allclose(np.sort(found[np.isfinite(found)]), energy)
            assert len(loader.read_simulation_configuration()) == len(loader.read_observation_information()) == 2
    with io.EventSource(merged) as events:
        assert sum(1 for event in events if event.dl2 is not None) == 6


def test_what_was_not_predicted_has_no_table(write_dl1: Callable[..., Path], tmp_path: Path) -> None:
    source = CtaEvents(CtaConfig(mode="stereo"), str(write_dl1(tmp_path / "a.h5", "observed")))
    path = tmp_path / "p.dl2.h5"
    with source.event_writer(tmp_path / "p", {}) as writer:
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
    source = CtaEvents(CtaConfig(mode="stereo"), paths)
    predict(source, tmp_path / "out" / "p", np.arange(len(source)))
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["p.dl2.h5", "p_2.dl2.h5"]
    for name, runs in (("p.dl2.h5", {7, 8}), ("p_2.dl2.h5", {7})):
        with h5py.File(tmp_path / "out" / name) as file:
            assert set(file["dl2/event/subarray/energy/airshower"]["obs_id"].tolist()) == runs


def test_a_failure_leaves_nothing_and_an_old_file_as_it_was(write_dl1: Callable[..., Path], tmp_path: Path) -> None:
    source = CtaEvents(CtaConfig(mode="stereo"), str(write_dl1(tmp_path / "in" / "a.h5")))
    path = tmp_path / "p.dl2.h5"
    path.write_text("old")
    with pytest.raises(ZeroDivisionError), source.event_writer(tmp_path / "p", {}):
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [found.name for found in tmp_path.iterdir() if found.is_file()] == ["p.dl2.h5"]


def test_what_was_thrown(sample: Callable[[str], Path]) -> None:
    source = CtaEvents(CtaConfig(mode="stereo"), [str(sample(GAMMAS)), str(sample(PROTONS))])
    gammas, protons = source.thrown()
    assert (gammas.primary, gammas.showers, protons.primary, protons.showers) == (0, 1000, 1, 25)
    assert gammas.energy_range == pytest.approx((0.03, 10.0))
    assert gammas.spectral_index == -2.0
    assert gammas.area == pytest.approx(np.pi * 2000**2)


@pytest.mark.parametrize("mode", ["mono", "stereo"])
@pytest.mark.parametrize(
    "types",
    [{"obs_id": "u8", "event_id": "i8", "tel_id": "u2"}, {"obs_id": "i4", "event_id": "u8", "tel_id": "i2"}],
    ids=str,
)
def test_ids_keep_their_types(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path, mode: str, types: dict[str, str]
) -> None:
    """obs_id of CTAO's data model, which is beyond 2^31, and telescopes beyond 2^15."""
    shift = {name: 2**33 if kind == "u8" else 0 for name, kind in types.items()}
    shift["tel_id"] = 40_000 if types["tel_id"] == "u2" else 0

    def change(file: h5py.File) -> None:
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        for name in names:
            rewrite(file, name, wider)
            group, _, table = name.rpartition("/")
            if table.startswith("tel_"):
                file.move(name, f"{group}/tel_{int(table[4:]) + shift['tel_id']:03d}")

    def wider(rows: np.ndarray) -> np.ndarray:
        made = np.zeros(len(rows), [(name, types.get(name, rows.dtype[name])) for name in rows.dtype.names])
        for name in rows.dtype.names:
            made[name] = rows[name]
            if name in shift:
                made[name] += np.array(shift[name], made[name].dtype)
        return made

    source = CtaEvents(
        CtaConfig(mode=mode, telescope_types=["LST"]), str(altered(write_dl1(tmp_path / "a.h5"), change))
    )
    path = predict(source, tmp_path / "p", np.arange(len(source)))
    with h5py.File(path) as file:
        for tel_id, table in tables(file, source, "energy").items():
            assert set(table["obs_id"].tolist()) == {7 + shift["obs_id"]}
            assert all(table.dtype[name] == kind for name, kind in types.items() if name in table.dtype.names)
            assert set(table["event_id"].tolist()) <= set(file["dl1/event/subarray/trigger"]["event_id"].tolist())
            if tel_id:
                assert set(table["tel_id"].tolist()) == {tel_id}
                assert tel_id > shift["tel_id"]


def test_files_with_ids_of_other_types_are_kept_apart(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    """In one table, a large obs_id would become the largest that the other type holds."""

    def change(file: h5py.File) -> None:
        names: list[str] = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        for name in names:
            if "obs_id" in file[name].dtype.names:
                rewrite(file, name, large)

    def large(rows: np.ndarray) -> np.ndarray:
        made = np.zeros(
            len(rows), [(name, "u8" if name == "obs_id" else rows.dtype[name]) for name in rows.dtype.names]
        )
        for name in rows.dtype.names:
            made[name] = rows[name] if name != "obs_id" else 2**40
        return made

    paths = [write_dl1(tmp_path / "a.h5"), altered(write_dl1(tmp_path / "b.h5", primary=101), change)]
    source = CtaEvents(CtaConfig(mode="stereo"), list(map(str, paths)))
    predict(source, tmp_path / "out" / "p", np.arange(len(source)))
    for name, run in (("p.dl2.h5", 7), ("p_2.dl2.h5", 2**40)):
        with h5py.File(tmp_path / "out" / name) as file:
            for table in ("dl2/event/subarray/energy/airshower", "dl1/event/subarray/trigger"):
                assert set(file[table]["obs_id"].tolist()) == {run}


def test_numbers_that_do_not_fit_are_not_copied(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "a.h5", "w") as first, h5py.File(tmp_path / "b.h5", "w") as second:
        first["g/t"], second["g/t"] = np.array([(1,)], [("a", "i4")]), np.array([(2**40,)], [("a", "i8")])
        with h5py.File(tmp_path / "out.h5", "w") as out:
            append_table(out, first["g/t"], "/g/t")
            with pytest.raises(DataError, match=r"b\.h5: /g/t: a has numbers that do not fit int32"):
                append_table(out, second["g/t"], "/g/t")


def test_tables_that_can_not_be_copied_are_named_before_anything_is_predicted(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    def change(file: h5py.File) -> None:
        made = file.create_dataset("dl1/event/telescope/trigger", (5,), [("a", "i4")], maxshape=(None,), chunks=(4,))
        made[:] = np.zeros(5, [("a", "i4")])
        made.resize((10**8,))
        file.move("dl1/event/telescope/trigger", "dl1/monitoring/subarray/pointing")

    source = CtaEvents(CtaConfig(mode="stereo"), str(altered(write_dl1(tmp_path / "in.h5"), change)))
    writer = source.event_writer(tmp_path / "p", {})
    with pytest.raises(DataError, match=r"altered\.h5: /dl1/monitoring/subarray/pointing: claims 100000000 rows"):
        writer.__enter__()
    assert not list(tmp_path.glob("*dl2*"))


def test_rows_that_ctapipe_would_join_twice(
    sample: Callable[[str], Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    table = "simulation/event/telescope/impact/tel_002"

    def change(file: h5py.File) -> None:
        rewrite(file, table, lambda rows: np.concatenate([rows, rows[:1]]))

    source = CtaEvents(CtaConfig(mode="stereo"), str(altered(sample(GAMMAS), change)))
    writer = source.event_writer(tmp_path / "p", {})
    with pytest.raises(DataError, match=rf"altered\.h5: telescope 2, event \d+ of observation 10 is in /{table} twice"):
        writer.__enter__()


def test_runs_of_which_no_event_is_left_were_thrown(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    """5 showers, used twice, in each run of `write_dl1`'s files."""

    def with_run(obs_id: int, showers: int = 5) -> Callable[[h5py.File], None]:
        def more(rows: np.ndarray) -> np.ndarray:
            other = rows.copy()
            other["obs_id"], other["n_showers"] = obs_id, showers
            return np.concatenate([rows, other])

        return lambda file: rewrite(file, "configuration/simulation/run", more)

    def thrown(*paths: Path, **config: object) -> list[tuple[int, int]]:
        source = CtaEvents(CtaConfig(**{"mode": "stereo", **config}), list(map(str, paths)))
        return [(run.primary, run.showers) for run in source.thrown()]

    gammas, protons = write_dl1(tmp_path / "a.h5"), write_dl1(tmp_path / "b.h5", primary=101, obs_id=8)
    assert thrown(gammas, protons) == [(0, 10), (1, 10)]
    assert thrown(altered(gammas, with_run(999), "more.h5"), protons) == [(0, 10), (0, 10), (1, 10)]
    assert thrown(altered(gammas, with_run(999, 0), "none.h5"), protons) == [(0, 10), (1, 10)]
    assert thrown(gammas, protons, cuts="true_energy > 2.5") == [(0, 10), (1, 10)]
    assert thrown(altered(gammas, with_run(999), "cut.h5"), cuts="true_energy > 2.5") == [(0, 10), (0, 10)]

    def no_runs(file: h5py.File) -> None:
        del file["configuration/simulation"]

    assert thrown(altered(gammas, no_runs, "silent.h5"), protons) == [(1, 10)], "nothing is known of the gammas"


def test_links_are_copied_as_what_they_mean(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    """Soft ones to a table and to a group, and one to a table of another file."""
    shower, trigger = "simulation/event/subarray/shower", "dl1/event/subarray/trigger"
    pointing = "configuration/telescope/pointing"
    first = write_dl1(tmp_path / "a.h5")

    def change(file: h5py.File) -> None:
        file.move(shower, "elsewhere/shower")
        file[shower] = h5py.SoftLink("/elsewhere/shower")
        file.move(pointing, "elsewhere/pointing")
        file[pointing] = h5py.SoftLink("/elsewhere/pointing")
        del file[trigger]
        file[trigger] = h5py.ExternalLink("a.h5", trigger)

    source = CtaEvents(CtaConfig(mode="stereo"), str(altered(first, change)))
    path = predict(source, tmp_path / "p", np.arange(len(source)))
    with h5py.File(path) as file, h5py.File(first) as original:
        for table in (shower, trigger, f"{pointing}/tel_001", f"{pointing}/tel_005"):
            np.testing.assert_array_equal(file[table][:], original[table][:])
        assert "elsewhere" not in file


@pytest.mark.parametrize(
    ("table", "target", "said"),
    [
        ("simulation/event/telescope/impact", "/none", "impact is damaged, or a link to what is not there"),
        ("configuration/again", "/configuration", "again is a link to a group that it is in"),
    ],
)
def test_links_that_mean_nothing_are_refused(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path, table: str, target: str, said: str
) -> None:
    path = altered(write_dl1(tmp_path / "a.h5"), lambda file: file.__setitem__(table, h5py.SoftLink(target)))
    source = CtaEvents(CtaConfig(mode="stereo"), str(path))
    with pytest.raises(DataError, match=rf"altered\.h5: /.*{said}"):
        source.event_writer(tmp_path / "p", {}).__enter__()


def test_rows_of_a_run_that_are_there_twice(
    write_dl1: Callable[..., Path], altered: Callable[..., Path], tmp_path: Path
) -> None:
    """Of a distribution of showers there are several in a run; a pointing is of a time, not of a run alone."""
    blocks = np.array([(7, 1), (8, 1)], [("obs_id", "u8"), ("sb_id", "u8")])
    shown = np.array([(7, 1), (7, 2)], [("obs_id", "i4"), ("hist_id", "i8")])
    times = np.array([(7, 0.5), (7, 1.5)], [("obs_id", "i4"), ("time", "f8")])
    block, histogram = "configuration/observation/observation_block", "simulation/service/shower_distribution"

    def change(file: h5py.File) -> None:
        file[block], file[histogram], file["dl1/monitoring/subarray/pointing"] = blocks, shown, times

    path = altered(write_dl1(tmp_path / "a.h5"), change, "good.h5")
    source = CtaEvents(CtaConfig(mode="stereo"), str(path))
    with h5py.File(predict(source, tmp_path / "p", np.arange(len(source)))) as file:
        assert file[histogram]["hist_id"].tolist() == [1, 2]
    for table, column, key in ((block, "obs_id", "obs_id 7"), (histogram, "hist_id", "obs_id 7, hist_id 1")):

        def again(rows: np.ndarray, column: str = column) -> np.ndarray:
            rows[column] = rows[column][0]
            return rows

        bad = altered(path, lambda file, table=table, again=again: rewrite(file, table, again), f"{column}.h5")
        source = CtaEvents(CtaConfig(mode="stereo"), str(bad))
        with pytest.raises(DataError, match=rf"{column}\.h5: {key} is in /{table} twice"):
            source.event_writer(tmp_path / "q", {}).__enter__()
