"""Wire images as a source: several files as one, splits, and truth."""

from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.format import PARTICLE, UNSET_PARTICLE
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import EVENT_CLASSES, INTERACTIONS, Lartpc, LartpcConfig, LartpcEvents
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
    """The splits of a file, or of a list of them."""
    files = list(map(str, file)) if isinstance(file, list) else str(file)
    return Lartpc(Lartpc.Config(file=files, **SMALL, **config), seed).open()


@pytest.fixture
def written(tmp_path):
    """Writes a file of events: run, subrun, event, pixels of a plane, and pdg, current and energy of the neutrino."""

    def write(name, events):
        meta = ImageMeta.unit((16, 12))
        with LarcvWriter(tmp_path / name) as writer:
            for run, subrun, event, pixels, neutrino in events:
                records = np.full(1 if neutrino else 0, UNSET_PARTICLE, PARTICLE)
                if neutrino:
                    records["pdg"], records["current_type"], records["energy_init"] = neutrino
                wires = [(meta, Voxels(np.arange(pixels), np.ones(pixels)))]
                writer.append((run, subrun, event), {"wire": wires, "label": wires}, particles={"nu": records})
        return tmp_path / name

    return write


EVENTS = [
    (1, 0, 7, 4, (12, 0, 0.5)),
    (1, 0, 8, 9, (14, 0, 2.0)),
    (1, 1, 7, 5, (-14, 1, 1.5)),
    (2**40 + 1, 1, 9, 6, None),
]


@pytest.mark.parametrize(
    ("cuts", "entries"),
    [
        ("run == 1 and event == 7", [0, 2]),
        (f"run > {2**40}", [3]),
        ("subrun == 0 and pixels > 4", [1]),
        ("true_energy > 1", [1, 2]),
        ("abs(true_pdg) == 14 and true_current_type == 0", [1]),
        ("not true_pdg == 0", [0, 1, 2]),
    ],
)
def test_cuts(written, caplog, cuts, entries):
    with caplog.at_level("INFO", "airshower"):
        splits = lartpc(written("a.h5", EVENTS), cuts=cuts)
    assert splits.train.entries.tolist() == splits.test.entries.tolist() == entries
    assert splits.train.source.read(splits.test.entries).event_ids.tolist() == [list(EVENTS[i][:3]) for i in entries]
    (line,) = [message for message in caplog.messages if message.startswith("data: 4 events of 1 files")]
    assert f"{cuts.split(' and ')[0]} removed" in line


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"cuts": "energy > 1"}, r"no column energy .*did you mean true_energy\?"),
        ({"cuts": "true_energy > 1", "particle_producer": ""}, "no column true_energy .*run, subrun, event, pixels$"),
        ({"cuts": "pixels > 99"}, "no event is left of the 4 of 1 files; pixels > 99 removed 4"),
    ],
)
def test_cuts_that_make_no_sense(written, config, says):
    with pytest.raises(UserError, match=says):
        Lartpc(Lartpc.Config(file=str(written("a.h5", EVENTS)), **SMALL | config), 1).open()


def test_resampling_is_by_interaction(written):
    many = [(1, 0, event, 3, (12, 0, 1.0) if event < 3 else (14, 0, 1.0)) for event in range(10)]
    path = written("a.h5", many)
    for how, counts in (("none", [3, 7]), ("undersample", [3, 3]), ("oversample", [7, 7])):
        train = lartpc(path, resample=how).train
        interaction = train.source.truth(train.entries)["interaction"]
        assert [(interaction == INTERACTIONS.index(name)).sum() for name in ("nu_e CC", "nu_mu CC")] == counts


def test_events_to_validate_and_test_on(many):
    splits = lartpc([many / "part0.h5", many / "part[12].h5"], validation_fraction=0.2, test_fraction=0.3)
    parts = [part.entries.tolist() for part in (splits.train, splits.validation, splits.test)]
    assert [len(part) for part in parts] == [4, 2, 3]
    assert sorted(entry for part in parts for entry in part) == list(range(9))


