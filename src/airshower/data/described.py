"""Specs as plain values, so that a checkpoint can hold what its network was built for."""

import dataclasses
import importlib
from collections.abc import Collection
from typing import Any

import numpy as np
import torch

from airshower.errors import DataError

PLAIN = (bool, int, float, str, type(None))


def described(value: Any) -> Any:
    """A spec, or a part of one, as dicts, lists, tensors and plain values.

    Dataclasses are named by their path. Raises `TypeError` for what has no such form.
    """
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, PLAIN):
        return value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        kind = type(value)
        fields = {item.name: described(getattr(value, item.name)) for item in dataclasses.fields(value) if item.init}
        return {"class": f"{kind.__module__}.{kind.__qualname__}", "fields": fields}
    if isinstance(value, np.ndarray):
        if value.dtype.kind in "biuf":
            return {"array": torch.from_numpy(np.array(value, order="C"))}
        return {"strings": value.tolist()}
    if isinstance(value, dict):
        return {"dict": [[described(key), described(item)] for key, item in value.items()]}
    for name, kind in (("tuple", tuple), ("list", list), ("set", frozenset)):
        if isinstance(value, kind):
            return {name: [described(item) for item in (sorted(value) if kind is frozenset else value)]}
    raise TypeError(f"{type(value).__name__} has no description")


def restored(node: Any, packages: Collection[str]) -> Any:
    """The spec that was `described`. Its classes must be frozen dataclasses of these packages: others are refused.

    Raises `DataError` for what is no description.
    """
    if isinstance(node, PLAIN):
        return node
    if isinstance(node, dict) and "class" in node:
        kind = _dataclass(str(node["class"]), packages)
        fields = {str(name): restored(value, packages) for name, value in node["fields"].items()}
        try:
            return kind(**fields)
        except TypeError as error:
            raise DataError(f"{node['class']}: is described with other fields ({error})") from None
    if not isinstance(node, dict) or len(node) != 1:
        raise DataError("the description of the data is damaged")
    ((name, content),) = node.items()
    if name == "array":
        return content.numpy()
    if name == "strings":
        return np.array(content)
    if name == "dict":
        return {restored(key, packages): restored(value, packages) for key, value in content}
    kinds = {"tuple": tuple, "list": list, "set": frozenset}
    if name not in kinds:
        raise DataError("the description of the data is damaged")
    return kinds[name](restored(item, packages) for item in content)


def _dataclass(path: str, packages: Collection[str]) -> type:
    module, _, name = path.rpartition(".")
    if module.partition(".")[0] not in packages:
        raise DataError(f"{path}: is no class of {', '.join(sorted(packages))}")
    try:
        kind = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError) as error:
        raise DataError(f"{path}: can't be imported ({error})") from None
    parameters = getattr(kind, "__dataclass_params__", None)
    if not isinstance(kind, type) or parameters is None or not parameters.frozen:
        raise DataError(f"{path}: is no description of data")
    return kind
