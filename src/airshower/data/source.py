"""What every source of events offers; detectors implement it."""

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from airshower.data.batch import Batch
from airshower.data.hits import TankHits
from airshower.data.pixels import FoundPixels
from airshower.data.spec import Spec
from airshower.data.truth import Columns
from airshower.errors import UserError


class Source(ABC):
    """Events that can be read in any order.

    Attributes: `spec`; `digest`, a hash of the files' index, by which ranks and resumed runs know that they read the
    same files; `event_ids` int64 [entries, 3], see `Batch`.
    """

    spec: Spec
    digest: str
    event_ids: Any

    @abstractmethod
    def __len__(self) -> int: ...

    @abstractmethod
    def read(self, entries: np.ndarray) -> Batch:
        """The events of these entries, in this order. Raises `DataError` naming file and entry."""

    def augmented(self, batch: Batch, epoch: int, seed: int) -> Batch:
        """The events as they are trained on in this epoch: changed at random, where the config says so. What is done to
        an event follows from the seed, the epoch and its entry alone."""
        return batch

    def file_ends(self) -> np.ndarray:
        """The entry after the last one of each file, int64 [files] in ascending order: neighbouring entries of one file
        are read faster than others."""
        return np.array([len(self)])

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """Columns of truth of these names (None: all) that are `spec.known`, see `truth.Column`."""
        return {}

    def contents(self) -> "Contents":
        """What its files hold before cuts."""
        return Contents((), len(self), {})

    def scaled(self, name: str, entries: np.ndarray) -> np.ndarray:
        """The table of this name as in a batch, float32 [n, quantities]."""
        return self.read(entries)[name].values

    def estimates(self, entries: np.ndarray) -> Columns:
        """What the files' own reconstruction says of columns of truth, of the same names and shapes."""
        return {}

    def pixel_writer(self, path: Path, provenance: dict[str, str]) -> "PixelWriter":
        """A writer of pixels' predicted classes in the detector's format."""
        raise UserError("task: this data has no format for classes of pixels")

    def event_writer(self, path: Path, provenance: dict[str, str]) -> "EventWriter":
        """A writer of what is predicted of events in the detector's format; of none, if there is no such format."""
        return NothingWritten()

    def generated_writer(self, path: Path, provenance: dict[str, str]) -> "GeneratedWriter":
        """A writer of generated events in the detector's format."""
        raise UserError("task: this data has no format for generated events")

    def thrown(self) -> "list[ThrownShowers]":
        """The simulated runs that these events come from, as far as files state them."""
        return []


@dataclass(frozen=True)
class Contents:
    """What the `files` of a source hold: events, or images where an entry is one (`unit`), in all, and how many of them
    each cut `removed`, in the order of cuts."""

    files: tuple[Path, ...]
    total: int
    removed: Mapping[str, int]
    unit: str = "events"


class PixelWriter(AbstractContextManager, Protocol):
    """Writes classes of pixels in the detector's own format; a context manager, which opens the file."""

    def pack(self, pixels: FoundPixels) -> Any:
        """What the file holds of one event; needs no open file."""
        ...

    def append(self, entry: int, packed: Any) -> None:
        """Add one packed event."""
        ...


class EventWriter(AbstractContextManager, Protocol):
    """Writes what is predicted of events in the detector's own format; a context manager."""

    def append(self, entries: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Add what is predicted for some entries [n], by name [n]: `prediction`, the score of the signal, the parts of
        columns of truth in the columns' units, and where they are predicted their errors, see `predicted_error`."""
        ...


def predicted_error(column: str, log10: bool = False) -> str:
    """The name of the predicted errors of a column of truth, in its unit (an angle in rad of a direction), or with
    `log10` of its logarithm, in decades: within which an error lies with 68.27 %."""
    return f"log10_{column}_error" if log10 else f"{column}_error"


class NothingWritten(contextlib.nullcontext):
    """The `EventWriter` of detectors that have no format for it."""

    def append(self, entries: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Does nothing."""


class GeneratedWriter(AbstractContextManager, Protocol):
    """Writes generated events in the detector's own format; a context manager."""

    def append(self, columns: dict[str, np.ndarray], hits: TankHits | None = None, events: int = 0) -> None:
        """Add events: by name, f8 [n] in their units, all parameters of the spec, or some, and conditions; the same
        ones each time. `hits` are those of this number of `events`."""
        ...


@dataclass(frozen=True)
class ThrownShowers:
    """One simulated run: `showers` of a `primary` (row of the classes), their energies in `energy_range` (TeV) by a
    power law of `spectral_index` (-2, say), their cores uniform over `area` (m2)."""

    primary: int
    showers: int
    energy_range: tuple[float, float]
    spectral_index: float
    area: float
