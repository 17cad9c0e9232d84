"""What every source of events offers; detectors implement it."""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from airshower.data.batch import EventBatch
from airshower.data.pixels import FoundPixels
from airshower.data.showers import IactSpec
from airshower.data.tanks import TankHits, TankSpec

STUDIED = ("energy", "interaction")
"""The truth that performance is studied against."""


@dataclass(frozen=True)
class ImageSpec:
    """What a source's images look like: what a network is checked against.

    `shape` is (rows, columns) as read, `pooled` after downsampling by 2^`downsample`. With `absolute` values become |x|
    before it, with `log_transform` sign(x) log(1 + |x|) after it. `classes` names the labels of pixels and
    `event_classes` those of events. `pixel_size` is the extent of a pixel as read, along rows and columns, in cm.
    """

    planes: int
    shape: tuple[int, int]
    downsample: int
    classes: tuple[str, ...]
    log_transform: bool = False
    event_classes: tuple[str, ...] = ()
    pixel_size: tuple[float, float] = (1.0, 1.0)
    absolute: bool = False

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns of the images that the network sees."""
        return self.shape[0] >> self.downsample, self.shape[1] >> self.downsample


def halvings(shape: tuple[int, int]) -> int:
    """How many times both sides of an image (positive sizes) can be halved without a remainder."""
    return min((size & -size).bit_length() - 1 for size in shape)


class PredictionWriter(AbstractContextManager, Protocol):
    """Writes predictions in the detector's own format; a context manager, which opens the file."""

    def pack(self, found: FoundPixels) -> Any:
        """What the file holds of one event; needs no open file."""
        ...

    def append(self, entry: int, packed: Any) -> None:
        """Add one packed event."""
        ...


class Source(Protocol):
    """Events that can be read in any order.

    Attributes: `kind`, the sort of data (a network or task that reads another sort is refused); `spec`; `digest`, a
    hash of the files' index, by which ranks and resumed runs know that they see the same files.
    """

    kind: str
    spec: Any
    digest: str

    def __len__(self) -> int: ...

    def read(self, entries: np.ndarray) -> EventBatch:
        """The events of these entries, in this order. Raises `DataError` naming file and entry."""
        ...

    def truth(self, entries: np.ndarray, names: tuple[str, ...] = STUDIED) -> dict[str, np.ndarray]:
        """Per-event truth of these names, what the files have of it: `energy` in the detector's unit; `interaction`,
        the name of the event's class."""
        ...


class WireSource(Source, Protocol):
    """Wire images. Their truth: `energy` in GeV, `interaction`, the name of the event's class, and `vertex` [events,
    planes, 2], its row and column in pixels as read, NaN where there is none."""

    spec: ImageSpec

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> PredictionWriter:
        """A writer of predictions for this source's events."""
        ...


@dataclass(frozen=True)
class ThrownShowers:
    """One simulated run: `showers` of a `primary` (row of the spec's classes), their energies in `energy_range` (TeV)
    by a power law of `spectral_index` (-2, say), their cores uniform over `area` (m2)."""

    primary: int
    showers: int
    energy_range: tuple[float, float]
    spectral_index: float
    area: float


class ShowerPredictionWriter(AbstractContextManager, Protocol):
    """Writes predictions for showers in the detector's own format; a context manager."""

    def append(self, entries: np.ndarray, columns: dict[str, np.ndarray]) -> None:
        """Add what is predicted for some entries [n], by name [n]: `prediction`, the score of gammas, `energy` in TeV,
        `alt` and `az` in rad, `core_x` and `core_y` in m."""
        ...


class ShowerSource(Source, Protocol):
    """Images of air showers. Their truth: `interaction`, the name of the primary's class, and what files have."""

    spec: IactSpec

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> ShowerPredictionWriter:
        """A writer of predictions for this source's entries."""
        ...

    def thrown(self) -> list[ThrownShowers]:
        """What was simulated to get these events, run by run, as far as files say."""
        ...


class GeneratedWriter(AbstractContextManager, Protocol):
    """Writes generated events in the detector's own format; a context manager."""

    def append(self, columns: dict[str, np.ndarray], hits: TankHits | None = None, events: int = 0) -> None:
        """Add events: by name, f8 [n] in their units, all parameters of the spec, or some, and conditions; the same
        ones each time. With `hits`, those of so many events."""
        ...


class TankSource(Source, Protocol):
    """Events of an array of water tanks. Their truth: `interaction`, the name of the primary's class, `energy` in GeV,
    and all that was read of an event, by its name in files."""

    spec: TankSpec

    def scalars(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and conditions of these entries as in `TankBatch`, without reading hits."""
        ...

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> GeneratedWriter:
        """A writer of generated events."""
        ...


SourceT_co = TypeVar("SourceT_co", bound=Source, covariant=True)


@dataclass(frozen=True)
class Selection(Generic[SourceT_co]):
    """Some entries of a source."""

    source: SourceT_co
    entries: np.ndarray


@dataclass(frozen=True)
class Splits(Generic[SourceT_co]):
    """What is trained on, what is validated on (None: nothing), and what inference and iotest run over."""

    train: Selection[SourceT_co]
    validation: Selection[SourceT_co] | None
    whole: Selection[SourceT_co]

    @classmethod
    def simulated(
        cls, simulate: Callable[[str, int, int], SourceT_co], events: int, validation: int, seed: int
    ) -> "Splits[SourceT_co]":
        """Of events that `simulate` makes from a name, their number and a seed, other ones for validation, over which
        inference and iotest run, too."""
        train, held_out = simulate("train", events, 2 * seed), simulate("validation", validation, 2 * seed + 1)
        judged = Selection(held_out, np.arange(len(held_out)))
        return cls(Selection(train, np.arange(len(train))), judged, judged)

    @property
    def digest(self) -> str:
        """A hash of the content of all files."""
        used = [self.train, self.validation, self.whole]
        return " ".join(dict.fromkeys(selection.source.digest for selection in used if selection is not None))
