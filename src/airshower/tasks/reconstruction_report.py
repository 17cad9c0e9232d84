"""What an inference of showers leaves: predictions, a table of events, metrics and figures."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.showers import ShowerBatch, Showers
from airshower.data.source import ShowerSource
from airshower.data.telescopes import image_size
from airshower.tasks import shower_performance as performance
from airshower.tasks.shower_sample import Sample
from airshower.tasks.shower_targets import Target, in_fields_of_view, seen_from, separation
from airshower.writers import figures, shower_figures
from airshower.writers.curves import Curve, curves_figure
from airshower.writers.tables import write_events, write_metrics

Columns = dict[str, np.ndarray]
LEVELS = {"energy_bias": 0.0, "auc": 0.5}  # what is drawn as a line


@dataclass(frozen=True)
class PackedShowers:
    """The rows of a batch as columns."""

    columns: Columns

    def __len__(self) -> int:
        return len(self.columns["entry"])


class ReconstructionReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes `predictions.dl2.h5` and `events.csv`, and for simulations `metrics.json` and
    figures; `signal` is the class that they are about. Numbers are all that is kept of an event, about 300 bytes."""

    def __init__(
        self,
        targets: dict[str, Target],
        signal: str,
        config: performance.ReportConfig,
        source: ShowerSource,
        folder: Path,
        provenance: dict[str, str],
        scores: bool,
    ):
        super().__init__()
        self.targets, self.signal, self.config = targets, signal, config
        self.source, self.spec, self.folder, self.scores = source, source.spec, folder, scores
        self.writer = source.prediction_writer(folder / "predictions.dl2.h5", provenance)
        self.batches: list[Columns] = []

    def __enter__(self) -> "ReconstructionReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: ShowerBatch, sample: Sample, outputs: dict[str, Tensor]) -> PackedShowers:
        """Predictions and, with the prefix true_, the truth; TeV, rad, m and p.e., `true_offset` in deg."""
        ids = dict(zip(("obs_id", "event_id", "tel_id"), batch.event_ids.T, strict=True))
        event = torch.cat([images.event for images in sample.images])
        charge = torch.cat([image_size(images.charge.nan_to_num(), images.clean) for images in sample.images])
        seen = {
            "multiplicity": torch.bincount(event, minlength=len(batch)),
            "intensity": charge.new_zeros(len(batch)).index_add(0, event, charge),
            "pointing_alt": sample.frame.pointing[:, 0],
            "pointing_az": sample.frame.pointing[:, 1],
        }
        columns = {"entry": batch.entries, **ids, **{name: column.cpu().numpy() for name, column in seen.items()}}
        columns |= sample.physical(self.targets, outputs)
        if sample.showers is not None:
            columns |= self._truth(sample.showers, sample.frame)
        return PackedShowers(columns)

    def add(self, packed: PackedShowers) -> None:
        """Keep a batch's rows."""
        if not len(packed):
            return
        self.batches.append(packed.columns)
        named = ("energy", "alt", "az", "core_x", "core_y")
        predicted = {name: packed.columns[name] for name in named if name in packed.columns}
        if "type" in self.targets:
            predicted["prediction"] = packed.columns[f"score_{self.signal}"]
        self.writer.append(packed.columns["entry"], predicted)

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`; without truth there is a table only."""
        events = {name: np.concatenate([batch[name] for batch in self.batches]) for name in self.batches[0]}
        written = {name: column for name, column in events.items() if self.scores or not name.startswith("score_")}
        write_events(self.folder / "events.csv", written)
        if not counters:
            return []
        only_signal = any(target.only_gammas for target in self.targets.values())
        errors = performance.event_errors(events, self.signal, only_signal)
        curves = performance.curves(events, errors, self.config.observables)
        # resolutions and biases of all events, in place of those from counts
        others = {name: value for name, value in metrics.items() if not name.endswith(("/resolution", "/bias"))}
        record: dict[str, Any] = {"events": len(events["entry"]), "metrics": others | performance.summary(errors)}
        made = [*self._of_type(events, counters, record), *self._areas(events, record, curves)]
        if "relative_energy" in errors and (matrix := performance.migration(events, errors)):
            made.append(self._save("migration", shower_figures.migration_figure(matrix["edges"], matrix["counts"])))
            record["migration"] = {name: np.asarray(value).tolist() for name, value in matrix.items()}
        made += self._curves(curves)
        record["curves"] = [curve.record() for curve in curves]
        write_metrics(self.folder / "metrics.json", record)
        return made + self._worst(events, errors)

    def _of_type(self, events: Columns, counters: dict[str, Tensor], record: dict[str, Any]) -> list[Path]:
        """Figures of the classes, and what is said of them in the record."""
        if "type" not in self.targets:
            return []
        names, score = self.spec.classes, events[f"score_{self.signal}"]
        counts = counters["type_confusion"].cpu().numpy()
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
        """The effective area, where files say what was simulated; its curves are added to the others."""
        signal = self.spec.classes.index(self.signal)
        thrown = [run for run in self.source.thrown() if run.primary == signal]
        every = self.source.truth(np.arange(len(self.source)), ("interaction",))["interaction"] == self.signal
        share = float((events["true_type"] == self.signal).sum() / max(every.sum(), 1))
        found = performance.areas(events, self.signal, record.get("gamma_cut", {}), thrown, share)
        if not found:
            return []
        curves += found.values()
        record["simulated"] = [{**vars(run), "share": share} for run in thrown]
        return [self._save("effective_area", curves_figure([found], log=True))]

    def _curves(self, curves: list[Curve]) -> list[Path]:
        made = []
        for name in performance.MERITS:
            panels = [{self.spec.mode: curve} for curve in curves if curve.name == name]
            if panels:
                made.append(self._save(name, curves_figure(panels, level=LEVELS.get(name))))
        return made

    def _worst(self, events: Columns, errors: Columns) -> list[Path]:
        """Displays of the events with the largest errors, read again."""
        kinds = {"direction": errors.get("separation")}
        if "energy" in events:
            factor = np.abs(np.log10(events["energy"] / events["true_energy"]))
            kinds["energy"] = np.where(np.isfinite(errors["relative_energy"]), factor, np.nan)
        if "type" in self.targets:
            own = [events[f"score_{name}"] * (events["true_type"] == name) for name in self.spec.classes]
            kinds["type"] = np.where(events["true_type"] == "other", np.nan, 1 - sum(own))
        made = []
        for kind, error in kinds.items():
            if error is not None:
                order = np.argsort(-np.nan_to_num(error, nan=-1.0), kind="stable")[: self.config.worst]
                for place, row in enumerate(order[np.isfinite(error[order])]):
                    event = {name: column[row] for name, column in events.items()}
                    made.append(self._save(f"worst_{kind}_{place + 1}", self._display(event, f"worst {kind}")))
        return made

    def _display(self, event: dict[str, Any], title: str) -> figures.Figure:
        batch = self.source.read(np.array([event["entry"]])).to(torch.device("cpu"))
        directions = {}
        for name, prefix in (("predicted", ""), ("true", "true_")):
            if f"{prefix}alt" in event:
                place = torch.tensor([event[f"{prefix}alt"], event[f"{prefix}az"]])
                directions[name] = in_fields_of_view(place, batch.images, 0)
        said = [event["type"]] if "type" in event else []
        said += [f"{event['energy']:.3g} TeV"] if "energy" in event else []
        text = f"true {event['true_type']}, {event['true_energy']:.3g} TeV"
        text = f"predicted {', '.join(said)}; {text}" if said else text
        images = shower_figures.event_images(batch.images, 0)
        title = f"{title}: event {event['event_id']} of observation {event['obs_id']}\n{text}"
        return shower_figures.shower_display(self.spec, images, directions, title)

    def _truth(self, showers: Showers, frame: Any) -> Columns:
        names = np.array([*self.spec.classes, "other"])
        seen = seen_from(frame.pointing, showers.direction)
        found = {
            "energy": showers.energy, "alt": showers.direction[:, 0], "az": showers.direction[:, 1],
            "core_x": showers.core[:, 0], "core_y": showers.core[:, 1], "x_max": showers.x_max,
            "core_distance": (showers.core - frame.origin).norm(dim=1),
            "offset": separation(seen, seen.new_tensor([0.0, 0.0, 1.0]).expand_as(seen)),
        }  # fmt: skip
        truth = {f"true_{name}": column.cpu().numpy() for name, column in found.items()}
        return {"true_type": names[showers.primary.cpu().numpy()], **truth}

    def _save(self, name: str, figure: figures.Figure) -> Path:
        return figures.save(figure, self.folder / "figures" / f"{name}.png")
