"""Telescopes' images as a source: entries, selection, batches, truth, and splits that share no shower."""

import h5py
import numpy as np
import pytest
import torch
from omegaconf import OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.data.containers import CameraImages
from airshower.data.splits import Splits
from airshower.detectors.cta.source import Cta, CtaConfig, CtaEvents
from airshower.errors import DataError, UserError
from tests.detectors.cta import layouts
from tests.detectors.cta.small_dl1 import charge, rewrite, seen

PAIRS = [(i, t) for t in (1, 2, 5) for i in range(6) if seen(i, t)]  # in the order of the files: table by table


def event_id(event: int) -> int:
    """The number of an event in `write_dl1`'s files."""
    return 100 * (event // 2) + event % 2


@pytest.fixture
def gamma(tmp_path, write_dl1):
    """Six gamma events of three showers."""
    return write_dl1(tmp_path / "gamma.h5")


@pytest.fixture
def both(tmp_path, gamma, write_dl1):
    """A pattern of a gamma and a proton file; the latter has ten events of five showers, with the same numbers."""
    write_dl1(tmp_path / "proton.h5", "type", events=10, primary=101)
    return str(tmp_path / "*.h5")


def source(file, **config):
    """A source of all its entries."""
    return CtaEvents(CtaConfig(**config), str(file))


def iact(file, seed=1, **config):
    """The splits of a file."""
    return Cta(Cta.Config(file=str(file), **config), seed).open()


def test_mono_entries_are_images(gamma):
    images = source(gamma, telescope_types=["LST"])
    pairs = [(i, t) for i, t in PAIRS if t != 5]
    assert len(images) == len(pairs)
    assert images.event_ids.tolist() == [[7, event_id(i), t] for i, t in pairs]
    entries = np.array([3, 0, 7, 3])
    batch = images.read(entries)
    (lst,) = batch["images"].cameras
    assert (len(batch), len(lst), lst.event.tolist()) == (4, 4, [0, 1, 2, 3])
    assert lst.charge.tolist() == [charge(*pairs[entry], 7).tolist() for entry in entries]
    assert lst.telescope.tolist() == [pairs[entry][1] - 1 for entry in entries]
    assert lst.pointing == pytest.approx(np.radians([[70.0, 180.0]] * 4))
    assert lst.clean.tolist() == (lst.charge > 30).tolist()
    assert batch.truth.get("core")["core"][:, 0].tolist() == [pairs[entry][0] for entry in entries]


def test_stereo_entries_are_events(gamma):
    events = source(gamma, mode="stereo")
    assert events.event_ids.tolist() == [[7, event_id(i), 0] for i in range(6)]
    batch = events.read(np.array([4, 1, 2]))
    lst, mst = batch["images"].cameras
    array = events.spec["images"]
    for camera, pixels, images in ((0, 7, lst), (1, 4, mst)):
        expected = [(row, t) for row, i in enumerate((4, 1, 2)) for t in (1, 2, 5) if seen(i, t) and (t == 5) == camera]
        assert [(e, array.telescope_ids[t]) for e, t in zip(images.event, images.telescope, strict=True)] == expected
        assert images.charge.tolist() == [charge((4, 1, 2)[row], t, pixels).tolist() for row, t in expected]
    truth = batch.truth.get("energy", "direction")
    assert truth["energy"].tolist() == [3.0, 1.0, 2.0]
    assert truth["direction"] == pytest.approx(np.array([[1.2, 3.0]] * 3))
    row, _, _ = events.images_of(np.array([4, 1]))
    assert np.bincount(row).tolist() == [sum(seen(i, t) for t in (1, 2, 5)) for i in (4, 1)]


def test_spec(gamma):
    spec = source(gamma, mode="stereo", classes=["proton", "gamma"]).spec
    array = spec["images"]
    assert (array.mode, array.telescope_types) == ("stereo", ("LST", "LST", "MST"))
    assert (array.telescope_ids.tolist(), array.camera.tolist()) == ([1, 2, 5], [0, 0, 1])
    assert [camera.name for camera in array.cameras] == ["LSTCam", "MSTCam"]
    assert array.position.tolist() == [[30.0, -10.0, 2.0], [60.0, -10.0, 2.0], [150.0, -10.0, 2.0]]
    assert array.focal_length.tolist() == pytest.approx([29.3, 29.3, 16.0])
    assert spec.column("primary").classes == ("proton", "gamma")
    columns = ["primary", "energy", "direction", "core", "x_max", "h_first_interaction"]
    assert [column.name for column in spec.truth] == spec.wanted(None) == columns
    only = source(gamma, telescopes=[5]).spec["images"]
    assert (only.telescope_ids.tolist(), only.camera.tolist(), only.cameras[0].name) == ([5], [0], "MSTCam")


def test_files_are_read_as_one(both, gamma, tmp_path):
    together, parts = (
        source(both, mode="stereo"),
        [source(tmp_path / f"{n}.h5", mode="stereo") for n in ("gamma", "proton")],
    )
    assert (len(together), together.event_ids.tolist()) == (
        16,
        [*parts[0].event_ids.tolist(), *parts[1].event_ids.tolist()],
    )
    batch, single = together.read(np.array([15, 3, 6])), [parts[1].read([9]), parts[0].read([3]), parts[1].read([0])]
    for camera in (0, 1):
        expected = np.concatenate([part["images"].cameras[camera].charge for part in single])
        assert np.array_equal(batch["images"].cameras[camera].charge, expected)
    assert batch.truth.get("primary")["primary"].tolist() == [1, 0, 1]
    assert together.truth([15, 3])["primary"].tolist() == [1, 0]
    files = ["proton.h5", "gam*.h5", "proton.h5"]
    listed = Cta(Cta.Config(file=files, data_directory=str(tmp_path), mode="stereo"), 1).open().train.source
    assert [file.path.name for file in listed.files] == ["proton.h5", "gamma.h5"]
    assert listed.digest != together.digest


def test_batches_become_tensors(gamma):
    batch = source(gamma, mode="stereo").read(np.array([1, 2]))
    cameras = batch["images"].cameras
    size = sum(len(images) * (2 * 4 + 1) * images.charge.shape[1] for images in cameras)
    assert batch.nbytes == size + sum(len(images) * (2 * 8 + 2 * 4) for images in cameras)
    moved = batch.to(torch.device("cpu"))
    assert isinstance(moved["images"], CameraImages)
    types = {name: value.dtype for name, value in vars(moved["images"].cameras[0]).items()}
    real, whole = torch.float32, torch.int64
    assert types == {
        "charge": real,
        "time": real,
        "clean": torch.bool,
        "event": whole,
        "telescope": whole,
        "pointing": real,
    }
    assert moved.frame.axis.dtype == moved.frame.origin.dtype == real
    assert moved.truth.get("primary")["primary"].tolist() == [0, 0]
    assert isinstance(moved.event_ids, np.ndarray)
    again = moved.to(torch.device("cpu"))["images"].cameras[1]
    assert torch.equal(again.charge, moved["images"].cameras[1].charge)


def test_no_entries_are_an_empty_batch(gamma):
    batch = source(gamma, mode="stereo").read(np.empty(0, np.int64))
    assert (len(batch), batch.event_ids.shape) == (0, (0, 3))
    assert batch.truth.get("direction")["direction"].shape == batch.frame.axis.shape == (0, 2)
    assert [images.charge.shape for images in batch["images"].cameras] == [(0, 7), (0, 4)]
    assert batch.to(torch.device("cpu"))["images"].cameras[0].charge.dtype == torch.float32


def test_observations(tmp_path, write_dl1):
    observed = source(write_dl1(tmp_path / "a.h5", "observed"), mode="stereo")
    batch = observed.read(np.array([0, 1]))
    assert batch.truth is None
    assert batch.to(torch.device("cpu")).truth is None
    assert not observed.spec.known
    assert observed.truth([0]) == {}
    assert len(np.unique(observed.showers)) == 6
    write_dl1(tmp_path / "b.h5")
    with pytest.raises(DataError, match=r"b\.h5: one of it and .*a\.h5 is simulated, the other observed"):
        source(tmp_path / "?.h5", mode="stereo")


def test_observed_events_are_a_class(tmp_path, write_dl1):
    write_dl1(tmp_path / "a.h5")
    write_dl1(tmp_path / "b.h5", "observed", obs_id=8)
    both = source(tmp_path / "?.h5", mode="stereo", classes=["gamma", "observed"])
    assert both.truth(np.arange(12), ("primary",))["primary"].tolist() == [0] * 6 + [1] * 6
    truth = both.read(np.array([0, 7])).truth.get("primary", "energy", "direction", "core", "x_max")
    assert truth["primary"].tolist() == [0, 1]
    assert truth["energy"][0] == 1.0
    assert np.isnan([truth["energy"][1], *truth["direction"][1], *truth["core"][1], truth["x_max"][1]]).all()
    assert len(np.unique(both.showers)) == 3 + 6, "of the observed, each is a shower"
    only = source(tmp_path / "?.h5", mode="stereo", classes=["gamma", "observed"], cuts="true_energy < 2.5")
    assert (len(only), only.cut_flow.removed["true_energy < 2.5"][1]) == (4, 8)
    assert source(tmp_path / "b.h5", mode="stereo", classes=["gamma", "observed"]).read([0]).truth is None


def test_a_file_of_simulated_and_observed_events(tmp_path):
    path = layouts.fact(tmp_path / "a.h5", events=30)
    mixed = source(path, classes=["gamma", "observed"])
    assert mixed.truth(np.arange(len(mixed)))["primary"].tolist().count(0) == 10
    assert mixed.cut_flow.removed["calibration"] == (4, 4)
    assert mixed.cut_flow.removed["other primaries than data.classes"] == (10, 10)
    assert len(np.unique(mixed.showers)) == len(mixed) == 16
    assert set(source(path, classes=["muon"]).event_ids[:, 1] % 3) == {2}
    assert len(source(path)) == 10, "by default gammas and protons, of which there are none"


def test_showers_of_corsika_stay_together(tmp_path):
    path = layouts.corsika(tmp_path / "a.npz")
    splits = iact(path, mode="stereo", classes=["unknown"], validation_fraction=0.3, test_fraction=0.2)
    parts = [splits.train, splits.validation, splits.test]
    numbers = [set((part.source.event_ids[part.entries, 1] // 100).tolist()) for part in parts]
    assert [len(shower) for shower in numbers] == [2, 2, 2]
    assert len(set.union(*numbers)) == 6
    assert [len(part.entries) for part in parts] == [20, 20, 20]


def resampled(path, how, seed=1):
    """The class of each entry to train on, and the entries."""
    train = iact(path, seed, mode="stereo", resample=how).train
    truth = train.source.truth(train.entries, ("primary",))
    return truth.get("primary", np.empty(0)).tolist(), train.entries.tolist()


def test_resampling(both):
    assert [resampled(both, "none")[0].count(row) for row in (0, 1)] == [6, 10]
    classes, entries = resampled(both, "undersample")
    assert [classes.count(row) for row in (0, 1)] == [6, 6]
    assert len(set(entries)) == 12
    assert resampled(both, "undersample")[1] == entries
    assert len({tuple(resampled(both, "undersample", seed)[1]) for seed in range(5)}) > 1
    classes, entries = resampled(both, "oversample")
    assert [classes.count(row) for row in (0, 1)] == [10, 10]
    assert set(entries) == set(range(16))
    assert {entries.count(entry) for entry in range(6)} == {1, 2}
    assert all(entries.count(entry) == 1 for entry in range(6, 16))


def test_resampling_is_of_what_is_trained_on_alone(both):
    options = {"mode": "stereo", "validation_fraction": 0.25, "test_fraction": 0.2}
    plain, over = (iact(both, resample=how, **options) for how in ("none", "oversample"))
    assert over.validation.entries.tolist() == plain.validation.entries.tolist()
    assert over.test.entries.tolist() == plain.test.entries.tolist()
    assert set(over.train.entries) == set(plain.train.entries)


def test_one_class_or_none_is_not_resampled(gamma, tmp_path, write_dl1):
    assert resampled(gamma, "undersample")[1] == list(range(6))
    observed = write_dl1(tmp_path / "b.h5", "observed")
    assert len(iact(observed, mode="stereo", resample="oversample").train.entries) == 6


def test_cameras_are_those_of_a_type_of_telescope(tmp_path, write_dl1, altered):
    """LSTCam and NectarCam have their pixels at the same places; a camera that is turned is another one, too."""
    layout, geometry = "/configuration/instrument/subarray/layout", "/configuration/instrument/telescope/camera"

    def all_of_one_camera(rows):
        rows["camera_index"] = [0, 2, 2]  # telescopes 1, 2 (LST) and 5 (MST)
        return rows

    def alike(file):
        file.copy(f"{geometry}/geometry_0", f"{geometry}/geometry_2")
        file[f"{geometry}/geometry_2"].attrs["CAM_ID"] = "Nectar"
        rewrite(file, layout, all_of_one_camera)
        rewrite(file, "/dl1/event/telescope/images/tel_005", of_seven_pixels)

    def of_seven_pixels(rows):
        kinds = [(name, rows.dtype[name].base, (7,) if rows.dtype[name].shape else ()) for name in rows.dtype.names]
        made = np.zeros(len(rows), kinds)
        for name in ("obs_id", "event_id", "tel_id"):
            made[name] = rows[name]
        return made

    def turned(file):
        alike(file)
        file[f"{geometry}/geometry_2"].attrs["CAM_ROT"] = 30.0

    path = write_dl1(tmp_path / "a.h5")
    same = altered(path, alike, "same.h5")
    array = source(same, mode="stereo").spec["images"]
    assert ([camera.name for camera in array.cameras], array.camera.tolist()) == (["LSTCam", "Nectar"], [0, 0, 1])
    with pytest.raises(UserError, match="2 LST with LSTCam, 1 MST with Nectar"):
        source(same)
    assert source(same, mode="stereo", telescope_types=["Nectar"]).spec["images"].telescope_ids.tolist() == [5]
    other = source(altered(path, turned, "turned.h5"), mode="stereo").spec["images"]
    assert other.camera.tolist() == [0, 1, 2]


def test_a_file_that_does_not_say_where_telescopes_point_to(gamma, altered):
    path = altered(gamma, lambda file: file.__delitem__("/configuration/telescope/pointing/tel_002"))
    with pytest.raises(
        DataError, match=r"altered\.h5: telescope 2, event .*: the file does not say where the telescope"
    ):
        source(path, mode="stereo").read(np.arange(6))


def test_cuts_on_parameters_that_are_computed(tmp_path):
    path = layouts.fact(tmp_path / "a.h5", events=30)
    assert 0 < len(source(path, classes=["gamma"], cuts="hillas_intensity > 15e4")) < 10
    with pytest.raises(UserError, match=r"no column hilas_width .*; did you mean hillas_width\?"):
        source(path, cuts="hilas_width > 1")


def test_lists_of_files_that_name_none(gamma, tmp_path):
    with pytest.raises(UserError, match=r"data\.file: is empty"):
        CtaEvents(CtaConfig(), [])
    with pytest.raises(DataError, match="is a directory, a file is needed"):
        source(tmp_path)
    with pytest.raises(DataError, match=r"\[z-a\]\.h5: no file matches"):
        source(tmp_path / "[z-a].h5")


def test_cuts_on_parameters_and_truth(gamma):
    bright = [(i, t) for i, t in PAIRS if charge(i, t, 4 if t == 5 else 7).sum() > 100 and i < 5]
    images = source(gamma, mode="stereo", cuts="hillas_intensity > 100 and true_core_x < 5")
    assert len(images.images_of(np.arange(len(images)))[0]) == len(bright)
    assert images.event_ids[:, 1].tolist() == sorted({event_id(i) for i, _ in bright})
    removed = images.cut_flow.removed
    assert removed["hillas_intensity > 100"][0] + removed["true_core_x < 5"][0] == len(PAIRS) - len(bright)
    assert images.cut_flow.left == (len(bright), len(images))


def test_cuts_by_any_spelling(tmp_path, write_dl1):
    for layout in ("v4", "lstchain"):
        images = source(write_dl1(tmp_path / f"{layout}.h5", layout), telescopes=[1], cuts="hillas_intensity > 100")
        assert len(images) == sum(charge(i, 1, 7).sum() > 100 for i in range(6) if seen(i, 1))


def test_multiplicity(gamma):
    for mode in ("mono", "stereo"):
        images = source(gamma, mode=mode, telescopes=[1, 2], multiplicity=2)
        assert sorted(set(images.event_ids[:, 1])) == [event_id(i) for i in range(6) if seen(i, 1) and seen(i, 2)]
        assert len(images) == (4 if mode == "mono" else 2)


@pytest.mark.parametrize("name", ["LST", "LSTN", "LST_LST_LSTCam", "LSTCam"])
def test_telescopes_by_any_of_their_names(gamma, name):
    assert source(gamma, telescope_types=[name]).spec["images"].telescope_ids.tolist() == [1, 2]
    assert source(gamma, telescope_types=[name], telescopes=[2, 5]).spec["images"].telescope_ids.tolist() == [2]


def test_a_mono_run_over_different_cameras_is_refused(gamma, sample):
    said = r"data\.mode=mono: .* 2 LST with LSTCam, 1 MST with MSTCam; choose with data\.telescope_types=\[LST\]"
    with pytest.raises(UserError, match=said):
        source(gamma)
    with pytest.raises(UserError, match="4 LST with LSTN-design, 9 MST with MSTx-NectarCam"):
        source(sample("proton_prod6_north_602.dl1.h5"))


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"telescopes": [3]}, r"data\.telescopes: telescope 3 is not in the subarray; it has 1, 2, 5"),
        ({"telescope_types": ["SST"]}, r"there are no telescopes SST; there are 2 LST with LSTCam, 1 MST with MSTCam"),
        ({"telescope_types": ["LST"], "telescopes": [5]}, "no telescope is in both"),
        ({"cuts": "hilas_intensity > 1"}, r"no column hilas_intensity .*; did you mean hillas_intensity\?"),
        ({"cuts": "hillas_intensity >"}, r"data\.cuts=hillas_intensity >: invalid syntax"),
        ({"classes": ["gamme"]}, r"data\.classes: gamme is no primary; did you mean gamma\?"),
        ({"classes": ["dark matter"]}, "there are gamma, electron, .*, and ids as numbers"),
        ({"classes": []}, r"data\.classes: is empty"),
        ({"classes": ["gamma", "0"]}, "primary 0 is in two of them"),
    ],
)
def test_selections_that_make_no_sense(gamma, config, said):
    with pytest.raises(UserError, match=said):
        source(gamma, mode="stereo", **config)


