"""From a config node to the object it names: every field typed, ranged and known, or one line that says what is not."""

import dataclasses
import importlib
from collections.abc import Collection
from typing import Any, TypeVar, get_args, get_origin

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    ConfigKeyError,
    InterpolationResolutionError,
    MissingMandatoryValue,
    OmegaConfBaseException,
)

from airshower.config import schema
from airshower.config.fields import check, unknown_key
from airshower.config.renamed import TARGETS, advice
from airshower.errors import UserError

T = TypeVar("T")
REQUIRED = {"data": ("containers", "open"), "network": ("takes", "tasks"), "task": ("name", "check_columns")}
"""What a section's class must have, besides its `Config`."""


def typed(kind: type[T], node: DictConfig, where: str, without: Collection[str] = ()) -> T:
    """The section `where` of the config as an instance of the dataclass `kind`; keys in `without` are left out."""
    try:
        values = {key: value for key, value in plain(node).items() if key not in without}
        config = OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(kind), values))
        assert isinstance(config, kind)
    except ConfigKeyError as error:
        *path, key = str(error.full_key).split(".")
        raise unknown_key(key, ".".join([where, *path]), _fields(kind, path)) from None
    except MissingMandatoryValue as error:
        key = str(error.full_key or error.key)
        raise UserError(f"{where}.{key}: has no value; give one, as in {where}.{key}=...") from None
    except InterpolationResolutionError as error:
        raise UserError(f"{error.full_key}: refers to a key that is missing; give it a value, or delete it") from None
    except OmegaConfBaseException as error:
        reason = str(error.msg if hasattr(error, "msg") else error).splitlines()[0]
        raise UserError(f"{where}.{error.full_key}: {reason}") from None
    check(config, where)
    return config


def plain(node: DictConfig) -> dict[Any, Any]:
    """The values of a node, all interpolations resolved."""
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    return values


def target(node: DictConfig, where: str) -> type:
    """The class that the node's `_target_` names. It must own a dataclass `Config`; nothing is called."""
    path = node.get("_target_")
    if not path:
        raise UserError(f"{where}: has no _target_, the dotted path of the class to build")
    module, _, name = str(path).rpartition(".")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError, TypeError) as error:
        if path in TARGETS:
            raise UserError(f"{where}._target_={path}: is {TARGETS[path]} here") from None
        raise UserError(f"{where}._target_={path}: can't be imported ({error})") from None
    lacks = [name for name in REQUIRED[where] if not hasattr(kind, name)]
    if not isinstance(kind, type) or not dataclasses.is_dataclass(getattr(kind, "Config", None)) or lacks:
        raise UserError(
            f"{where}._target_={path}: must name a class for {where}, with a dataclass Config and "
            f"{' and '.join(REQUIRED[where])}"
        )
    return kind


def component(node: DictConfig, where: str) -> tuple[type, Any]:
    """The class that the node names and its typed `Config`; nothing is constructed yet."""
    kind = target(node, where)
    return kind, typed(kind.Config, node, where, ("_target_",))


def settings(cfg: DictConfig) -> schema.Settings:
    """The root sections, typed."""
    for key in cfg:
        if key not in ROOT_KEYS:
            raise UserError(advice(str(key)) or f"{key}: there is no such section; there are {', '.join(ROOT_KEYS)}")
    name = str(cfg.mode.get("name"))
    if name not in schema.MODES:
        raise UserError(f"mode.name={name}: must be one of {', '.join(schema.MODES)}")
    return schema.Settings(
        run=typed(schema.RunConfig, cfg.run, "run"),
        mode=typed(schema.MODES[name], cfg.mode, "mode", _of_other_modes(name)),
        framework=typed(schema.FrameworkConfig, cfg.framework, "framework"),
        output_dir=str(cfg.output_dir),
    )


ROOT_KEYS = ("run", "mode", "data", "network", "task", "framework", "output_dir")


def _of_other_modes(name: str) -> set[str]:
    """Keys that other modes have and this one has not: a network's yaml may say how it is trained."""
    keys = {mode: set(_fields(kind, [])) for mode, kind in schema.MODES.items()}
    return set().union(*keys.values()) - keys[name]


def _fields(kind: Any, path: list[str]) -> list[str]:
    """The fields of a dataclass, or of the section at this path in it."""
    for name in path:
        if get_origin(kind) is dict:  # its keys are names of the user's
            _, kind = get_args(kind)
        else:
            kind = next(item.type for item in dataclasses.fields(kind) if item.name == name)
    return [item.name for item in dataclasses.fields(kind)]
