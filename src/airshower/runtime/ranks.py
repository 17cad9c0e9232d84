"""The interface to the processes that work together.

All communication goes through `Ranks`: control (entries, agreements, messages) over MPI, tensors over
torch.distributed.
"""

from collections.abc import Callable
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor

from airshower.runtime.failure import Failures

T = TypeVar("T")


class Ranks:
    """One process alone; every collective is the identity.

    `local_rank` and `local_size` count the processes of this host.
    """

    rank, size, local_rank, local_size = 0, 1, 0, 1
    failures: Failures | None = None

    @property
    def master(self) -> bool:
        """True if this process logs and writes."""
        return self.rank == 0

    def barrier(self, patient: bool = False) -> None:
        """Wait for all ranks; with `patient`, without limit unless a rank fails. Collective."""

    def broadcast(self, value: T) -> T:
        """The master's `value`; the values of the others are ignored. Collective."""
        return value

    def exchange(self, value: T) -> list[T]:
        """The values of all ranks, by rank. Collective."""
        return [value]

    def gather(self, value: T) -> list[T]:
        """The values of all ranks, by rank, on the master; an empty list on the others. Collective."""
        return [value]

    def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
        """Row `rank` of the master's int64 [ranks, width]; the others pass None. Collective."""
        assert rows is not None
        return rows[0]

    def any(self, flag: bool) -> bool:
        """True if the flag is set on any rank. Collective."""
        return flag

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over ranks. Collective."""
        return tensor

    def sum_all(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        """The sums over ranks of counters, in one message. All ranks must have the same names. Collective."""
        return tensors

    def from_master(self, function: Callable[[], T]) -> T:
        """The result of `function`, which is called on the master only. Collective."""
        return self.broadcast([function()] if self.master else [])[0]

    def in_turn(self, function: Callable[[], T]) -> T:
        """Call `function` on the master, then on the first rank of every other host, then on the rest. So the others
        can use files of the first on a shared or local disk. They wait for it without limit. Collective."""
        turn = 0 if self.master else 1 if self.local_rank == 0 else 2
        results = []
        for current in range(3 if self.size > 1 else 1):
            if current == turn:
                results.append(function())
            self.barrier(patient=True)
        return results[0]

    def start_torch(self, device: torch.device) -> None:
        """Open torch.distributed's process group for tensors on `device`. Collective."""

    def close(self) -> None:
        """Leave the process group; call at the end of a successful run. Collective."""

    def abort(self, exit_code: int) -> None:
        """End all ranks at once."""