def test_a_selection_of_nothing_says_what_each_cut_removed(gamma):
    with pytest.raises(UserError) as error:
        source(gamma, mode="stereo", cuts="true_core_x > 1 and hillas_intensity > 1e9", telescopes=[1, 2])
    assert str(error.value) == (
        "data: no image is left of the 1 files; there were 12 images of 6 events; telescopes removed 4 (0 events); "
        "true_core_x > 1 removed 3 (2 events); hillas_intensity > 1e9 removed 5 (4 events)"
    )
    with pytest.raises(UserError, match=r"other primaries than data\.classes removed 12 "):
        source(gamma, mode="stereo", classes=["proton", "muon"])


def test_events_without_triggered_telescopes_and_calibration_are_dropped(gamma, altered):
    def change(rows):
        rows["tels_with_trigger"][2] = False
        rows["event_type"][3] = 2
        return rows

    path = altered(gamma, lambda file: rewrite(file, "/dl1/event/subarray/trigger", change))
    images = source(path, mode="stereo")
    assert images.event_ids[:, 1].tolist() == [event_id(i) for i in (0, 1, 4, 5)]
    assert [images.cut_flow.removed[name][1] for name in ("no telescope triggered", "calibration")] == [1, 1]


def test_events_of_which_no_telescope_is_named_may_have_no_image(gamma, altered):
    def change(file):
        rewrite(file, "/dl1/event/telescope/images/tel_001", lambda rows: rows[:0])
        rewrite(file, "/dl1/event/telescope/parameters/tel_001", lambda rows: rows[:0])
        rewrite(file, "/dl1/event/subarray/trigger", nobody)

    def nobody(rows):
        rows["tels_with_trigger"][rows["tels_with_trigger"][:, 0] == 1] = False
        return rows

    images = source(altered(gamma, change), mode="stereo")  # two of these four events are seen by telescope 1 alone
    assert (len(images), images.cut_flow.removed["having no image"]) == (2, (0, 2))


