"""A batch of showers as the task sees it."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from torch import Tensor

from airshower.data.showers import Showers, TelescopeImages
from airshower.tasks.shower_targets import Frame, Target


@dataclass(frozen=True)
class Sample:
    """A batch as the network sees it (`input`) and as it was read, with what its targets are relative to; for each
    target asked for the truth and the weight of each entry, None for observations."""

    input: Any
    images: tuple[TelescopeImages, ...]
    showers: Showers | None
    frame: Frame
    targets: dict[str, tuple[Tensor, Tensor]] | None

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
