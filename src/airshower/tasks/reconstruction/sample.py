"""A batch of events as the task uses it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from airshower.data.batch import Batch
from airshower.data.truth import Frame
from airshower.tasks.reconstruction.targets import Target


@dataclass(frozen=True)
class ReconstructionSample:
    """A `batch`, the network's `input`, the `frame` of its targets; for simulations the columns of truth on the device
    (float32, int64 for classes) and for each target what outputs are compared with and the weight of each entry; None
    for observations."""

    batch: Batch
    input: Any
    frame: Frame
    columns: dict[str, Tensor] | None
    targets: dict[str, tuple[Tensor, Tensor]] | None

    def __len__(self) -> int:
        return len(self.batch)

    @property
    def truth(self) -> dict[str, tuple[Tensor, Tensor]]:
        """`targets`, of simulations."""
        assert self.targets is not None
        return self.targets

    def physical(self, targets: dict[str, Target], outputs: dict[str, Tensor]) -> dict[str, np.ndarray]:
        """Predictions in physical units, columns of a table of events."""
        columns: dict[str, np.ndarray] = {}
        for name, target in targets.items():
            columns |= target.physical(outputs[name], self.frame)
        return columns
