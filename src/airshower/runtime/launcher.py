"""What the launcher (mpirun, srun) says of the processes that it started. Imports nothing: known before MPI is."""

import os
from dataclasses import dataclass

_VARIABLES = (  # the first that is set decides: under Slurm, mpirun's daemons are a step of their own
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)


@dataclass(frozen=True)
class Launch:
    """Which of how many processes this one is."""

    rank: int = 0
    size: int = 1


def launched() -> Launch:
    """From the environment; one process where no launcher is known."""
    for rank, size in _VARIABLES:
        if size in os.environ:
            return Launch(int(os.environ.get(rank, "0")), int(os.environ[size]))
    return Launch()
