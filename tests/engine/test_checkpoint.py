"""Checkpoints: atomic, exact, and damaged ones named."""

import hashlib
import zipfile
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
    assert [path.name for path in checkpoint.find(str(tmp_path))][:2] == ["best.ckpt", "step_00000004.ckpt"]
    assert not list(tmp_path.glob(".*"))


def test_find_takes_files_runs_and_folders(tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path / "checkpoints").save(state(1), best=False)
    for location in (path, tmp_path, path.parent):
        assert checkpoint.find(str(location)) == [path]
    with pytest.raises(UserError, match="no checkpoint is there"):
        checkpoint.find(str(tmp_path / "nowhere"))


def test_a_flipped_bit_is_found_wherever_it_is(tmp_path: Path) -> None:
    """All eight in turn, in every fourth byte of the file and in each of the last ones."""
    path = CheckpointFolder(tmp_path).save(state(2), best=False)
    whole, unnoticed = path.read_bytes(), []
    damaged = tmp_path / "damaged.ckpt"
    for position in [*range(0, len(whole) - 100, 4), *range(len(whole) - 100, len(whole))]:
        damaged.write_bytes(
            whole[:position] + bytes([whole[position] ^ 1 << position // 4 % 8]) + whole[position + 1 :]
        )
        try:
            checkpoint.load(damaged)
        except DataError:
            continue
        unnoticed.append(position)
    assert len(whole) > 2000
    assert not unnoticed


def test_a_damaged_checkpoint_is_named_and_the_one_before_is_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.logger, "propagate", True)
    folder = CheckpointFolder(tmp_path)
    folder.save(state(1), best=False)
    path = folder.save(state(2), best=True)
    for file in (path, tmp_path / "best.ckpt"):
        damaged = bytearray(file.read_bytes())
        damaged[-60] ^= 4
        file.write_bytes(damaged)
    assert folder.load_latest()["step"] == 1
    assert {record.getMessage() for record in caplog.records} == {
        f"{path}: is damaged or no checkpoint (its content does not fit its digest); using the one before"
    }
    used, weights = checkpoint.find_and_load(str(tmp_path))
    assert (used.name, weights["step"]) == ("step_00000001.ckpt", 1)
    with pytest.raises(DataError, match=r"best.ckpt: is damaged"):
        checkpoint.find_and_load(str(tmp_path / "best.ckpt"))


def test_the_digest_is_sha256_of_all_before_it_in_the_comment_of_a_zip_archive(tmp_path: Path) -> None:
    path = CheckpointFolder(tmp_path).save(state(1), best=False)
    content = path.read_bytes()
    with zipfile.ZipFile(path) as archive:
        assert archive.comment == b"airshower sha256" + hashlib.sha256(content[:-48]).digest()
    torch.testing.assert_close(torch.load(path, weights_only=True)["model"]["w"], state(1)["model"]["w"])


def test_a_checkpoint_of_before_there_were_digests_is_read_with_a_note(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(checkpoint.logger, "propagate", True)
    caplog.set_level("INFO")
    torch.save({"format": 1, **state(7)}, tmp_path / "step_00000007.ckpt")
    assert CheckpointFolder(tmp_path).load_latest()["step"] == 7
    assert "has no digest" in caplog.text


@pytest.mark.parametrize("lost", ["step", "model", "optimizers"])
def test_a_checkpoint_without_one_of_its_keys_is_named(tmp_path: Path, lost: str) -> None:
    folder = CheckpointFolder(tmp_path)
    folder.save(state(1) | {"optimizers": []}, best=False)
    content = {"format": 1, **state(2), "optimizers": []}
    del content[lost]
    torch.save(content, tmp_path / "step_00000002.ckpt")
    with pytest.raises(DataError, match=f"step_00000002.ckpt: is no whole checkpoint, it has no {lost}"):
        checkpoint.load(tmp_path / "step_00000002.ckpt", ("optimizers",))
    assert folder.load_latest(("optimizers",))["step"] == 1


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


@pytest.mark.parametrize(("before", "says"), [(0, "there is none before it"), (1, "step_00000001.ckpt is whole")])
def test_a_failed_write_keeps_what_was_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, before: int, says: str
) -> None:
    folder = CheckpointFolder(tmp_path)
    paths = [folder.save(state(1), best=False) for _ in range(before)]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(torch, "save", full)
    with pytest.raises(UserError, match=rf"can't be written \(No space left on device\); {says}$"):
        folder.save({**state(2), "model": {}}, best=False)
    assert list(tmp_path.iterdir()) == paths


@pytest.mark.parametrize(
    "change",
    [{"model": None}, {"model": 5}, {"step": "two"}, {"model": {"weight": 5, "bias": 5}}, {"averages": [{}]}],
    ids=str,
)
def test_weights_of_another_content_are_named(tmp_path: Path, change: dict) -> None:
    path, module = tmp_path / "step_00000002.ckpt", torch.nn.Linear(2, 2)
    torch.save({"format": 1, "step": 2, "model": module.state_dict(), **change}, path)
    with pytest.raises(
        DataError, match=r"step_00000002.ckpt: (is no checkpoint|the checkpoint's content does not fit)"
    ):
        checkpoint.load_weights(module, checkpoint.load(path), path)


def test_weights_of_another_network_are_refused_with_what_differs(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    other = {"model": torch.nn.Linear(3, 2).state_dict(), "config": "network:\n  depth: 3\n  bias: true\ntask: {}\n"}
    with pytest.raises(UserError, match=r"another network.*weight.*network\.depth=3, network\.bias=True"):
        checkpoint.load_weights(module, other, tmp_path)


def test_weights_of_another_network_are_told_by_its_keys_and_outputs(tmp_path: Path) -> None:
    """Not by the yaml of its network and task, which had a line for each of some thirty keys."""
    config = "network:\n  _target_: a.B\n  channels:\n  - charge\ntask:\n  targets:\n    core:\n      unit: m\n"
    other = {"model": {"w": torch.zeros(3)}, "config": config, "outputs": ["type", "energy"]}
    says = r"1 missing.*; it was trained with network\.channels=\['charge'\], the outputs type, energy$"
    with pytest.raises(UserError, match=says):
        checkpoint.load_weights(torch.nn.Linear(2, 1, bias=False), other, tmp_path)


def test_training_starts_parts_anew_that_the_weights_lack(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    trained = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "old": torch.nn.Linear(2, 1)})
    network = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 3)})
    head = network["head"].weight.clone()
    means = {"body.weight": torch.full((2, 2), 5.0)}
    checkpoint.start_from(network, {"model": trained.state_dict(), "averages": [{"means": means}]}, tmp_path)
    assert torch.equal(network["body"].weight, means["body.weight"])
    assert torch.equal(network["body"].bias, trained["body"].bias)
    assert torch.equal(network["head"].weight, head)
    assert "head, which starts anew" in caplog.text
    assert "weights of old are left out" in caplog.text


@pytest.mark.parametrize(
    "other",
    [
        {"body": torch.nn.Linear(2, 2, bias=False)},
        {"body": torch.nn.Linear(3, 2), "head": torch.nn.Linear(2, 3)},
        {"tail": torch.nn.Linear(2, 2)},
    ],
    ids=["a weight missing", "another shape", "nothing in common"],
)
def test_training_starts_from_no_other_network(tmp_path: Path, other: dict) -> None:
    network = torch.nn.ModuleDict({"body": torch.nn.Linear(2, 2), "head": torch.nn.Linear(2, 3)})
    with pytest.raises(UserError, match="another network"):
        checkpoint.start_from(network, {"model": torch.nn.ModuleDict(other).state_dict()}, tmp_path)