def test_classes_of_primaries(both):
    images = source(both, mode="stereo", classes=["electron", "gamma+101", "helium"])
    assert set(images.read(np.arange(16)).truth.get("primary")["primary"].tolist()) == {1}
    assert images.spec.column("primary").classes == ("electron", "gamma+101", "helium")
    assert len(source(both, mode="stereo", classes=["proton"])) == 10


def test_bad_pixels_are_named(gamma, altered):
    def change(rows):
        rows["image"][1, 0] = np.nan
        return rows

    path = altered(gamma, lambda file: rewrite(file, "/dl1/event/telescope/images/tel_002", change))
    with pytest.raises(DataError, match=r"altered\.h5: telescope 2, event 100 of observation 7: the charge of a pixel"):
        source(path, mode="stereo").read(np.arange(6))


def test_files_of_different_arrays_are_refused(tmp_path, gamma, write_dl1):
    write_dl1(tmp_path / "moved.h5", shift=1.0)
    with pytest.raises(DataError, match=r"moved\.h5: its telescope 1 is not the one of .*gamma\.h5"):
        source(tmp_path / "*.h5", mode="stereo")
    with pytest.raises(DataError, match=r"none\*\.h5: no file matches"):
        source(tmp_path / "none*.h5")


def test_splits_share_no_shower(both):
    with_seeds = set()
    for seed in range(5):
        splits = iact(both, seed, mode="stereo", validation_fraction=0.25, test_fraction=0.2)
        parts = [splits.train, splits.validation, splits.test]
        entries = np.concatenate([part.entries for part in parts])
        assert sorted(entries.tolist()) == list(range(16))
        showers = [set(part.source.showers[part.entries].tolist()) for part in parts]
        assert [len(shower) for shower in showers] == [4, 2, 2]
        assert len(set.union(*showers)) == 8
        assert all(len(part.entries) == 2 * len(shower) for part, shower in zip(parts, showers, strict=True))
        again = iact(both, seed, mode="stereo", validation_fraction=0.25, test_fraction=0.2)
        assert again.validation.entries.tolist() == splits.validation.entries.tolist()
        with_seeds.add(tuple(splits.validation.entries))
    assert len(with_seeds) > 1


