"""A picture of an event of any data: drawn by the shape of its containers."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Container, Images, Points, SparseImages, Table
from airshower.data.quantity import Quantity
from airshower.data.spec import PointsSpec, Spec
from airshower.data.truth import DIRECTION, POSITION, Columns
from airshower.writers.event_text import number_text, truth_text
from airshower.writers.figures import Figure, pyplot, set_title
from airshower.writers.shower_figures import event_images, in_fields_of_view, shower_display
from airshower.writers.tank_figures import array_display
from airshower.writers.wire_figures import wire_display

Marks = Mapping[str, Any]
"""A direction (altitude and azimuth in rad [2]) and a core (m [2]) of an event; either may be missing."""
ROWS = 40  # of a table in a figure


def display_event(spec: Spec, batch: Batch, row: int, title: str = "") -> "Figure | None":
    """A picture of event `row` of a batch on any device, with its truth below the title and marked in it; None where no
    container can be drawn, as of an event without any values."""
    truth = batch.truth.get() if batch.truth is not None else {}
    text = "\n".join(filter(None, (title, truth_text(spec, truth, row))))
    return draw_event(spec, batch, row, text, {"true": true_marks(spec, truth, row)} if truth else {})


def draw_event(spec: Spec, batch: Batch, row: int, title: str, marks: Mapping[str, Marks]) -> "Figure | None":
    """A picture of event `row` of a batch: images if there are any, else the values of its tables. `marks` are drawn
    into it, by name ("true", "predicted")."""
    for name, container in batch.inputs.items():
        if isinstance(container, SparseImages):
            return wire_display(spec[name], _on_host(container), row, title, marks.get("true", {}).get("vertex"))
        if isinstance(container, CameraImages):
            directions = {
                kind: in_fields_of_view(torch.as_tensor(of_kind["direction"]), container.cameras, row)
                for kind, of_kind in marks.items()
                if "direction" in of_kind
            }
            return shower_display(spec[name], event_images(container.cameras, row), directions, title)
        if isinstance(container, Images):
            hits = spec[name].hits(torch.as_tensor(container.values[row : row + 1]).cpu().numpy())
            columns: dict[str, np.ndarray] = dict(zip(("charge", "time"), hits.values, strict=False))
            sensors = spec[name].position
            return array_display(sensors, sensors[hits.grid_id - 1], columns, _cores(marks), title)
        if isinstance(container, Points):
            event = _on_host(container).taken(np.array([row]))
            features = spec[name].physical(event.features)
            if "charge" in features:
                return _points_display(spec[name], event.position, features, marks, title)
    values = _table_values(spec, batch, row)
    return table_display(values, title) if values else None


def true_marks(spec: Spec, truth: Columns, row: int) -> dict[str, np.ndarray]:
    """The first direction, the first position on the ground and the first one in several images (`vertex`) of the truth
    of an event, as far as they are known."""
    marks: dict[str, np.ndarray] = {}
    for column in spec.truth:
        if column.kind not in (DIRECTION, POSITION) or column.name not in truth:
            continue
        value = np.asarray(truth[column.name][row], np.float64)
        position = "core" if value.ndim == 1 else "vertex"
        if np.isfinite(value).any():
            marks.setdefault("direction" if column.kind == DIRECTION else position, value)
    return marks


def table_display(values: list[tuple[Quantity, float]], title: str) -> Figure:
    """The quantities of an event with their values: bars where all have one unit, else a table."""
    units = {quantity.unit for quantity, _ in values}
    height = 0.9 + 0.24 * min(len(values), ROWS)
    figure, axis = pyplot().subplots(figsize=(6.4, height), layout="constrained")
    set_title(figure, title)
    names = [quantity.name for quantity, _ in values[:ROWS]]
    if len(units) == 1 and len(values) > 1:
        axis.barh(range(len(names)), [value for _, value in values[:ROWS]], color="#4477aa")
        axis.set_yticks(range(len(names)), names, fontsize=8)
        axis.set(xlabel=units.pop() or "value", ylim=(len(names) - 0.5, -0.5))
        return figure
    axis.set(xlim=(0, 1), ylim=(len(names) - 0.5, -0.5))
    axis.set_axis_off()
    for place, (quantity, value) in enumerate(values[:ROWS]):
        axis.text(0.52, place, quantity.name, ha="right", va="center", parse_math=False)
        axis.text(0.58, place, _value_text(quantity, value), ha="left", va="center", parse_math=False)
    return figure


def _value_text(quantity: Quantity, value: float) -> str:
    row = round(value) if quantity.names and np.isfinite(value) else -1
    return quantity.names[row] if 0 <= row < len(quantity.names) else number_text(value, quantity.unit)


def _table_values(spec: Spec, batch: Batch, row: int) -> list[tuple[Quantity, float]]:
    """The quantities of all tables of an event with their values."""
    values = []
    for name, container in batch.inputs.items():
        if isinstance(container, Table):
            scaled = torch.as_tensor(container.values[row]).cpu().numpy()
            values += [
                (quantity, float(quantity.physical(value)))
                for quantity, value in zip(spec.quantities(name), scaled, strict=True)
            ]
    return values


def _points_display(
    spec: PointsSpec, position: np.ndarray, features: Columns, marks: Mapping[str, Marks], title: str
) -> Figure:
    """Hits on the ground with cores, or pixels on the sky."""
    if spec.unit == "m":
        return array_display(spec.sensors, position, features, _cores(marks), title)
    first, second = (f"offset in {axis} ({spec.unit})" for axis in spec.axes[:2])
    return array_display(spec.sensors, position, features, {}, title, (first, second), "pixels")


def _cores(marks: Mapping[str, Marks]) -> dict[str, np.ndarray]:
    return {kind: np.asarray(of_kind["core"]) for kind, of_kind in marks.items() if "core" in of_kind}


def _on_host(container: Container) -> Any:
    return container.moved(lambda tensor: tensor.cpu().numpy())
