"""What was run: the resolved config and where it came from, and whether a run may go on with another config."""

import importlib.metadata
import json
import platform
import shutil
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from airshower.errors import UserError

FREE = (
    "run", "mode", "framework", "output_dir",
    "data.cache", "data.reader", "data.data_directory", "data.pixel_size",
)  # fmt: skip
"""What may change between a run and its resumption ..."""
BOUND = ("run.minibatch_size", "run.precision", "mode.optimizer", "framework.seed", "mode.name")
"""... and what of it may not, because it changes the result."""

OWNED = ("checkpoints", "metrics", "tensorboard", "figures", "predictions", "iotest", "profiles")
PACKAGES = ("airshower", "torch", "numpy", "h5py", "hydra-core", "omegaconf", "mpi4py", "larcv")


def resolved(cfg: DictConfig) -> str:
    """The whole config as yaml, interpolations resolved."""
    return OmegaConf.to_yaml(cfg, resolve=True)


def flat(config: str) -> dict[str, Any]:
    """The values of a config given as yaml, by keys such as `run.id`."""
    return _flat(OmegaConf.to_container(OmegaConf.create(config)))


def differences(before: str, now: str, free: tuple[str, ...] = FREE, bound: tuple[str, ...] = BOUND) -> list[str]:
    """Lines `key: before -> now` for every key that differs and is not `free`, or is in what is `bound` of it; by
    default those whose change makes another run."""
    old, new = flat(before), flat(now)
    keys = [key for key in sorted(old.keys() | new.keys()) if not _within(key, free) or _within(key, bound)]
    return [f"{key}: {old.get(key)} -> {new.get(key)}" for key in keys if old.get(key) != new.get(key)]


def identity(config: str) -> dict[str, str]:
    """What must be the same on all ranks: config and versions."""
    return {"config": config} | {f"the version of {name}": str(_version(name)) for name in ("airshower", "torch")}


def check_same(everyone: list[dict[str, str]]) -> None:
    """Raise `UserError` if what a rank gives is not what the master does; where it finds its files may differ."""
    first, places = everyone[0], ("data.file", "data.aux_file", "data.data_directory")
    for rank, other in enumerate(everyone):
        changed = differences(first.get("config", ""), other.get("config", ""), places, ())
        for key in first:
            if key != "config" and first[key] != other[key]:
                changed.append(f"{key}: {first[key]} -> {other[key]}")
        if changed:
            raise UserError(
                f"rank {rank} does not see what rank 0 sees ({'; '.join(changed)}); give all ranks the same"
            )


def claim(folder: Path, config: str, overwrite: bool) -> None:
    """Make `folder` this run's: new, the same config's as before, or emptied with `run.overwrite`; else `UserError`."""
    recorded = folder / "config.yaml"
    if overwrite and recorded.exists():
        for name in OWNED:
            shutil.rmtree(folder / name, ignore_errors=True)
        for name in ("config.yaml", "provenance.json", "process.log"):
            (folder / name).unlink(missing_ok=True)
    elif recorded.exists():
        changed = differences(recorded.read_text(), config)
        if changed:
            raise UserError(
                f"{folder}: holds a run with another config ({'; '.join(changed)}); "
                "choose another run.id, or run.overwrite=true to delete what is there"
            )
    try:
        folder.mkdir(parents=True, exist_ok=True)
        recorded.write_text(config)
    except OSError as error:
        raise UserError(f"{folder}: can't be written ({error}); choose another output_dir") from None


def write_provenance(folder: Path, overrides: list[str], about: dict[str, Any]) -> None:
    """Append what started this run to `provenance.json`: command line, versions, revision, machine."""
    path = folder / "provenance.json"
    before = json.loads(path.read_text()) if path.exists() else []
    entry = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "overrides": overrides,
        "python": sys.version.split()[0],
        "packages": {name: _version(name) for name in PACKAGES},
        "revision": _revision(),
        "host": platform.node(),
        "machine": platform.platform(),
        **about,
    }
    path.write_text(json.dumps([*before, entry], indent=1) + "\n")


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _within(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _revision() -> str | None:
    command = ["git", "-C", str(Path(__file__).parent), "describe", "--always", "--dirty"]
    try:
        return subprocess.run(command, capture_output=True, text=True, timeout=10, check=True).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return None
