"""Writing DL1 files: the official files' layout, what readers find in them, and writes that fail."""

import errno
import os
import warnings
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin  # noqa: F401 (its import teaches h5py the files' compression)
import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.writer import Dl1Writer
from airshower.detectors.cta.simulation import OBS_IDS, CtaSimulation, SimulatedEvent, simulate_events
from airshower.errors import DataError, UserError
from airshower.geometry.camera import CameraGeometry
from airshower.geometry.image_parameters import SkyPixels, clean, image_parameters

CONFIG = CtaSimulation(msts=3)
TIMING = {"timing_intercept", "timing_deviation", "timing_slope"}  # ctapipe's fit is another one
OF_WIDTH = {"hillas_width", "hillas_width_uncertainty", "concentration_core"}
OPTIONAL = {"DESC", "MAXLEN"}  # texts of our own; lengths of names
SAMPLE = "gamma_diffuse_prod6_north.dl1.h5"
# of ctapipe-process alone; what the simulated camera has no second gain for; the direction of images on the ground
NOT_WRITTEN = {"reference_pulse_shape_channel1", "core_psi"}


@pytest.fixture(scope="module")
def events() -> list[SimulatedEvent]:
    return list(simulate_events(CONFIG, 1, 12))


def write(path: Path, events: list[SimulatedEvent]) -> Path:
    array = CONFIG.build_array()
    cameras = [kind.camera for kind in array.kinds]
    with Dl1Writer(path, array.telescopes(), cameras, CONFIG.runs(), {"airshower_simulation": "test"}) as writer:
        for number, some in enumerate(events):
            writer.append(OBS_IDS[some.primary], number, some.shower, some.images, some.thrown)
    return path


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory, events: list[SimulatedEvent]) -> Path:
    return write(tmp_path_factory.mktemp("written") / "simulated.dl1.h5", events)


def nodes(file: h5py.File) -> dict[str, h5py.Dataset]:
    """Tables by path; those of one kind of telescope or camera under one name."""
    found = {}

    def visit(name: str, node: h5py.HLObject) -> None:
        if isinstance(node, h5py.Dataset):
            stem, _, number = name.rpartition("_")
            found.setdefault(stem if number.isdigit() else name, node)

    file.visititems(visit)
    return found


def fields(table: h5py.Dataset) -> dict[str, dict[str, object]]:
    """What is noted about each column by its name."""
    notes = {name: {} for name in table.dtype.names}
    for key, value in table.attrs.items():
        if key.startswith("CTAFIELD_"):
            _, index, note = key.split("_", 2)
            notes[table.dtype.names[int(index)]][note] = value if np.ndim(value) else np.asarray(value).item()
    return notes


def column_type(table: h5py.Dataset, name: str) -> tuple:
    """Type on disk and whether it is an array; lengths of strings don't matter."""
    kind = table.dtype[name]
    base, shape = kind.subdtype or (kind, ())
    bit_field = table.id.get_type().get_member_class(table.dtype.names.index(name)) == h5py.h5t.BITFIELD
    return ("S" if base.kind == "S" else base.str), len(shape), bit_field


def test_layout_is_that_of_an_official_file(written: Path, sample: Callable[[str], Path]) -> None:
    with h5py.File(written) as file, h5py.File(sample(SAMPLE)) as official:
        ours, theirs = nodes(file), nodes(official)
        extra = {"simulation/service/atmosphere_density_profile", "dl1/service/image_statistics"}
        assert set(theirs) - set(ours) == extra
        assert set(ours) <= set(theirs)
        for path, table in ours.items():
            other = theirs[path]
            expected = [name for name in other.dtype.names if name not in NOT_WRITTEN]
            assert sorted(table.dtype.names) == sorted(expected), path
            notes, other_notes = fields(table), fields(other)
            for name in expected:
                assert column_type(table, name) == column_type(other, name), (path, name)
                mine = {key: value for key, value in notes[name].items() if key not in OPTIONAL}
                assert mine == {key: value for key, value in other_notes[name].items() if key not in OPTIONAL}
            for key in ("TAB_TYPE", "TAB_VER", "CLASS", "VERSION"):
                assert table.attrs.get(key) == other.attrs.get(key), (path, key)
        assert set(official.attrs) - set(file.attrs) == {"FILTERS"}
        for key in ("CTA PRODUCT DATA MODEL VERSION", "CTA PRODUCT DATA LEVELS", "PYTABLES_FORMAT_VERSION"):
            assert file.attrs[key] == official.attrs[key]


