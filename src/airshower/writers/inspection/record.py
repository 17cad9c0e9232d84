"""The report of an inspection: what `report.json` holds.

    version   1
    files     paths
    entries   `in_files` (events, or images: `unit`), `removed` by each cut, `distinct` ones left, `read` for inputs;
              `splits`: of train, validation and test their `entries`, and those `also_in_train`
    ids       `columns` by name with min, max and how many are `distinct`; `duplicates`: entries with
              the id of one before them
    truth     by column: `kind`, `missing` entries, and the entries of each of `classes`, or `parts`: see `described`,
              with `unit` and `missing`
    frame     what directions and positions are learned relative to, in words
    inputs    by container: `kind`, `shape`, `events` that were read, and `channels`: `unit`, numbers of `values`, of
              `events` with any, of `zeros`, `not_finite` ones and `empty` events; range, mean, quantiles, or `classes`
    remarks   sentences, see `remarks`

Quantiles are q01 to q99. They are exact where an entry has one value; of pixels and hits they are right to 0.4 %.
Numbers that do not exist are null.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from airshower.data.channels import FRAME
from airshower.data.source import Contents
from airshower.data.spec import CameraImagesSpec, ImagesSpec, PointsSpec, SparseImagesSpec, Spec
from airshower.data.truth import Columns
from airshower.writers.event_text import number_text
from airshower.writers.inspection.remarks import remarks
from airshower.writers.inspection.tally import Tally
from airshower.writers.inspection.truth import truth_record

VERSION = 1


def report(
    spec: Spec,
    contents: Sequence[Contents],
    ids: Sequence[np.ndarray],
    splits: Mapping[str, np.ndarray],
    truth: Columns,
    tallies: Sequence[Tally],
) -> dict[str, Any]:
    """The report, from what the sources hold, the ids [entries, 3] of the distinct entries of each, their truth and the
    rows of each split among all of them, and the channels of those that were read."""
    inputs = {name: _input(spec, name, tallies) for name in spec.inputs}
    if any(tally.container == FRAME for tally in tallies):
        inputs[FRAME] = _input(spec, FRAME, tallies)
    read = max((len(tally.events) for tally in tallies), default=0)
    made = {
        "version": VERSION,
        "files": [str(path) for part in contents for path in part.files],
        "entries": _entries(contents, splits, sum(map(len, ids)), read),
        "ids": _ids(spec, ids),
        "truth": {
            column.name: truth_record(column, truth[column.name]) for column in spec.truth if column.name in truth
        },
        "frame": _frame(inputs.get(FRAME)),
        "inputs": inputs,
    }
    return made | {"remarks": remarks(made)}


def shape_text(shape: Mapping[str, Any]) -> str:
    """The shape of a container in words."""
    return ", ".join(
        f"{name}: {shape_text(value)}" if isinstance(value, dict) else f"{value:,} {name}"
        for name, value in shape.items()
    )


def _entries(
    contents: Sequence[Contents], splits: Mapping[str, np.ndarray], distinct: int, read: int
) -> dict[str, Any]:
    removed: dict[str, int] = {}
    for part in contents:
        for name, count in part.removed.items():
            removed[name] = removed.get(name, 0) + count
    return {
        "in_files": sum(part.total for part in contents),
        "unit": contents[0].unit,
        "removed": removed,
        "distinct": distinct,
        "read": read,
        "splits": {
            name: {
                "entries": len(rows),
                "also_in_train": 0 if name == "train" else int(np.isin(rows, splits["train"]).sum()),
            }
            for name, rows in splits.items()
        },
    }


def _ids(spec: Spec, ids: Sequence[np.ndarray]) -> dict[str, Any]:
    named = dict(zip(spec.ids, np.concatenate(ids).T, strict=False))
    columns = {
        name: {"min": int(column.min()), "max": int(column.max()), "distinct": len(np.unique(column))}
        for name, column in named.items()
    }
    return {"columns": columns, "duplicates": sum(len(part) - len(np.unique(part, axis=0)) for part in ids)}


def _input(spec: Spec, name: str, tallies: Sequence[Tally]) -> dict[str, Any]:
    of_container = [tally for tally in tallies if tally.container == name]
    kind, shape = _shape(spec.inputs.get(name))
    return {
        "kind": kind,
        "shape": shape,
        "events": len(of_container[0].events) if of_container else 0,
        "channels": {tally.name: tally.record() for tally in of_container},
    }


def _shape(part: Any) -> tuple[str, dict[str, Any]]:
    if isinstance(part, SparseImagesSpec):
        return "sparse images", {"planes": part.planes, "rows": part.shape[0], "columns": part.shape[1]}
    if isinstance(part, CameraImagesSpec):
        cameras = {
            camera.name: {"telescopes": int((part.camera == row).sum()), "pixels": len(camera)}
            for row, camera in enumerate(part.cameras)
        }
        return f"camera images, {part.mode}", cameras
    if isinstance(part, ImagesSpec):
        rows, columns = part.shape
        shape = {"channels": len(part.channels), "rows": rows, "columns": columns, "PMTs": len(part.position)}
        return "images", shape
    if isinstance(part, PointsSpec):
        return "points", {"features": len(part.features), "axes": len(part.axes), "sensors": len(part.sensors)}
    return ("frame", {}) if part is None else ("table", {"quantities": len(part.quantities)})


def _frame(frame: dict[str, Any] | None) -> str:
    if frame is None:
        return "nothing: these data have no frame"
    words = []
    for what, names, unit in (("axis", ("altitude", "azimuth"), "deg"), ("origin", ("x", "y", "z"), "m")):
        ranges = [frame["channels"].get(f"{name} of the {what}") for name in names]
        texts = [f"{name} {_range_text(about)}" for name, about in zip(names, ranges, strict=True) if about is not None]
        if texts:
            words.append(f"an {what} at {', '.join(texts)} {unit}")
    return " and ".join(words)


def _range_text(about: dict[str, Any]) -> str:
    low, high = about["min"], about["max"]
    if low is None:
        return "–"
    return number_text(low) if low == high else f"{number_text(low)} to {number_text(high)}"
