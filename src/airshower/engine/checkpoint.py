"""Checkpoints: written atomically, exact, and read without executing code.

A checkpoint is a file of `torch.save`, so a zip archive. Its comment is the SHA-256 of all bytes before it, which
detects any flipped bit, and `torch.load` reads the file as usual.
"""

import contextlib
import hashlib
import os
import struct
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import torch
from torch import Tensor, nn

from airshower.config.record import flat
from airshower.engine import average, pretrained
from airshower.engine.parallel import like
from airshower.errors import DataError, UserError, shortage
from airshower.runtime import folders
from airshower.runtime.log import logger

FORMAT = 2
"""1 had no digest."""
BEST = "best.ckpt"
RESUMED = 2
"""Checkpoints that a run can go on from: if the newest is damaged, there is another."""
OPTIMIZERS = ("optimizers", "balances")
_SEAL = b"airshower sha256"
_SEALED = len(_SEAL) + hashlib.sha256().digest_size  # bytes of the archive's comment


class CheckpointFolder:
    """The checkpoints of a run: `step_XXXXXXXX.ckpt`, the last `keep` of them, and `best.ckpt`.

    The newest `RESUMED` of these have the state of optimizers, which is most of a checkpoint; the others have weights.
    """

    def __init__(self, folder: Path, keep: int = 3):
        self.folder = folder
        self.keep = keep

    def paths(self) -> list[Path]:
        """The checkpoints by step, newest first."""
        return sorted(filter(Path.is_file, self.folder.glob("step_*.ckpt")), reverse=True)

    def save(self, state: dict[str, Any], best: bool) -> Path:
        """Write the state of step `state["step"]`; then drop the oldest."""
        path = self.folder / f"step_{state['step']:08d}.ckpt"
        write(path, state)
        if best:
            write(self.folder / BEST, _weights(state))
        for older in self.paths()[RESUMED : self.keep]:
            _drop_optimizers(older)
        # also partial files of a killed run
        for old in [*self.paths()[self.keep :], *self.folder.glob(".*.partial")]:
            old.unlink()
        return path

    def load_latest(self, keys: Sequence[str] = ()) -> dict[str, Any] | None:
        """The newest state that can be read and has `keys`, None if there is none; damaged files are skipped
        with a warning."""
        paths = self.paths()
        newest = _first_whole(paths, keys)
        if paths and not newest:
            raise DataError(f"{self.folder}: none of its {len(paths)} checkpoints can be read; start another run.id")
        return newest[1] if newest else None


def load(path: Path, keys: Sequence[str] = ()) -> dict[str, Any]:
    """The state in a checkpoint file, on the CPU. Raises `DataError` if it is damaged, something else, or without one
    of `keys`."""
    with open(path, "rb") as handle:  # not in the try block: a file that can't be opened is not damaged
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
    """The checkpoints at a path: the file, or those of a run's or checkpoint folder, the best first, then the
    newest. A name that is no path is that of a network whose weights come with the package."""
    path = Path(location).expanduser()
    if path.is_file():
        return [path]
    if not path.exists() and (own := pretrained.find(location)):
        return [own]
    for folder in (path, path / "checkpoints"):
        best = [folder / BEST] if (folder / BEST).is_file() else []
        if checkpoints := best + CheckpointFolder(folder).paths():
            return checkpoints
    ours = ", ".join(pretrained.names())
    raise UserError(
        f"mode.weights_location={location}: no checkpoint is there; give a file, a run's folder, or a network whose "
        f"weights come with airshower ({ours})"
    )


def find_and_load(location: str) -> tuple[Path, dict[str, Any]]:
    """The checkpoint at a path, and its state; in a folder, the first undamaged one."""
    paths = find(location)
    if len(paths) == 1:
        return paths[0], load(paths[0])
    first = _first_whole(paths)
    if not first:
        raise DataError(f"{location}: none of its {len(paths)} checkpoints can be read")
    return first


