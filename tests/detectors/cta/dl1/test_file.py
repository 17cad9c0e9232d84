"""DL1 files: what is read from each layout, and what is said of files that can't be."""

import threading

import h5py
import numpy as np
import pytest
from numpy.lib.recfunctions import repack_fields

from airshower.data.handles import HANDLES
from airshower.detectors.cta.dl1 import hdf5 as dl1_hdf5
from airshower.detectors.cta.dl1.file import Dl1File
from airshower.errors import DataError
from tests.detectors.cta.small_dl1 import PIXELS, charge, rewrite, seen

IMAGES = "/dl1/event/telescope/images"


def by_key(file):
    """Row of the image index by (event id, telescope id)."""
    events, ids = file.events.event_id[file.images.event], file.subarray.ids[file.images.telescope]
    return {(int(event), int(tel_id)): row for row, (event, tel_id) in enumerate(zip(events, ids, strict=True))}


# sum of charges, brightest pixel, its charge and time, pixels kept by cleaning, hillas_intensity; as read by ctapipe
# 0.28.0: TableLoader(path, dl1_images=True, dl1_parameters=True).read_telescope_events_by_id()
BY_CTAPIPE = {
    "gamma_prod4_sst1m.dl1.h5": {
        (1302, 3): (583.3216490816558, 592, 101.21229, 81.638565, 14, 473.3236131668091),
        (1302, 7): (1245.9651800620486, 549, 275.3441, 81.79976, 24, 1110.0590920448303),
        (1302, 21): (132.5997669615317, 984, 14.958986, 76.14023, 0, np.nan),
    },
    "proton_prod6_north_602.dl1.h5": {
        (403, 3): (457.4221684343065, 1766, 89.11589, 10.888449, 11, 235.57413291931152),
        (403, 13): (293.7677267957479, 489, 46.323254, 16.138474, 9, 182.98163175582886),
    },
}
ALL_CHARGES = 29646.830108926024, 16195250.218591312  # sums of charges and of times over gamma_prod4_sst1m.dl1.h5


def test_sample_images_are_what_ctapipe_reads(sample):
    for name, values in BY_CTAPIPE.items():
        file = Dl1File(sample(name))
        rows = by_key(file)
        for (event_id, tel_id), expected in values.items():
            image = rows[event_id, tel_id]
            charge, time, clean = (array[0] for array in file.read([image]))
            brightest = charge.argmax()
            found = charge.sum(dtype=float), brightest, charge[brightest], time[brightest], clean.sum()
            assert found == pytest.approx(expected[:5], rel=1e-6)
            intensity = file.parameters(["hillas_intensity"])["hillas_intensity"][image]
            assert intensity == pytest.approx(expected[5], rel=1e-9, nan_ok=True)


def test_all_sample_images_are_what_ctapipe_reads(sample):
    file = Dl1File(sample("gamma_prod4_sst1m.dl1.h5"))
    charge, time, _ = file.read(np.arange(len(file.images)))
    assert (charge.sum(dtype=float), time.sum(dtype=float)) == pytest.approx(ALL_CHARGES, rel=1e-12)


def test_sample_truth_and_pointing_are_what_ctapipe_reads(sample):
    file = Dl1File(sample("proton_prod6_north_602.dl1.h5"))
    event = file.events.event_id.tolist().index(403)
    truth = {name: column[event] for name, column in file.truth.items()}
    assert truth["energy"] == pytest.approx(0.29998794198036194, rel=1e-12)
    assert np.degrees([truth["alt"], truth["az"]]) == pytest.approx([71.4056526, 183.17794177], abs=1e-7)
    assert (truth["core_x"], truth["core_y"], truth["primary"]) == pytest.approx((53.90004730, 32.35764313, 101))
    assert (truth["h_first_interaction"], truth["x_max"]) == pytest.approx((13975.16113281, 379.47369385))
    assert np.allclose(file.pointing, np.float32([1.2217305, np.pi]), rtol=0, atol=1e-6)


