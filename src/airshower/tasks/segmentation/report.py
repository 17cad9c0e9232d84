"""Outputs of an inference of segmentation: predictions, metrics and figures."""

import contextlib
import dataclasses
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.pixels import found_pixels
from airshower.data.source import Source
from airshower.statistics.bins import equal_bins
from airshower.tasks.segmentation.head import Head
from airshower.tasks.segmentation.metrics import METRICS, values
from airshower.writers import figures
from airshower.writers.curves import Curve
from airshower.writers.tables import write_events, write_metrics

Columns = dict[str, np.ndarray]
SHOWN = ("Neutrino_IoU", "Cosmic_IoU", "Non_Bkg_Accuracy")  # against energy


@dataclass(frozen=True)
class PackedEvent:
    """The output for one event: its prediction as packed by the detector's writer, confusion counts [planes, true,
    predicted] if there is truth, and the predictions of the heads, keyed by column."""

    entry: int
    prediction: Any
    confusion: np.ndarray | None
    heads: dict[str, Any]


class SegmentationReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes `predictions.h5`, `metrics.json`, `events.csv` and figures."""

    def __init__(self, source: Source, heads: dict[str, Head], folder: Path, provenance: dict[str, str], scores: bool):
        super().__init__()
        self.source = source
        self.heads = heads
        self.folder = folder
        self.scores = scores
        self._truth(np.arange(0))  # raises an error for damaged truth before the work, not after it
        self.writer = source.pixel_writer(folder / "predictions.h5", provenance)
        self.events: list[PackedEvent] = []

    def __enter__(self) -> "SegmentationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: Batch, sample: Any, outputs: dict[str, Tensor]) -> list[PackedEvent]:
        """Predicted classes of a batch and, where there is truth, confusion counts."""
        pixels = sample.pixels
        logits = outputs["pixels"]
        confusion = [None] * len(batch) if pixels.label is None else pixels.confusion(logits).cpu().numpy()
        predicted = found_pixels(pixels, logits, len(batch), self.source.spec["images"].planes, self.scores)
        columns = {}
        for name, head in self.heads.items():
            columns |= head.predictions(outputs[name], sample.heads[name])
        return [
            PackedEvent(
                int(entry),
                self.writer.pack(predicted[index]),
                confusion[index],
                {name: column[index] for name, column in columns.items()},
            )
            for index, entry in enumerate(batch.entries)
        ]

    def add(self, packed: list[PackedEvent]) -> None:
        """Write a batch's predictions and keep the other outputs for its events."""
        for event in packed:
            self.writer.append(event.entry, event.prediction)
            self.events.append(dataclasses.replace(event, prediction=None))

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there are predictions only."""
        heads = {name: np.array([event.heads[name] for event in self.events]) for name in self.events[0].heads}
        truth = self._truth(entries)
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
        figure = figures.confusion_figure(pixels, self.source.spec["images"].classes, "pixels, all planes")
        paths = [self._save("confusion", figure)]
        if shown:
            figure = figures.metric_against_energy(truth["energy"], truth["interaction"], shown)
            paths.append(self._save("metrics_against_energy", figure))
        for head in self.heads.values():
            paths += [self._save(name, figure) for name, figure in head.figures(counters, heads).items()]
        return paths

    def _truth(self, entries: np.ndarray) -> Columns:
        """`energy` in GeV and the name of the `interaction` of these entries; empty if files do not have them."""
        column = self.source.spec.column("interaction")
        if column is None or column.name not in self.source.spec.known:
            return {}
        truth = self.source.truth(entries, ("energy", "interaction"))
        return {"energy": truth["energy"], "interaction": np.array(column.classes)[truth["interaction"]]}

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
    curves = []
    for metric, column in shown.items():
        for name in np.unique(truth["interaction"]):
            chosen = (truth["interaction"] == name) & np.isfinite(truth["energy"]) & np.isfinite(column)
            if chosen.any():
                edges, _, *binned = equal_bins(truth["energy"][chosen], column[chosen])
                against = "true_energy", "true energy", "GeV", False
                curves.append(Curve(f"{metric} {name}", f"{metric} of {name}", "", *against, edges, *binned))
    return curves
