"""The classes of data, network and task that a config names, and whether they fit each other."""

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from omegaconf import DictConfig, OmegaConf

from airshower.assembly.compose import conf_folder
from airshower.config import build
from airshower.errors import DataError, UserError

DATA_ALONE = ("inspect", "simulate")
"""Modes without a network and a task."""


def components(cfg: DictConfig) -> dict[str, tuple[type, Any]]:
    """The classes of data, network and task with their typed configs; no file is opened.

    Raises `UserError` where these do not fit each other; where a mode has the data alone, network and task are not
    looked at any further.
    """
    names = ("data", "network", "task")
    kinds = {name: build.target(cfg[name], name) for name in names}
    if cfg.mode.name == "simulate":
        _check_simulated(kinds["data"])
    if cfg.mode.name in DATA_ALONE:
        return {name: build.component(cfg[name], name) for name in names}
    _check_fit(kinds["network"], kinds["task"], kinds["data"].containers)  # before keys of other data are refused
    parts = {name: build.component(cfg[name], name) for name in names}
    (data, data_config), (network, network_config), (task, task_config) = parts.values()
    if cfg.mode.name == "train" and not network.optimized and cfg.run.iterations:
        raise UserError(
            f"run.iterations={cfg.run.iterations}: this network has no weights to optimise, it is fitted to all events "
            "at once; leave the key out"
        )
    if cfg.mode.name != "iotest":  # which builds no network
        network.check_data(network_config, data_config)
        _check_fit(network, task, data.gives(data_config))
    columns = data.columns(data_config)
    task.check_columns(task_config, columns)
    if cfg.mode.name != "iotest":
        task.check_starts(task_config, columns, network.starts(network_config))
    return parts


def data_yamls() -> dict[str, DictConfig]:
    """The yamls of data by name; of those with one class, the plainest comes first."""
    files = sorted((conf_folder() / "data").glob("*.yaml"), key=lambda path: (len(path.stem), path.stem))
    nodes = {path.stem: OmegaConf.load(path) for path in files}
    return {name: node for name, node in nodes.items() if isinstance(node, DictConfig)}


def recognised(files: str | Path | Sequence[str | Path], directory: str = "") -> str:
    """The name of the data that the first of these files is, by its content.

    Raises `DataError` for a file that is not there, or of no known format.
    """
    from airshower.data.files import matching_files  # imports torch, which takes seconds

    path = matching_files(files, directory)[0]
    if not path.exists():
        raise DataError(f"{path}: there is no such file")
    for name, node in data_yamls().items():
        if build.target(node, "data").recognises(path):
            return name
    raise DataError(f"{path}: is of no known format; data=NAME says how to read it")


def _check_simulated(data: type) -> None:
    """Refuse data that are not simulated."""
    from airshower.data.simulated import SimulatedData

    if not issubclass(data, SimulatedData):
        kinds = {name: build.target(node, "data") for name, node in data_yamls().items()}
        simulated = ", ".join(sorted(name for name, kind in kinds.items() if issubclass(kind, SimulatedData)))
        raise UserError(f"mode=simulate: these data are read from files; simulated are data={simulated}")


def _check_fit(network: Any, task: Any, given: Mapping[str, type]) -> None:
    """Refuse a network that takes other containers than are given, and one that is not trained for this task."""
    if not network.takes.items() <= given.items():
        fitting = ", ".join(sorted(_data_that_give(network.takes))) or "none"
        raise UserError(
            f"network: takes {_described(network.takes)}, but this data gives {_described(given)}; data that fits: "
            f"{fitting}"
        )
    if task.name not in network.tasks:
        raise UserError(f"task: this network is trained with task={' or '.join(network.tasks)}")


def in_words(name: str) -> str:
    """The name of a class in words, such as sparse images."""
    return re.sub(r"(?<!^)(?=[A-Z])", " ", name).lower()


def _described(containers: Mapping[str, type]) -> str:
    """Containers in words, such as images (sparse images)."""
    words = (in_words(kind.__name__) for kind in containers.values())
    return ", ".join(f"{name} ({word})" if name != word else name for name, word in zip(containers, words, strict=True))


def _data_that_give(taken: Mapping[str, type]) -> list[str]:
    """The names of data yamls whose batches can have these containers."""
    return [
        name for name, node in data_yamls().items() if taken.items() <= build.target(node, "data").containers.items()
    ]
