"""Files that are not DL1: what is read from each, what is assumed, and what is said of those that can't be read."""

import numpy as np
import pytest
import torch

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.image_file import TRUTH
from airshower.detectors.cta.open_file import open_file
from airshower.detectors.cta.primaries import UNKNOWN
from airshower.errors import DataError
from airshower.geometry.camera import builtin_camera, lattice
from airshower.geometry.image_parameters import SkyPixels
from airshower.geometry.sky import tangent_offset
from tests.detectors.cta import layouts
from tests.detectors.cta.layouts import charge

ZENITH = pytest.approx(np.array([np.pi / 2, 0.0]), abs=1e-4)
WRITERS = {
    "grids": layouts.extractor_grids,
    "tables": lambda path: layouts.extractor_tables(path, newer=False),
    "newer tables": lambda path: layouts.extractor_tables(path, newer=True),
    "FACT": layouts.fact,
    "MAGIC": layouts.magic,
}


def keys(file):
    """(event id, telescope id) of all images."""
    events, ids = file.events.event_id[file.images.event], file.subarray.ids[file.images.telescope]
    return list(zip(events.tolist(), ids.tolist(), strict=True))


@pytest.mark.parametrize("layout", [*WRITERS, "CORSIKA"])
def test_what_all_files_offer(tmp_path, layout):
    write = WRITERS.get(layout)
    file = open_file(write(tmp_path / "a.h5") if write else layouts.corsika(tmp_path / "a.npz"))
    everything = np.flatnonzero(file.subarray.camera[file.images.telescope] == 0)
    charges, times, clean = file.read(everything)
    assert clean.dtype == bool
    assert clean.shape == charges.shape
    assert (charges[clean] >= 5).all()  # p.e., tail cuts
    assert not clean[(charges < 10).all(1)].any()
    assert charges.dtype == times.dtype == np.float32
    assert charges.shape == times.shape == (len(everything), len(file.subarray.cameras[0]))
    backwards = file.read(everything[::-1])
    assert np.array_equal(backwards[0][::-1], charges)
    assert file.read(everything[:0])[0].shape == (0, charges.shape[1])
    assert all(len(lattice(camera)) == len(camera) for camera in file.subarray.cameras)
    assert np.isfinite(file.pointing).all()
    assert file.truth is None or (list(file.truth) == list(TRUTH) and file.truth["primary"].dtype == float)
    assert np.array_equal(np.bincount(file.images.event, minlength=len(file.events)), file.events.triggered)
    intensity = file.parameters(["hillas_intensity"])["hillas_intensity"]
    assert len(intensity) == len(file.images)
    assert file.find_parameter("hillas_colour") is None
    assert file.digest == open_file(file.path).digest


def test_square_images_of_image_extractor(tmp_path):
    file = open_file(layouts.extractor_grids(tmp_path / "a.h5"))
    assert sorted(keys(file)) == [(0, 3), (1, 3), (1, 8), (2, 3), (2, 8), (3, 3), (3, 8)]
    for image, (event, tel_id) in enumerate(keys(file)):
        charges, times, _ = file.read([image])
        assert charges[0].tolist() == charge(tel_id + event - (tel_id == 8), 30).tolist()
        assert times[0].tolist() == (charges[0] + 1).tolist()
    assert file.truth["primary"].tolist() == [0, 101, 0, 101]
    assert file.truth["energy"] == pytest.approx(np.array([0.1, 0.1, 1.1, 1.1]))
    assert np.isnan(file.truth["x_max"]).all()
    assert file.pointing == pytest.approx(np.tile([1.2, 3.0], (7, 1)))
    assert file.subarray.types == ("LST", "MST")
    view = file.subarray.cameras[0].position / 28.0
    assert np.degrees(np.ptp(view[:, 1])) == pytest.approx(4.5 * 5 / 6, rel=2e-3)
    assert file.subarray.position.tolist() == [[10, 20, 1], [-10, 5, 2]]


@pytest.mark.parametrize("newer", [False, True])
def test_image_tables_of_image_extractor(tmp_path, newer):
    file = open_file(layouts.extractor_tables(tmp_path / "a.h5", newer))
    assert keys(file) == [(100, 1), (101, 1), (102, 1), (102, 4)]
    charges, times, _ = file.read([3, 0, 2])
    assert charges.tolist() == [charge(row, 1855).tolist() for row in (4, 1, 3)]
    assert (times[0] == 24).all() if newer else np.isnan(times).all()
    assert (file.events.obs_id[0], file.events.triggered.tolist()) == (7, [1, 1, 2, 0])
    assert file.truth["core_x"].tolist() == [0, 10, 20, 30]
    assert file.pointing == pytest.approx(np.tile([1.2, 3.0], (4, 1)))
    (camera,) = file.subarray.cameras
    known = builtin_camera("LSTCam")
    assert np.allclose(camera.position, known.position, rtol=0, atol=1e-6)
    assert camera.area == pytest.approx(known.area, rel=1e-3)
    assert (camera.pixel_rotation - known.pixel_rotation + 30) % 60 - 30 == pytest.approx(0, abs=0.05)
    assert file.subarray.position[:, 0].tolist() == [10, 40], "by ids"


