"""Ranks that an MPI launcher started.

Ranks wait for MPI by polling. A waiting rank detects a failure of another within a second. None waits longer than
`run.timeout`, except for data that another rank prepares.
"""

import math
import os
import pickle
import secrets
import socket
import time
from datetime import timedelta
from typing import Any, TypeVar

import numpy as np
import torch
from torch import Tensor

from airshower.errors import UserError
from airshower.runtime import rendezvous
from airshower.runtime.failure import Failures, RanksError
from airshower.runtime.launcher import launched
from airshower.runtime.log import logger
from airshower.runtime.processes import boot_id
from airshower.runtime.ranks import Ranks

T = TypeVar("T")
_BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl", "xpu": "cpu:gloo,xpu:xccl"}
_CHUNK = 2**30  # bytes of one MPI message


class MpiRanks(Ranks):
    """The ranks of an MPI communicator. `met` is what this process is: MPI can be entered only once."""

    met: "MpiRanks | None" = None

    def __init__(self, comm: Any, timeout: float):
        from mpi4py import MPI

        self.comm = comm
        self.timeout = timeout
        self._max = MPI.MAX
        self.rank = comm.rank
        self.size = comm.size
        MpiRanks.met = self
        hosts = self.exchange(f"{socket.gethostname()} {boot_id()}")  # not Split_type, which waits without limit
        neighbours = [rank for rank, host in enumerate(hosts) if host == hosts[self.rank]]
        self.local_rank = neighbours.index(self.rank)
        self.local_size = len(neighbours)
        self.store = rendezvous.open_store(self, timeout)
        peers = self.exchange(f"{socket.gethostname()}, process {os.getpid()}")
        secret = self.broadcast(secrets.token_hex(32))  # by MPI, as others on the network can read the store
        self.failures = Failures(self.store, secret, self.rank, peers, self.abort, timeout)

    def barrier(self, patient: bool = False) -> None:
        self._finish(self.comm.Ibarrier(), math.inf if patient else self.timeout)

    def broadcast(self, value: T) -> T:
        data = pickle.dumps(value) if self.master else b""
        length = np.array([len(data)], np.int64)
        self._finish(self.comm.Ibcast(length))
        buffer = np.frombuffer(data, np.uint8) if self.master else np.empty(length[0], np.uint8)
        for start in range(0, len(buffer), _CHUNK):
            self._finish(self.comm.Ibcast(buffer[start : start + _CHUNK]))
        return value if self.master else pickle.loads(buffer.data)

    def exchange(self, value: T) -> list[T]:
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = self._lengths(data)
        received = np.empty(lengths.sum(), np.uint8)
        self._finish(self.comm.Iallgatherv(data, (received, lengths)))
        return _unpickled(received, lengths)

    def gather(self, value: T) -> list[T]:
        data = np.frombuffer(pickle.dumps(value), np.uint8)
        lengths = self._lengths(data)
        if not self.master:
            self._finish(self.comm.Igatherv(data, None))
            return []
        received = np.empty(lengths.sum(), np.uint8)
        self._finish(self.comm.Igatherv(data, (received, lengths)))
        return _unpickled(received, lengths)

    def scatter(self, rows: np.ndarray | None, width: int) -> np.ndarray:
        row = np.empty(width, np.int64)
        self._finish(self.comm.Iscatter(rows, row))
        return row

    def any(self, flag: bool) -> bool:
        result = np.zeros(1, np.int32)
        self._finish(self.comm.Iallreduce(np.array([flag], np.int32), result, self._max))
        return bool(result[0])

    def sum(self, tensor: Tensor) -> Tensor:
        total = tensor.detach().clone()
        torch.distributed.all_reduce(total)
        return total

    def sum_all(self, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        if not tensors:
            return {}
        sums = self.sum(torch.cat([value.detach().double().flatten() for value in tensors.values()]))
        parts = sums.split([value.numel() for value in tensors.values()])
        return {
            name: part.view_as(value).to(value.dtype)
            for (name, value), part in zip(tensors.items(), parts, strict=True)
        }

    def start_torch(self, device: torch.device) -> None:
        if device.type not in _BACKENDS:
            raise UserError(f"run.compute_mode={device.type}: works for one process; use run.compute_mode=cpu")
        self.barrier()
        # torch does not keep the Python half of a store alive
        self.checked_store = rendezvous.CheckedStore(self.store) if device.type == "cpu" else self.store
        torch.distributed.init_process_group(
            _BACKENDS[device.type], store=torch.distributed.PrefixStore("torch", self.checked_store), rank=self.rank,
            world_size=self.size, timeout=timedelta(seconds=self.timeout),
            device_id=device if device.type == "cuda" else None,
        )  # fmt: skip

    def close(self) -> None:
        self.barrier()
        if torch.distributed.is_initialized():
            torch.distributed.destroy_process_group()

    def abort(self, exit_code: int) -> None:
        self.comm.Abort(exit_code)
        os._exit(exit_code)  # MPICH's Abort may return

    def _lengths(self, data: np.ndarray) -> np.ndarray:
        lengths = np.empty(self.size, np.int64)
        self._finish(self.comm.Iallgather(np.array([len(data)], np.int64), lengths))
        return lengths

    def _finish(self, request: Any, timeout: float = 0.0) -> None:
        """Wait for an MPI request: first by busy polling, as most complete at once, then with pauses."""
        timeout = timeout or self.timeout
        start = checked = time.monotonic()
        while not request.Test():
            now = time.monotonic()
            if now - start < 1e-3:
                continue
            time.sleep(min(5e-3, (now - start) / 20))
            if now - checked > 0.5:
                checked = now
                if self.failures and self.failures.noticed():
                    raise RanksError("another rank has failed")
                if now - start > timeout:
                    raise RanksError(f"no answer from other ranks within run.timeout={timeout:g} seconds")


def connect(distributed: bool, timeout: float) -> Ranks:
    """The ranks of this run: those that the launcher started. Collective.

    Raises `UserError` if MPI does not connect the processes of the launcher.
    """
    launch = launched()
    if not distributed:
        if launch.size > 1:
            raise UserError(
                f"run.distributed=false: but {launch.size} processes were started; "
                "add run.distributed=true, or start it without a launcher"
            )
        return Ranks()
    ranks = connected() or _connect(launch.size, timeout)
    if ranks.size == 1:
        logger.info("run.distributed=true: one process, as no launcher (mpirun, srun) started more")
    return ranks


def connected() -> Ranks | None:
    """The ranks that this process is connected to, if it is."""
    return MpiRanks.met


def _connect(launched_size: int, timeout: float) -> Ranks:
    try:
        import mpi4py

        mpi4py.rc.thread_level = "funneled"
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:  # mpi4py raises RuntimeError where it finds no MPI library
        if launched_size == 1:
            return Ranks()
        reason = str(error).splitlines()[0]
        raise UserError(
            f"run.distributed=true: {launched_size} processes were started, but mpi4py does not work here ({reason}); "
            "install it with the launcher's MPI: pip install 'airshower[mpi]' brings both"
        ) from None
    size = MPI.COMM_WORLD.size
    if launched_size not in (1, size):
        raise UserError(
            f"run.distributed=true: the launcher started {launched_size} processes, but mpi4py's MPI counts {size}: "
            f"it is another MPI than the launcher's ({MPI.Get_library_version().splitlines()[0].split(',')[0]}); "
            "use the mpirun that belongs to it, or rebuild mpi4py"
        )
    return MpiRanks(MPI.COMM_WORLD, timeout) if size > 1 else Ranks()


def _unpickled(received: np.ndarray, lengths: np.ndarray) -> list[Any]:
    ends = np.cumsum(lengths)
    return [pickle.loads(received[end - length : end].data) for end, length in zip(ends, lengths, strict=True)]
