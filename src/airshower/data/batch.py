"""Batches: what one read of a source gives."""

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from airshower.data.containers import Container, Move
from airshower.data.truth import Frame, Truth

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, eq=False)
class Batch:
    """Events: `inputs` by name, `entries` int64 [n] that they were read from, `event_ids` int64 [n, 3].

    `truth` is None for observations, `frame` where nothing is learned relative to one. `weight` float32 [n] is that of
    each event in losses and metrics; None: 1.
    """

    inputs: dict[str, Container]
    entries: np.ndarray
    event_ids: np.ndarray
    truth: Truth | None = None
    frame: Frame | None = None
    weight: np.ndarray | None = None

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, name: str) -> Any:
        """The container of this name."""
        return self.inputs[name]

    @property
    def nbytes(self) -> int:
        """Size in bytes of the containers' arrays."""
        return sum(container.nbytes for container in self.inputs.values())

    @property
    def device(self) -> "torch.device":
        """The device of its tensors."""
        return next(iter(self.inputs.values())).device

    def pin(self) -> Self:
        """The batch in page-locked memory, see `Container.pin`."""
        return self._moved(lambda tensor: tensor.pin_memory())

    def to(self, device: "torch.device") -> Self:
        """The batch with its containers and its frame as tensors on `device`."""
        return self._moved(lambda tensor: tensor.to(device, non_blocking=True))

    def taken(self, rows: np.ndarray) -> Self:
        """The events of these rows, int64 [n], in this order; a row may come several times. Of arrays, not tensors."""
        return dataclasses.replace(
            self,
            inputs={name: container.taken(rows) for name, container in self.inputs.items()},
            entries=self.entries[rows],
            event_ids=self.event_ids[rows],
            truth=self.truth and self.truth.taken(rows),
            frame=self.frame and self.frame.taken(rows),
            weight=None if self.weight is None else self.weight[rows],
        )

    @classmethod
    def joined(cls, parts: Sequence[Self]) -> Self:
        """The events of all parts, batches of one source, part after part. Of arrays, not tensors."""
        first = parts[0]
        events = [len(part) for part in parts]
        weights = [part.weight for part in parts if part.weight is not None]
        frames = [part.frame for part in parts if part.frame is not None]
        return dataclasses.replace(
            first,
            inputs={
                name: type(container).joined([part.inputs[name] for part in parts], events)
                for name, container in first.inputs.items()
            },
            entries=np.concatenate([part.entries for part in parts]),
            event_ids=np.concatenate([part.event_ids for part in parts]),
            truth=Truth.joined([part.truth for part in parts if part.truth is not None]),
            frame=Frame.joined(frames, events) if frames else None,
            weight=np.concatenate(weights) if weights else None,
        )

    def _moved(self, move: Move) -> Self:
        inputs = {name: container.moved(move) for name, container in self.inputs.items()}
        return dataclasses.replace(self, inputs=inputs, frame=self.frame and self.frame.moved(move))
