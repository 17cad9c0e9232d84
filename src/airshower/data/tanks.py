"""Events of an array of water tanks: images of charge and time on a lattice of PMTs, parameters, conditions."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Self

import numpy as np

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Quantity:
    """A number as files have it, in `unit`, and as a network sees it: less `middle` and by `width`, of its natural
    logarithm where it is `logarithmic`, with `floor` added before. Angles repeat after `period` (0: does not). Files
    have multiples of `step` (0: any number). `names` are those of 0, 1, ..., where these are classes."""

    name: str
    unit: str
    middle: float
    width: float
    logarithmic: bool = False
    floor: float = 0.0
    period: float = 0.0
    step: float = 0.0
    names: tuple[str, ...] = ()

    def scaled(self, values: np.ndarray) -> np.ndarray:
        """What a network sees of them, float32; NaN or infinite where there is no logarithm."""
        values = np.asarray(values, np.float64)
        if self.logarithmic:
            with np.errstate(divide="ignore", invalid="ignore"):
                values = np.log(values + self.floor)
        return ((values - self.middle) / self.width).astype(np.float32)

    def physical(self, scaled: np.ndarray) -> np.ndarray:
        """The other way around, f8, in `unit`; angles in the turn around `middle`."""
        values = np.asarray(scaled, np.float64) * self.width + self.middle
        if self.logarithmic:
            return np.exp(values) - self.floor
        if self.period:
            low = self.middle - self.period / 2
            return (values - low) % self.period + low
        return values


class TankHits(NamedTuple):
    """Hits of many events: `event` and `grid_id` (from 1 on) int64, `charge` in p.e. and `time` in ns f8, each [hits];
    `time` is None where images, or files, have charges alone."""

    event: np.ndarray
    grid_id: np.ndarray
    charge: np.ndarray
    time: np.ndarray | None

    @property
    def values(self) -> list[np.ndarray]:
        """Charge, and time where there is one, in the order of `TankSpec.channels`."""
        return [self.charge] if self.time is None else [self.charge, self.time]

    def rows(self, chosen: np.ndarray) -> "TankHits":
        """Some of them, by places or bool [hits]."""
        time = None if self.time is None else self.time[chosen]
        return TankHits(self.event[chosen], self.grid_id[chosen], self.charge[chosen], time)

    @classmethod
    def joined(cls, parts: Sequence["TankHits"]) -> "TankHits":
        """The hits of all parts, of which there is one at least; all have times, or none has."""
        times = [part.time for part in parts if part.time is not None]
        return cls(
            np.concatenate([part.event for part in parts]),
            np.concatenate([part.grid_id for part in parts]),
            np.concatenate([part.charge for part in parts]),
            np.concatenate(times) if times else None,
        )


@dataclass(frozen=True, eq=False)
class TankSpec:
    """What a source of tank events gives, which networks are checked against.

    `channels` of the images: charge, or charge and time, or none; `time` is plane (behind the shower's plane) or
    absolute. `parameters` are what is reconstructed of an event, `conditions` what is simulated. `position` f8 [PMTs,
    3] in m, `cell` int64 [PMTs, 2], the PMTs' rows and columns in images; `pmt` int64 [rows, columns], -1 for cells
    that have no PMT. `classes` names the primaries.
    """

    channels: tuple[Quantity, ...]
    time: str
    parameters: tuple[Quantity, ...]
    conditions: tuple[Quantity, ...]
    position: np.ndarray
    cell: np.ndarray
    pmt: np.ndarray
    classes: tuple[str, ...]

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
        """What images [n, channels, rows, columns] have where there is a PMT, row by row [n, channels, PMTs]."""
        return images[:, :, ~self.dead]

    def hits(self, images: np.ndarray) -> TankHits:
        """The hits in images [n, channels, rows, columns], also in generated ones: where the charge is positive and
        there is a PMT."""
        return self.cell_hits(self.live_cells(images))

    def cell_hits(self, cells: np.ndarray) -> TankHits:
        """The same of live cells [n, channels, PMTs]."""
        event, place = np.nonzero(cells[:, 0] > 0)
        found = [quantity.physical(cells[event, c, place]) for c, quantity in enumerate(self.channels)]
        grid_id = self.pmt[~self.dead][place] + 1
        return TankHits(event, grid_id, found[0], found[1] if len(found) > 1 else None)

    def physical(self, scaled: np.ndarray, quantities: tuple[Quantity, ...]) -> dict[str, np.ndarray]:
        """Scaled parameters or conditions [n, quantities] in their units, f8 [n] by name."""
        return {quantity.name: quantity.physical(column) for quantity, column in zip(quantities, scaled.T, strict=True)}


@dataclass(frozen=True, eq=False)
class TankBatch:
    """Events; arrays or, after `to`, tensors: `images` float32 [n, channels, rows, columns], `parameters` and
    `conditions` float32 [n, quantities], all as the spec scales them; `primary` int64 [n], rows of its classes.
    `entries` int64 [n]; `event_ids` int64 [n, 3]: file, event in the file, 0."""

    images: Any
    parameters: Any
    conditions: Any
    primary: Any
    entries: np.ndarray
    event_ids: np.ndarray

    def __len__(self) -> int:
        return len(self.entries)

    @property
    def nbytes(self) -> int:
        """Size of the arrays as they came from the source."""
        return self.images.nbytes + self.parameters.nbytes + self.conditions.nbytes

    def pin(self) -> Self:
        """The batch in page-locked memory, from which a GPU copies without waiting for the CPU."""
        return self._map(lambda tensor: tensor.pin_memory())

    def to(self, device: "torch.device") -> Self:
        """The batch as tensors on `device`; the one place where arrays become tensors."""
        return self._map(lambda tensor: tensor.to(device, non_blocking=True))

    def _map(self, move: Callable[[Any], Any]) -> Self:
        import torch

        names = ("images", "parameters", "conditions", "primary")
        return dataclasses.replace(self, **{name: move(torch.as_tensor(getattr(self, name))) for name in names})
