"""Checkpoints: whole or not there, exact, and read without executing code."""

import os
import re
from pathlib import Path
from typing import Any

import torch
from torch import nn

from airshower.engine.parallel import like
from airshower.errors import DataError, UserError
from airshower.runtime import folders
from airshower.runtime.log import logger

FORMAT = 1
BEST = "best.ckpt"


class CheckpointFolder:
    """The checkpoints of a run: `step_XXXXXXXX.ckpt`, the last `keep` of them, and `best.ckpt`."""

    def __init__(self, folder: Path, keep: int = 3):
        self.folder, self.keep = folder, keep

    def paths(self) -> list[Path]:
        """By step, newest first."""
        return sorted(self.folder.glob("step_*.ckpt"), reverse=True)

    def save(self, state: dict[str, Any], best: bool) -> Path:
        """Write the state of step `state["step"]`; then drop the oldest."""
        path = self.folder / f"step_{state['step']:08d}.ckpt"
        _write(path, state)
        if best:
            _write(self.folder / BEST, state)
        # what a killed run was in the middle of writing goes too
        for old in [*self.paths()[self.keep :], *self.folder.glob(".*.partial")]:
            old.unlink()
        return path

    def load_latest(self) -> dict[str, Any] | None:
        """The newest state that can be read, None if there is none; a damaged file is named and passed over."""
        paths = self.paths()
        for path in paths:
            try:
                return load(path)
            except DataError as error:
                logger.warning("%s; using the one before", error)
        if paths:
            raise DataError(f"{self.folder}: none of its {len(paths)} checkpoints can be read; start another run.id")
        return None


def load(path: Path) -> dict[str, Any]:
    """The state in a checkpoint file, on the CPU. Raises `DataError` if it is damaged or something else."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises many types for damaged archives
        reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
        raise DataError(f"{path}: is damaged or no checkpoint ({reason})") from None
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise DataError(f"{path}: is no checkpoint of airshower's (format {FORMAT})")
    return state


def find(location: str) -> Path:
    """The checkpoint that a path means: the file, or in a run's or checkpoint folder the best, else the newest."""
    path = Path(location).expanduser()
    if path.is_file():
        return path
    for folder in (path, path / "checkpoints"):
        if (folder / BEST).is_file():
            return folder / BEST
        newest = CheckpointFolder(folder).paths() if folder.is_dir() else []
        if newest:
            return newest[0]
    raise UserError(f"mode.weights_location={location}: no checkpoint is there; give a file or a run's folder")


def find_and_load(location: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that a path means, and its state."""
    path = find(location)
    return path, load(path)


def load_weights(module: nn.Module, state: dict[str, Any], path: Path, averaged: bool = True) -> None:
    """Put a checkpoint's weights into `module`; `averaged`: their averages over steps, where it has them. Raises
    `UserError`, naming what differs, for another network's."""
    mine, theirs = module.state_dict(), dict(state["model"])
    for average in state.get("averages", []) if averaged else []:
        theirs |= average["means"]
    missing, surplus = sorted(set(mine) - set(theirs)), sorted(set(theirs) - set(mine))
    shapes = [name for name in sorted(set(mine) & set(theirs)) if mine[name].shape != theirs[name].shape]
    if missing or surplus or shapes:
        name = (shapes or missing or surplus)[0]
        raise UserError(
            f"{path}: holds the weights of another network ({len(missing)} missing, {len(surplus)} too many, "
            f"{len(shapes)} of another shape, such as {name}); {_network_hint(state)}"
        )
    module.load_state_dict({name: like(mine[name], value) for name, value in theirs.items()})


def _network_hint(state: dict[str, Any]) -> str:
    hints = []
    for section in ("network", "task"):
        match = re.search(rf"^{section}:\n((?:  .*\n)+)", state.get("config", ""), re.MULTILINE)
        values = [line.strip() for line in match.group(1).splitlines() if "_target_" not in line] if match else []
        hints += [f"{section}: {', '.join(values)}"] if values else []
    return f"it was trained with {'; '.join(hints)}" if hints else "use the network it was trained with"


def _write(path: Path, state: dict[str, Any]) -> None:
    partial = folders.partial(path)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as handle:
            torch.save({"format": FORMAT, **state}, handle)
            handle.flush()
            os.fsync(handle.fileno())
        os.replace(partial, path)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        raise UserError(f"{path}: the checkpoint can't be written ({error}); the one before is whole") from None
    finally:
        partial.unlink(missing_ok=True)
