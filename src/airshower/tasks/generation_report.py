"""What an inference of a generator leaves: the events that it made, and how they compare with real ones."""

import contextlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from torch import Tensor

from airshower.config.fields import number
from airshower.data.source import Selection, Splits
from airshower.data.table import Table
from airshower.data.tanks import TankBatch
from airshower.errors import TrainingError
from airshower.runtime.log import logger
from airshower.tasks.generation_judgement import Differences, Events, Judgement, feature_names, judge
from airshower.writers import figures
from airshower.writers import generation_figures as drawing
from airshower.writers.tables import write_metrics


@dataclass
class GenerationReportConfig:
    """`task.report.*`: how inference judges generated events."""

    most: int = number(20_000, low=50)


@dataclass(frozen=True, eq=False)
class Generated:
    """Events that a network made: `parameters` float32 [m, quantities] and the `conditions` [m, quantities] that it was
    given, as the spec scales them; `entry` int64 [m], whose conditions these are."""

    parameters: Tensor
    conditions: Tensor
    entry: Tensor


@dataclass(frozen=True, eq=False)
class PackedEvents:
    """Generated events in the units of files; `entry` int64 [m]."""

    events: Events
    entry: np.ndarray

    def __len__(self) -> int:
        return len(self.entry)

    def columns(self) -> dict[str, np.ndarray]:
        """Conditions and parameters by name, f8 [m]."""
        tables = (self.events.conditions, self.events.parameters)
        return {quantity.name: values for table in tables for quantity, values in table.columns()}


class GenerationReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes the generated events in the detector's format and as `generated.npz`,
    `metrics.json` and figures; all generated events are kept, some 100 bytes each."""

    def __init__(self, splits: Splits, options: GenerationReportConfig, folder: Path, provenance: dict[str, str]):
        super().__init__()
        self.splits, self.options, self.folder = splits, options, folder
        self.source = splits.whole.source
        self.writer = self.source.prediction_writer(folder / "generated", provenance)
        self.batches: list[PackedEvents] = []

    def __enter__(self) -> "GenerationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, batch: TankBatch, sample: Any, outputs: Generated) -> PackedEvents:
        """In physical units. Raises `TrainingError` for what is not a number."""
        spec, entry = self.source.spec, outputs.entry.cpu().numpy()
        parameters = Table.of_scaled(spec.parameters, outputs.parameters.float().cpu().numpy())
        for quantity, values in parameters.columns():
            if bad := np.flatnonzero(~np.isfinite(values)).tolist():
                raise TrainingError(
                    f"generated {quantity.name} is not a number in {len(bad)} of {len(values)} events, first for entry "
                    f"{entry[bad[0]]}: these weights are of no use; train with a lower mode.optimizer.learning_rate"
                )
        conditions = Table.of_scaled(spec.conditions, outputs.conditions.float().cpu().numpy())
        return PackedEvents(Events(parameters, conditions), entry)

    def add(self, packed: PackedEvents) -> None:
        """Write and keep a batch's events."""
        if len(packed):
            self.batches.append(packed)
            self.writer.append(packed.columns())

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`."""
        columns = [batch.columns() for batch in self.batches]
        entry = np.concatenate([batch.entry for batch in self.batches])
        found = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
        np.savez(self.folder / "generated.npz", entry=entry, **found)
        spec = self.source.spec
        generated = Events(*(_table(quantities, found) for quantities in (spec.parameters, spec.conditions)))
        real = _events(Selection(self.source, entries))
        training = _events(self._not_judged(entries))
        judgement = judge(real, generated, training, self.options.most)
        record: dict[str, Any] = {
            "events": len(generated), "real_events": len(real), "training_events": len(training),
            "metrics": metrics | judgement.metrics,
            "errors": judgement.generated.errors,
            "floors": judgement.floor.values if judgement.floor else {},
            "floor_errors": judgement.floor.errors if judgement.floor else {},
            "curves": [curve.record() for closure in judgement.generated.closures for curve in closure.curves()],
        }  # fmt: skip
        if judgement.real_correlations is not None:
            matrices = judgement.real_correlations, judgement.generated.correlations
            record["correlations"] = {"features": feature_names(real.parameters)} | {
                name: matrix.tolist() for name, matrix in zip(("real", "generated"), matrices, strict=True)
            }
        write_metrics(self.folder / "metrics.json", record)
        for name in judgement.metrics:
            logger.info("  %-34s %s", name, _said(judgement, name))
        return self._figures(real, generated, judgement)

    def _not_judged(self, entries: np.ndarray) -> Selection:
        """The entries that were trained on, and are not among those that inference ran over."""
        train = self.splits.train
        same = train.source is self.source
        return Selection(train.source, np.setdiff1d(train.entries, entries) if same else train.entries)

    def _figures(self, real: Events, generated: Events, judgement: Judgement) -> list[Path]:
        own, new = real.parameters, generated.parameters
        kinds = [f"{'Kuiper' if quantity.period else 'KS'}/{quantity.name}" for quantity in own.quantities]
        texts = [f"{kind.split('/')[0]} {_said(judgement, kind)}" for kind in kinds]
        made = {"distributions": drawing.histograms(own, new), "cumulative": drawing.cumulative(own, new, texts)}
        if judgement.real_correlations is not None:
            names = feature_names(own)
            matrices = judgement.real_correlations, judgement.generated.correlations
            made["correlations"] = drawing.correlation_figure(names, *matrices)
            floor = judgement.floor or Differences()
            made["classifier"] = drawing.classifier_figure(
                _rocs("", judgement.generated), _rocs("training events, ", floor)
            )
        for closure in judgement.generated.closures:
            shown = [moments.directed for moments in closure.real]
            bands = (
                [moments.band(there) for moments, there in zip(side, shown, strict=True)]
                for side in (closure.real, closure.other)
            )
            figure = drawing.closure_figure(closure.condition, closure.edges, own.quantities, *bands)
            made[f"closure_{closure.condition.name}"] = figure
        if memory := judgement.memorisation:
            ratio, share = memory.metrics().values()
            text = f"ratio of medians {ratio:.3f}; {100 * share:.2f} % of generated are nearer than the line"
            made["nearest_training_events"] = drawing.nearest_figure(memory.real, memory.generated, memory.near, text)
        return [figures.save(figure, self.folder / "figures" / f"{name}.png") for name, figure in made.items()]


def _events(selection: Selection) -> Events:
    """Real events, without their hits."""
    spec = selection.source.spec
    parameters, conditions = selection.source.scalars(selection.entries)
    return Events(Table.of_scaled(spec.parameters, parameters), Table.of_scaled(spec.conditions, conditions))


def _table(quantities: tuple, columns: dict[str, np.ndarray]) -> Table:
    count = len(next(iter(columns.values())))
    values = [columns[quantity.name] for quantity in quantities]
    return Table(quantities, np.stack(values, 1) if values else np.zeros((count, 0)))


def _said(judgement: Judgement, name: str) -> str:
    """A metric with its error and its floor, as far as there are any."""
    text = f"{judgement.metrics[name]:.4g}"
    text += f" ± {judgement.generated.errors[name]:.2g}" if name in judgement.generated.errors else ""
    floor = judgement.floor and judgement.floor.values.get(name)
    return text if floor is None else f"{text} (floor {floor:.4g})"


def _rocs(prefix: str, found: Differences) -> list[drawing.Roc]:
    return [
        drawing.Roc(
            prefix + ("with conditions" if name.endswith("conditions") else "parameters"),
            *scores,
            f"AUC {found.values[name]:.3f} ± {found.errors[name]:.3f}",
        )
        for name, scores in found.scores.items()
    ]
