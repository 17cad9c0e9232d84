"""Arrays in memory as a source of events, for networks that were trained on files."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Container, Images, Points, SparseImages, Table, TelescopeImages
from airshower.data.source import Source
from airshower.data.spec import CameraImagesSpec, ImagesSpec, PointsSpec, SparseImagesSpec, Spec, TableSpec
from airshower.data.truth import Frame
from airshower.errors import UserError
from airshower.geometry.sky import common_pointing, unit_vector

Arrays = Mapping[str, Any]


class ArraySource(Source):
    """Events given as arrays by name of the container, in physical units.

    - Sparse images (wires): charge [n, planes, rows, columns] as in files, 0 where a pixel is empty.
    - Dense images (tanks): [n, channels, rows, columns], charge in p.e. and time in ns; without charge there is no hit.
    - Points: a mapping of `counts` [n], the points of each event, `position` [points, axes], and features to [points].
    - A table: a mapping of quantities to [n].
    - Images of one telescope each: a mapping of `charge` (p.e.) and `time` (ns) [n, pixels], `telescope` [n] (ids; may
      be left out where there is one), `pointing` [n, 2] or [2] (altitude and azimuth in rad), perhaps `clean` bool.

    - `frame`: what directions and positions are learned relative to, a mapping of `axis` [2] or [n, 2] (altitude and
      azimuth in rad) and `origin` (m). Telescopes have theirs by their pointing and place.

    Raises `UserError` for arrays of another shape than the spec says.
    """

    def __init__(self, spec: Spec, arrays: Arrays):
        self.frame: Mapping[str, Any] = arrays.get("frame", {})
        arrays = {name: values for name, values in arrays.items() if name != "frame"}
        if unknown := sorted(set(arrays) - set(spec.inputs)):
            raise UserError(f"{', '.join(unknown)}: the network takes {', '.join(spec.inputs)}")
        self.spec = Spec(spec.inputs, spec.truth, frozenset(), ("event",))
        self.digest = "arrays"
        self.containers = {name: _container(name, spec[name], values) for name, values in arrays.items()}
        sizes = {name: make(None) for name, make in self.containers.items()}
        if len(set(sizes.values())) != 1:
            raise UserError(f"arrays have different numbers of events: {sizes}")
        self.events = int(next(iter(sizes.values())))

    def __len__(self) -> int:
        return self.events

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`."""
        entries = np.asarray(entries, np.int64)
        inputs = {name: make(entries) for name, make in self.containers.items()}
        ids = np.stack([entries, *np.zeros((2, len(entries)), np.int64)], 1)
        return Batch(inputs, entries, ids, None, _frame(inputs, self.spec, self.frame, entries))


def _container(name: str, spec: Any, values: Any) -> Any:
    """A function that makes the container of some entries; of None it says how many there are."""
    if isinstance(spec, SparseImagesSpec):
        images = _of_shape(name, values, (spec.planes, *spec.shape))
        return lambda entries: len(images) if entries is None else _sparse(images[entries])
    if isinstance(spec, ImagesSpec):
        images = _of_shape(name, values, (len(spec.channels), *spec.shape))
        scaled = np.zeros(images.shape, np.float32)
        for channel, quantity in enumerate(spec.channels):
            scaled[:, channel] = quantity.scaled(images[:, channel]).clip(0.0, 1.0)
        scaled = np.where((images[:, :1] > 0) & ~spec.dead, scaled, np.float32(0))
        return lambda entries: len(images) if entries is None else Images(scaled[entries])
    if isinstance(spec, PointsSpec):
        points = _points(name, spec, values)
        return lambda entries: len(points) if entries is None else points.taken(entries)
    if isinstance(spec, TableSpec):
        columns = [_of_shape(f"{name}.{q.name}", values.get(q.name), ()) for q in spec.quantities]
        scaled = [q.scaled(column) for q, column in zip(spec.quantities, columns, strict=True)]
        table = np.stack(scaled, 1) if scaled else np.zeros((0, 0), np.float32)
        return lambda entries: len(table) if entries is None else Table(table[entries])
    if isinstance(spec, CameraImagesSpec) and spec.mode == "mono":
        return _Telescopes(name, spec, values)
    raise UserError(f"{name}: events of several telescopes can't be given as arrays; open their files")


