"""The number of processes and the rank set by the launcher (mpirun, srun). Available before MPI is initialised."""

import os
from dataclasses import dataclass

_VARIABLES = (  # the first that is set is used: under Slurm, mpirun's daemons are a separate step
    ("OMPI_COMM_WORLD_RANK", "OMPI_COMM_WORLD_SIZE"),
    ("PMI_RANK", "PMI_SIZE"),
    ("MV2_COMM_WORLD_RANK", "MV2_COMM_WORLD_SIZE"),
    ("JSM_NAMESPACE_RANK", "JSM_NAMESPACE_SIZE"),
    ("SLURM_PROCID", "SLURM_STEP_NUM_TASKS"),
)


@dataclass(frozen=True)
class Launch:
    """The rank of this process and the number of processes."""

    rank: int = 0
    size: int = 1


def launched() -> Launch:
    """Read the environment; one process without a supported launcher."""
    for rank, size in _VARIABLES:
        if size in os.environ:
            return Launch(int(os.environ.get(rank, "0")), int(os.environ[size]))
    return Launch()
