"""Outputs of an inference that reconstructs events: predictions, a table of events, metrics and figures."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.source import Source
from airshower.data.truth import CLASS, DIRECTION
from airshower.data.units import factor
from airshower.tasks.reconstruction import performance
from airshower.tasks.reconstruction.event_targets import EventTargets
from airshower.tasks.reconstruction.judged import SHOWN_LEVELS, merits
from airshower.tasks.reconstruction.sample import ReconstructionSample
from airshower.writers import figures, shower_figures
from airshower.writers.curves import Curve, curves_figure, is_logarithmic
from airshower.writers.event_displays import draw_event
from airshower.writers.tables import write_events, write_metrics

Columns = dict[str, np.ndarray]


@dataclass(frozen=True)
class PackedEvents:
    """The rows of a batch as columns."""

    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["entry"])


class ReconstructionReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes predictions in the detector's format and `events.csv`, and for simulations
    `metrics.json` and figures. Numbers are all that is kept of an event, about 300 bytes."""

    def __init__(
        self,
        events: EventTargets,
        config: performance.ReportConfig,
        source: Source,
        folder: Path,
        provenance: dict[str, str],
        scores: bool,
    ):
        super().__init__()
        self.events = events
        self.config = config
        self.source = source
        self.folder = folder
        self.scores = scores
        self.targets = events.learned
        self.judged = events.judged
        self.classes = events.classes.names if events.classes else ()
        self.signal = events.classes.names[events.classes.signal] if events.classes else events.signal_name
        self.writer = source.event_writer(folder / "predictions", provenance)
        self.batches: list[Columns] = []

    def __enter__(self) -> "ReconstructionReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: Batch, sample: ReconstructionSample, outputs: dict[str, Tensor]) -> PackedEvents:
        """See `EventTargets.columns`."""
        return PackedEvents(self.events.columns(batch, sample, outputs, self.source.spec))

    def add(self, packed: PackedEvents) -> None:
        """Keep a batch's rows."""
        if not len(packed):
            return
        self.batches.append(packed.columns)
        predicted: Columns = {}
        for target in self.targets.values():
            written = target.in_files(packed.columns)
            if not written.keys() & predicted.keys():  # of several targets of a column the first
                predicted |= written
        self.writer.append(packed.columns["entry"], predicted)

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there is a table only."""
        events = {name: np.concatenate([batch[name] for batch in self.batches]) for name in self.batches[0]}
        written = {name: column for name, column in events.items() if self.scores or not name.startswith("score_")}
        write_events(self.folder / "events.csv", written)
        if not counters:
            return []
        events |= self._classes_of(events)
        errors = self._errors(events)
        curves = self._curves_of(events, errors)
        # resolutions and biases of all events, in place of those from counts
        others = {name: value for name, value in metrics.items() if not name.endswith(("/resolution", "/bias"))}
        summary = performance.summary(errors, self.judged)
        record: dict[str, Any] = {"events": len(events["entry"]), "metrics": others | summary}
        paths = [*self._of_classes(events, counters, record), *self._areas(events, record, curves)]
        if "energy_relative" in errors and (matrix := performance.migration(self._in_tev(events), errors)):
            paths.append(self._save("migration", shower_figures.migration_figure(matrix["edges"], matrix["counts"])))
            record["migration"] = {name: np.asarray(value).tolist() for name, value in matrix.items()}
        paths += self._curves(curves, self._estimates(events, record))
        record["curves"] = [curve.record() for curve in curves]
        paths += self._own(events, record)
        write_metrics(self.folder / "metrics.json", record)
        return paths + self._worst(events, errors)

    def _classes_of(self, events: Columns) -> Columns:
        """True classes and their scores under the names that `performance` has for them, whatever the target's name."""
        target = self.events.classes or self.events.signal_target
        if target is None or f"true_{target.name}" not in events:
            return {}
        scores = {f"score_{name}": target.score(name) for name in target.names}
        named = {name: events[column] for name, column in scores.items() if column in events}
        return {"true_type": events[f"true_{target.name}"], **named}

    def _in_tev(self, events: Columns) -> Columns:
        """The columns with energies in TeV."""
        target = self.events.every["energy"]
        to_tev = factor(target.unit, "TeV", "task.targets.energy.unit")
        return events | {name: events[name] * to_tev for name in ("true_energy", "energy") if name in events}

    def _errors(self, events: Columns) -> Columns:
        only_signal = any(target.signal_only for target in self.targets.values())
        return performance.event_errors(events, self.judged, self.signal, only_signal, self.config.gamma_efficiency)

    def _curves_of(self, events: Columns, errors: Columns) -> list[Curve]:
        return performance.curves(events, errors, self.judged, self.config.observables, self.config.bins)

    def _of_classes(self, events: Columns, counters: dict[str, Tensor], record: dict[str, Any]) -> list[Path]:
        """Figures of the classes; adds the confusion matrix, the cut on the score and the ROC curve to the record."""
        target = self.events.classes
        if target is None or f"{target.name}_confusion" not in counters:
            return []
        names = target.names
        score = events[target.score(self.signal)]
        counts = counters[f"{target.name}_confusion"].cpu().numpy()
        record |= {"classes": list(names), "confusion": counts.tolist()}
        record["gamma_cut"] = performance.gamma_cut(events, self.signal, self.config.gamma_efficiency)
        by_class = {name: score[events["true_type"] == name] for name in names}
        drawn = {"confusion": figures.confusion_figure(counts, names, "events")}
        drawn["scores"] = shower_figures.score_distributions(by_class, self.signal)
        if curve := performance.roc(events, self.signal):
            area = record["metrics"].pop("auc")
            record["metrics"]["AUC"] = area  # of all events, in place of that from counts
            record["roc"] = {"background_efficiency": curve[0].tolist(), "signal_efficiency": curve[1].tolist()}
            drawn["roc"] = shower_figures.roc_figure({f"AUC {area:.4f}": curve}, self.signal)
        return [self._save(name, figure) for name, figure in drawn.items()]

    def _areas(self, events: Columns, record: dict[str, Any], curves: list[Curve]) -> list[Path]:
        """Figure of the effective area, where files state what was simulated; adds its curves to the others."""
        column = self.events.signal_column
        thrown = [run for run in self.source.thrown() if run.primary == self.events.signal]
        if column is None or not thrown or not {"true_type", "true_energy"} <= events.keys():
            return []
        every = self.source.truth(np.arange(len(self.source)), (column.name,))[column.name] == self.events.signal
        share = float((events["true_type"] == self.signal).sum() / max(every.sum(), 1))
        areas = performance.areas(self._in_tev(events), self.signal, record.get("gamma_cut", {}), thrown, share)
        if not areas:
            return []
        curves += areas.values()
        record["simulated"] = [{**vars(run), "share": share} for run in thrown]
        return [self._save("effective_area", curves_figure([areas], log=True))]

    def _estimates(self, events: Columns, record: dict[str, Any]) -> list[Curve]:
        """Figures of merit of the files' own reconstruction, on the same events, into the record; their curves."""
        estimates = self.source.estimates(events["entry"])
        columns: Columns = {}
        for target in self.events.every.values():
            if target.column.name in estimates and target.column.kind != CLASS:
                columns |= target.table(torch.from_numpy(estimates[target.column.name]))
        if not columns:
            return []
        others = (*self.config.observables, "entry", "pointing_alt")
        shared = {name for name in events if name.startswith("true_") or name in others}
        estimated = {name: column for name, column in events.items() if name in shared} | columns
        errors = self._errors(estimated)
        curves = self._curves_of(estimated, errors)
        record["estimates"] = {
            "metrics": performance.summary(errors, self.judged),
            "curves": [curve.record() for curve in curves],
        }
        return curves

    def _curves(self, curves: list[Curve], estimates: list[Curve]) -> list[Path]:
        paths = []
        for merit in merits(self.judged):
            panels = [{"network": curve} for curve in curves if curve.name == merit.name]
            for panel in panels:
                for curve in estimates:
                    if (curve.name, curve.against) == (merit.name, panel["network"].against):
                        panel["the files' own"] = curve
            if panels:
                level = SHOWN_LEVELS.get(merit.name.split("_")[-1])
                figure = curves_figure(panels, log=is_logarithmic(merit.name), level=level)
                paths.append(self._save(merit.name, figure))
        return paths

    def _own(self, events: Columns, record: dict[str, Any]) -> list[Path]:
        """The user's own metrics and their figures."""
        paths = []
        for path in self.config.metrics:
            numbers, drawn = performance.own_metric(path)(events)
            record["metrics"] |= numbers
            paths += [self._save(name, figure) for name, figure in drawn.items()]
        return paths

    def _worst(self, events: Columns, errors: Columns) -> list[Path]:
        """Displays of the events with the largest errors, read again."""
        kinds: Columns = {}
        for judged in self.judged:
            error = errors.get(judged.error_column)
            if error is not None and judged.kind == DIRECTION:
                kinds[judged.name] = error
            elif error is not None and judged.log10:
                decades = np.abs(np.log10(events[judged.name] / events[f"true_{judged.name}"]))
                kinds[judged.name] = np.where(np.isfinite(error), decades, np.nan)
        if self.events.classes and "true_type" in events:
            scores = [events[self.events.classes.score(name)] * (events["true_type"] == name) for name in self.classes]
            kinds["type"] = np.where(events["true_type"] == "other", np.nan, 1 - sum(scores))
        paths = []
        for kind, error in kinds.items():
            order = np.argsort(-np.nan_to_num(error, nan=-1.0), kind="stable")[: self.config.worst]
            for rank, row in enumerate(order[np.isfinite(error[order])], 1):
                event = {name: column[row] for name, column in events.items()}
                if (figure := self._display(event, f"worst {kind}")) is not None:
                    paths.append(self._save(f"worst_{kind}_{rank}", figure))
        return paths

    def _display(self, event: dict[str, Any], title: str) -> "figures.Figure | None":
        batch = self.source.read(np.array([event["entry"]])).to(torch.device("cpu"))
        true = {name.removeprefix("true_"): value for name, value in event.items() if name.startswith("true_")}
        predicted = self.events.text(event)
        of_truth = self.events.text(true)
        text = f"predicted {predicted}; true {of_truth}" if predicted else f"true {of_truth}"
        ids = " ".join(f"{name} {event[name]}" for name in self.source.spec.ids)
        marks = {"predicted": self.events.marks(event), "true": self.events.marks(true)}
        return draw_event(self.source.spec, batch, 0, f"{title}: {ids}\n{text}", marks)

    def _save(self, name: str, figure: figures.Figure) -> Path:
        return figures.save(figure, self.folder / "figures" / f"{name}.png")
