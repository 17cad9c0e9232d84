"""Runs that go on from a run's folder: the words that it was started with, and what its network was trained with."""

import copy
import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf

from airshower.assembly.components import recognised
from airshower.assembly.compose import parsed, word
from airshower.config import build, record
from airshower.config.fields import marked
from airshower.errors import DataError, UserError

T = TypeVar("T")
FOLDER = "run.folder"
FILES = "Could not override 'data.file'"
"""Hydra's message where data that are not read from files are given some."""


def with_recorded(words: Sequence[str], compose: Callable[[list[str]], T]) -> T:
    """What `compose` makes of these words and what they leave out.

    The words that the run in `run.folder` was started with come before all others. `data.file` alone is read as the
    data that the file's content says.
    """
    try:
        return compose(_completed(words))
    except HydraException as error:
        if FILES not in str(error) or (name := _recognised(parsed(words))) is None:
            raise
    return compose(_completed([*words, f"data={name}"]))


def recorded_config(folder: Path) -> dict[str, Any]:
    """The resolved config of the run in this folder. Raises `UserError` where there is none."""
    path = folder / "config.yaml"
    if not path.is_file():
        raise UserError(f"{FOLDER}={folder}: is no folder of a run (it has no config.yaml)")
    config = OmegaConf.to_container(OmegaConf.create(record.unsealed(path)))
    assert isinstance(config, dict)
    return {str(key): value for key, value in config.items()}


def as_trained(cfg: DictConfig, words: Sequence[str]) -> DictConfig:
    """The config `cfg` of these words with the network, task and data of the run in `run.folder`.

    What is given after `run.folder` stays. Raises `UserError` for keys that contradict the trained network, naming
    these alone. Where other files are given, nothing of how the run split its own remains; where other data are, what
    both have in common is as it was.
    """
    folder = str(cfg.run.get("folder") or "")
    if not folder:
        return cfg
    before = recorded_config(Path(folder).expanduser())
    if record.Resolved.is_outdated(OmegaConf.to_yaml(OmegaConf.create(before))):
        raise UserError(
            f"{FOLDER}={folder}: is the run of an older version; name network, task and data again, and take its "
            f"weights with mode.weights_location={folder}"
        )
    given = _given(words)
    sections = {name: build.plain(cfg[name]) for name in ("network", "task", "data")}
    _check_network(sections["network"], before["network"], given, folder)
    trained = {"network": before["network"], "task": _kept(sections["task"], before["task"], "task", given)}
    train = cfg.mode.get("name") == "train"
    trained["data"] = _data(sections["data"], before["data"], given, train)
    merged = copy.deepcopy(cfg)
    OmegaConf.set_struct(merged, False)
    for name, section in trained.items():
        merged[name] = section
    return merged


def shared_keys(one: type, other: type) -> set[str]:
    """Keys that both data have, besides those that say which events there are and how they are split."""
    from airshower.data.files import FilesConfig
    from airshower.data.simulated import SimulatedConfig

    own = {item.name for kind in (FilesConfig, SimulatedConfig) for item in dataclasses.fields(kind)}
    names = ({item.name for item in dataclasses.fields(kind.Config)} for kind in (one, other))
    return set.intersection(*names) - own


def _completed(words: Sequence[str]) -> list[str]:
    given = parsed(words)
    folder = next((str(item.value()) for item in given[::-1] if item.key_or_group == FOLDER), "")
    if not folder:
        return list(words)
    keys = {item.key_or_group for item in given}
    before = parsed(_recorded_words(Path(folder).expanduser()))
    recorded = [item for item in before if _goes_on(item, _choices(given), _choices(before), keys)]
    named = [word(FOLDER, folder)] if "output_dir" in keys else [word("output_dir", folder), word(FOLDER, folder)]
    others = [str(item.input_line) for item in given if item.key_or_group != FOLDER]
    return [*(str(item.input_line) for item in recorded), *named, *others]


