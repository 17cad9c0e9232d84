"""Columns of truth as numbers with units, and what the report says of them."""

from typing import Any

import numpy as np

from airshower.data.truth import CLASS, DIRECTION, NUMBER, Column
from airshower.writers.inspection.tally import described


def parts(column: Column, values: np.ndarray) -> dict[str, np.ndarray]:
    """The numbers of a column of truth that is no class, each [n] by name: itself, altitude and azimuth in deg, or
    coordinates, those in several images with the number of their plane."""
    if column.kind == NUMBER:
        return {column.name: values}
    if column.kind == DIRECTION:
        return {name: np.degrees(angle) for name, angle in zip(("altitude", "azimuth"), values.T, strict=True)}
    names = column.parts or (("row", "column") if column.unit == "pixel" else ("x", "y", "z"))
    if values.ndim == 2:
        return dict(zip(names, values.T, strict=False))
    return {
        f"{name}, plane {plane}": values[:, plane, place]
        for plane in range(values.shape[1])
        for place, name in zip(range(values.shape[2]), names, strict=False)
    }


def unit_of(column: Column) -> str:
    """The unit of `parts`."""
    return "deg" if column.kind == DIRECTION else column.unit


def truth_record(column: Column, values: np.ndarray) -> dict[str, Any]:
    """A column of truth in the report: its kind, and of a class the entries of each, of others the `parts` with unit,
    range, mean and quantiles; `missing` are entries without a value."""
    if column.kind == CLASS:
        counts = {name: int((values == row).sum()) for row, name in enumerate(column.classes)}
        return {"kind": column.kind, "missing": int((values < 0).sum()), "classes": counts}
    columns = parts(column, values)
    finite = {name: part[np.isfinite(part)] for name, part in columns.items()}
    return {
        "kind": column.kind,
        "missing": int((~np.isfinite(values.reshape(len(values), -1)).any(1)).sum()),
        "parts": {
            name: {"unit": unit_of(column), "missing": len(values) - len(part), **described(part)}
            for name, part in finite.items()
        },
    }
