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
from airshower.errors import TrainingError
from airshower.networks.images import ImageView
from airshower.networks.quantities import ParameterView
from airshower.tasks.judgement.report import write_judgement
from airshower.tasks.judgement.sample import Events

View = ParameterView | ImageView


@dataclass
class GenerationReportConfig:
    """`task.report.*`: how inference judges generated events."""

    most: int = number(20_000, low=50)


@dataclass(frozen=True, eq=False)
class Generated:
    """Events that a network made: `events` float32 [m, ...], parameters or images, and the `conditions` [m, quantities]
    that it was given, none [m, 0] if it asks for none, as the spec scales them; `entry` int64 [m], whose conditions
    these are, but for even ones."""

    events: Tensor
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
        tables = self.events.conditions, self.events.parameters
        return {quantity.name: values for table in tables for quantity, values in table.columns()}


class GenerationReport(contextlib.ExitStack):
    """See `tasks.task.Report`. Writes the generated events in the detector's format and as `generated.npz`,
    `metrics.json` and figures; all generated events are kept, some 100 bytes of parameters or 2 kB of an image each."""

    def __init__(
        self, splits: Splits, options: GenerationReportConfig, folder: Path, provenance: dict[str, str], view: View
    ):
        super().__init__()
        self.view = view
        self.splits, self.options, self.folder = splits, options, folder
        self.source = splits.whole.source
        self.writer = self.source.prediction_writer(folder / "generated", provenance)
        self.batches: list[PackedEvents] = []

    def __enter__(self) -> "GenerationReport":
        self.enter_context(self.writer)
        return self

    def pack(self, _batch: None, _sample: None, outputs: Generated) -> PackedEvents:
        """In physical units. Raises `TrainingError` for what is not a number."""
        entry, parameters = outputs.entry.cpu().numpy(), self.view.table(outputs.events)
        for quantity, values in parameters.columns():  # 0 is a number that has no logarithm
            refuse(f"{quantity.name} is not a number", ~np.isfinite(quantity.scaled(values)), entry)
        return PackedEvents(Events(parameters, self._conditions(outputs)), entry)

    def add(self, packed: PackedEvents) -> None:
        """Write and keep a batch's events."""
        if len(packed):
            self.batches.append(packed)
            self.writer.append(packed.columns())

    def finish(self, entries: np.ndarray, metrics: dict[str, float], counters: dict[str, Tensor]) -> list[Path]:
        """See `Report.finish`."""
        events = Events.joined([batch.events for batch in self.batches])
        made = PackedEvents(events, np.concatenate([batch.entry for batch in self.batches]))
        columns: dict[str, Any] = {"entry": made.entry, **made.columns(), **self._stored(events)}
        np.savez(self.folder / "generated.npz", **columns)
        conditional = bool(events.conditions.quantities)
        real = self._real(Selection(self.source, entries), conditional)
        training = self._real(self._not_judged(entries), conditional)
        drawn = write_judgement(real, events, training, self.options.most, self.folder, metrics)
        return drawn + self._draw(real, made)

    def _conditions(self, outputs: Generated) -> Table:
        """What was asked for; of networks that ask for nothing, no quantities."""
        conditions = outputs.conditions.float().cpu().numpy()
        return self._asked(conditions, bool(conditions.shape[1]))

    def _stored(self, made: Events) -> dict[str, np.ndarray]:
        """What `generated.npz` has beside the columns of events."""
        return {}

    def _draw(self, real: Events, made: PackedEvents) -> list[Path]:
        """Figures beside those of the judgement."""
        return []

    def _real(self, selection: Selection, conditional: bool) -> Events:
        """Real events, without their conditions unless what is judged is conditional."""
        parameters, conditions = selection.source.scalars(selection.entries)
        return Events(Table.of_scaled(self.source.spec.parameters, parameters), self._asked(conditions, conditional))

    def _asked(self, conditions: np.ndarray, conditional: bool) -> Table:
        """Scaled conditions as a table."""
        quantities = self.source.spec.conditions if conditional else ()
        return Table.of_scaled(quantities, conditions[:, : len(quantities)])

    def _not_judged(self, entries: np.ndarray) -> Selection:
        """The entries that were trained on, and are not among those that inference ran over."""
        train = self.splits.train
        same = train.source is self.source
        return Selection(train.source, np.setdiff1d(train.entries, entries) if same else train.entries)


def refuse(what: str, bad: np.ndarray, entry: np.ndarray) -> None:
    """Raise `TrainingError` where any event is `bad`, bool [m]: says `what` is wrong of which of them."""
    if rows := np.flatnonzero(bad).tolist():
        raise TrainingError(
            f"generated {what} in {len(rows)} of {len(bad)} events, first for entry {entry[rows[0]]}: these weights "
            "are of no use; train with a lower mode.optimizer.learning_rate"
        )
