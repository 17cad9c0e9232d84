"""Events that a network has generated."""

from dataclasses import dataclass

import numpy as np
from torch import Tensor


@dataclass(frozen=True)
class Generated:
    """`parameters` [n, quantities] and `conditions` [n, conditions], both scaled; `entry` int64 [n], whose conditions
    they had."""

    parameters: Tensor
    conditions: Tensor
    entry: np.ndarray

    def __len__(self) -> int:
        return len(self.entry)
