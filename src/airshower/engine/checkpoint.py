"""Checkpoints: whole or not there, exact, and read without executing code.

A checkpoint is a file of `torch.save`, so a zip archive, whose comment is the SHA-256 of all bytes before it: any
flipped bit shows, and `torch.load` reads it as it is.
"""

import contextlib
import hashlib
import os
import re
import struct
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import nn

from airshower.engine.parallel import like
from airshower.errors import DataError, UserError, shortage
from airshower.runtime import folders
from airshower.runtime.log import logger

FORMAT = 2
"""1 had no digest."""
BEST = "best.ckpt"
_SEAL = b"airshower sha256"
_SEALED = len(_SEAL) + hashlib.sha256().digest_size  # bytes of the archive's comment


class CheckpointFolder:
    """The checkpoints of a run: `step_XXXXXXXX.ckpt`, the last `keep` of them, and `best.ckpt`."""

    def __init__(self, folder: Path, keep: int = 3):
        self.folder, self.keep = folder, keep

    def paths(self) -> list[Path]:
        """By step, newest first."""
        return sorted(filter(Path.is_file, self.folder.glob("step_*.ckpt")), reverse=True)

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

    def load_latest(self, keys: Sequence[str] = ()) -> dict[str, Any] | None:
        """The newest state that can be read and has `keys`, None if there is none; a damaged file is named and passed
        over."""
        paths = self.paths()
        found = _first_whole(paths, keys)
        if paths and not found:
            raise DataError(f"{self.folder}: none of its {len(paths)} checkpoints can be read; start another run.id")
        return found[1] if found else None


def load(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """The state in a checkpoint file, on the CPU. Raises `DataError` if it is damaged, something else, or without one
    of `keys`."""
    with open(path, "rb") as handle:  # outside: a file that can't be opened is not damaged
        try:
            digest = _digest(handle)
            if digest and digest != _computed(handle):
                raise ValueError("its content does not fit its digest")
            handle.seek(0)
            state = torch.load(handle, map_location="cpu", weights_only=True)
        except Exception as error:  # torch raises many types for damaged archives
            reason = str(error).splitlines()[0][:200] if str(error) else type(error).__name__
            raise DataError(f"{path}: is damaged or no checkpoint ({reason})") from None
    if not isinstance(state, dict) or state.get("format") not in (1, FORMAT):
        raise DataError(f"{path}: is no checkpoint of airshower's (format {FORMAT})")
    if state["format"] == FORMAT and not digest:
        raise DataError(f"{path}: is damaged or was changed (it has lost its digest)")
    if missing := [key for key in ("step", "model", *keys) if key not in state]:
        raise DataError(f"{path}: is no whole checkpoint, it has no {', '.join(missing)}")
    if not isinstance(state["step"], int) or not isinstance(state["model"], dict):
        raise DataError(f"{path}: is no checkpoint of airshower's, its step or model is something else")
    if not digest:
        logger.info("%s: is of an older version and has no digest, so damage would not show", path)
    return state


def find(location: str) -> list[Path]:
    """The checkpoints that a path means: the file, or those of a run's or checkpoint folder, the best first, then the
    newest."""
    path = Path(location).expanduser()
    if path.is_file():
        return [path]
    for folder in (path, path / "checkpoints"):
        best = [folder / BEST] if (folder / BEST).is_file() else []
        if checkpoints := best + CheckpointFolder(folder).paths():
            return checkpoints
    raise UserError(f"mode.weights_location={location}: no checkpoint is there; give a file or a run's folder")


def find_and_load(location: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint that a path means, and its state; in a folder, the first that is whole."""
    paths = find(location)
    if len(paths) == 1:
        return paths[0], load(paths[0])
    found = _first_whole(paths)
    if not found:
        raise DataError(f"{location}: none of its {len(paths)} checkpoints can be read")
    return found


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """In this context, errors from a state of another content than expected are a `DataError` that names `path`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise DataError(f"{path}: the checkpoint's content does not fit ({type(error).__name__}: {reason})") from error


def load_weights(module: nn.Module, state: dict[str, Any], path: Path, averaged: bool = True) -> None:
    """Put a checkpoint's weights into `module`; `averaged`: their averages over steps, where it has them. Raises
    `UserError`, naming what differs, for another network's."""
    with restoring(path):
        _load_weights(module, state, path, averaged)


def _load_weights(module: nn.Module, state: dict[str, Any], path: Path, averaged: bool) -> None:
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


def _first_whole(paths: Sequence[Path], keys: Sequence[str] = ()) -> tuple[Path, dict[str, Any]] | None:
    for path in paths:
        try:
            return path, load(path, keys)
        except DataError as error:
            logger.warning("%s; using the one before", error)
    return None


def _write(path: Path, state: dict[str, Any]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with folders.whole(path) as handle:
            torch.save({"format": FORMAT, **state}, handle)
            _seal(handle)
    except (OSError, RuntimeError) as error:  # torch reports a full disk as a RuntimeError
        cause = shortage(error) or error
        reason = getattr(cause, "strerror", None) or str(cause).splitlines()[0]
        before = CheckpointFolder(path.parent).paths()
        kept = f"{before[0].name} is whole" if before else "there is none before it"
        raise UserError(f"{path}: the checkpoint can't be written ({reason}); {kept}") from None


def _seal(handle: BinaryIO) -> None:
    """Give the zip archive in a file, which ends with the length of its comment, the digest as its comment."""
    handle.seek(-2, os.SEEK_END)
    handle.write(struct.pack("<H", _SEALED))
    handle.write(_SEAL + _computed(handle, 0))


def _digest(handle: BinaryIO) -> bytes:
    """The digest that a file holds; empty if it has none."""
    size = handle.seek(0, os.SEEK_END)
    handle.seek(max(0, size - _SEALED))
    seal = handle.read()
    return seal[len(_SEAL) :] if seal.startswith(_SEAL) else b""


def _computed(handle: BinaryIO, trailing: int = _SEALED) -> bytes:
    """The digest of all but the `trailing` bytes of a file. Leaves the file at its end."""
    rest = max(0, handle.seek(0, os.SEEK_END) - trailing)
    handle.seek(0)
    digest = hashlib.sha256()
    while block := handle.read(min(rest, 1 << 20)):
        digest.update(block)
        rest -= len(block)
    handle.seek(0, os.SEEK_END)
    return digest.digest()
