"""The folder of a run: damage is named, another config refused, and overwriting starts over."""

import json
from pathlib import Path

import pytest

from airshower.config import record, renamed
from airshower.errors import DataError, UserError
from airshower.runtime import folders
from airshower.runtime.ranks import Ranks
from airshower.runtime.run_folder import claimed, write_provenance

CONFIG = "mode:\n  name: train\nrun:\n  id: first\n  iterations: 5\noutput_dir: out\nnetwork:\n  depth: 3\n  kind: é\n"


def claim(folder: Path, config: str = CONFIG, overwrite: bool = False) -> None:
    with claimed(Ranks(), folder, record.Resolved.of(config, {}), overwrite):
        assert (folder / "run.lock").exists()
    assert not (folder / "run.lock").exists()


@pytest.fixture
def run(tmp_path: Path) -> Path:
    folder = tmp_path / "run"
    claim(folder)
    return folder


def test_a_config_is_read_back_and_sealed(run: Path) -> None:
    text = (run / "config.yaml").read_text()
    assert CONFIG in text
    assert text.splitlines()[-1].startswith("# sha256: ")
    assert record.flat(record.unsealed(run / "config.yaml")) == record.flat(CONFIG)
    claim(run)
    claim(run, CONFIG.replace("iterations: 5", "iterations: 9"))


def test_another_config_is_refused_and_nothing_is_changed(run: Path) -> None:
    before = (run / "config.yaml").read_bytes()
    with pytest.raises(UserError, match=r"another config \(network.depth: 3 -> 4\)"):
        claim(run, CONFIG.replace("depth: 3", "depth: 4"))
    assert (run / "config.yaml").read_bytes() == before
    assert not (run / "run.lock").exists()


def test_a_run_of_an_older_version_says_how_to_go_on_from_it(tmp_path: Path) -> None:
    """One line instead of all keys that are new since."""
    path = "airshower.networks.uresnet.UResNet"
    old = CONFIG.replace("network:\n", f"network:\n  _target_: {path}\n")
    claim(tmp_path, old)
    with pytest.raises(UserError, match=r"of an older version, .*mode\.weights_location=FOLDER") as refused:
        claim(tmp_path, old.replace(path, renamed.TARGETS[path]))
    assert "->" not in str(refused.value)


def test_a_config_that_was_cut_short_is_named_wherever_it_was_cut(run: Path) -> None:
    path = run / "config.yaml"
    whole = path.read_bytes()
    for kept in range(len(whole)):
        path.write_bytes(whole[:kept])
        with pytest.raises(DataError, match=r"config.yaml: is damaged \(.*run.overwrite=true"):
            claim(run)
        assert path.read_bytes() == whole[:kept]


def test_a_flipped_bit_in_a_config_is_never_another_config(run: Path) -> None:
    path = run / "config.yaml"
    whole, named = path.read_bytes(), 0
    for position in range(len(whole)):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 1 << position % 7]) + whole[position + 1 :])
        try:
            claim(run)
        except DataError as error:
            assert f"{path}: is damaged" in str(error)  # noqa: PT017  (either outcome is right)
            named += 1
        else:  # in the first line, which is a comment
            assert position < len(record.SEALED)
    assert named > len(whole) - len(record.SEALED)


@pytest.mark.parametrize(
    "text", ["", "5\n", "- 1\n", "a: [\n", "run: {id: x}\n", "\x00", "run: !!python/name:os.system\n"]
)
def test_what_is_no_config_is_named(run: Path, text: str) -> None:
    (run / "config.yaml").write_text(text)
    with pytest.raises(DataError, match=r"config.yaml: is damaged \("):
        claim(run)


def test_a_config_of_an_older_version_has_no_checksum(run: Path) -> None:
    (run / "config.yaml").write_text(CONFIG)
    claim(run)
    assert "# sha256: " in (run / "config.yaml").read_text()


@pytest.mark.parametrize("text", ["", "{", "[{", "{}", "5", "\x80"])
def test_a_damaged_provenance_is_named_before_anything_is_done(run: Path, text: str) -> None:
    write_provenance(run, ["run.id=first"], {"step": 0})
    write_provenance(run, ["run.id=first"], {"step": 5})
    assert [entry["step"] for entry in json.loads((run / "provenance.json").read_text())] == [0, 5]
    (run / "provenance.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DataError, match=r"provenance.json: is damaged .*move it away"):
        claim(run)
    assert (run / "provenance.json").read_bytes() == text.encode("latin-1")
    claim(run, overwrite=True)
    assert not (run / "provenance.json").exists()


def leave(folder: Path) -> None:
    """What a run leaves."""
    for name in ("checkpoints/step_00000002.ckpt", "checkpoints/best.ckpt", "metrics/train.csv", "figures/a.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("x")


def test_overwriting_deletes_what_runs_leave_and_nothing_else(run: Path) -> None:
    leave(run)
    (run / "notes.txt").write_text("mine")
    claim(run, CONFIG.replace("depth: 3", "depth: 4"), overwrite=True)
    assert sorted(path.name for path in run.iterdir()) == ["config.yaml", "notes.txt"]


def test_overwriting_empties_a_run_whose_config_was_lost(run: Path) -> None:
    leave(run)
    (run / "config.yaml").unlink()
    claim(run, overwrite=True)
    assert not (run / "checkpoints").exists()


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    """output_dir may be given as any folder."""
    (tmp_path / "figures").mkdir()
    (tmp_path / "figures" / "holiday.png").write_text("mine")
    claim(tmp_path, overwrite=True)
    assert (tmp_path / "figures" / "holiday.png").exists()


def test_overwriting_starts_over_through_a_link_and_deletes_a_runs_files_alone(run: Path, tmp_path: Path) -> None:
    """Checkpoints on a scratch disk: the link stays, and what else lies there, too."""
    scratch = tmp_path / "scratch"
    leave(run)
    (run / "checkpoints").rename(scratch)
    (run / "checkpoints").symlink_to(scratch)
    (scratch / "thesis.tex").write_text("mine")
    (scratch / "step_7.ckpt.backup").write_text("mine")
    (scratch / "other").mkdir()
    (scratch / "other" / "step_00000001.ckpt").write_text("another run's")
    claim(run, overwrite=True)
    assert (run / "checkpoints").readlink() == scratch
    assert sorted(path.name for path in scratch.iterdir()) == ["other", "step_7.ckpt.backup", "thesis.tex"]
    assert (scratch / "other" / "step_00000001.ckpt").exists()


def test_a_link_to_nowhere_is_named(run: Path, tmp_path: Path) -> None:
    (run / "checkpoints").symlink_to(tmp_path / "purged")
    for overwrite in (False, True):
        with pytest.raises(UserError, match=r"checkpoints: is a link to .*purged, which does not exist"):
            claim(run, overwrite=overwrite)


def test_a_folder_that_can_not_be_deleted_is_named(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    leave(run)

    def refused(path: Path) -> None:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr("shutil.rmtree", refused)
    with pytest.raises(UserError, match=r"can't be written .*Permission denied"):
        claim(run, overwrite=True)


def test_a_full_disk_keeps_the_config_that_was_there(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = (run / "config.yaml").read_bytes()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(folders, "write_whole", full)
    with pytest.raises(UserError, match=r"can't be written .*No space left on device"):
        claim(run)
    assert (run / "config.yaml").read_bytes() == before