def test_what_was_written_is_read(written: Path, events: list[SimulatedEvent]) -> None:
    file = Dl1File(written)
    assert len(file.images) == sum(len(some.images) for some in events)
    assert len(file.subarray.ids) == 7
    assert [len(camera) for camera in file.subarray.cameras] == [1855] or len(file.subarray.cameras) == 2
    np.testing.assert_allclose(file.subarray.focal_length, [29.237] * 4 + [16.445] * 3)
    for row in range(len(file.images)):
        event = file.images.event[row]
        some = events[int(file.events.event_id[event])]
        (image,) = [image for image in some.images if image.telescope == file.images.telescope[row]]
        charge, time, mask = file.read(np.array([row]))
        np.testing.assert_array_equal(charge[0], image.charge)
        np.testing.assert_array_equal(time[0], image.peak_time)
        assert file.events.obs_id[event] == OBS_IDS[some.primary]
        assert file.truth["energy"][event] == some.shower.energy
        assert file.truth["alt"][event] == pytest.approx(np.radians(some.shower.alt))
        assert file.truth["primary"][event] == some.shower.primary_id
        if mask.any():
            assert charge[0][mask[0].astype(bool)].min() >= 5.0
    np.testing.assert_allclose(file.pointing, np.radians([[70.0, 180.0]] * len(file.pointing)), rtol=1e-6)


def test_true_images_impacts_and_counts(written: Path, events: list[SimulatedEvent]) -> None:
    with h5py.File(written) as file:
        images = file["simulation/event/telescope/images"]
        impacts = file["simulation/event/telescope/impact"]
        for some in (events[0], events[-1]):
            number = events.index(some)
            for image in some.images:
                rows = images[f"tel_{image.telescope + 1:03d}"]
                (row,) = np.flatnonzero(rows["event_id"] == number)
                np.testing.assert_array_equal(rows[row]["true_image"], image.true_image)
                assert rows[row]["true_image_sum"] == image.true_image.sum()
                assert impacts[f"tel_{image.telescope + 1:03d}"][row]["true_impact_distance"] == image.impact_distance
        runs = file["configuration/simulation/run"][:]
        for name, obs_id in OBS_IDS.items():
            thrown = sum(len(some.thrown) for some in events if some.primary == name)
            (run,) = runs[runs["obs_id"] == obs_id]
            histogram = file["simulation/service/shower_distribution"][obs_id - 1]
            assert run["n_showers"] == histogram["n_entries"] == histogram["histogram"].sum() == thrown
        triggered = file["dl1/event/subarray/trigger"]["tels_with_trigger"]
        expected = np.zeros_like(triggered)
        for number, some in enumerate(events):
            expected[number, [image.telescope for image in some.images]] = 1
        np.testing.assert_array_equal(triggered, expected)
        assert file.attrs["airshower_simulation"] == b"test"


@pytest.mark.heavy
def test_pytables_reads_it(written: Path) -> None:
    tables = pytest.importorskip("tables", reason="PyTables is not installed")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of its own use of numpy
        file = tables.open_file(written)
    with file:
        trigger = file.root.dl1.event.subarray.trigger
        assert trigger.coltypes["tels_with_trigger"] == "bool"
        assert trigger.nrows == 12
        image = file.root.dl1.event.telescope.images.tel_001
        assert image.coltypes["image_mask"] == "bool"
        assert image.filters.complib.startswith("blosc")


@pytest.mark.heavy
def test_ctapipe_reads_it(written: Path, events: list[SimulatedEvent]) -> None:
    io = pytest.importorskip("ctapipe.io", reason="ctapipe is not installed")
    with io.TableLoader(written) as loader:
        table = loader.read_telescope_events(dl1_images=True, dl1_parameters=True, simulated=True)
        assert len(table) == sum(len(some.images) for some in events)
        assert str(loader.subarray.tel[1].camera.geometry) == "LSTCam"
        thrown = loader.read_shower_distribution()["n_entries"]
    with io.HDF5EventSource(written) as source:
        for obs_id, run in CONFIG.runs().items():
            told = source.simulation_config[obs_id]
            assert told.n_showers == thrown[obs_id - 1] >= sum(OBS_IDS[some.primary] == obs_id for some in events)
            assert (told.shower_reuse, told.spectral_index) == (1, run.spectral_index)
            energies = [told.energy_range_min.to_value("TeV"), told.energy_range_max.to_value("TeV")]
            np.testing.assert_allclose(energies, run.energy_range)
            assert told.max_scatter_range.to_value("m") == run.scatter_radius
            assert told.max_viewcone_radius.to_value("deg") == run.view_cone
            assert told.min_scatter_range.value == told.min_viewcone_radius.value == 0.0
            assert told.min_alt == told.max_alt
            assert told.min_alt.to_value("deg") == pytest.approx(run.source[0], rel=1e-6)
        for event, some in zip(source, events, strict=True):
            assert event.simulation.shower.energy.to_value("TeV") == some.shower.energy
            assert list(event.trigger.tels_with_trigger) == [image.telescope + 1 for image in some.images]
            for image in some.images:
                np.testing.assert_array_equal(event.dl1.tel[image.telescope + 1].image, image.charge)


