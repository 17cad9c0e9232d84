"""What was run: the resolved config, how it is kept, and whether a run may go on with another one."""

import hashlib
import importlib.metadata
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from airshower.config.fields import marked
from airshower.config.renamed import TARGETS
from airshower.config.schema import MODES, FrameworkConfig, RunConfig, Settings
from airshower.errors import DataError, UserError

SEALED = "# The resolved config of a run; the last line is its checksum."


@dataclass(frozen=True)
class Resolved:
    """The whole config of a run: `text` is yaml, all interpolations resolved. Marks, see `fields`, are `free` of keys
    and sections, and `locations`, the keys that say where files are."""

    text: str
    free: dict[str, bool]
    locations: frozenset[str]

    @classmethod
    def of(cls, text: str, components: dict[str, Any]) -> "Resolved":
        """With the marks of the root sections, whatever the mode, and of the `Config` of each component, by section."""
        kinds = [("", Settings), ("run", RunConfig), ("framework", FrameworkConfig)]
        kinds += [*(("mode", kind) for kind in MODES.values()), *components.items()]
        free: dict[str, bool] = {}
        locations: set[str] = set()
        for section, kind in kinds:
            free |= marked(kind, "free", section)
            locations |= marked(kind, "location", section).keys()
        return cls(text, free, frozenset(locations))

    @property
    def place(self) -> str:
        """The key that puts the run into another folder."""
        return "output_dir" if flat(self.text).get("run.folder") else "run.id"

    def changes(self, before: str) -> list[str]:
        """Lines `key: before -> now` for the keys whose change makes another run than that of the config `before`."""
        old, new = (
            {key: value for key, value in flat(config).items() if not self._is_free(key)}
            for config in (before, self.text)
        )
        return _differences(old, new)

    @staticmethod
    def is_outdated(before: str) -> bool:
        """True if a class in the config `before` has another path now: it is of an older version."""
        return any(value in TARGETS for key, value in flat(before).items() if key.endswith("._target_"))

    def identity(self) -> dict[str, Any]:
        """What must be the same on all ranks, by name: values of keys, but for locations, and versions."""
        values = {key: value for key, value in flat(self.text).items() if key not in self.locations}
        return values | {f"the version of {name}": version(name) for name in ("airshower", "torch")}

    def _is_free(self, key: str) -> bool:
        """By the mark of the key, or of the innermost section around it that has one."""
        parts = key.split(".")
        around = (".".join(parts[:count]) for count in range(len(parts), 0, -1))
        return next((self.free[name] for name in around if name in self.free), False)


def flat(config: str) -> dict[str, Any]:
    """The values of a config given as yaml, by keys such as `run.id`."""
    return _flat(OmegaConf.to_container(OmegaConf.create(config)))


def check_same(everyone: list[dict[str, Any]]) -> None:
    """Raise `UserError` if what a rank gives, see `Resolved.identity`, is not what the master does."""
    for rank, other in enumerate(everyone):
        if changed := _differences(everyone[0], other):
            raise UserError(
                f"rank {rank} does not see what rank 0 sees ({'; '.join(changed)}); give all ranks the same"
            )


def sealed(config: str) -> str:
    """A config as it is kept in a file: its last line is a checksum, so that damage is not taken for another config."""
    text = f"{SEALED}\n{config}"
    return f"{text}# sha256: {_checksum(text)}\n"


def is_sealed(path: Path) -> bool:
    """Whether a file holds the config of a run."""
    try:
        return path.read_text(encoding="utf-8").startswith(SEALED)
    except (OSError, UnicodeDecodeError):
        return False


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


def _differences(before: dict[str, Any], now: dict[str, Any]) -> list[str]:
    """Lines `key: before -> now`, sorted."""
    changed = [key for key in sorted(before.keys() | now.keys()) if before.get(key) != now.get(key)]
    return [f"{key}: {before.get(key)} -> {now.get(key)}" for key in changed]


def _flat(node: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(node, dict) or not node:
        return {prefix: node}
    flat: dict[str, Any] = {}
    for key, value in node.items():
        flat |= _flat(value, f"{prefix}.{key}" if prefix else str(key))
    return flat


def packages() -> dict[str, str]:
    """Versions of airshower and of what it requires, optional packages too, as far as they are installed."""
    try:
        required = importlib.metadata.requires("airshower") or []
    except importlib.metadata.PackageNotFoundError:  # its sources are used without it
        required = []
    names = [re.split(r"[^\w.-]", item, maxsplit=1)[0] for item in required if not re.search(r"extra == .dev", item)]
    versions = {name: version(name) for name in ["airshower", *names]}
    return {name: found for name, found in versions.items() if found is not None}


def version(package: str) -> str | None:
    """Of an installed package; None if it is not there."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None
