"""What an inference of showers leaves: a table of events, metrics and figures."""

import contextlib
import csv
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.showers import ShowerBatch
from airshower.tasks.shower_metrics import (
    angular_resolution,
    angular_separation,
    binned,
    energy_bias,
    energy_edges,
    energy_resolution,
    roc_curve,
)
from airshower.writers import figures, shower_figures

if TYPE_CHECKING:
    from airshower.tasks.reconstruction import Reconstruction

Columns = dict[str, np.ndarray]
ERRORS = {
    "angular_resolution": ("separation", angular_resolution, "angular resolution (deg)"),
    "energy_resolution": ("relative_energy", energy_resolution, "energy resolution"),
    "energy_bias": ("relative_energy", energy_bias, "energy bias"),
    "core_resolution": ("distance", angular_resolution, "core resolution (m)"),
}
"""Of which errors each is made, by what, and its axis."""


class ReconstructionReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes `events.csv`, and for simulations `metrics.json` and figures."""

    def __init__(self, task: "Reconstruction", folder: Path, provenance: dict[str, str], scores: bool):
        super().__init__()
        self.task, self.folder, self.provenance, self.scores = task, folder, provenance, scores
        self.batches: list[Columns] = []

    def pack(self, batch: ShowerBatch, sample: Any, outputs: dict[str, Tensor]) -> list[Columns]:
        """The rows of a batch as columns: predictions and, with the prefix true_, the truth; TeV, rad and m."""
        ids = dict(zip(("obs_id", "event_id", "tel_id"), batch.event_ids.T, strict=True))
        event = torch.cat([images.event for images in sample.images])
        multiplicity = torch.bincount(event, minlength=len(batch)).cpu().numpy()
        columns = {"entry": batch.entries, **ids, "multiplicity": multiplicity}
        columns |= self.task.physical(sample, outputs)
        if sample.showers is not None:
            columns |= self._truth(sample.showers)
        return [{name: column[row : row + 1] for name, column in columns.items()} for row in range(len(batch))]

    def add(self, packed: list[Columns]) -> None:
        """Keep a batch's rows."""
        self.batches += packed

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there is a table only."""
        events = {name: np.concatenate([row[name] for row in self.batches]) for name in self.batches[0]}
        written = {name: column for name, column in events.items() if self.scores or not name.startswith("score_")}
        self._write_events(written)
        if not counters:
            return []
        gammas = self._chosen(events)
        errors = {name: column[gammas] for name, column in _errors(events).items()}
        energy = events["true_energy"][gammas]
        curves = _curves(energy, errors)
        summary = {name: statistic(errors[of]) for name, (of, statistic, _) in ERRORS.items() if of in errors}
        self._write_metrics({**metrics, **summary}, curves, counters)
        made = []
        if "type" in self.task.targets:
            made += self._of_type(events, counters)
        for name, (edges, values) in curves.items():
            figure = shower_figures.against_energy(edges, {self.task.spec.mode: values}, ERRORS[name][2])
            made.append(self._save(f"{name}", figure))
        return made

    def _chosen(self, events: Columns) -> np.ndarray:
        """The events that errors are of: gammas, or all where all are learned from; of known energy."""
        known = events["true_energy"] > 0
        only = any(target.only_gammas for target in self.task.targets.values())
        return known & (events["true_type"] == self.task.spec.classes[self.task.gamma]) if only else known

    def _of_type(self, events: Columns, counters: dict[str, Tensor]) -> list[Path]:
        names = self.task.spec.classes
        score = events[f"score_{names[0]}"]
        by_class = {name: score[events["true_type"] == name] for name in names}
        signal, background = by_class[names[0]], np.concatenate([score[:0], *list(by_class.values())[1:]])
        counts = counters["type_confusion"].cpu().numpy()
        made = {"confusion": figures.confusion_figure(counts, names, "events")}
        made["scores"] = shower_figures.score_distributions(by_class, names[0])
        if len(signal) and len(background):
            area = self.task.metrics(counters)["AUC"]
            made["roc"] = shower_figures.roc_figure({f"AUC {area:.4f}": roc_curve(signal, background)}, names[0])
        return [self._save(name, figure) for name, figure in made.items()]

    def _truth(self, showers: Any) -> Columns:
        found = {name: getattr(showers, name).cpu().numpy() for name in ("primary", "energy", "direction", "core")}
        names = np.array([*self.task.spec.classes, "other"])
        alt, az = found["direction"].T.astype(np.float64)
        x, y = found["core"].T
        truth = {"type": names[found["primary"]], "energy": found["energy"], "alt": alt, "az": az}
        return {f"true_{name}": column for name, column in {**truth, "core_x": x, "core_y": y}.items()}

    def _save(self, name: str, figure: figures.Figure) -> Path:
        return figures.save(figure, self.folder / "figures" / f"{name}.png")

    def _write_events(self, events: Columns) -> None:
        with open(self.folder / "events.csv", "w", newline="") as handle:
            writer = csv.writer(handle, lineterminator="\n")
            writer.writerow(events)
            for row in zip(*events.values(), strict=True):
                writer.writerow(f"{cell:.8g}" if isinstance(cell, np.floating) else cell for cell in row)

    def _write_metrics(self, metrics: dict[str, float], curves: dict[str, Any], counters: dict[str, Tensor]) -> None:
        record: dict[str, Any] = {"events": len(self.batches), "metrics": metrics}
        if "type_confusion" in counters:
            record |= {"classes": list(self.task.spec.classes), "confusion": counters["type_confusion"].tolist()}
        record["against_true_energy"] = {
            name: {"edges_tev": edges.tolist(), "value": value.tolist(), "error": error.tolist(), "events": n.tolist()}
            for name, (edges, (value, error, n)) in curves.items()
        }
        (self.folder / "metrics.json").write_text(json.dumps(_no_nan(record), indent=1) + "\n")


def _errors(events: Columns) -> Columns:
    """Of each event: `separation` in deg, `relative_energy`, `distance` of the core in m; what was reconstructed."""
    found = {}
    if "alt" in events:
        angle = angular_separation(events["true_alt"], events["true_az"], events["alt"], events["az"])
        found["separation"] = np.degrees(angle)
    if "energy" in events:
        found["relative_energy"] = events["energy"] / events["true_energy"] - 1.0
    if "core_x" in events:
        found["distance"] = np.hypot(*(events[f"core_{axis}"] - events[f"true_core_{axis}"] for axis in "xy"))
    return found


def _curves(energy: np.ndarray, errors: Columns) -> dict[str, Any]:
    if not len(energy):
        return {}
    edges = energy_edges(energy)
    return {
        name: (edges, binned(energy, errors[of], edges, statistic))
        for name, (of, statistic, _) in ERRORS.items()
        if of in errors
    }


def _no_nan(node: Any) -> Any:
    """JSON has no NaN: what has no events is null."""
    if isinstance(node, dict):
        return {key: _no_nan(value) for key, value in node.items()}
    if isinstance(node, list):
        return [_no_nan(value) for value in node]
    return None if isinstance(node, float) and not np.isfinite(node) else node
