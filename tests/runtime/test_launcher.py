"""What launchers say, and where ranks meet."""

import os
import sys

import pytest

from airshower.errors import UserError
from airshower.runtime import mpi
from airshower.runtime.launcher import Launch, launched
from airshower.runtime.rendezvous import interfaces


@pytest.fixture(autouse=True)
def no_launcher(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.startswith(("OMPI_", "PMI", "SLURM_", "MV2_", "JSM_")):
            monkeypatch.delenv(name)


@pytest.mark.parametrize(
    ("variables", "expected"),
    [
        ({}, Launch(0, 1)),
        ({"OMPI_COMM_WORLD_RANK": "2", "OMPI_COMM_WORLD_SIZE": "4"}, Launch(2, 4)),
        ({"PMI_RANK": "1", "PMI_SIZE": "2"}, Launch(1, 2)),
        ({"SLURM_PROCID": "5", "SLURM_STEP_NUM_TASKS": "8", "SLURM_NTASKS": "8"}, Launch(5, 8)),
        # in a batch script that no srun started, SLURM_NTASKS is what was asked for, not what runs
        ({"SLURM_PROCID": "0", "SLURM_NTASKS": "8"}, Launch(0, 1)),
        # mpirun under Slurm: its daemons are a step of two, its ranks are four
        (
            {
                "OMPI_COMM_WORLD_RANK": "3",
                "OMPI_COMM_WORLD_SIZE": "4",
                "SLURM_PROCID": "1",
                "SLURM_STEP_NUM_TASKS": "2",
            },
            Launch(3, 4),
        ),
    ],
)
def test_launchers(monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], expected: Launch) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert launched() == expected


def test_without_mpi4py_one_process_goes_on_and_several_are_told_what_to_install(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "mpi4py", None)
    assert mpi.connect(True, 5.0).size == 1
    monkeypatch.setenv("OMPI_COMM_WORLD_SIZE", "2")
    with pytest.raises(UserError, match=r"2 processes were started, but mpi4py does not work here .*airshower\[mpi\]"):
        mpi.connect(True, 5.0)


def test_processes_without_run_distributed_are_refused(monkeypatch) -> None:
    monkeypatch.setenv("PMI_SIZE", "3")
    with pytest.raises(UserError, match="3 processes were started; add run"):
        mpi.connect(False, 5.0)


def test_loopback_is_the_last_of_this_hosts_addresses() -> None:
    addresses = list(interfaces())
    assert addresses
    loopback = [address.startswith("127.") for address in addresses]
    assert loopback == sorted(loopback)