def test_fact(tmp_path):
    file = open_file(layouts.fact(tmp_path / "a.h5"))
    assert file.events.event_type.tolist() == [2, 32, 32, 32, 32, 32, 32, 32, 32, 2, 32, 32]
    assert np.array_equal(file.truth["primary"][:3], [np.nan, 0.0, 2.0], equal_nan=True)
    assert file.truth["energy"][1] == pytest.approx(0.501)
    charges, times, _ = file.read([5])
    assert charges[0].tolist() == charge(5, 1440).tolist()
    assert times[0, 0] == 50.0
    assert np.isnan(file.read([0])[1][0, 0])
    assert file.pointing[0] == ZENITH


def test_the_fact_sample(sample):
    file = open_file(sample("fact_images.h5"))
    primary = file.truth["primary"]
    assert [int(np.isnan(primary).sum()), int((primary == 0).sum()), int((primary == 2).sum())] == [300, 114, 200]
    assert int((file.events.event_type < 16).sum()) == 28
    known = builtin_camera("FACT")  # which looks from the other side
    camera = file.subarray.cameras[0]
    other = np.hypot(camera.x + known.x, camera.y - known.y) > 1e-4
    assert int(other.sum()) == 36, "two pairs of modules stand exchanged in ctapipe's table"
    muons = np.flatnonzero(primary == 2)
    length = file.parameters(["hillas_length"])["hillas_length"]
    assert np.nanmedian(length[muons]) > np.nanmedian(length[primary == 0]), "rings are larger than showers"


def test_magic(tmp_path):
    file = open_file(layouts.magic(tmp_path / "a.h5"))
    assert file.truth is None
    assert sorted(keys(file)) == [(5, 1), (5, 1), (6, 1), (6, 2), (7, 2), (8, 1)]
    pedestal = file.events.event_type == 2
    assert (file.events.event_id[pedestal].tolist(), len(file.events)) == ([5], 5)
    image = keys(file).index((6, 2))
    charges, times, _ = file.read([image])
    assert charges[0].tolist() == charge(10, 1039).tolist()
    assert np.flatnonzero(np.isnan(times[0])).tolist() == [3]
    assert times[0, 0] == 15.0


def test_the_magic_sample(sample):
    file = open_file(sample("magic_crab_images.h5"))
    pedestal = file.events.event_type < 16
    assert (len(file.images), int(pedestal.sum())) == (200, 16)
    assert int((file.events.triggered[pedestal] == 2).sum()) == 2, "taken by both telescopes, as pedestals are"
    assert int((file.events.triggered == 2).sum()) >= 20
    known = builtin_camera("MAGICCamMars")
    assert np.allclose(file.subarray.cameras[0].position, known.position, rtol=0, atol=1e-6)
    assert file.subarray.cameras[0].area == pytest.approx(known.area, rel=1e-3)


def test_corsika(tmp_path):
    file = open_file(layouts.corsika(tmp_path / "a.npz"))
    assert (len(file.events), len(file.images), len(file.subarray.ids)) == (60, 60, 9)
    assert 9 not in file.subarray.ids[file.images.telescope]
    charges = file.read(np.array([7, 2]))[0].reshape(2, 40, 40)
    assert np.argwhere(charges).tolist() == [[0, 10, 20], [1, 10, 20]]
    assert charges.max((1, 2)).tolist() == [8.0, 3.0]
    assert file.truth["energy"][[0, 10]] == pytest.approx([0.05, 0.051])
    assert file.truth["az"][0] == pytest.approx(0.5)
    assert set(file.truth["primary"]) == {UNKNOWN}


