"""Specs in words, for people."""

from typing import Any

from airshower.data.quantity import Quantity
from airshower.data.spec import CameraImagesSpec, ImagesSpec, PointsSpec, SparseImagesSpec, Spec, TableSpec
from airshower.data.truth import Column


def in_words(spec: Spec) -> list[str]:
    """A line for each container and one for the truth."""
    lines = [f"  {name}: {_container(part)}" for name, part in spec.inputs.items()]
    known = [_column(column) for column in spec.truth if column.name in spec.known]
    return [*lines, f"  truth: {', '.join(known) or 'none that is known'}"]


def _container(spec: Any) -> str:
    if isinstance(spec, SparseImagesSpec):
        rows, columns = spec.shape
        pooled = f", downsampled to {spec.pooled[0]} x {spec.pooled[1]}" if spec.downsample else ""
        size = f"{rows} ticks x {columns} wires{pooled}"
        return f"{spec.planes} wire planes of {size}; pixels of {', '.join(spec.classes)}"
    if isinstance(spec, CameraImagesSpec):
        kinds = dict.fromkeys(zip(spec.telescope_types, [spec.cameras[row].name for row in spec.camera], strict=True))
        counts = [
            f"{sum(1 for kind in spec.telescope_types if kind == name)} {name} ({camera})" for name, camera in kinds
        ]
        what = "an entry is an event" if spec.mode == "stereo" else "an entry is an image"
        return f"{len(spec.telescope_ids)} telescopes, {', '.join(counts)}; {what}"
    if isinstance(spec, ImagesSpec):
        rows, columns = spec.shape
        return f"{len(spec.position)} PMTs on {rows} x {columns} cells; {_quantities(spec.channels)}"
    if isinstance(spec, PointsSpec):
        return f"at {', '.join(spec.axes)} ({spec.unit}); {_quantities(spec.features) or 'no features'}"
    if isinstance(spec, TableSpec):
        return _quantities(spec.quantities) or "no quantities"
    return type(spec).__name__


def _quantities(quantities: tuple[Quantity, ...]) -> str:
    return ", ".join(f"{each.name} ({each.unit})" if each.unit else each.name for each in quantities)


def _column(column: Column) -> str:
    if column.classes:
        return f"{column.name} ({', '.join(column.classes)})"
    return f"{column.name} ({column.unit})" if column.unit else column.name
