"""What a source gives: the shape of its containers and its columns of truth, which networks and tasks are checked
against."""

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.data.hits import TankHits
from airshower.data.quantity import Quantity, physical
from airshower.data.records import Records
from airshower.data.truth import Column
from airshower.geometry.camera import CameraGeometry


@dataclass(frozen=True)
class SparseImagesSpec:
    """Sparse images of `planes` wire planes.

    `shape` is (rows, columns) as read, `pooled` after downsampling by 2^`downsample`. With `absolute` values become |x|
    before it, with `log_transform` sign(x) log(1 + |x|) after it. `classes` names the labels of pixels. `pixel_size` is
    the extent of a pixel as read, along rows and columns, in cm, `unit` that of the values as read.
    """

    planes: int
    shape: tuple[int, int]
    downsample: int
    classes: tuple[str, ...]
    log_transform: bool = False
    pixel_size: tuple[float, float] = (1.0, 1.0)
    absolute: bool = False
    unit: str = ""

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns of images after downsampling."""
        return self.shape[0] >> self.downsample, self.shape[1] >> self.downsample


@dataclass(frozen=True, eq=False)
class CameraImagesSpec:
    """Images of an array of telescopes.

    `mode` is mono (an entry is an image) or stereo (an event). Telescopes, in the order of their ids: `telescope_ids`
    int64 [telescopes], `telescope_types`, `position` f8 [telescopes, 3] and `focal_length` f8 [telescopes] in m,
    `camera` int64 [telescopes], rows of `cameras`.
    """

    mode: str
    cameras: tuple[CameraGeometry, ...]
    telescope_ids: np.ndarray
    telescope_types: tuple[str, ...]
    position: np.ndarray
    focal_length: np.ndarray
    camera: np.ndarray


@dataclass(frozen=True, eq=False)
class ImagesSpec:
    """Dense images of an array of sensors (PMTs), each in a cell of a lattice.

    `channels`: charge, or charge and time. `position` f8 [PMTs, 3] in m, `cell` int64 [PMTs, 2], the PMTs' rows and
    columns in images; `pmt` int64 [rows, columns], -1 for cells that have no PMT.
    """

    channels: tuple[Quantity, ...]
    position: np.ndarray
    cell: np.ndarray
    pmt: np.ndarray

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and columns of images."""
        return self.pmt.shape

    @property
    def dead(self) -> np.ndarray:
        """Cells that have no PMT, bool [rows, columns]; they are 0 in all images."""
        return self.pmt < 0

    @property
    def tank(self) -> np.ndarray:
        """The tank of each PMT, int64 [PMTs]: a block of 2 x 2 cells."""
        row, column = self.cell.T // 2
        return row * self.shape[1] + column

    def images(self, hits: TankHits, events: int) -> np.ndarray:
        """Images float32 [events, channels, rows, columns] of hits, at most one of a PMT: between 0, which is no hit,
        and 1, in all channels."""
        images = np.zeros((events, len(self.channels), *self.shape), np.float32)
        row, column = self.cell[hits.grid_id - 1].T
        for channel, (quantity, values) in enumerate(zip(self.channels, hits.values, strict=False)):
            images[hits.event, channel, row, column] = quantity.scaled(values).clip(0.0, 1.0)
        return images

    def live_cells(self, images: np.ndarray) -> np.ndarray:
        """The cells of images [n, channels, rows, columns] that have a PMT, row by row [n, channels, PMTs]."""
        return images[:, :, ~self.dead]

    def hits(self, images: np.ndarray) -> TankHits:
        """The hits in images [n, channels, rows, columns], also in generated ones: where the charge is positive and
        there is a PMT."""
        return self.cell_hits(self.live_cells(images))

    def cell_hits(self, cells: np.ndarray) -> TankHits:
        """The same of live cells [n, channels, PMTs]."""
        event, pmt = np.nonzero(cells[:, 0] > 0)
        values = [quantity.physical(cells[event, c, pmt]) for c, quantity in enumerate(self.channels)]
        grid_id = self.pmt[~self.dead][pmt] + 1
        return TankHits(event, grid_id, values[0], values[1] if len(values) > 1 else None)