def test_corsika_images_look_to_where_showers_come_from(sample):
    """The light's centre is at the shower's direction, displaced towards the core."""
    file = open_file(sample("corsika_toy_stereo.npz"))
    event, telescope = file.images.event, file.images.telescope
    to_core = np.stack([file.truth["core_x"], file.truth["core_y"]], 1)[event] - file.subarray.position[telescope, :2]
    near = np.flatnonzero(np.hypot(*to_core.T) < 150)[::7]
    charges = file.read(near)[0].astype(float)
    near, charges = near[charges.sum(1) > 100], charges[charges.sum(1) > 100]
    assert len(near) > 200
    pixels = SkyPixels(file.subarray.cameras[0], 10.0)
    centre = np.stack([charges @ pixels.lat, charges @ pixels.lon], 1) / charges.sum(1, keepdims=True)
    direction = np.stack([file.truth["alt"], file.truth["az"]], 1)[event[near]].astype(np.float32)
    seen = tangent_offset(torch.from_numpy(direction), torch.from_numpy(file.pointing[near].astype(np.float32))).numpy()
    south_east = -to_core[near] / 100  # of the zenith, rising altitude is to the south and rising azimuth to the east
    for axis in (0, 1):
        terms = np.stack([seen[:, axis], south_east[:, axis]], 1)
        along, towards = np.linalg.lstsq(terms, centre[:, axis], rcond=None)[0]
        assert along == pytest.approx(1.0, abs=0.05)
        assert 0.4 < towards < 0.8, "degrees in 100 m"
    other = np.stack([seen[:, 0], south_east[:, 1]], 1)
    assert np.abs(np.linalg.lstsq(other, centre[:, 1], rcond=None)[0][0]) < 0.1


def test_dl1_is_opened_as_such(tmp_path, write_dl1):
    for layout in ("ctapipe", "lstchain"):
        assert isinstance(open_file(write_dl1(tmp_path / f"{layout}.h5", layout)), Dl1File)


def without(node):
    """A change of a file that takes something out."""
    return lambda file: file.__delitem__(node)


def with_shape(node, shape):
    """A change that gives an array another shape."""

    def change(file):
        del file[node]
        file[node] = np.zeros(shape, np.float32)

    return change


def renamed(table, column, other):
    """A change that gives a column of a table another name."""

    def change(file):
        rows = file[table][:]
        rows.dtype.names = [other if name == column else name for name in rows.dtype.names]
        del file[table]
        file[table] = rows

    return change


def empty(file):
    """A change that leaves an HDF5 file with nothing in it."""
    for name in list(file):
        del file[name]


def with_value(table, column, row, value):
    """A change of one value in a table."""

    def change(file):
        rows = file[table][:]
        rows[column][row] = value
        del file[table]
        file[table] = rows

    return change


