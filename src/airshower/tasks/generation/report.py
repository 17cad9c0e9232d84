"""The output of a generator's inference: generated events, and their comparison with reference events."""

import contextlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from airshower.config.fields import number
from airshower.data.records import Records
from airshower.data.splits import Selection, Splits
from airshower.errors import TrainingError
from airshower.tasks.generation.judgement.report import write_judgement
from airshower.tasks.generation.judgement.sample import Events
from airshower.tasks.generation.plan import Generated
from airshower.tasks.generation.views import View
from airshower.writers.tables import write_arrays


@dataclass
class GenerationReportConfig:
    """`task.report.*`: options of the comparison of generated with reference events."""

    most: int = number(20_000, low=50)


@dataclass(frozen=True, eq=False)
class PackedEvents:
    """Generated events in the units of files; `entry` int64 [m]."""

    events: Events
    entry: np.ndarray

    def __len__(self) -> int:
        return len(self.entry)

    def columns(self) -> dict[str, np.ndarray]:
        """Conditions and parameters by name, f8 [m]."""
        tables = self.events.conditions, self.events.parameters
        return {quantity.name: values for table in tables for quantity, values in table.columns()}


class GenerationReport(contextlib.ExitStack):
    """Writes generated events in the detector's format and as `generated.npz`, and `metrics.json` and figures of their
    comparison with `splits.test`, the reference events.

    A context manager, which opens the detector's file. Every rank packs, one adds and finishes. All generated events
    are kept, some 100 bytes of parameters or 2 kB of an image each.
    """

    def __init__(
        self, splits: Splits, options: GenerationReportConfig, folder: Path, provenance: dict[str, str], view: View
    ):
        super().__init__()
        self.view = view
        self.splits = splits
        self.options = options
        self.folder = folder
        self.source = splits.test.source
        self.writer = self.source.generated_writer(folder / "generated", provenance)
        self.batches: list[PackedEvents] = []

    def __enter__(self) -> "GenerationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, generated: Generated) -> PackedEvents:
        """Events in physical units, small enough to be sent to another process. Raises `TrainingError` for values that
        are not finite."""
        entry = generated.entry.cpu().numpy()
        parameters = self.view.table(generated.events)
        for quantity, values in parameters.columns():  # the logarithm of 0 is not finite
            refuse(f"{quantity.name} is not a number", ~np.isfinite(quantity.scaled(values)), entry)
        return PackedEvents(Events(parameters, self._conditions(generated)), entry)

    def add(self, packed: PackedEvents) -> None:
        """Write a batch's events, and keep them."""
        if len(packed):
            self.batches.append(packed)
            self.writer.append(packed.columns())

    def finish(self, metrics: dict[str, float]) -> list[Path]:
        """Compare all generated events with reference events; write `metrics.json`, which includes the
        network's `metrics`, and figures. Returns the paths of the figures."""
        events = Events.joined([batch.events for batch in self.batches])
        packed = PackedEvents(events, np.concatenate([batch.entry for batch in self.batches]))
        write_arrays(self.folder / "generated.npz", {"entry": packed.entry, **packed.columns(), **self._stored(events)})
        conditional = bool(events.conditions.quantities)
        reference = self._events_of(self.splits.test, conditional)
        training = self._events_of(self._training(), conditional)
        figures = write_judgement(reference, events, training, self.options.most, self.folder, metrics)
        return figures + self._draw(reference, packed)

    def _conditions(self, generated: Generated) -> Records:
        """The network's conditions; no quantities if it is not conditional."""
        conditions = generated.conditions.float().cpu().numpy()
        return self._conditions_table(conditions, bool(conditions.shape[1]))

    def _stored(self, events: Events) -> dict[str, np.ndarray]:
        """Additional arrays for `generated.npz`."""
        return {}

    def _draw(self, reference: Events, generated: PackedEvents) -> list[Path]:
        """Additional figures."""
        return []

    def _events_of(self, selection: Selection, conditional: bool) -> Events:
        """Events of a source, with their conditions if `conditional`."""
        events, conditions = (
            selection.source.scaled(name, selection.entries) for name in (self.view.name, "conditions")
        )
        parameters = Records.of_scaled(self.view.quantities, events)
        return Events(parameters, self._conditions_table(conditions, conditional))

    def _conditions_table(self, conditions: np.ndarray, conditional: bool) -> Records:
        """Scaled conditions in the units of files; no quantities unless `conditional`."""
        quantities = self.source.spec.quantities("conditions") if conditional else ()
        return Records.of_scaled(quantities, conditions[:, : len(quantities)])

    def _training(self) -> Selection:
        """The training entries that are not among the reference events."""
        entries = self.splits.test.entries
        train = self.splits.train
        same_files = train.source is self.source
        return Selection(train.source, np.setdiff1d(train.entries, entries) if same_files else train.entries)


def refuse(what: str, bad: np.ndarray, entry: np.ndarray) -> None:
    """Raise `TrainingError` if any event is `bad`, bool [m]. The message has `what` is wrong, and the entries."""
    if rows := np.flatnonzero(bad).tolist():
        raise TrainingError(
            f"generated {what} in {len(rows)} of {len(bad)} events, first for entry {entry[rows[0]]}: these weights "
            "are of no use; train with a lower mode.optimizer.learning_rate"
        )