def _goes_on(item: Override, given: dict[str, Any], before: dict[str, Any], keys: set[str]) -> bool:
    """Whether a recorded word is taken over: not where its key is given, or another choice of its group."""
    key = item.key_or_group
    group = key.partition(".")[0]
    if key in keys or key in (FOLDER, "output_dir") or item.is_hydra_override():
        return False
    return group not in given or given[group] == before.get(group)


def _choices(words: list[Override]) -> dict[str, Any]:
    """What is chosen of each group; training, where no mode is named."""
    named = [item for item in words if "." not in item.key_or_group and not item.is_sweep_override()]
    return {"mode": "train"} | {item.key_or_group: item.value() for item in named}


def _recorded_words(folder: Path) -> list[str]:
    recorded_config(folder)
    path = folder / "provenance.json"
    try:
        words = json.loads(path.read_text(encoding="utf-8"))[-1]["overrides"]
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise DataError(f"{path}: does not say how the run was started ({error}); restore it") from None
    return [str(item) for item in words]


def _given(words: Sequence[str]) -> set[str]:
    """The keys of what follows `run.folder`."""
    items = parsed(words)
    last = max((place for place, item in enumerate(items) if item.key_or_group == FOLDER), default=-1)
    return {item.key_or_group for item in items[last + 1 :]}


def _is_given(key: str, given: set[str]) -> bool:
    """Whether the key, or one in its section, is given."""
    return key in given or any(name.startswith(f"{key}.") for name in given)


def _check_network(composed: dict, trained: dict, given: set[str], folder: str) -> None:
    free = marked(build.target(OmegaConf.create(trained), "network").Config, "free", "network")
    now, before = (record.flat(OmegaConf.to_yaml({"network": section})) for section in (composed, trained))
    others = {"network"} if "network" in given else set()
    wrong = [
        key
        for key in sorted(now.keys() | before.keys())
        if now.get(key) != before.get(key) and not free.get(key) and (key in given or others)
    ]
    if wrong:
        what = ", ".join(f"{key}={now.get(key)} (it has {before.get(key)})" for key in wrong)
        raise UserError(f"{what}: is not the network that was trained in {folder}; leave it out")


def _kept(composed: dict, trained: dict, section: str, given: set[str]) -> dict:
    """The trained section with what is given of it."""
    if section in given:
        return composed
    return {key: composed[key] if _is_given(f"{section}.{key}", given) else value for key, value in trained.items()}


def _data(composed: dict, trained: dict, given: set[str], train: bool) -> dict:
    from airshower.data.files import FilesConfig

    kinds = [build.target(OmegaConf.create(section), "data") for section in (composed, trained)]
    if kinds[0] is kinds[1] and "data" not in given:
        data = _kept(composed, trained, "data", given)
        places = {item.name for item in dataclasses.fields(FilesConfig)} | _file_keys(kinds[0])
        if not train and any(f"data.{key}" in given for key in _file_keys(kinds[0])):
            fresh = {item.name: item.default for item in dataclasses.fields(kinds[0].Config) if item.name in places}
            data |= {key: value for key, value in fresh.items() if f"data.{key}" not in given}
        return data
    shared = shared_keys(*kinds)
    return {
        key: trained[key] if key in shared and key in trained and not _is_given(f"data.{key}", given) else value
        for key, value in composed.items()
    }


def _file_keys(kind: type) -> set[str]:
    """Keys of this data that name files."""
    keys = getattr(kind, "keys", ())
    return {*keys, *(f"aux_{key}" for key in keys)}


def _recognised(given: list[Override]) -> str | None:
    """The data that the file of `data.file` is; None where data are named."""
    values = {item.key_or_group: item for item in given}
    file = values.get("data.file")
    if file is None or file.is_sweep_override() or "data" in values:
        return None
    directory = values["data.data_directory"].value() if "data.data_directory" in values else ""
    names = file.value()
    return recognised([str(item) for item in names] if isinstance(names, list) else str(names), str(directory))
