"""The contents of a run's folder: its config, its learning curves and the results of its inference."""

import csv
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from airshower.config import record
from airshower.errors import DataError, UserError
from airshower.writers.scalars import read_table

TRUE_CLASS = ("true_type", "event_class")
"""The columns of events.csv that may hold an event's true class."""

Row = dict[str, float]


@dataclass(frozen=True)
class Curve:
    """A figure of merit in bins of a true quantity: edges [bins + 1], value, low and high (lengths of the error bars)
    [bins], NaN where there is none."""

    name: str
    label: str
    unit: str
    against_label: str
    against_unit: str
    log: bool
    edges: np.ndarray
    value: np.ndarray
    low: np.ndarray
    high: np.ndarray


@dataclass(frozen=True)
class Scores:
    """Scores of the class `signal`, of its own events and of all others."""

    signal: str
    signal_scores: np.ndarray
    others: np.ndarray


@dataclass(frozen=True)
class Inference:
    """Results of a trained network for `events` events of `data`. `digest` identifies the data, `step` the weights."""

    metrics: Row
    events: int
    data: str
    digest: str
    step: int | None
    curves: tuple[Curve, ...]
    scores: Scores | None


@dataclass(frozen=True)
class Run:
    """A run: its config with flat keys, its provenance, its metrics at each step, and its inference, if any."""

    name: str
    folder: Path
    config: dict[str, Any]
    provenance: tuple[dict[str, Any], ...]
    train: list[Row]
    validation: list[Row]
    inference: Inference | None

    @property
    def network(self) -> str:
        """The value of `network=` if the output folder has it, else the network's class."""
        folder = Path(str(self.config.get("output_dir")))
        return folder.parent.name if folder.name == str(self.config["run.id"]) else _class(self.config, "network")

    @property
    def task(self) -> str:
        """The task's class."""
        return _class(self.config, "task")

    @property
    def parameters(self) -> int | None:
        """The number of trained weights; None if it was not recorded."""
        return next((entry["parameters"] for entry in self.provenance[::-1] if "parameters" in entry), None)

    @property
    def step(self) -> int | None:
        """The last optimizer step."""
        return int(self.train[-1]["step"]) if self.train else None


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """The runs in `folders`, each named after its folder, and the parent folder if two have the same name. Raises
    `DataError` for a folder that is no run or can't be read, `UserError` for two runs of one name."""
    folders = [folder.resolve() for folder in folders]
    if twice := [folder for folder, count in Counter(folders).items() if count > 1]:
        raise UserError(f"{twice[0]}: is given twice")
    short = Counter(folder.name for folder in folders)
    names = [folder.name if short[folder.name] == 1 else f"{folder.parent.name}/{folder.name}" for folder in folders]
    for name, count in Counter(names).items():
        if count > 1:
            same = [str(folder) for folder, other in zip(folders, names, strict=True) if other == name]
            raise UserError(f"{' and '.join(same)}: would all be called {name}; rename one of the folders")
    return [read_run(folder, name) for folder, name in zip(folders, names, strict=True)]


def read_run(folder: Path, name: str) -> Run:
    """One run under a name for tables and figures."""
    if not folder.is_dir():
        raise DataError(f"{folder}: there is no such folder; give folders such as output/torch/uresnet/run")
    # inference with the weights of another run leaves predictions only
    owners = [candidate for candidate in (folder, folder / "predictions") if (candidate / "config.yaml").is_file()]
    if not owners:
        raise DataError(f"{folder}: is not a run, it has no config.yaml; give folders such as output/torch/uresnet/run")
    tables = [folder / "metrics" / f"{part}.csv" for part in ("train", "validation")]
    train, validation = (read_table(path) if path.exists() else [] for path in tables)
    inference = _inference(folder / "predictions")
    if not (train or validation or inference):
        raise DataError(f"{folder}: has neither metrics/train.csv nor predictions/metrics.json; nothing to compare")
    config = _config(owners[0] / "config.yaml")
    provenance = _provenance(owners[0] / "provenance.json")
    return Run(name, folder, config, provenance, train, validation, inference)


