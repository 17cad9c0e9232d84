"""Wire images as a source: several files as one, splits, and truth."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv_format import PARTICLE, UNSET_PARTICLE
from airshower.detectors.lartpc.larcv_writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import EVENT_CLASSES, Lartpc, WireConfig, WireImages
from airshower.errors import DataError, UserError

SMALL = {"image_producer": "wire", "label_producer": "label", "particle_producer": "nu"}


@pytest.fixture
def many(tmp_path, write_wires):
    """A folder of three files of 2, 3 and 4 events."""
    folder = tmp_path / "many"
    for seed, events in enumerate((2, 3, 4)):
        write_wires(folder / f"part{seed}.h5", events, seed)
    return folder


def lartpc(file, seed=1, **config):
    """The splits of a file."""
    return Lartpc(Lartpc.Config(file=str(file), **SMALL, **config), seed).open()


def test_files_are_read_as_one(many):
    source = WireImages(WireConfig(data_directory=str(many), **SMALL), "part*.h5")
    parts = [WireImages(WireConfig(**SMALL), str(many / f"part{i}.h5")) for i in range(3)]
    expected = [(i, entry) for i, part in enumerate(parts) for entry in range(len(part))]
    assert len(source) == 9
    assert source.event_ids[:, [0, 2]].tolist() == [list(pair) for pair in expected]
    entries = np.array([8, 0, 4, 2, 1, 5, 4])
    batch = source.read(entries)
    assert np.array_equal(batch.entries, entries)
    assert np.array_equal(batch.event_ids, source.event_ids[entries])
    single = [parts[expected[e][0]].read(np.array([expected[e][1]])).images for e in entries]
    for name in ("row", "column", "value", "label", "counts"):
        assert np.array_equal(getattr(batch.images, name), np.concatenate([getattr(images, name) for images in single]))
    truth = source.truth(entries)
    alone = [parts[expected[e][0]].truth(np.array([expected[e][1]])) for e in entries]
    assert truth["energy"].tolist() == [one["energy"].item() for one in alone]


def test_no_entries_are_an_empty_batch(wires):
    source = WireImages(WireConfig(**SMALL), str(wires))
    empty, full = source.read(np.empty(0, np.int64)), source.read(np.array([0]))
    assert (len(empty), empty.images.counts.shape, empty.event_ids.shape) == (0, (0, 3), (0, 3))
    for name in ("row", "column", "value", "label", "counts"):
        assert getattr(empty.images, name).dtype == getattr(full.images, name).dtype
    assert full.nbytes == len(full.images.row) * 13


def test_brackets_in_a_name_are_no_pattern(tmp_path, write_wires):
    path = write_wires(tmp_path / "run[1]" / "a*.h5", 2)
    write_wires(tmp_path / "run[1]" / "ab.h5", 3)
    assert len(WireImages(WireConfig(**SMALL), str(path))) == 2
    assert len(WireImages(WireConfig(data_directory=str(path.parent), **SMALL), "ab.h5")) == 3


def test_paths_that_are_none(tmp_path, many):
    for pattern, said in (("x*.h5", "no file matches"), ("x.h5", "no such file"), ("", "is a directory")):
        with pytest.raises(DataError, match=said) as error:
            WireImages(WireConfig(data_directory=str(many), **SMALL), pattern)
        assert str(error.value).startswith(str(many))


def test_files_of_other_images_are_refused(many, write_wires):
    write_wires(many / "part9.h5", shape=(32, 12))
    with pytest.raises(DataError, match=r"part9\.h5: its images are not of the number and size of .*part0\.h5"):
        WireImages(WireConfig(**SMALL), str(many / "*.h5"))


@pytest.mark.parametrize(("shape", "most"), [((16, 12), 2), ((16, 20), 2), ((9, 16), 0), ((48, 64), 4)])
def test_downsampling_that_does_not_divide_is_refused(tmp_path, write_wires, shape, most):
    path = write_wires(tmp_path / "a.h5", shape=shape)
    spec = WireImages(WireConfig(downsample=most, **SMALL), str(path)).spec
    assert spec.pooled == (shape[1] >> most, shape[0] >> most)
    for downsample in range(most + 1, 7):
        with pytest.raises(UserError, match=rf"downsample={downsample}: .* can be halved at most {most} times"):
            WireImages(WireConfig(downsample=downsample, **SMALL), str(path))


def test_the_real_file_can_be_halved_eight_times(sbnd_file):
    assert WireImages(WireConfig(downsample=8), str(sbnd_file)).spec.pooled == (5, 8)
    with pytest.raises(UserError, match="images of 1280 x 2048 pixels can be halved at most 8 times"):
        WireImages(WireConfig(downsample=9), str(sbnd_file))


def test_the_queueloader_is_refused(wires):
    with pytest.raises(UserError, match=r"data\.reader=queueloader: .*garbage"):
        WireImages(WireConfig(reader="queueloader", **SMALL), str(wires))


def test_validation_from_another_file(many):
    splits = lartpc(many / "part2.h5", aux_file=str(many / "part[01].h5"), validation_fraction=0.5)
    assert splits.train.entries.tolist() == splits.whole.entries.tolist() == [0, 1, 2, 3]
    assert splits.train.source is splits.whole.source
    assert splits.validation.entries.tolist() == [0, 1, 2, 3, 4]
    assert splits.validation.source.event_ids[:, 0].tolist() == [0, 0, 1, 1, 1]


def test_a_validation_file_of_other_images_is_refused(many, write_wires):
    write_wires(many / "other.h5", shape=(32, 12))
    with pytest.raises(
        DataError, match=r"other\.h5: its images are not of the number and size of those of .*part0\.h5"
    ):
        lartpc(many / "part0.h5", aux_file=str(many / "other.h5"))


def test_validation_from_a_fraction(many):
    pattern = many / "*.h5"
    assert lartpc(pattern).validation is None
    seen = set()
    for seed in range(10):
        splits, again = lartpc(pattern, seed, validation_fraction=0.3), lartpc(pattern, seed, validation_fraction=0.3)
        train, validation = splits.train.entries, splits.validation.entries
        assert sorted([*train, *validation]) == splits.whole.entries.tolist() == list(range(9))
        assert len(validation) == 3
        assert np.array_equal(again.train.entries, train)
        assert np.array_equal(again.validation.entries, validation)
        seen.add(tuple(validation))
    assert len(seen) > 1


def test_a_fraction_that_leaves_nothing_to_train_on_is_refused(many, tmp_path, write_wires):
    write_wires(tmp_path / "one.h5", 1)
    with pytest.raises(UserError, match=r"data\.validation_fraction=0\.5: leaves none of .* events"):
        lartpc(tmp_path / "one.h5", validation_fraction=0.5)


def test_truth_of_the_real_file(sbnd_file):
    source = WireImages(WireConfig(), str(sbnd_file))
    with h5py.File(sbnd_file) as file:
        group = file["Data/particle_sbndneutrino_group"]
        neutrinos = group["particles"][:][group["extents"]["first"]]
    for entries in ([0, 1, 2, 3, 4], [4, 1]):
        truth = source.truth(np.array(entries))
        assert np.array_equal(truth["energy"], neutrinos["energy_init"][entries])
        names = [
            "NC" if nu["current_type"] else {12: "nu_e CC", 14: "nu_mu CC"}[abs(int(nu["pdg"]))]
            for nu in neutrinos[entries]
        ]
        assert truth["interaction"].tolist() == names
    assert set(names) <= set(EVENT_CLASSES)
    assert source.read(np.array([4, 1])).truth(("interaction",))["interaction"].tolist() == names


def test_truth_of_each_kind_of_event(tmp_path):
    kinds = [(12, 0, 0), (-14, 0, 1), (14, 1, 2), (-12, 1, 2), (13, 0, 3), None]
    meta = ImageMeta.unit((16, 12))
    with LarcvWriter(tmp_path / "a.h5") as writer:
        for entry, kind in enumerate(kinds):
            records = np.full(2 if kind else 0, UNSET_PARTICLE, PARTICLE)
            if kind:
                records["pdg"], records["current_type"], records["energy_init"] = kind[0], kind[1], (0.5 + entry, 99)
            wires = [(meta, Voxels(np.array([3]), [1.0]))]
            writer.append((0, 0, entry), {"wire": wires, "label": wires}, particles={"nu": records})
    truth = WireImages(WireConfig(**SMALL), str(tmp_path / "a.h5")).truth(np.arange(6))
    assert truth["interaction"].tolist() == [EVENT_CLASSES[i] for i in (0, 1, 2, 2, 3, 3)]
    assert truth["energy"][:4].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert np.isnan(truth["energy"][4:]).all()
    for none in ("", "other"):
        config = WireConfig(**SMALL | {"particle_producer": none})
        assert WireImages(config, str(tmp_path / "a.h5")).truth(np.arange(6)) == {}


def test_home_is_expanded(monkeypatch, wires):
    monkeypatch.setenv("HOME", str(wires.parent))
    assert len(WireImages(WireConfig(**SMALL), str(Path("~") / wires.name))) == 4
