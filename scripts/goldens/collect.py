"""What a run left, as values of a record: {part: {name: value}}."""

import csv
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import torch
from goldens.values import array

TIMES = ("step", "images_per_second", "wait_share")
"""Columns of metrics that are no result."""
STATISTICS = ("running_mean", "running_var", "num_batches_tracked")
"""torch's names of what has changed with the first batch."""
Part = dict[str, Any]


def initial(folder: Path) -> dict[str, Part]:
    """Of a checkpoint with the initial weights: names, types and shapes of all in the state dict in their order, the
    weights, and SHA-256 of all of them."""
    state = {name: tensor.numpy() for name, tensor in newest(folder)["model"].items()}
    names = [f"{name} {values.dtype} {list(values.shape)}" for name, values in state.items()]
    weights = {name: values for name, values in state.items() if not name.endswith(STATISTICS)}
    together = hashlib.sha256(b"".join(values.tobytes() for values in weights.values())).hexdigest()
    return {
        "state dict": {"names, types, shapes": names, "SHA-256 of the initial weights": [together]},
        "initial weights": {name: array(values) for name, values in weights.items()},
    }


def trained(folder: Path, notes: Path) -> dict[str, Part]:
    """Of a training in `folder`: splits, entries read, losses, other metrics, validations and weights."""
    state = newest(folder)
    train = metrics(folder / "metrics" / "train.csv")
    losses = [name for name in train if "loss" in name.lower()]
    return {
        **_read(notes),
        "losses": {name: train.pop(name) for name in losses},
        "training metrics": train,
        "validation": metrics(folder / "metrics" / "validation.csv"),
        "trained weights": {name: array(tensor.numpy()) for name, tensor in state["model"].items()},
        "averaged weights": {
            name: array(mean.numpy()) for each in state.get("averages", []) for name, mean in each["means"].items()
        },
    }


def newest(folder: Path) -> dict[str, Any]:
    """The newest checkpoint of a run."""
    return torch.load(max((folder / "checkpoints").glob("step_*.ckpt")), map_location="cpu", weights_only=True)


def metrics(path: Path) -> Part:
    """The columns of a CSV file without times; none where there is no file."""
    if not path.exists():
        return {}
    with open(path, newline="") as handle:
        rows = list(csv.DictReader(handle))
    return {name: _column([row[name] for row in rows]) for name in rows[0] if name not in TIMES}


def predicted(folder: Path) -> Part:
    """The numbers in what an inference left, whatever its formats: CSV, JSON, npz, HDF5."""
    values: Part = {}
    for path in sorted(folder.iterdir()):
        if path.suffix == ".csv":
            values |= {f"{path.name} {name}": value for name, value in metrics(path).items()}
        elif path.suffix == ".npz":
            values |= {f"{path.name} {name}": array(stored) for name, stored in np.load(path).items()}
        elif path.suffix == ".h5":
            values |= {f"{path.name} {name}": array(stored) for name, stored in _datasets(path)}
        elif path.name == "metrics.json":
            values |= {f"{path.name} {name}": value for name, value in _leaves(json.loads(path.read_text()))}
    return values


def _read(notes: Path) -> dict[str, Part]:
    """Splits and the entries read of all ranks and, after a stop, of both trainings; a line for each read."""
    records = {path.stem: json.loads(path.read_text()) for path in sorted(notes.glob("*.json"))}
    splits: Part = {}
    for name, columns in next(iter(records.values()))["splits"].items():
        splits |= {f"{name} {column}": _column([str(value) for value in values]) for column, values in columns.items()}
    entries = {
        f"rank {stem.replace('_', ', training ')}, reader {number}": [" ".join(map(str, read)) for read in thread]
        for stem, record in records.items()
        for number, thread in enumerate(record["reads"])
    }
    return {"splits": splits, "entries read": entries}


def _column(cells: list[str]) -> Any:
    """Numbers as an array, whole ones and texts as lines, so that another order shows."""
    try:
        [int(cell) for cell in cells]
        return cells
    except ValueError:
        pass
    try:
        return array([float(cell) for cell in cells])
    except ValueError:
        return cells


def _datasets(path: Path) -> Iterator[tuple[str, np.ndarray]]:
    """The numbers in an HDF5 file, column by column."""
    stored: list[tuple[str, np.ndarray]] = []

    def add(name: str, item: Any) -> None:
        if isinstance(item, h5py.Dataset):
            stored.extend(_numbers(name, item[()]))

    with h5py.File(path) as file:
        file.visititems(add)
    return iter(stored)


def _numbers(name: str, values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    if values.dtype.names:
        for column in values.dtype.names:
            yield from _numbers(f"{name}.{column}", values[column])
    elif values.dtype.kind in "biuf":
        yield name, values


def _leaves(node: Any, name: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """The numbers and lists of numbers in JSON, by the keys that lead to them; texts are wording."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield from _leaves(value, f"{name}/{key}" if name else key)
        return
    try:
        yield name, array(np.array(node, np.float64))  # null is NaN
    except (TypeError, ValueError):
        if isinstance(node, list):
            for index, value in enumerate(node):
                yield from _leaves(value, f"{name}/{index}")