def _inference(folder: Path) -> Inference | None:
    path = folder / "metrics.json"
    if not path.exists():
        return None
    record = _json(path)
    try:
        metrics = {str(name): _number(value) for name, value in record["metrics"].items()}
        events = int(record["events"])
        curves = tuple(_curve(curve) for curve in record.get("curves", ()))
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise DataError(
            f"{path}: is not what inference writes ({_first_line(error)}); run mode=inference again"
        ) from None
    about = (_provenance(folder / "provenance.json") or ({},))[-1]
    config = _config(folder / "config.yaml") if (folder / "config.yaml").exists() else {}
    step = int(about["step"]) if str(about.get("step", "")).isdigit() else None
    scores = _scores(folder / "events.csv")
    return Inference(metrics, events, data_name(config), str(about.get("data", "")), step, curves, scores)


def _curve(record: dict[str, Any]) -> Curve:
    edges, value, error = (_numbers(record[key]) for key in ("edges", "value", "error"))
    low, high = error if error.ndim == 2 else (error, error)
    if not (value.ndim == low.ndim == edges.ndim == 1 and len(value) == len(low) == len(high) == len(edges) - 1):
        raise ValueError(f"curve {record['name']}: value and error must be one shorter than edges")
    if (low < 0).any() or (high < 0).any():
        raise ValueError(f"curve {record['name']}: an error is negative")
    texts = (str(record[key]) for key in ("name", "label", "unit", "against_label", "against_unit"))
    return Curve(*texts, log=bool(record["log"]), edges=edges, value=value, low=low, high=high)


def _scores(path: Path) -> Scores | None:
    """Scores of the first class with scores in events.csv; None without scores or truth."""
    if not path.exists():
        return None
    try:
        with open(path, newline="", encoding="utf-8") as handle:
            rows = csv.reader(handle)
            header = next(rows, [])
            scored = next((name for name in header if name.startswith("score_")), None)
            truth = next((name for name in TRUE_CLASS if name in header), None)
            if scored is None or truth is None:
                return None
            score = header.index(scored)
            true = header.index(truth)
            pairs = [(float(row[score]), row[true].replace(" ", "_")) for row in rows]
    except (OSError, ValueError, IndexError, csv.Error) as error:
        raise DataError(f"{path}: is not a table of events ({_first_line(error)})") from None
    signal = scored.removeprefix("score_")
    signal_scores = np.array([value for value, name in pairs if name == signal])
    return Scores(signal, signal_scores, np.array([value for value, name in pairs if name != signal]))


def data_name(config: dict[str, Any]) -> str:
    """The files of `data.file`, else the class of the simulation."""
    file = config.get("data.file")
    return _class(config, "data") if file is None else ", ".join(map(str, file if isinstance(file, list) else [file]))


def _class(config: dict[str, Any], section: str) -> str:
    return str(config.get(f"{section}._target_", "")).rsplit(".", 1)[-1]


def _config(path: Path) -> dict[str, Any]:
    try:
        config = record.flat(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, YAMLError, OmegaConfBaseException) as error:
        raise DataError(f"{path}: is not a run's config ({_first_line(error)})") from None
    if "run.id" not in config:
        raise DataError(f"{path}: is not a run's config, it has no run.id")
    return config


def _provenance(path: Path) -> tuple[dict[str, Any], ...]:
    entries = _json(path) if path.exists() else []
    if not (isinstance(entries, list) and all(isinstance(entry, dict) for entry in entries)):
        raise DataError(f"{path}: is not what a run writes: it must be a list of objects")
    return tuple(entries)


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"{path}: is not JSON ({_first_line(error)})") from None


def _number(value: float | None) -> float:
    return float("nan") if value is None else float(value)


def _numbers(values: list) -> np.ndarray:
    return np.array(values, np.float64)  # None becomes NaN


def _first_line(error: Exception) -> str:
    """The first line of an error; a missing key by its name."""
    return f"no {error}" if isinstance(error, KeyError) else str(error).splitlines()[0] if str(error) else "empty"
