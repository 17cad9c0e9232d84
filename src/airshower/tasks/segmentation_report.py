"""What an inference of segmentation leaves: predictions, metrics and figures."""

import contextlib
import dataclasses
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.pixels import FoundPixels, Pixels
from airshower.data.source import WireSource
from airshower.tasks.head import Head
from airshower.tasks.segmentation_metrics import METRICS, values
from airshower.writers import figures
from airshower.writers.curves import Curve
from airshower.writers.tables import write_events, write_metrics

Columns = dict[str, np.ndarray]
SHOWN = ("Neutrino_IoU", "Cosmic_IoU", "Non_Bkg_Accuracy")  # against energy


@dataclass(frozen=True)
class PackedEvent:
    """What is to be written of one event: its prediction as the detector's writer packs it, confusion counts [planes,
    true, predicted] if there is truth, and what the heads say, by column."""

    entry: int
    prediction: Any
    confusion: np.ndarray | None
    heads: dict[str, Any]


class SegmentationReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes `predictions.h5`, `metrics.json`, `events.csv` and figures."""

    def __init__(
        self, source: WireSource, heads: dict[str, Head], folder: Path, provenance: dict[str, str], scores: bool
    ):
        super().__init__()
        self.source, self.heads, self.folder, self.scores = source, heads, folder, scores
        source.truth(np.arange(0))  # damaged truth is told before the work, not after it
        self.writer = source.prediction_writer(folder / "predictions.h5", provenance)
        self.events: list[PackedEvent] = []

    def __enter__(self) -> "SegmentationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: Batch, sample: Any, outputs: dict[str, Tensor]) -> list[PackedEvent]:
        """Predicted classes of a batch and, where there is truth, confusion counts."""
        pixels, logits = sample.pixels, outputs["pixels"]
        confusion = [None] * len(batch) if pixels.label is None else pixels.confusion(logits).cpu().numpy()
        found, columns = self._found(pixels, logits, len(batch)), {}
        for name, head in self.heads.items():
            columns |= head.predictions(outputs[name], sample.heads[name])
        return [
            PackedEvent(
                int(entry),
                self.writer.pack(found[index]),
                confusion[index],
                {name: column[index] for name, column in columns.items()},
            )
            for index, entry in enumerate(batch.entries)
        ]

    def add(self, packed: list[PackedEvent]) -> None:
        """Write a batch's predictions and keep what else is said of its events."""
        for event in packed:
            self.writer.append(event.entry, event.prediction)
            self.events.append(dataclasses.replace(event, prediction=None))

    def _found(self, pixels: Pixels, logits: Tensor, events: int) -> list[FoundPixels]:
        """The pixels of each event that are predicted not to be background."""
        planes = self.source.spec.planes
        image, row, column, label, found = pixels.found(logits)
        scores = found.softmax(1).cpu().numpy() if self.scores else None
        event, plane = (array.cpu().numpy() for array in (image // planes, image % planes))
        row, column, label = (tensor.cpu().numpy() for tensor in (row, column, label))
        ends = np.searchsorted(event, np.arange(events + 1))
        return [
            FoundPixels(
                plane[span], row[span], column[span], label[span].astype(np.uint8),
                None if scores is None else scores[span],
            )
            for span in (slice(*pair) for pair in pairwise(ends))
        ]  # fmt: skip

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there are predictions only."""
        heads = {name: np.array([event.heads[name] for event in self.events]) for name in self.events[0].heads}
        truth = self.source.truth(entries)
        if not counters:
            if heads:
                write_events(self.folder / "events.csv", {"entry": entries, **heads})
            return []
        confusion = torch.as_tensor(np.stack([event.confusion for event in self.events if event.confusion is not None]))
        events: Columns = dict(zip(METRICS, values(confusion).nanmean(1).numpy().T, strict=True))
        write_events(self.folder / "events.csv", {"entry": entries, **truth, **events, **heads})
        shown = {name: events[name] for name in SHOWN} if truth and np.isfinite(truth["energy"]).any() else {}
        self._write_metrics(metrics, counters, events, truth, _curves(truth, shown))
        pixels = self._counted(counters).sum(0)
        figure = figures.confusion_figure(pixels, self.source.spec.classes, "pixels, all planes")
        made = [self._save("confusion", figure)]
        if shown:
            figure = figures.metric_against_energy(truth["energy"], truth["interaction"], shown)
            made.append(self._save("metrics_against_energy", figure))
        for head in self.heads.values():
            made += [self._save(name, figure) for name, figure in head.figures(counters, heads).items()]
        return made

    def _counted(self, counters: dict[str, Tensor]) -> np.ndarray:
        return counters["confusion"].cpu().numpy()

    def _save(self, name: str, figure: figures.Figure) -> Path:
        return figures.save(figure, self.folder / "figures" / f"{name}.png")

    def _write_metrics(
        self,
        metrics: dict[str, float],
        counters: dict[str, Tensor],
        events: Columns,
        truth: Columns,
        curves: list[Curve],
    ) -> None:
        record = {"events": len(self.events), "metrics": metrics, "confusion": self._counted(counters).tolist()}
        for head in self.heads.values():
            record |= head.summary(counters)
        if truth:
            record["interactions"] = _by_interaction(truth["interaction"], events)
            record["curves"] = [curve.record() for curve in curves]
        write_metrics(self.folder / "metrics.json", record)


def _by_interaction(interaction: np.ndarray, events: Columns) -> dict[str, dict[str, float]]:
    return {
        str(name): {"events": int((interaction == name).sum())}
        | {metric: float(torch.as_tensor(column[interaction == name]).nanmean()) for metric, column in events.items()}
        for name in np.unique(interaction)
    }


def _curves(truth: Columns, shown: Columns) -> list[Curve]:
    """The mean of each metric against true energy, for each kind of interaction."""
    found = []
    for metric, column in shown.items():
        for name in np.unique(truth["interaction"]):
            chosen = (truth["interaction"] == name) & np.isfinite(truth["energy"]) & np.isfinite(column)
            if chosen.any():
                edges, _, *binned = figures.equal_bins(truth["energy"][chosen], column[chosen])
                place = "true_energy", "true energy", "GeV", False
                found.append(Curve(f"{metric} {name}", f"{metric} of {name}", "", *place, edges, *binned))
    return found