def _points(name: str, spec: PointsSpec, values: Mapping[str, Any]) -> Points:
    counts = _of_shape(f"{name}.counts", values.get("counts"), ()).astype(np.int64)
    position = _of_shape(f"{name}.position", values.get("position"), (len(spec.axes),)).astype(np.float32)
    columns = [_of_shape(f"{name}.{q.name}", values.get(q.name), ()) for q in spec.features]
    for column in (position, *columns):
        if len(column) != counts.sum():
            raise UserError(f"{name}: {counts.sum()} points by their counts, but an array has {len(column)}")
    scaled = [q.scaled(column) for q, column in zip(spec.features, columns, strict=True)]
    return Points(position, np.stack(scaled, 1), counts)


class _Telescopes:
    """Images of one telescope each."""

    def __init__(self, name: str, spec: CameraImagesSpec, values: Mapping[str, Any]):
        charge = np.asarray(values["charge"], np.float32)
        ids = np.asarray(values.get("telescope", spec.telescope_ids[0]), np.int64)
        if "telescope" not in values and len(spec.telescope_ids) > 1:
            raise UserError(f"{name}.telescope: is needed, there are {len(spec.telescope_ids)} telescopes")
        ids = np.broadcast_to(ids, len(charge))
        if missing := sorted(set(ids.tolist()) - set(spec.telescope_ids.tolist())):
            raise UserError(f"{name}.telescope={missing[0]}: the network knows {spec.telescope_ids.tolist()}")
        self.telescope = np.searchsorted(spec.telescope_ids, ids)
        pixels = np.array([len(camera) for camera in spec.cameras])[spec.camera[self.telescope]]
        for row in np.flatnonzero(pixels != charge.shape[1])[:1]:
            raise UserError(f"{name}.charge: has {charge.shape[1]} pixels, telescope {ids[row]} has {pixels[row]}")
        self.spec = spec
        self.charge = charge
        self.time = _of_shape(f"{name}.time", values.get("time"), charge.shape[1:])
        self.clean = values.get("clean")
        self.pointing = np.broadcast_to(np.asarray(values.get("pointing", (np.nan, np.nan)), np.float32), (len(ids), 2))

    def __call__(self, entries: np.ndarray | None) -> Any:
        if entries is None:
            return len(self.charge)
        camera = self.spec.camera[self.telescope[entries]]
        return CameraImages(tuple(self._of(entries, camera == kind) for kind in range(len(self.spec.cameras))))

    def _of(self, entries: np.ndarray, chosen: np.ndarray) -> TelescopeImages:
        rows = entries[chosen]
        clean = None if self.clean is None else np.asarray(self.clean, bool)[rows]
        columns = self.charge[rows], self.time[rows].astype(np.float32), clean
        return TelescopeImages(*columns, np.flatnonzero(chosen), self.telescope[rows], self.pointing[rows])


def _sparse(images: np.ndarray) -> SparseImages:
    """Pixels along the time axis first, as files have them."""
    event, plane, column, row = np.nonzero(images.transpose(0, 1, 3, 2))
    counts = np.zeros(images.shape[:2], np.int64)
    np.add.at(counts, (event, plane), 1)
    values = images[event, plane, row, column].astype(np.float32)
    shape = (images.shape[2], images.shape[3])
    return SparseImages(row.astype(np.int32), column.astype(np.int32), values, None, counts, shape)


def _of_shape(name: str, values: Any, shape: tuple[int, ...]) -> np.ndarray:
    if values is None:
        raise UserError(f"{name}: is missing")
    array = np.asarray(values)
    if array.shape[1:] != shape or not array.ndim:
        wanted = ", ".join(["events", *map(str, shape)])
        raise UserError(f"{name}: is an array {list(array.shape)}, it should be [{wanted}]")
    return array


def _frame(inputs: dict[str, Container], spec: Spec, given: Mapping[str, Any], entries: np.ndarray) -> Frame | None:
    """The pointing of telescopes and their places; else what is given."""
    for name, container in inputs.items():
        if not isinstance(container, CameraImages):
            continue
        event = np.concatenate([camera.event for camera in container.cameras])
        order = np.argsort(event)
        pointing, telescope = (
            np.concatenate([getattr(camera, what) for camera in container.cameras])[order]
            for what in ("pointing", "telescope")
        )
        directions = unit_vector(torch.from_numpy(pointing).double())
        axis = common_pointing(directions, torch.arange(len(event)), len(event)).float().numpy()
        return Frame(axis, spec[name].position[telescope, :2].astype(np.float32))
    if not given:
        return None
    axis, origin = (given.get(name) for name in ("axis", "origin"))
    return Frame(*(None if part is None else _each(part, len(entries), entries) for part in (axis, origin)))


def _each(part: Any, events: int, entries: np.ndarray) -> np.ndarray:
    values = np.asarray(part, np.float32)
    return np.tile(values, (events, 1)) if values.ndim == 1 else values[entries]