def test_sample_subarrays(sample):
    file = Dl1File(sample("proton_prod6_north_602.dl1.h5"))
    array = file.subarray
    assert array.ids.tolist() == list(range(1, 14))
    assert array.types == ("LST",) * 4 + ("MST",) * 9
    assert array.position[3].tolist() == pytest.approx([30.88, -63.78, 32.8])
    assert array.focal_length[[0, 12]].tolist() == pytest.approx([29.23699951, 16.44510078])
    assert [camera.name for camera in array.cameras] == ["LSTN-design", "MSTx-NectarCam"], (
        "one of three is a repetition"
    )
    assert array.camera.tolist() == [0] * 4 + [1] * 9
    (run,) = file.runs
    assert (run.obs_id, run.showers, run.reuse, run.spectral_index) == (1, 5, 5, -2.0)
    assert (*run.energy_range, run.scatter_radius, run.view_cone) == pytest.approx((0.2, 0.5, 500.0, 5.0))


def test_without_an_effective_focal_length_it_is_the_nominal(sample):
    assert Dl1File(sample("muon_lst.dl1.h5")).subarray.focal_length.tolist() == [28.0]


def test_every_image_of_a_sample_is_indexed_once(sample):
    file = Dl1File(sample("gamma_prod4_sst1m.dl1.h5"))
    assert (len(file.events), len(file.images), len(by_key(file))) == (31, 129, 129)
    mask = np.zeros_like(file.triggered())
    mask[file.images.event, file.images.telescope] = True
    assert np.array_equal(mask, file.triggered())
    assert np.array_equal(file.events.triggered, mask.sum(1))


