"""The targets of a task together: what they are of an event, as columns of a table, in words and in a picture."""

from typing import Any

import numpy as np
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.spec import Spec
from airshower.data.truth import CLASS, DIRECTION, POSITION, Column
from airshower.geometry.sky import seen_from, separation
from airshower.tasks.reconstruction.classes import ClassTarget
from airshower.tasks.reconstruction.config import ReconstructionConfig, asked_targets, signal_row
from airshower.tasks.reconstruction.judged import Judged, offset
from airshower.tasks.reconstruction.observed import UNITS, observed
from airshower.tasks.reconstruction.sample import ReconstructionSample
from airshower.tasks.reconstruction.targets import Direction, Target


class EventTargets:
    """`every` target by name whose column this kind of data has, and those that are `learned`; `signal` is the row of
    the signal among the classes, -1 where there is none, `signal_name` that class, such as proton+helium of helium."""

    def __init__(self, config: ReconstructionConfig, columns: tuple[Column, ...]):
        self.every = asked_targets(config, columns)
        self.learned = {name: target for name, target in self.every.items() if target.config.weight}
        self.signal = signal_row(config, columns)
        column = self.signal_column
        self.signal_name = column.classes[self.signal] if column and self.signal >= 0 else config.signal

    @property
    def classes(self) -> ClassTarget | None:
        """The first learned class target, whose scores are those of the signal."""
        return _first_classes(self.learned)

    @property
    def signal_target(self) -> ClassTarget | None:
        """The target whose classes have the signal that other targets are learned from, also if it has weight 0."""
        return _first_classes(self.every)

    @property
    def signal_column(self) -> Column | None:
        """The column of these classes."""
        return self.signal_target.column if self.signal_target else None

    @property
    def judged(self) -> list[Judged]:
        """The targets that figures of merit are of: all but classes, and of these `classes` alone."""
        judged = [target.judged for target in self.every.values() if target.column.kind != CLASS]
        return [*judged, self.classes.judged] if self.classes else judged

    def keep(self, names: list[str]) -> None:
        """Learn these alone."""
        self.learned = {name: target for name, target in self.learned.items() if name in names}

    def columns(
        self, batch: Batch, sample: ReconstructionSample, outputs: dict[str, Tensor], spec: Spec
    ) -> dict[str, np.ndarray]:
        """Predictions and, with the prefix true_, the truth, in the targets' units; rad, m and p.e., offsets in deg.
        Rows are the events of `batch`, which is as it was read from a source of this spec."""
        ids = dict(zip(spec.ids, batch.event_ids.T, strict=False))
        columns = {"entry": batch.entries, **ids, **observed(sample.batch, spec, sample.frame)}
        columns |= sample.physical(self.learned, outputs)
        truth = {f"true_{name}": column for name, column in self.true_columns(sample).items()}
        return columns | truth | self._derived(sample)

    @property
    def units(self) -> dict[str, str]:
        """The units of `columns`."""
        units = dict(UNITS)
        for name, target in self.every.items():
            units |= target.units | {f"true_{part}": unit for part, unit in target.units.items()}
            units |= {offset(name): "deg", f"true_{name}_distance": target.unit}
        return units

    def true_columns(self, sample: ReconstructionSample) -> dict[str, np.ndarray]:
        """The truth of a sample as columns of a table of events; none of observations."""
        columns: dict[str, np.ndarray] = {}
        for target in self.every.values():
            if sample.columns and target.column.name in sample.columns:
                columns |= target.table(sample.columns[target.column.name])
        return columns

    def _derived(self, sample: ReconstructionSample) -> dict[str, np.ndarray]:
        """Distances of true positions to the frame's origin, in the target's unit, and angles of true directions to its
        axis, in deg."""
        columns: dict[str, Tensor] = {}
        frame = sample.frame
        truth = sample.columns or {}
        for name, target in self.every.items():
            values = truth.get(target.column.name)
            if values is None:
                continue
            if target.column.kind == POSITION and frame.origin is not None:
                distance = (values - frame.origin).norm(dim=1)
                columns[f"true_{name}_distance"] = distance if target.factor == 1.0 else distance * target.factor
            elif target.column.kind == DIRECTION and frame.axis is not None:
                vector = seen_from(frame.axis, values)
                columns[offset(name)] = separation(vector, vector.new_tensor([0.0, 0.0, 1.0]).expand_as(vector))
        return {name: column.cpu().numpy() for name, column in columns.items()}

    def marks(self, row: dict[str, Any]) -> dict[str, np.ndarray]:
        """The direction (rad) and the core (m) in a row of a table of events, for a picture of it."""
        marks: dict[str, np.ndarray] = {}
        for target in self.every.values():
            if target.column.parts and set(target.parts) <= row.keys():
                kind = "direction" if isinstance(target, Direction) else "core"
                marks.setdefault(kind, np.array([row[part] for part in target.parts]) / target.factor)
        return marks

    def text(self, row: dict[str, Any]) -> str:
        """Class and energy in a row of a table of events, in words."""
        words = []
        for name, target in self.every.items():
            if name in row and target.column.kind == CLASS:
                words.append(f"{name} {row[name]}" if name in self.learned else str(row[name]))
            elif name in row and target.config.log10:
                words.append(f"{row[name]:.3g} {target.unit}")
        return " ".join(words)


def _first_classes(targets: dict[str, Target]) -> ClassTarget | None:
    return next((target for target in targets.values() if isinstance(target, ClassTarget)), None)
