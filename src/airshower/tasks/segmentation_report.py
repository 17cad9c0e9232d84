"""What an inference of segmentation leaves: predictions, metrics and figures."""

import contextlib
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.source import Source
from airshower.tasks.segmentation_metrics import METRICS, confusion_per_image, values

PackedEvent = tuple[int, Any, np.ndarray | None]  # entry, prediction, confusion counts [planes, true, predicted]


class SegmentationReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes `predictions.h5`, `metrics.json`, `events.csv` and figures."""

    def __init__(self, source: Source, folder: Path, provenance: dict[str, str], scores: bool):
        super().__init__()
        self.source, self.folder, self.scores = source, folder, scores
        self.writer = source.prediction_writer(folder / "predictions.h5", provenance)
        self.confusion: list[np.ndarray] = []

    def __enter__(self) -> "SegmentationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: Batch, sample: Any, logits: Tensor) -> list[PackedEvent]:
        """Predicted classes of a batch and, where there is truth, confusion counts."""
        labels = logits.argmax(2)
        confusion = [None] * len(batch)
        if sample.label is not None:
            confusion = confusion_per_image(sample.label, labels, logits.shape[2]).cpu().numpy()
        labels = labels.to(torch.uint8).cpu().numpy()
        scores = logits.softmax(2).cpu().numpy() if self.scores else [None] * len(batch)
        return [
            (int(entry), self.writer.pack(labels[index], scores[index]), confusion[index])
            for index, entry in enumerate(batch.entries)
        ]

    def add(self, packed: list[PackedEvent]) -> None:
        """Write a batch's predictions and keep its confusion counts."""
        for entry, prediction, confusion in packed:
            self.writer.append(entry, prediction)
            if confusion is not None:
                self.confusion.append(confusion)

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there are predictions only."""
        from airshower.writers import figures

        if not self.confusion:
            return []
        events = values(torch.as_tensor(np.stack(self.confusion))).nanmean(1).numpy()
        truth = self.source.truth(entries)
        confusion = counters["confusion"].cpu().numpy()
        record = {"events": len(entries), "metrics": metrics, "confusion": confusion.tolist()}
        if truth:
            record["interactions"] = _by_interaction(truth["interaction"], events)
        (self.folder / "metrics.json").write_text(json.dumps(_no_nan(record), indent=1) + "\n")
        self._write_events(entries, events, truth)
        made = [figures.save(figures.confusion_figure(confusion, self.source.spec.classes), self._figure("confusion"))]
        if truth and np.isfinite(truth["energy"]).any():
            shown = {
                name: events[:, METRICS.index(name)] for name in ("Neutrino_IoU", "Cosmic_IoU", "Non_Bkg_Accuracy")
            }
            figure = figures.metric_against_energy(truth["energy"], truth["interaction"], shown)
            made.append(figures.save(figure, self._figure("metrics_against_energy")))
        return made

    def _figure(self, name: str) -> Path:
        return self.folder / "figures" / f"{name}.png"

    def _write_events(self, entries: np.ndarray, events: np.ndarray, truth: dict[str, np.ndarray]) -> None:
        with open(self.folder / "events.csv", "w") as handle:
            handle.write(",".join(["entry", *truth, *METRICS]) + "\n")
            for row, entry in enumerate(entries):
                cells = [str(entry), *(str(column[row]) for column in truth.values())]
                handle.write(",".join(cells + [f"{value:.6g}" for value in events[row]]) + "\n")


def _by_interaction(interaction: np.ndarray, events: np.ndarray) -> dict[str, dict[str, float]]:
    rows = {str(name): events[interaction == name] for name in np.unique(interaction)}
    return {
        name: {"events": len(row)} | dict(zip(METRICS, torch.as_tensor(row).nanmean(0).tolist(), strict=True))
        for name, row in rows.items()
    }


def _no_nan(node: Any) -> Any:
    """JSON has no NaN: a metric over no pixels is null."""
    if isinstance(node, dict):
        return {key: _no_nan(value) for key, value in node.items()}
    return None if isinstance(node, float) and not np.isfinite(node) else node