def test_an_event_of_two_files_is_not_split(written):
    """Productions may number their events alike: those with other pixels are others."""
    written("a.h5", [(1, 0, 7, 4, None), (1, 0, 8, 9, None)])
    written("b.h5", [(1, 0, 7, 5, None), (1, 0, 8, 9, None)])
    path = written("c.h5", [(1, 0, 9, 9, None)])
    for seed in range(5):
        splits = lartpc(path.with_name("[ab].h5"), seed, validation_fraction=0.3)
        assert sorted(splits.validation.entries) in ([0], [2], [1, 3])
    with pytest.raises(UserError, match=r"data\.aux_file: 1 showers are also in the files to train on"):
        lartpc(path.with_name("a.h5"), aux_file=str(path.with_name("b.h5")))
    with pytest.raises(UserError, match=r"data\.aux_file: 2 showers are also in the files to train on"):
        lartpc([path.with_name("a.h5"), path], aux_file=str(path.with_name("a.h5")))


def test_files_are_read_as_one(many):
    source = lartpc("part*.h5", data_directory=str(many)).train.source
    parts = [LartpcEvents(LartpcConfig(**SMALL), str(many / f"part{i}.h5")) for i in range(3)]
    expected = [(i, entry) for i, part in enumerate(parts) for entry in range(len(part))]
    assert len(source) == 9
    assert source.event_ids[:, [0, 2]].tolist() == [list(pair) for pair in expected]
    entries = np.array([8, 0, 4, 2, 1, 5, 4])
    batch = source.read(entries)
    assert np.array_equal(batch.entries, entries)
    assert np.array_equal(batch.event_ids, source.event_ids[entries])
    single = [parts[expected[e][0]].read(np.array([expected[e][1]]))["images"] for e in entries]
    for name in ("row", "column", "value", "label", "counts"):
        together = np.concatenate([getattr(images, name) for images in single])
        assert np.array_equal(getattr(batch["images"], name), together)
    truth = source.truth(entries)
    alone = [parts[expected[e][0]].truth(np.array([expected[e][1]])) for e in entries]
    assert truth["energy"].tolist() == [one["energy"].item() for one in alone]


def test_no_entries_are_an_empty_batch(wires):
    source = LartpcEvents(LartpcConfig(**SMALL), str(wires))
    empty, full = source.read(np.empty(0, np.int64)), source.read(np.array([0]))
    assert (len(empty), empty["images"].counts.shape, empty.event_ids.shape) == (0, (0, 3), (0, 3))
    for name in ("row", "column", "value", "label", "counts"):
        assert getattr(empty["images"], name).dtype == getattr(full["images"], name).dtype
    assert full.nbytes == len(full["images"].row) * 13


def test_brackets_in_a_name_are_no_pattern(tmp_path, write_wires):
    path = write_wires(tmp_path / "run[1]" / "a*.h5", 2)
    write_wires(tmp_path / "run[1]" / "ab.h5", 3)
    assert len(LartpcEvents(LartpcConfig(**SMALL), str(path))) == 2
    assert len(lartpc("ab.h5", data_directory=str(path.parent)).train.entries) == 3


def test_paths_that_are_none(tmp_path, many):
    for pattern, said in (("x*.h5", "no file matches"), ("x.h5", "no such file"), (".", "is a directory")):
        with pytest.raises(DataError, match=said) as error:
            lartpc(pattern, data_directory=str(many))
        assert str(error.value).startswith(str(many))
    with pytest.raises(UserError, match=r"data\.file: name files, as in data\.file=PATH"):
        lartpc("")


def test_files_of_other_images_are_refused(many, write_wires):
    write_wires(many / "part9.h5", shape=(32, 12))
    with pytest.raises(DataError, match=r"part9\.h5: its images are not of the number and size of .*part0\.h5"):
        LartpcEvents(LartpcConfig(**SMALL), str(many / "*.h5"))


