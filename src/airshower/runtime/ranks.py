"""The processes that work together. All communication of the application goes through here."""

import os
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from airshower.errors import UserError
from airshower.runtime.log import logger

_LAUNCHER_SIZES = ("OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "PMIX_SIZE", "MV2_COMM_WORLD_SIZE")


@dataclass(frozen=True)
class Ranks:
    """One process alone; every collective is the identity."""

    rank: int = 0
    size: int = 1

    @property
    def master(self) -> bool:
        """Whether this process logs and writes."""
        return self.rank == 0

    def share(self, entries: np.ndarray) -> np.ndarray:
        """This rank's part of a step's entries."""
        return np.array_split(entries, self.size)[self.rank]

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum over ranks. Collective."""
        return tensor

    def any(self, flag: bool) -> bool:
        """Whether any rank says yes. Collective."""
        return flag


def launched_processes() -> int:
    """How many processes the MPI launcher says it started, 1 without one."""
    return max(int(os.environ.get(name, "1")) for name in _LAUNCHER_SIZES)


def connect(distributed: bool) -> Ranks:
    """The ranks of this run. Several processes that would each believe to be alone are refused."""
    launched = launched_processes()
    if launched > 1:
        raise UserError(
            f"run.distributed={str(distributed).lower()}: {launched} processes were started; "
            "this version trains on one, start it without mpirun"
        )
    if distributed:
        logger.info("run.distributed=true without a launcher: one process")
    return Ranks()
