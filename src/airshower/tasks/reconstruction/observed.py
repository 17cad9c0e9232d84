"""What is measured of events beside the targets, by container."""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Images, Points, image_size
from airshower.data.spec import PointsSpec, Spec
from airshower.data.truth import Frame

Columns = dict[str, np.ndarray]
UNITS = {"intensity": "p.e.", "second_intensity": "p.e.", "charge": "p.e.", "pointing_alt": "rad", "pointing_az": "rad"}
"""Of what is `observed`."""


def observed(batch: Batch, spec: Spec, frame: Frame | None) -> Columns:
    """Columns [events] of a batch on the device: of telescopes their number, the charge of their images and that of the
    second brightest (p.e., 0 where there is no second one), of arrays of PMTs the number of hits and their charge
    (p.e.); where the frame's axis is (rad)."""
    columns: dict[str, Any] = {}
    for name, container in batch.inputs.items():
        if isinstance(container, CameraImages):
            columns |= _of_telescopes(container, len(batch))
        elif isinstance(container, Images):
            columns |= _of_array(container, spec[name])
        elif isinstance(container, Points):
            columns |= _of_points(container, spec[name])
    if frame is not None and frame.axis is not None:
        columns |= {"pointing_alt": frame.axis[:, 0], "pointing_az": frame.axis[:, 1]}
    return {name: np.asarray(column.cpu()) for name, column in columns.items()}


def _of_telescopes(images: CameraImages, events: int) -> dict[str, Tensor]:
    event = torch.cat([kind.event for kind in images.cameras])
    charge = torch.cat([image_size(kind.charge.nan_to_num(), kind.clean) for kind in images.cameras])
    return {
        "multiplicity": torch.bincount(event, minlength=events),
        "intensity": charge.new_zeros(events).index_add(0, event, charge),
        "second_intensity": _second(charge, event, events),
    }


def _second(charge: Tensor, event: Tensor, events: int) -> Tensor:
    """The second largest of the charges [images] of each event [events], 0 where there is none."""
    falling = charge.argsort(descending=True)
    order = falling[event[falling].argsort(stable=True)]
    second = torch.searchsorted(event[order], torch.arange(events, device=event.device)) + 1
    several = torch.bincount(event, minlength=events) > 1
    found = charge.new_zeros(events)
    found[several] = charge[order][second[several]]
    return found


def _of_array(images: Images, spec: Any) -> dict[str, Tensor]:
    cells = images.values[:, 0].cpu().numpy()
    charge = np.where(cells > 0, spec.channels[0].physical(cells), 0.0)
    return {"hits": torch.from_numpy((cells > 0).sum((1, 2))), "charge": torch.from_numpy(charge.sum((1, 2)))}


def _of_points(points: Points, spec: PointsSpec) -> dict[str, Tensor]:
    counts = torch.from_numpy(points.counts)
    column = spec.feature("charge")
    if column is None:
        return {"hits": counts}
    charge = spec.features[column].physical(points.features[:, column].cpu().numpy())
    event = np.repeat(np.arange(len(counts)), points.counts)
    return {"hits": counts, "charge": torch.from_numpy(np.bincount(event, charge, len(counts)))}