@dataclass(frozen=True, eq=False)
class ComparedImagesSpec(ImagesSpec, ABC):
    """Dense images that have numbers and profiles by which generated images are compared with reference images. Of a
    PMT `hits` have at most one in an event."""

    @property
    @abstractmethod
    def summary_quantities(self) -> tuple[Quantity, ...]:
        """The quantities of `summaries`."""

    @abstractmethod
    def summaries(self, hits: TankHits, events: int) -> Records:
        """Numbers of each event."""

    @abstractmethod
    def centres(self, hits: TankHits, events: int) -> np.ndarray:
        """The middle of each event's charge, x and y in m [events, 2]."""

    @abstractmethod
    def lateral_profile(self, hits: TankHits, centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """The mean charge of a PMT in rings about the centres [events, 2] with these edges (m), p.e. [rings]."""

    @abstractmethod
    def residual_profile(self, hits: TankHits, centres: np.ndarray, edges: np.ndarray) -> np.ndarray:
        """Times (ns) of hits behind the shower's plane in these rings: mean, 16 % and 84 % quantile [3, rings]."""


@dataclass(frozen=True, eq=False)
class PointsSpec:
    """Points with `features` at positions along `axes` in `unit`.

    `centre` f8 [axes] is the middle of the array, `sensors` f8 [sensors, axes] are the places where points can be, in
    the same coordinates.
    """

    axes: tuple[str, ...]
    unit: str
    features: tuple[Quantity, ...]
    centre: np.ndarray
    sensors: np.ndarray

    def feature(self, name: str) -> int | None:
        """The column of the feature of this name; None if there is none."""
        names = [quantity.name for quantity in self.features]
        return names.index(name) if name in names else None

    def physical(self, features: np.ndarray) -> dict[str, np.ndarray]:
        """Scaled features [points, features] in their units, f8 [points] by name."""
        return {
            quantity.name: quantity.physical(column) for quantity, column in zip(self.features, features.T, strict=True)
        }


@dataclass(frozen=True)
class TableSpec:
    """Numbers of each event; there may be none."""

    quantities: tuple[Quantity, ...]

    def physical(self, scaled: np.ndarray) -> dict[str, np.ndarray]:
        """Scaled values [n, quantities] in their units, f8 [n] by name."""
        return physical(self.quantities, scaled)


@dataclass(frozen=True)
class Spec:
    """A source's batches: `inputs` are the specs of their containers by name, `truth` the columns of truth of this kind
    of data. `known` are the names of the columns that these files have, none for observations; `ids` are those of the
    columns of `Batch.event_ids`."""

    inputs: dict[str, Any]
    truth: tuple[Column, ...] = ()
    known: frozenset[str] = frozenset()
    ids: tuple[str, ...] = ("obs_id", "event_id", "tel_id")

    def __getitem__(self, name: str) -> Any:
        """The spec of the container of this name."""
        return self.inputs[name]

    def quantities(self, name: str) -> tuple[Quantity, ...]:
        """Those of a table; () if there is no such table."""
        table = self.inputs.get(name)
        return table.quantities if isinstance(table, TableSpec) else ()

    def wanted(self, names: tuple[str, ...] | None) -> list[str]:
        """The names of known columns among these, or of all."""
        return [
            column.name for column in self.truth if column.name in self.known and (not names or column.name in names)
        ]

    def column(self, name: str) -> Column | None:
        """The column of truth of this name; None if this kind of data has none."""
        return next((column for column in self.truth if column.name == name), None)


def halvings(shape: tuple[int, int]) -> int:
    """How many times both sides of an image (positive sizes) can be halved without a remainder."""
    return min((size & -size).bit_length() - 1 for size in shape)