@pytest.mark.parametrize("layout", ["ctapipe", "type", "v4", "scaled", "observed", "lstchain"])
def test_layouts(tmp_path, write_dl1, layout):
    file = Dl1File(write_dl1(tmp_path / "a.h5", layout))
    telescopes = (1,) if layout == "lstchain" else (1, 2, 5)
    assert file.subarray.ids.tolist() == list(telescopes)
    assert sorted(by_key(file)) == sorted(
        (100 * (i // 2) + i % 2, t) for i in range(6) for t in telescopes if seen(i, t)
    )
    intensity = file.parameters([file.find_parameter("hillas_intensity")]).popitem()[1]
    for (event_id, tel_id), image in by_key(file).items():
        event, pixels = 2 * (event_id // 100) + event_id % 100, 4 if tel_id == 5 else 7
        charges, times, clean = (array[0] for array in file.read([image]))
        expected = charge(event, tel_id, pixels)
        assert charges.dtype == times.dtype == np.float32
        assert charges == pytest.approx(expected, abs=0.006 if layout == "scaled" else 0)
        assert times.tolist() == (20 + event + np.arange(pixels) / 4).tolist()
        assert clean.tolist() == (expected > 30).tolist()
        assert intensity[image] == pytest.approx(expected.sum())
    if layout == "lstchain":
        assert file.events.triggered.tolist() == [1] * 4
        assert file.triggered().tolist() == [[True]] * 4
    else:
        assert file.triggered().tolist() == [[seen(i, t) for t in telescopes] for i in range(6)]


@pytest.mark.parametrize("layout", ["ctapipe", "v4", "lstchain"])
def test_truth_of_layouts(tmp_path, write_dl1, layout):
    file = Dl1File(write_dl1(tmp_path / "a.h5", layout))
    event = 2 * (file.events.event_id // 100) + file.events.event_id % 100
    assert file.simulated
    assert file.truth["energy"] == pytest.approx(1.0 + event // 2)
    assert file.truth["alt"] == pytest.approx(1.2)
    assert file.truth["core_x"] == pytest.approx(event)
    assert file.truth["h_first_interaction"] == pytest.approx(20000 + event // 2)
    assert file.truth["primary"].tolist() == [0] * len(event)


def test_observations_have_no_truth(tmp_path, write_dl1):
    file = Dl1File(write_dl1(tmp_path / "a.h5", "observed"))
    assert (file.simulated, file.truth, file.runs) == (False, None, [])


def test_pointing_of_layouts(tmp_path, write_dl1):
    for layout, expected in (("ctapipe", np.radians([70.0, 180.0])), ("lstchain", [1.2, 3.0])):
        pointing = Dl1File(write_dl1(tmp_path / f"{layout}.h5", layout)).pointing
        assert pointing == pytest.approx(np.broadcast_to(expected, pointing.shape))
    for layout in ("v4", "observed"):
        file = Dl1File(write_dl1(tmp_path / f"{layout}.h5", layout))
        event = np.clip(2 * (file.events.event_id // 100) + file.events.event_id % 100, 1, 3)[file.images.event]
        assert file.pointing[:, 0] == pytest.approx(1.2)
        assert file.pointing[:, 1] == pytest.approx(2 * np.pi - 0.1 + 0.1 * (event - 1)), "the short way past north"


def test_cameras_in_other_units(tmp_path, write_dl1):
    array = Dl1File(write_dl1(tmp_path / "a.h5")).subarray
    assert [camera.shape for camera in array.cameras] == ["hexagon", "square"]
    assert array.cameras[0].x == pytest.approx(PIXELS["LST"][:, 0])
    assert array.cameras[1].area == pytest.approx(0.002)
    assert array.focal_length.tolist() == pytest.approx([29.3, 29.3, 16.0])


@pytest.mark.parametrize("near", [0, 4, 1000])
def test_rows_in_any_order(tmp_path, write_dl1, monkeypatch, near):
    monkeypatch.setattr(dl1_hdf5, "NEAR", near)
    file = Dl1File(write_dl1(tmp_path / "a.h5", "type", events=60))
    images = np.random.default_rng(0).choice(np.flatnonzero(file.subarray.camera[file.images.telescope] == 0), 9)
    images = np.append(images, images[:2])
    single = [file.read([image])[0][0] for image in images]
    assert np.array_equal(file.read(images)[0], single)
    assert file.read(images[:0])[0].shape == (0, 7)


def test_more_files_than_may_be_open(tmp_path, write_dl1, monkeypatch):
    monkeypatch.setattr(HANDLES, "most", 2)
    files = [Dl1File(write_dl1(tmp_path / f"{i}.h5", obs_id=i)) for i in range(4)]
    for _ in range(2):
        assert all(np.isfinite(file.read([0])[0]).all() for file in files)
        assert len(HANDLES._open) <= 2


def test_threads_read_beside_each_other(tmp_path, write_dl1):
    files = [Dl1File(write_dl1(tmp_path / f"{i}.h5", "type", events=300)) for i in range(2)]
    images = [np.flatnonzero(file.subarray.camera[file.images.telescope] == 0) for file in files]
    expected, wrong = files[0].read(images[0])[0], []

    def work(number: int) -> None:
        for _ in range(30):
            wrong.extend([number] * (not np.array_equal(files[number].read(images[number])[0], expected)))

    threads = [threading.Thread(target=work, args=(number,)) for number in (0, 1)]
    [thread.start() for thread in threads]
    [thread.join() for thread in threads]
    assert not wrong


def test_parameters_that_some_images_lack(tmp_path, write_dl1, altered):
    whole = Dl1File(write_dl1(tmp_path / "a.h5"))
    part = Dl1File(altered(whole.path, without("/dl1/event/telescope/parameters/tel_001", 1)))
    expected, found = (file.parameters(["hillas_intensity"])["hillas_intensity"] for file in (whole, part))
    assert np.flatnonzero(np.isnan(found)).tolist() == [1]
    assert found[2:].tolist() == expected[2:].tolist()


def test_what_is_beyond_the_range_of_stored_integers(tmp_path, write_dl1, altered):
    def overflow(rows):
        rows["image"][0, :2] = 65535, 65533  # inf, -inf
        rows["image"][1, 3] = 65534  # nan
        return rows

    path = write_dl1(tmp_path / "a.h5", "scaled")
    file = Dl1File(altered(path, lambda file: rewrite(file, f"{IMAGES}/tel_001", overflow)))
    assert file.read([0])[0][0, :2] == pytest.approx([(65532 - 50) / 100, -0.5])
    with pytest.raises(DataError, match=r"telescope 1, event 1 of observation 7: the charge of a pixel is not"):
        file.read([0, 1])


def test_digest(tmp_path, write_dl1, altered):
    path = write_dl1(tmp_path / "a.h5")
    assert Dl1File(path).digest == Dl1File(altered(path, lambda file: None)).digest
    others = [write_dl1(tmp_path / "b.h5", obs_id=8), altered(path, nan_in("image"), "nan.h5")]
    assert len({Dl1File(other).digest for other in [path, *others]}) == 3


def nan_in(column, row=0):
    """Puts a NaN into an image of telescope 2."""

    def change(rows):
        rows[column][row, 2] = np.nan
        return rows

    return lambda file: rewrite(file, f"{IMAGES}/tel_002", change)


def without(table, row):
    """Takes a row out of a table."""
    return lambda file: rewrite(file, table, lambda rows: np.delete(rows, row))


@pytest.mark.parametrize(("column", "said"), [("image", "charge"), ("peak_time", "peak time")])
def test_pixels_that_are_no_number(tmp_path, write_dl1, altered, column, said):
    file = Dl1File(altered(write_dl1(tmp_path / "a.h5"), nan_in(column, 1)))
    image = by_key(file)[100, 2]
    with pytest.raises(
        DataError, match=rf"altered\.h5: telescope 2, event 100 of observation 7: the {said} of a pixel"
    ):
        file.read([image])
    assert np.isfinite(file.read([by_key(file)[0, 2]])[0]).all()


def with_version(version):
    """Another version of the data model."""
    return lambda file: file.attrs.__setitem__(VERSION, version)


def with_column(table, column, row, value):
    """Another value in a table."""

    def change(rows):
        rows[column][row] = value
        return rows

    return lambda file: rewrite(file, table, change)


def no_dl1(file):
    """HDF5 with a layout and nothing else."""
    del file["/dl1"], file.attrs[VERSION]


def no_rows(file):
    """Tables of images, all empty."""
    for tel_id in (1, 2, 5):
        rewrite(file, f"{IMAGES}/tel_{tel_id:03d}", lambda rows: rows[:0])


def removed(node):
    """Without a table or group."""
    return lambda file: file.__delitem__(node)


def in_place_of(group, value):
    """A text or an array where a group was."""

    def change(file):
        del file[group]
        file[group] = value

    return change


VERSION = "CTA PRODUCT DATA MODEL VERSION"
LAYOUT = "/configuration/instrument/subarray/layout"
OPTICS, SIMULATED = "/configuration/instrument/telescope/optics", "/configuration/simulation"
TRIGGER, SHOWER = "/dl1/event/subarray/trigger", "/simulation/event/subarray/shower"
BAD = {
    "older": (with_version("v3.0.0"), r"is of ctapipe's data model v3\.0\.0, v4 to v7 are read; make it again"),
    "newer": (with_version("v8.0.0"), r"data model v8\.0\.0, v4 to v7 are read"),
    "strange version": (with_version("seven"), r"data model seven"),
    "not DL1": (no_dl1, "is HDF5 but not DL1"),
    "no images": (removed(IMAGES), "has no images; write them with ctapipe-process --write-images"),
    "empty images": (no_rows, "has no images"),
    "no layout": (removed(LAYOUT), f"has no {LAYOUT}"),
    "no geometry": (removed("/configuration/instrument/telescope/camera/geometry_1"), "has no .*geometry_1"),
    "missing telescope": (with_column(LAYOUT, "tel_id", 2, 9), "telescope 5 has images but is not in the subarray's"),
    "other triggers": (without(LAYOUT, 2), "trigger is about 3 telescopes, the subarray has 2"),
    "missing event": (without(TRIGGER, 3), rf"images: telescope \d, event 101 of observation 7 is not in {TRIGGER}"),
    "event twice": (with_column(TRIGGER, "event_id", 1, 0), rf"event 0 of observation 7 is in {TRIGGER} twice"),
    "missing shower": (without(SHOWER, 0), f"event 201 of observation 7 is not in {SHOWER}"),
    "unknown unit": (lambda f: f[SHOWER].attrs.__setitem__("CTAFIELD_2_UNIT", "erg"), "is in erg, which is no unit"),
    "missing optics": (
        with_column(LAYOUT, "optics_index", 0, 7),
        "telescope 1 has optics_index 7, .*optics has 2 rows",
    ),
    "optics before the first": (
        with_column(LAYOUT, "optics_index", 1, -1),
        "telescope 2 has optics_index -1, .*2 rows",
    ),
    "camera before the first": (
        with_column(LAYOUT, "camera_index", 1, -1),
        "no .*geometry_-1, .* telescope 2's camera",
    ),
    "no focal length": (with_column(OPTICS, "effective_focal_length", 0, 0), rf"{OPTICS}: row 0 has .* of 0\.0 m"),
    "negative focal length": (
        with_column(OPTICS, "equivalent_focal_length", 1, -16),
        r"optics: row 1 has .* of -16\.0 m",
    ),
    "infinite focal length": (
        with_column(OPTICS, "effective_focal_length", 1, np.inf),
        "optics: row 1 has .* of inf m",
    ),
    "unknown focal length": (
        with_column(OPTICS, "equivalent_focal_length", 1, np.nan),
        "optics: row 1 has .* of nan m",
    ),
    "text for a group": (in_place_of(SIMULATED, "none"), f"{SIMULATED} is a table, a group of tables is due"),
    "array for a group": (in_place_of(SIMULATED, np.zeros(5)), f"{SIMULATED} is a table, a group of tables is due"),
    "link to nothing": (in_place_of(SIMULATED, h5py.SoftLink("/x")), f"{SIMULATED} is damaged, or a link to what is"),
}


@pytest.mark.parametrize("fault", BAD)
def test_bad_files(tmp_path, write_dl1, altered, fault):
    change, said = BAD[fault]
    path = altered(write_dl1(tmp_path / "a.h5"), change)
    with pytest.raises(DataError, match=said) as error:
        Dl1File(path)
    assert str(error.value).startswith(str(path))
    assert "\n" not in str(error.value)


def test_bad_images(tmp_path, write_dl1, altered):
    path = write_dl1(tmp_path / "a.h5")
    other_type = with_column(LAYOUT, "camera_index", 0, 1)
    with pytest.raises(DataError, match=r"telescope 1, .* image is 7, its camera has 4 pixels"):
        Dl1File(altered(path, other_type, "other.h5")).read([0])


def test_paths_that_are_no_files(tmp_path, write_dl1):
    (tmp_path / "empty.h5").touch()
    (tmp_path / "text.h5").write_text("no hdf5, " * 200)
    whole = write_dl1(tmp_path / "a.h5").read_bytes()
    (tmp_path / "cut.h5").write_bytes(whole[: len(whole) * 2 // 3])
    for name, said in (
        ("none.h5", "there is no such file"),
        ("", "is a directory"),
        ("empty.h5", "is empty"),
        ("text.h5", "is not an HDF5 file"),
        ("cut.h5", "is truncated"),
    ):
        with pytest.raises(DataError, match=said) as error:
            Dl1File(tmp_path / name)
        assert str(error.value).startswith(str(tmp_path / name))


def test_damaged_bytes(sample, tmp_path):
    good = sample("gamma_prod6_south_lst.dl1.h5")
    assert len(read_all(good)) == 13
    damaged = bytearray(good.read_bytes())
    middle = len(damaged) // 2
    damaged[middle : middle + 60000] = bytes(60000)
    path = tmp_path / "damaged.h5"
    path.write_bytes(damaged)
    with pytest.raises(DataError, match=r"damaged\.h5.*the file is damaged") as error:
        read_all(path)
    assert "\n" not in str(error.value)


def read_all(path):
    """Every image of a file, one by one."""
    file = Dl1File(path)
    return [file.read([image]) for image in range(len(file.images))]


def test_pixels_are_in_the_order_of_their_ids(tmp_path, write_dl1, altered):
    geometry = "/configuration/instrument/telescope/camera/geometry_0"
    order = [3, 0, 6, 5, 1, 2, 4]
    path = write_dl1(tmp_path / "a.h5")
    camera = Dl1File(altered(path, lambda file: rewrite(file, geometry, lambda rows: rows[order]))).subarray.cameras[0]
    np.testing.assert_allclose(np.stack([camera.x, camera.y], 1), PIXELS["LST"], atol=1e-12)
    for row, pix_id in ((2, 1), (6, 7), (0, -1)):
        with pytest.raises(DataError, match=rf"bad{row}\.h5: {geometry}: pix_id is not 0 to 6, each once"):
            Dl1File(altered(path, with_column(geometry, "pix_id", row, pix_id), f"bad{row}.h5"))


def test_an_effective_focal_length_of_nan_is_the_nominal(tmp_path, write_dl1):
    assert Dl1File(write_dl1(tmp_path / "a.h5")).subarray.focal_length.tolist() == [29.3, 29.3, 16.0]


def test_cameras_without_ids_of_pixels_keep_their_order(tmp_path, write_dl1, altered):
    geometry = "/configuration/instrument/telescope/camera/geometry_0"
    names = ["pix_x", "pix_y", "pix_area"]

    def change(file):
        rewrite(file, geometry, lambda rows: repack_fields(rows[names]))
        for place in range(3):
            file[geometry].attrs[f"CTAFIELD_{place}_UNIT"] = ("mm", "mm", "mm**2")[place]

    camera = Dl1File(altered(write_dl1(tmp_path / "a.h5"), change)).subarray.cameras[0]
    np.testing.assert_allclose(np.stack([camera.x, camera.y], 1), PIXELS["LST"], atol=1e-12)
