"""Checkpoints: atomic, exact, and damaged ones named."""

from pathlib import Path

import pytest
import torch

from airshower.engine import checkpoint
from airshower.engine.checkpoint import CheckpointFolder
from airshower.errors import DataError, UserError


def state(step: int) -> dict:
    return {"step": step, "model": {"w": torch.full((300,), float(step))}, "config": "network:\n  depth: 3\n"}


def test_the_newest_and_the_best_stay(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path, keep=2)
    (tmp_path / ".step_00000001.ckpt.123.partial").write_bytes(b"cut short by a kill")
    for step in (1, 2, 3, 4):
        folder.save(state(step), best=step == 2)
    assert [path.name for path in folder.paths()] == ["step_00000004.ckpt", "step_00000003.ckpt"]
    assert checkpoint.load(tmp_path / "best.ckpt")["step"] == 2
    assert folder.load_latest()["step"] == 4
    assert checkpoint.find(str(tmp_path)).name == "best.ckpt"
    assert not list(tmp_path.glob(".*"))


def test_find_takes_files_runs_and_folders(tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path / "checkpoints").save(state(1), best=False)
    assert checkpoint.find(str(path)) == checkpoint.find(str(tmp_path)) == checkpoint.find(str(path.parent)) == path
    with pytest.raises(UserError, match="no checkpoint is there"):
        checkpoint.find(str(tmp_path / "nowhere"))


@pytest.mark.parametrize("position", [10, 200, 600, -300, -30])
def test_a_flipped_byte_is_found_and_the_checkpoint_before_is_used(
    tmp_path: Path, position: int, caplog: pytest.LogCaptureFixture
) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(state(1), best=False)
    path = folder.save(state(2), best=False)
    whole = path.read_bytes()
    damaged = bytearray(whole)
    damaged[position] ^= 0xFF
    path.write_bytes(damaged)
    try:
        loaded = checkpoint.load(path)
    except DataError as error:
        assert str(path) in str(error)  # noqa: PT017  (either outcome is right)
        assert folder.load_latest()["step"] == 1
    else:  # a byte that means nothing, such as padding
        torch.testing.assert_close(loaded["model"]["w"], state(2)["model"]["w"])


@pytest.mark.parametrize("kept", [0, 100, 1000])
def test_a_truncated_checkpoint_is_named_and_the_one_before_is_used(tmp_path: Path, kept: int) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(state(1), best=False)
    path = folder.save(state(2), best=False)
    path.write_bytes(path.read_bytes()[:kept])
    with pytest.raises(DataError, match="step_00000002"):
        checkpoint.load(path)
    assert folder.load_latest()["step"] == 1


def test_when_all_are_damaged_nothing_is_started_over(tmp_path: Path) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(state(1), best=False).write_bytes(b"x")
    with pytest.raises(DataError, match="none of its 1 checkpoints"):
        folder.load_latest()
    assert CheckpointFolder(tmp_path / "empty").load_latest() is None


def test_code_in_a_checkpoint_is_not_run(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple:
            return (tmp_path.joinpath("ran").touch, ())

    torch.save({"format": checkpoint.FORMAT, "step": Evil()}, tmp_path / "evil.ckpt")
    with pytest.raises(DataError, match="is damaged or no checkpoint"):
        checkpoint.load(tmp_path / "evil.ckpt")
    assert not (tmp_path / "ran").exists()


def test_a_failed_write_keeps_what_was_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = CheckpointFolder(tmp_path)
    path = folder.save(state(1), best=False)

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=r"can't be written.*No space left"):
        folder.save({**state(1), "model": {}}, best=False)
    assert folder.load_latest()["model"]
    assert list(tmp_path.iterdir()) == [path]


def test_weights_of_another_network_are_refused_with_what_differs(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    other = {"model": torch.nn.Linear(3, 2).state_dict(), "config": "network:\n  depth: 3\n  bias: true\ntask: {}\n"}
    with pytest.raises(UserError, match=r"another network.*weight.*depth: 3, bias: true"):
        checkpoint.load_weights(module, other, tmp_path)
