"""Files of telescopes' images opened with their index are those that were read directly."""

import os
from pathlib import Path

import numpy as np
import pytest

from airshower.data.handles import HANDLES
from airshower.detectors.cta import open_file as opening
from airshower.detectors.cta.open_file import open_file
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError
from tests.detectors.cta import layouts
from tests.detectors.cta.small_dl1 import write_dl1

OLD = 1_700_000_000
DL1 = ("ctapipe", "type", "v4", "scaled", "observed", "lstchain")
FOREIGN = {
    "grids": layouts.extractor_grids,
    "tables": lambda path: layouts.extractor_tables(path, newer=False),
    "newer tables": lambda path: layouts.extractor_tables(path, newer=True),
    "FACT": layouts.fact,
    "MAGIC": layouts.magic,
    "CORSIKA": layouts.corsika,
}
CUT = "hillas_intensity > 60"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def two_files(tmp_path: Path, layout: str) -> list[Path]:
    """Files that were not changed for long."""
    if layout in DL1:
        paths = [write_dl1(tmp_path / f"{run}.h5", layout, obs_id=run, primary=101 * run) for run in (0, 1)]
    else:
        paths = [FOREIGN[layout](tmp_path / f"0.{'npz' if layout == 'CORSIKA' else 'h5'}")]
        paths.append(write_dl1(tmp_path / "1.h5", "observed" if layout == "MAGIC" else "ctapipe", shift=1e3))
    for path in paths:
        os.utime(path, (OLD, OLD))
    return paths


def contents(source: CtaEvents) -> dict[str, object]:
    """All that a source says and reads, as texts and lists."""
    batch = source.read(np.arange(len(source))[::-1])
    images = {
        f"{name} {number}": np.asarray(getattr(camera, name)).tobytes()
        for number, camera in enumerate(batch["images"].cameras)
        for name in ("charge", "time", "clean", "event", "telescope", "pointing")
        if getattr(camera, name) is not None
    }
    truth = {name: values.tobytes() for name, values in source.truth(np.arange(len(source))).items()}
    said = {"flow": str(source.cut_flow), "digest": source.digest, "thrown": repr(source.thrown())}
    names = [(file.parameter_names, file.has_clean, file.zero_bad_pixels) for file in source.files]
    ids = {"ids": source.event_ids.tolist(), "showers": source.showers.tobytes(), "names": names}
    return {**images, **{f"true {name}": values for name, values in truth.items()}, **said, **ids}


@pytest.mark.parametrize("cuts", ["", CUT])
@pytest.mark.parametrize("layout", DL1)
def test_a_source_of_dl1_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str, cuts: str) -> None:
    check(two_files(tmp_path, layout), cuts, monkeypatch)


@pytest.mark.parametrize("layout", ["tables", "newer tables", "FACT", "MAGIC", "CORSIKA", "grids"])
def test_a_source_of_other_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, layout: str) -> None:
    paths = two_files(tmp_path, layout)
    entries = [indexed.entry for indexed in opening.file_index(False, ["hillas_intensity"]).open(paths)]
    monkeypatch.setattr(opening, "open_file", refuse)
    again = opening.file_index(False, ["hillas_intensity"]).open(paths)
    for path, entry, indexed in zip(paths, entries, again, strict=True):
        direct = open_file(path)
        file = opening.indexed_file(indexed)
        assert entry.keys() == indexed.entry.keys()
        assert file.digest == direct.digest
        assert file.parameter_names == direct.parameter_names
        for camera in range(len(direct.subarray.cameras)):
            images = np.flatnonzero(direct.subarray.camera[direct.images.telescope] == camera)
            for ours, theirs in zip(file.read(images), direct.read(images), strict=True):
                np.testing.assert_array_equal(ours, theirs)
        np.testing.assert_array_equal(file.pointing, direct.pointing)
        for name in ("obs_id", "event_id", "event_type", "triggered", "time"):
            np.testing.assert_array_equal(getattr(file.events, name), getattr(direct.events, name))
        assert (file.truth is None) == (direct.truth is None)
        for name, values in (direct.truth or {}).items():
            np.testing.assert_array_equal((file.truth or {})[name], values)
        parameter = direct.parameters(["hillas_intensity"])["hillas_intensity"]
        np.testing.assert_array_equal(file.parameters(["hillas_intensity"])["hillas_intensity"], parameter)


def refuse(*_: object) -> None:
    pytest.fail("a file is opened to be indexed")


def check(paths: list[Path], cuts: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The source is the same cold and warm, and its files' digests are those of direct reading."""
    config = CtaConfig(mode="stereo", cuts=cuts, classes=["gamma", "proton", "observed"])
    files = [str(path) for path in paths]
    cold = contents(CtaEvents(config, files))
    assert [file.digest for file in CtaEvents(config, files).files] == [open_file(path).digest for path in paths]
    for path in paths:
        HANDLES.close(path)
    monkeypatch.setattr(opening, "open_file", refuse)
    warm = CtaEvents(config, files)
    assert not HANDLES._open.keys() & set(paths), "no file is opened before images are read"
    assert contents(warm) == cold


def test_cameras_are_shared(tmp_path: Path) -> None:
    source = CtaEvents(CtaConfig(mode="stereo"), list(map(str, two_files(tmp_path, "ctapipe"))))
    assert source.files[0].subarray is source.files[1].subarray


def test_a_file_that_changes_while_it_is_used(tmp_path: Path) -> None:
    paths = two_files(tmp_path, "ctapipe")
    CtaEvents(CtaConfig(mode="stereo"), list(map(str, paths)))
    source = CtaEvents(CtaConfig(mode="stereo"), list(map(str, paths)))
    paths[1].touch()
    source.read(np.arange(3))
    with pytest.raises(DataError, match=r"1\.h5: has changed since"):
        source.read(np.arange(len(source)))


def test_a_file_whose_rows_are_in_another_order(tmp_path: Path, altered) -> None:
    """Corrections of the index are of the process, not of what others share."""
    path = write_dl1(tmp_path / "a.h5", "type")

    def reverse(file) -> None:
        rows = file["/dl1/event/telescope/images/type_LST"][:]
        file["/dl1/event/telescope/images/type_LST"][:] = rows[::-1]

    paths = [altered(path, reverse), write_dl1(tmp_path / "b.h5", "type", obs_id=8)]
    for one in paths:
        os.utime(one, (OLD, OLD))
    for _ in range(2):
        assert len(contents(CtaEvents(CtaConfig(mode="stereo"), list(map(str, paths)))))


def test_bad_pixels_decide_about_the_index(tmp_path: Path) -> None:
    paths = list(map(str, two_files(tmp_path, "ctapipe")))
    for bad in ("error", "zero", "skip", "error"):
        CtaEvents(CtaConfig(mode="stereo", bad_pixels=bad), paths)
    assert len(list((tmp_path / "cache" / "index").iterdir())) == 2