@pytest.mark.parametrize("mode", ["mono", "stereo"])
def test_splits_of_a_sample_share_no_shower(sample, mode):
    path = sample("gamma_prod4_sst1m.dl1.h5")  # 31 events of 11 CORSIKA showers, event_id // 100
    for seed in range(4):
        splits = iact(path, seed, mode=mode, validation_fraction=0.3)
        train, validation = (part.source.event_ids[part.entries] for part in (splits.train, splits.validation))
        corsika = [set((ids[:, 1] // 100).tolist()) for ids in (train, validation)]
        assert not corsika[0] & corsika[1]
        assert (len(corsika[0]), len(corsika[1])) == (7, 4)
        assert len(train) + len(validation) == (129 if mode == "mono" else 31)
        assert splits.test is splits.validation


def test_splits_that_are_not_asked_for(gamma):
    splits = iact(gamma, mode="stereo")
    assert isinstance(splits, Splits)
    assert splits.validation is None
    assert splits.train.entries.tolist() == splits.test.entries.tolist() == list(range(6))


def test_fractions_that_leave_nothing_are_refused(gamma):
    with pytest.raises(UserError, match=r"validation_fraction=0\.6, data\.test_fraction=0\.3: leave none of 3 showers"):
        iact(gamma, mode="stereo", validation_fraction=0.6, test_fraction=0.3)


def test_validation_from_another_file(tmp_path, gamma, write_dl1):
    other = write_dl1(tmp_path / "other.h5", primary=101)
    splits = iact(gamma, mode="stereo", aux_file=str(other), validation_fraction=0.5)
    assert (
        len(splits.train.entries),
        len(splits.validation.entries),
        splits.validation.source is splits.train.source,
    ) == (6, 6, False)
    again = write_dl1(tmp_path / "again.h5", obs_id=8)  # the same showers in another run
    with pytest.raises(UserError, match=r"data\.aux_file: 3 showers are also in the files to train on"):
        iact(gamma, mode="stereo", aux_file=str(again))
    with pytest.raises(UserError, match=r"data\.aux_file: its telescopes are not those of data\.file"):
        iact(gamma, mode="stereo", aux_file=str(write_dl1(tmp_path / "lst.h5", "lstchain", primary=101)))
    with pytest.raises(DataError, match=r"moved\.h5: its telescope 1 is not"):
        iact(gamma, mode="stereo", aux_file=str(write_dl1(tmp_path / "moved.h5", primary=101, shift=2.0)))


def test_the_yaml_builds_the_source(gamma):
    node = OmegaConf.load(conf_folder() / "data" / "cta.yaml")
    with pytest.raises(UserError, match=r"data\.file: has no value"):
        build.component(node, "data")
    node.file, node.telescope_types = [str(gamma)], ["LST"]
    kind, config = build.component(node, "data")
    assert len(kind(config, 1).open().train.entries) == 8
    node.mode = "both"
    with pytest.raises(UserError, match=r"data\.mode=both: must be one of mono, stereo"):
        build.component(node, "data")


def test_sample_mixtures_of_gammas_and_protons(sample):
    names = ("gamma_diffuse_prod6_north.dl1.h5", "proton_prod6_north_602.dl1.h5")
    mixed = CtaEvents(CtaConfig(mode="stereo"), [str(sample(name)) for name in names])
    assert (len(mixed), len(mixed.spec["images"].cameras)) == (6, 2)
    assert mixed.truth(np.arange(6))["primary"].tolist() == [0] * 2 + [1] * 4
    batch = mixed.read(np.arange(6))
    assert [images.charge.shape for images in batch["images"].cameras] == [(8, 1855), (15, 1855)]
    assert len(np.unique(mixed.showers)) == 4


def test_ids_that_f8_does_not_hold(tmp_path, write_dl1, altered):
    """Runs 2^60 + 1 and 2^60 + 2 in one file, two events each of its first four."""
    run = 2**60 + 1

    def change(file):
        names = []
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)
        for name in names:
            if "obs_id" in (file[name].dtype.names or ()):
                rewrite(file, name, large)
        rewrite(file, "configuration/simulation/run", lambda rows: np.concatenate([rows, rows]))
        file["configuration/simulation/run"][1, "obs_id"] = run + 1
        for tel_id in (1, 2, 5):
            pointing = f"configuration/telescope/pointing/tel_{tel_id:03d}"
            rewrite(file, pointing, lambda rows: np.concatenate([rows, rows]))
            file[pointing][1, "obs_id"] = run + 1

    def large(rows):
        kinds = [(name, "u8" if name == "obs_id" else rows.dtype[name]) for name in rows.dtype.names]
        made = rows.astype(kinds)
        made["obs_id"] = run
        if "event_id" in rows.dtype.names:
            made["obs_id"] += rows["event_id"] >= 200
        return made

    path = altered(write_dl1(tmp_path / "a.h5"), change)
    assert [one.obs_id for one in source(path, mode="stereo").files[0].runs] == [run, run + 1]
    assert [one.showers for one in source(path, mode="stereo").thrown()] == [10, 10]
    for wanted, events in ((run, [0, 1, 100, 101]), (run + 1, [200, 201])):
        images = source(path, mode="stereo", cuts=f"obs_id == {wanted}")
        assert images.event_ids[:, :2].tolist() == [[wanted, event] for event in events]
    with pytest.raises(UserError, match="no image is left"):
        source(path, mode="stereo", cuts=f"obs_id == {2**60}")
    images = source(path, telescope_types=["LST"], cuts="event_id == 201 and tel_id == 2")
    assert images.event_ids.tolist() == [[run + 1, 201, 2]]
