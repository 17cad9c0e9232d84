"""What was run: the resolved config, how it is kept, and whether a run may go on with another one."""

import hashlib
import importlib.metadata
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from airshower.errors import DataError, UserError

FREE = (
    "run", "mode", "framework", "output_dir",
    "data.cache", "data.reader", "data.data_directory", "data.pixel_size",
)  # fmt: skip
"""What may change between a run and its resumption ..."""
BOUND = ("run.minibatch_size", "run.precision", "mode.optimizer", "framework.seed", "mode.name")
"""... and what of it may not, because it changes the result."""

SEALED = "# The resolved config of a run; the last line is its checksum."


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
    return {"config": config} | {f"the version of {name}": str(version(name)) for name in ("airshower", "torch")}


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


def sealed(config: str) -> str:
    """A config as it is kept in a file: its last line is a checksum, so that damage is not taken for another config."""
    text = f"{SEALED}\n{config}"
    return f"{text}# sha256: {_checksum(text)}\n"


def unsealed(path: Path) -> str:
    """The config that a file holds. Raises `DataError` if it is damaged or no config; a file without a checksum, of an
    older version, is taken as it is."""
    try:
        text = path.read_text(encoding="utf-8")
        content, _, checksum = text.rpartition("# sha256: ")
        if text.startswith(SEALED) and checksum != f"{_checksum(content)}\n":
            raise ValueError("its checksum does not fit: it was cut short or changed")
        sections = flat(text).keys()
    except (ValueError, AssertionError, RecursionError, YAMLError, OmegaConfBaseException) as error:
        # AssertionError: a bare number
        raise _damaged(path, str(error).splitlines()[0] if str(error) else type(error).__name__) from None
    for name in ("run.id", "output_dir"):
        if name not in sections:
            raise _damaged(path, f"it has no {name}")
    return text


def _damaged(path: Path, reason: str) -> DataError:
    return DataError(
        f"{path}: is damaged ({reason}); restore it or delete it to go on with the run, whose checkpoints hold the "
        "config, too; or start over with run.overwrite=true"
    )


def _checksum(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def _within(key: str, sections: tuple[str, ...]) -> bool:
    return any(key == section or key.startswith(f"{section}.") for section in sections)


def version(package: str) -> str | None:
    """Of an installed package; None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