@pytest.mark.parametrize("name", [SAMPLE, "gamma_prod4_sst1m.dl1.h5", "proton_prod6_north_602.dl1.h5"])
def test_parameters_are_those_of_ctapipe(sample: Callable[[str], Path], name: str) -> None:
    file, compared = Dl1File(sample(name)), 0
    for telescope in np.unique(file.images.telescope):
        rows = np.flatnonzero(file.images.telescope == telescope)
        camera = file.subarray.cameras[file.subarray.camera[telescope]]
        pixels = SkyPixels(camera, float(file.subarray.focal_length[telescope]))
        charge, time, mask = file.read(rows)
        np.testing.assert_array_equal(clean(pixels, charge), mask)
        found = image_parameters(pixels, charge, time, mask.astype(bool))
        official = {key: value[rows] for key, value in file.parameters(list(found)).items()}
        in_line = official["hillas_width"] < 1e-3  # their width is that of rounding errors
        for key in set(found) - TIMING:
            some = ~in_line if key in OF_WIDTH else slice(None)
            np.testing.assert_allclose(
                found[key][some], official[key][some], rtol=2e-4, atol=1e-3, err_msg=f"{telescope} {key}"
            )
        compared += np.isfinite(official["hillas_length"]).sum()
        large = official["morphology_n_pixels"] > 10
        np.testing.assert_allclose(found["timing_slope"][large], official["timing_slope"][large], atol=4.0)
    assert compared > 3


def test_parameters_of_a_line_and_of_nothing() -> None:
    x, y = (axis.ravel() for axis in np.meshgrid(np.arange(7.0), np.arange(7.0)))
    geometry = CameraGeometry("squares", 0.05 * (y - 3), 0.05 * (x - 3), np.full(49, 0.0025), "square")
    pixels = SkyPixels(geometry, 10.0)
    step = np.degrees(0.005)
    charge, time = np.zeros((3, 49), np.float32), np.zeros((3, 49), np.float32)
    line = np.flatnonzero((y == 3) & (x > 0) & (x < 6))
    charge[0, line], time[0, line] = 20.0, 2.0 * x[line]
    charge[1, 24] = 100.0  # one pixel alone is noise
    mask = clean(pixels, charge)
    assert mask.sum(1).tolist() == [5, 0, 0]
    found = image_parameters(pixels, charge, time, mask)
    assert found["hillas_length"][0] == pytest.approx(step * np.sqrt(2.0))
    assert found["hillas_width"][0] == 0.0
    assert found["hillas_psi"][0] == pytest.approx(0.0, abs=1e-9)
    assert found["hillas_intensity"][0] == 100.0
    assert found["timing_slope"][0] == pytest.approx(2.0 / step)
    assert found["leakage_pixels_width_2"][0] == pytest.approx(0.4)
    assert found["concentration_pixel"][0] == pytest.approx(0.2)
    assert found["morphology_n_islands"].tolist() == [1, -1, -1]
    assert np.isnan(found["hillas_length"][1:]).all()


def test_a_failure_leaves_nothing_and_an_old_file_as_it_was(tmp_path: Path, events: list[SimulatedEvent]) -> None:
    path = tmp_path / "simulated.dl1.h5"
    path.write_text("old")
    array = CONFIG.build_array()
    with pytest.raises(ZeroDivisionError):  # noqa: PT012
        with Dl1Writer(path, array.telescopes(), [kind.camera for kind in array.kinds], CONFIG.runs()) as writer:
            writer.append(1, 0, events[0].shower, events[0].images)
            raise ZeroDivisionError
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["simulated.dl1.h5"]


def test_a_full_disk_is_one_message(
    tmp_path: Path, events: list[SimulatedEvent], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, left = os.pwrite, [200_000]

    def pwrite(descriptor: int, data: memoryview, place: int) -> int:
        left[0] -= len(data)
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, place)

    monkeypatch.setattr(os, "pwrite", pwrite)
    with pytest.raises(DataError, match="No space left"):
        write(tmp_path / "simulated.dl1.h5", events)
    assert not os.listdir(tmp_path)


def test_a_place_that_can_not_be_written_to(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="can't be written"):
        Dl1Writer(tmp_path / "file" / "simulated.dl1.h5", [], [], {})
