"""The newest checkpoint of a run, and bit for bit comparison of two."""

from pathlib import Path
from typing import Any

import torch

from airshower.engine.checkpoint import CheckpointFolder


def newest(run: Path) -> dict[str, Any]:
    """The newest whole checkpoint in a run's folder."""
    state = CheckpointFolder(run / "checkpoints").load_latest()
    assert state is not None, f"{run} has no checkpoint"
    return state


def assert_same(one: Any, other: Any, where: str = "state") -> None:
    """Both have equal numbers and bit-identical tensors, in all but the config, which names folders and files."""
    assert type(one) is type(other), where
    if isinstance(one, dict):
        assert one.keys() == other.keys(), where
        for key in one.keys() - {"config"}:
            assert_same(one[key], other[key], f"{where}.{key}")
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), where
        for number, pair in enumerate(zip(one, other, strict=True)):
            assert_same(*pair, f"{where}[{number}]")
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), where
    else:
        assert one == other, where
