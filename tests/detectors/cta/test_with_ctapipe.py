"""Sample files value by value as ctapipe itself reads them; runs where ctapipe (0.20 or newer) can be imported."""

import numpy as np
import pytest

from airshower.detectors.cta.dl1.file import Dl1File

pytestmark = pytest.mark.heavy

SAMPLES = (
    "gamma_prod4_sst1m.dl1.h5",
    "gamma_diffuse_prod6_north.dl1.h5",
    "gamma_prod6_south_lst.dl1.h5",
    "gamma_prod6_hdrv4.dl1.h5",
    "proton_prod6_north_602.dl1.h5",
    "muon_lst.dl1.h5",
)
TRUTH = {
    "energy": ("true_energy", "TeV"),
    "alt": ("true_alt", "rad"),
    "az": ("true_az", "rad"),
    "core_x": ("true_core_x", "m"),
    "core_y": ("true_core_y", "m"),
    "h_first_interaction": ("true_h_first_int", "m"),
    "x_max": ("true_x_max", "g / cm2"),
    "primary": ("true_shower_primary_id", None),
}


@pytest.fixture(scope="module")
def ctapipe_io():
    """The module, without its warnings about files of other versions."""
    return pytest.importorskip("ctapipe.io", reason="ctapipe is not installed; pip install ctapipe to compare with it")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_what_ctapipe_reads(sample, ctapipe_io, name):
    path = sample(name)
    file = Dl1File(path)
    with ctapipe_io.TableLoader(path, focal_length_choice="EQUIVALENT") as loader:
        options = {"dl1_images": True, "dl1_parameters": True, "simulated": True, "pointing": True}
        tables = loader.read_telescope_events_by_id(**options)
        _check_instrument(file, loader.subarray)
    assert sum(map(len, tables.values())) == len(file.images)
    for tel_id, table in tables.items():
        wanted = list(zip(np.asarray(table["obs_id"]).tolist(), np.asarray(table["event_id"]).tolist(), strict=True))
        images = [_images(file, tel_id)[key] for key in wanted]
        _check_images(file, np.array(images), table)


def _images(file: Dl1File, tel_id: int) -> dict[tuple[int, int], int]:
    rows = np.flatnonzero(file.subarray.ids[file.images.telescope] == tel_id)
    event = file.images.event[rows]
    keys = zip(file.events.obs_id[event].tolist(), file.events.event_id[event].tolist(), strict=True)
    return dict(zip(keys, rows.tolist(), strict=True))


def _check_images(file, images, table) -> None:
    charge, time, clean = file.read(images)
    assert np.array_equal(charge, table["image"])
    assert np.array_equal(time, table["peak_time"])
    assert np.array_equal(clean, table["image_mask"])
    names = [name for name in file.parameter_names if name in table.colnames and name not in ("obs_id", "event_id")]
    assert len(names) > 40
    for name, values in file.parameters(names).items():
        assert np.array_equal(values[images], np.asarray(table[name], float), equal_nan=True), name
    for name, (column, unit) in TRUTH.items():
        theirs = table[column].quantity.to_value(unit) if unit else np.asarray(table[column])
        assert file.truth[name][file.images.event[images]] == pytest.approx(theirs, rel=1e-12), name
    for row, name in enumerate(("altitude", "azimuth")):
        theirs = table[f"telescope_pointing_{name}"].quantity.to_value("rad")
        assert file.pointing[images, row] == pytest.approx(theirs, rel=1e-12), name


def _check_instrument(file, subarray) -> None:
    ours = file.subarray
    assert ours.ids.tolist() == list(subarray.tel)
    for row, tel_id in enumerate(ours.ids.tolist()):
        theirs, camera = subarray.tel[tel_id], ours.cameras[ours.camera[row]]
        assert ours.position[row] == pytest.approx(subarray.positions[tel_id].to_value("m"), rel=1e-12)
        geometry = theirs.camera.geometry
        assert np.array_equal(camera.x, geometry.pix_x.to_value("m"))
        assert np.array_equal(camera.y, geometry.pix_y.to_value("m"))
        assert camera.area == pytest.approx(geometry.pix_area.to_value("m2"), rel=1e-12)
        assert camera.camera_rotation == pytest.approx(geometry.cam_rotation.to_value("deg"))
        assert camera.pixel_rotation == pytest.approx(geometry.pix_rotation.to_value("deg"))
        lengths = [theirs.optics.equivalent_focal_length, theirs.optics.effective_focal_length]
        nominal, effective = (length.to_value("m") for length in lengths)
        assert ours.focal_length[row] == pytest.approx(effective if np.isfinite(effective) else nominal)
