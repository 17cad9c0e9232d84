"""Weights that come with the package."""

from pathlib import Path

import pytest
import torch

from airshower.engine import checkpoint, pretrained
from airshower.errors import UserError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """In place of the package's."""
    monkeypatch.setattr(pretrained, "FOLDER", tmp_path / "pretrained")
    return tmp_path / "pretrained"


def test_averages_in_half_precision_are_handed_on_and_found_by_name(folder: Path) -> None:
    weight, counter = torch.linspace(-3, 3, 50), torch.tensor(7)
    state = {
        "step": 5, "model": {"w": weight, "n": counter}, "averages": [{"means": {"w": weight + 1}}], "config": "a: 1",
        "optimizers": [1], "random": [2],
    }  # fmt: skip
    checkpoint.write(folder / "small.ckpt", pretrained.condensed(state))
    path, found = checkpoint.find_and_load("small")
    assert path == folder / "small.ckpt"
    assert found["model"]["w"].dtype == torch.float16
    torch.testing.assert_close(found["model"]["w"].float(), weight + 1, rtol=5e-4, atol=1e-6)
    assert found["model"]["n"] == 7
    assert found["step"] == 5
    assert not {"optimizers", "averages", "random"} & set(found)


def test_a_path_comes_before_a_name_and_others_are_named(folder: Path, tmp_path: Path, monkeypatch) -> None:
    checkpoint.write(folder / "small.ckpt", {"step": 1, "model": {}})
    monkeypatch.chdir(tmp_path)
    checkpoint.write(tmp_path / "small", {"step": 2, "model": {}})
    assert checkpoint.find_and_load("small")[1]["step"] == 2
    with pytest.raises(UserError, match=r"network whose weights come with airshower \(small\)"):
        checkpoint.find("large")
