"""What every source of events offers; detectors implement it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from airshower.data.batch import Batch


@dataclass(frozen=True)
class ImageSpec:
    """What a source's images look like: what a network is checked against.

    `shape` (rows, columns) as read and `pooled` after downsampling by 2^`downsample`; `classes` names the labels.
    """

    planes: int
    shape: tuple[int, int]
    downsample: int
    classes: tuple[str, ...]

    @property
    def pooled(self) -> tuple[int, int]:
        """Rows and columns of the images that the network sees."""
        return self.shape[0] >> self.downsample, self.shape[1] >> self.downsample


def halvings(shape: tuple[int, int]) -> int:
    """How many times both sides of an image (positive sizes) can be halved without a remainder."""
    return min((size & -size).bit_length() - 1 for size in shape)


class PredictionWriter(Protocol):
    """Writes predictions in the detector's own format; a context manager, which opens the file."""

    def pack(self, labels: np.ndarray, scores: np.ndarray | None) -> Any:
        """What the file holds of one event, from class per pixel (uint8 [planes, rows, columns]) and scores (f4
        [planes, classes, ...]); needs no open file."""
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
    spec: ImageSpec
    digest: str

    def __len__(self) -> int: ...

    def read(self, entries: np.ndarray) -> Batch:
        """The events of these entries, in this order. Raises `DataError` naming file and entry."""
        ...

    def truth(self, entries: np.ndarray) -> dict[str, np.ndarray]:
        """Per-event truth to study performance against: `energy` in GeV and `interaction`, the name of the event's
        class; empty where the files have none."""
        ...

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> PredictionWriter:
        """A writer of predictions for this source's events."""
        ...


@dataclass(frozen=True)
class Selection:
    """Some entries of a source."""

    source: Source
    entries: np.ndarray


@dataclass(frozen=True)
class Splits:
    """What is trained on, what is validated on (None: nothing), and what inference and iotest run over."""

    train: Selection
    validation: Selection | None
    whole: Selection

    @property
    def digest(self) -> str:
        """A hash of the content of all files."""
        used = [self.train, self.validation, self.whole]
        return " ".join(dict.fromkeys(selection.source.digest for selection in used if selection is not None))