@contextlib.contextmanager
def restoring(path: Path) -> Iterator[None]:
    """In this context, errors from an unexpected state are raised as `DataError` naming `path`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        reason = str(error).splitlines()[0][:200] if str(error) else ""
        raise DataError(f"{path}: the checkpoint's content does not fit ({type(error).__name__}: {reason})") from error


def load_weights(module: nn.Module, state: dict[str, Any], path: Path, averaged: bool = True) -> None:
    """Put a checkpoint's weights into `module`; `averaged`: their moving averages, if it has them. Raises
    `UserError`, naming what differs, for another network's."""
    with restoring(path):
        _load_weights(module, average.averaged(state) if averaged else dict(state["model"]), state, path)


def start_from(module: nn.Module, state: dict[str, Any], path: Path) -> None:
    """As `load_weights`, to train on. Of the parts of a network (its submodules, such as a head), those that the
    checkpoint has not keep the weights they have, and those that only the checkpoint has are left out; both are logged.
    Other differences, and no part in common, raise `UserError`."""
    with restoring(path):
        weights = average.averaged(state)
        own = module.state_dict()
        mine, given = _parts(own), _parts(weights)
        if mine & given:
            for part in sorted(mine - given):
                logger.warning("%s: has no weights of the network's %s, which starts anew", path, part)
            for part in sorted(given - mine):
                logger.warning("%s: its weights of %s are left out, as the network has no such part", path, part)
            weights = {name: value for name, value in weights.items() if _part(name) not in given - mine}
            weights |= {name: value for name, value in own.items() if _part(name) in mine - given}
        _load_weights(module, weights, state, path)


def _part(name: str) -> str:
    return name.split(".", maxsplit=1)[0]


def _parts(weights: Iterable[str]) -> set[str]:
    """The submodules that these weights are of, by name."""
    return {_part(name) for name in weights if "." in name}


def _load_weights(module: nn.Module, theirs: Mapping[str, Tensor], state: dict[str, Any], path: Path) -> None:
    mine = module.state_dict()
    missing = sorted(set(mine) - set(theirs))
    surplus = sorted(set(theirs) - set(mine))
    shapes = [name for name in sorted(set(mine) & set(theirs)) if mine[name].shape != theirs[name].shape]
    if missing or surplus or shapes:
        name = (shapes or missing or surplus)[0]
        raise UserError(
            f"{path}: holds the weights of another network ({len(missing)} missing, {len(surplus)} too many, "
            f"{len(shapes)} of another shape, such as {name}); {_network_hint(state)}"
        )
    module.load_state_dict({name: like(mine[name], value) for name, value in theirs.items()})


def _network_hint(state: dict[str, Any]) -> str:
    """The network's keys and outputs that a checkpoint was made with, in words."""
    config = flat(state["config"]) if state.get("config") else {}
    keys = [f"{key}={value}" for key, value in config.items() if key.startswith("network.") and "_target_" not in key]
    if "outputs" in state:
        keys.append(f"the outputs {', '.join(state['outputs'])}")
    return f"it was trained with {', '.join(keys)}" if keys else "use the network it was trained with"


def _first_whole(paths: Sequence[Path], keys: Sequence[str] = ()) -> tuple[Path, dict[str, Any]] | None:
    for path in paths:
        try:
            return path, load(path, keys)
        except DataError as error:
            logger.warning("%s; using the one before", error)
    return None


def _weights(state: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in state.items() if name not in OPTIMIZERS}


def _drop_optimizers(path: Path) -> None:
    """Write a checkpoint again without the state of its optimizers; one that is damaged is left as it is."""
    try:
        state = load(path)
    except (DataError, OSError):
        return
    if any(name in state for name in OPTIMIZERS):
        write(path, _weights(state))


def write(path: Path, state: dict[str, Any]) -> None:
    """Write a checkpoint, whole or not at all."""
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
    """Write the digest as the comment of the zip archive in a file, which ends with the length of the comment."""
    handle.seek(-2, os.SEEK_END)
    handle.write(struct.pack("<H", _SEALED))
    handle.write(_SEAL + _computed(handle, 0))


def _digest(handle: BinaryIO) -> bytes:
    """The digest stored in a file; empty if it has none."""
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