@pytest.mark.parametrize(("shape", "most"), [((16, 12), 2), ((16, 20), 2), ((9, 16), 0), ((48, 64), 4)])
def test_downsampling_that_does_not_divide_is_refused(tmp_path, write_wires, shape, most):
    path = write_wires(tmp_path / "a.h5", shape=shape)
    spec = LartpcEvents(LartpcConfig(downsample=most, **SMALL), str(path)).spec["images"]
    assert spec.pooled == (shape[1] >> most, shape[0] >> most)
    for downsample in range(most + 1, 7):
        with pytest.raises(UserError, match=rf"downsample={downsample}: .* can be halved at most {most} times"):
            LartpcEvents(LartpcConfig(downsample=downsample, **SMALL), str(path))


def test_the_real_file_can_be_halved_eight_times(sbnd_file):
    assert LartpcEvents(LartpcConfig(downsample=8), str(sbnd_file)).spec["images"].pooled == (5, 8)
    with pytest.raises(UserError, match="images of 1280 x 2048 pixels can be halved at most 8 times"):
        LartpcEvents(LartpcConfig(downsample=9), str(sbnd_file))


def test_the_queueloader_is_refused(wires):
    with pytest.raises(UserError, match=r"data\.reader=queueloader: .*garbage"):
        LartpcEvents(LartpcConfig(reader="queueloader", **SMALL), str(wires))


def test_validation_from_another_file(many):
    splits = lartpc(many / "part2.h5", aux_file=str(many / "part[01].h5"), validation_fraction=0.5)
    assert splits.train.entries.tolist() == [0, 1, 2, 3]
    assert splits.test is splits.validation
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
    assert lartpc(pattern).test.entries.tolist() == list(range(9))
    seen = set()
    for seed in range(10):
        splits, again = lartpc(pattern, seed, validation_fraction=0.3), lartpc(pattern, seed, validation_fraction=0.3)
        train, validation = splits.train.entries, splits.validation.entries
        assert sorted([*train, *validation]) == list(range(9))
        assert len(validation) == 3
        assert splits.test is splits.validation
        assert np.array_equal(again.train.entries, train)
        assert np.array_equal(again.validation.entries, validation)
        seen.add(tuple(validation))
    assert len(seen) > 1


def test_a_fraction_that_leaves_nothing_to_train_on_is_refused(many, tmp_path, write_wires):
    write_wires(tmp_path / "one.h5", 1)
    with pytest.raises(UserError, match=r"data\.validation_fraction=0\.5, data\.test_fraction=0\.0: leave none of 1"):
        lartpc(tmp_path / "one.h5", validation_fraction=0.5)


def test_truth_of_the_real_file(sbnd_file):
    source = LartpcEvents(LartpcConfig(), str(sbnd_file))
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
        assert [INTERACTIONS[row] for row in truth["interaction"]] == names
    assert set(names) <= set(EVENT_CLASSES)
    of_batch = source.read(np.array([4, 1])).truth.get("interaction")
    assert of_batch["interaction"].tolist() == truth["interaction"].tolist()


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
    truth = LartpcEvents(LartpcConfig(**SMALL), str(tmp_path / "a.h5")).truth(np.arange(6))
    assert [INTERACTIONS[row] for row in truth["interaction"]] == [EVENT_CLASSES[i] for i in (0, 1, 2, 2, 3, 3)]
    assert truth["energy"][:4].tolist() == [0.5, 1.5, 2.5, 3.5]
    assert np.isnan(truth["energy"][4:]).all()
    for none in ("", "other"):
        config = LartpcConfig(**SMALL | {"particle_producer": none})
        assert LartpcEvents(config, str(tmp_path / "a.h5")).truth(np.arange(6)) == {}


def test_home_is_expanded(monkeypatch, wires):
    monkeypatch.setenv("HOME", str(wires.parent))
    assert len(LartpcEvents(LartpcConfig(**SMALL), str(Path("~") / wires.name))) == 4