BAD = {
    "event twice": (
        "tables",
        with_value("Event_Info", "event_number", 1, 100),
        "event 100 of observation 7 is there tw",
    ),
    "event of two files": (
        "grids",
        with_value("E0/Events_Validation", "event_number", 0, 1),
        "event 1 of .* there twice",
    ),
    "an image twice": (
        "tables",
        with_value("Event_Info", "LST_indices", 1, (1, 0)),
        "two events or .* the image of row 1",
    ),
    "one of two telescopes": (
        "newer tables",
        with_value("Events", "LST_LST_LSTCam_indices", 2, (3, 3)),
        "image of row 3",
    ),
    "a square image twice": (
        "grids",
        with_value("E0/Events_Training", "tel_map", 1, (0, 0)),
        "E0/T3: .* image of row 0",
    ),
    "no such image": (
        "tables",
        with_value("Event_Info", "LST_indices", 0, (9, 0)),
        "has 5 images, an event has that of row 9",
    ),
    "no such square image": (
        "grids",
        with_value("E0/Events_Training", "tel_map", 0, (7, -1)),
        "T3 has 4 images, .* row 7",
    ),
    "less energies": ("FACT", with_shape("energy_GeV", (11,)), "energy_GeV is 11, it should be 12"),
    "less triggers": ("FACT", with_shape("trigger", (13,)), "trigger is 13, it should be 12"),
    "other classes": ("FACT", lambda file: file["class"].__setitem__(0, 7), "can't be read, the file is damaged"),
    "a group": ("FACT", lambda file: [file.__delitem__("trigger"), file.create_group("trigger")], "trigger is a group"),
    "nothing in it": ("FACT", empty, "is HDF5 but not DL1 of ctapipe or lstchain, nor a file of ImageExtractor"),
    "no energies": ("FACT", without("energy_GeV"), "has no energy_GeV"),
    "other pixels": ("FACT", with_shape("photons", (12, 7)), "photons is 12 x 7, it should be 12 x 1440"),
    "other times": ("MAGIC", with_shape("M2/arrival_time", (2, 9)), "M2/arrival_time is 2 x 9, it should be 2 x 1039"),
    "no event ids": ("tables", renamed("Event_Info", "event_number", "x"), "/Event_Info has no column event_id or eve"),
    "no charges": ("newer tables", renamed("Images/LST_LST_LSTCam", "charge", "x"), "has no column charge or image_"),
    "another telescope": ("grids", renamed("Tel_Table", "tel_type", "kind"), "can't be read, the file is damaged"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_files(tmp_path, altered, fault):
    layout, change, said = BAD[fault]
    path = altered(WRITERS[layout](tmp_path / "a.h5"), change)
    with pytest.raises(DataError, match=said) as error:
        open_file(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_other_pixels_than_the_camera_has(tmp_path):
    path = layouts.extractor_tables(tmp_path / "a.h5", newer=False, camera=builtin_camera("FlashCam"))
    with pytest.raises(DataError, match=r"a\.h5: images of LST have 1764 pixels, its camera has 1855"):
        open_file(path)


@pytest.mark.parametrize("layout", ["grids", "tables", "MAGIC"])
def test_pixels_that_are_no_number(tmp_path, altered, layout):
    def change(file):
        table = {"grids": "E0/T3", "tables": "LST", "MAGIC": "M1/photons"}[layout]
        values = file[table][:]
        (values["image_charge"] if layout == "tables" else values)[1] = np.nan
        file[table][:] = values

    file = open_file(altered(WRITERS[layout](tmp_path / "a.h5"), change))
    image = 0 if layout == "tables" else 1
    with pytest.raises(DataError, match=r"altered\.h5: telescope \d, event \d+ of .*: the charge of a pixel"):
        file.read([image])


def test_bad_npz(tmp_path):
    path = layouts.corsika(tmp_path / "a.npz")
    whole = path.read_bytes()
    header = np.load(path)["header"]
    cut, flipped = tmp_path / "cut.npz", bytearray(whole)
    cut.write_bytes(whole[: len(whole) // 2])
    flipped[len(whole) // 3] ^= 0xFF
    (tmp_path / "flipped.npz").write_bytes(flipped)
    np.savez(tmp_path / "other.npz", numbers=np.arange(3))
    np.savez(tmp_path / "shape.npz", images=np.zeros((len(header), 9, 30, 30), np.float32), header=header)
    np.savez(tmp_path / "header.npz", images=np.zeros((3, 9, 40, 40), np.float32), header=header[:3, :5])
    for name, said in (
        ("cut", "is truncated; copy or make it again"),
        ("flipped", "can't be read, the file is damaged"),
        ("other", "is npz but has no images and header"),
        ("shape", "images is 60 x 9 x 30 x 30, it should be 60 x 9 x 40 x 40"),
        ("header", "header is 3 x 5, it should be 3 x 7"),
    ):
        with pytest.raises(DataError, match=said) as error:
            open_file(tmp_path / f"{name}.npz")
        assert str(error.value).startswith(str(tmp_path / f"{name}.npz"))


def test_paths_that_are_no_files(tmp_path):
    (tmp_path / "text.txt").write_text("nothing of ours")
    for path, said in (
        (tmp_path, r"is a directory, a file is needed; name the files in it by a pattern such as '\*\.h5'"),
        (tmp_path / "none.h5", "there is no such file"),
        (tmp_path / "text.txt", "is not an HDF5 file"),
    ):
        with pytest.raises(DataError, match=said):
            open_file(path)


@pytest.mark.parametrize("layout", ["FACT", "tables"])
def test_truncated_files(tmp_path, layout):
    path = WRITERS[layout](tmp_path / "a.h5")
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(DataError, match=r"a\.h5: is truncated"):
        open_file(path)


@pytest.mark.parametrize("name", ["gamma_prod6_south_lst.dl1.h5", "magic_crab_images.h5"])
def test_flipped_bytes_are_read_or_refused(sample, tmp_path, name):
    """Never anything but images or one line that names the file; where there are checksums, never other images."""
    good, path = sample(name), tmp_path / "flipped.h5"
    expected, generator = everything(open_file(good)), np.random.default_rng(1)
    said = []
    for _ in range(16):
        damaged = bytearray(good.read_bytes())
        place = int(generator.integers(len(damaged) - 8))
        damaged[place : place + 8] = generator.bytes(8)
        path.write_bytes(damaged)
        try:
            assert np.array_equal(everything(open_file(path)), expected)
        except DataError as error:
            said.append(str(error))
    assert said
    assert all(line.startswith(str(path)) and "\n" not in line for line in said)


def everything(file):
    """All charges, camera after camera."""
    camera = file.subarray.camera[file.images.telescope]
    return np.concatenate([file.read(np.flatnonzero(camera == kind))[0].ravel() for kind in np.unique(camera)])
