"""What a stranger on the network does to the store of two ranks: `python -m tests.ranks.stranger NAME FOLDER` on each.

A stranger is a process that knows the address and the port, and no secret.
"""

import contextlib
import json
import multiprocessing
import pickle
import socket
import sys
import time
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import torch
from torch.distributed import TCPStore

from airshower.errors import UserError
from airshower.main import _end
from airshower.runtime import mpi

COUNTERS = ("reports", "speakers", "heard")
MESSAGES = ("failed", "failed/0", "failed/1", "verdict", "heard/0", "heard/1")


class Code:
    """Touches a file when it is unpickled."""

    def __init__(self, path: Path):
        self.path = path

    def __reduce__(self) -> tuple:
        return self.path.touch, ()


def lies(trap: Path) -> list[bytes]:
    """Code, garbage, and a forged report: unsigned, with an empty and with another key's signature."""
    report = {"message": "forged", "exit_code": 0, "details": "", "consequence": False, "pending": False}
    body = json.dumps(report)
    signed = [{"body": body, "signature": signature} for signature in ("", None, 5, "é" * 64, "0" * 64)]
    forged = [body, json.dumps([0, True]), *map(json.dumps, signed), "[" * 100_000, "null", "5", '"x"']
    return [pickle.dumps(Code(trap)), b"", b"\xff\xfe garbage", *(text.encode() for text in forged)]


def attack(host: str, port: int, trap: Path, seconds: float) -> None:
    """Write every lie to every key, again and again, and count up and down."""
    store = TCPStore(host, port, None, False, timedelta(seconds=5), wait_for_workers=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store.set("stranger", "is here")
        for lie in lies(trap):
            for key in MESSAGES:
                store.set(key, lie)
        for counter in COUNTERS:
            store.add(counter, 1000)
        time.sleep(0.01)


def mislead(host: str, port: int, trap: Path, seconds: float) -> None:
    """Write other addresses to where torch's processes look for each other."""
    store = TCPStore(host, port, None, False, timedelta(seconds=5), wait_for_workers=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store.set("stranger", "is here")
        for key in store.list_keys():
            value = store.get(key)
            if key.startswith("torch/") and len(value) > 20:
                store.set(key, value[:18] + b"\x00\x01" + value[20:])
        time.sleep(0.001)


def empty(host: str, port: int, trap: Path, seconds: float) -> None:
    """Empty whatever torch's processes have written."""
    _change(host, port, seconds, lambda store, key: store.set(key, b""))


def delete(host: str, port: int, trap: Path, seconds: float) -> None:
    """Delete it."""
    _change(host, port, seconds, lambda store, key: store.delete_key(key))


def _change(host: str, port: int, seconds: float, change: Callable[[TCPStore, str], object]) -> None:
    store = TCPStore(host, port, None, False, timedelta(seconds=5), wait_for_workers=False)
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        store.set("stranger", "is here")
        for key in store.list_keys():
            if key.startswith("torch/"):
                change(store, key)
        time.sleep(0.001)


def attacked(folder: Path, how: Callable, seconds: float) -> mpi.MpiRanks:
    """Two ranks, connected, whose store a stranger is at."""
    ranks = mpi.connect(True, 5.0)
    if ranks.master:
        arguments = ("127.0.0.1", ranks.store.port, folder / "ran", seconds)
        multiprocessing.get_context("spawn").Process(target=how, args=arguments, daemon=True).start()
        while not ranks.store.check(["stranger"]):
            time.sleep(0.01)
    ranks.barrier(patient=True)
    return ranks


def undisturbed(folder: Path) -> None:
    """Ranks work together as if nobody were there."""
    ranks = attacked(folder, attack, 600.0)
    ranks.start_torch(torch.device("cpu"))
    for number in range(20):
        assert ranks.exchange(number) == [number, number]
        assert float(ranks.sum(torch.tensor(1.0))) == 2.0
        assert not ranks.failures.noticed()
    time.sleep(1.0)
    ranks.barrier()
    (folder / f"listens_{ranks.rank}.json").write_text(json.dumps(listening(ranks)))
    ranks.close()


def reported(folder: Path) -> None:
    """One rank fails while a stranger writes over its report again and again."""
    ranks = attacked(folder, attack, 600.0)
    with ending():
        if ranks.rank == 1:
            raise UserError("entry 7 is damaged")
        ranks.barrier()


def misled(folder: Path, how: str) -> None:
    """torch's processes can't find each other: the second looks for the first when its address is lost already."""
    ranks = attacked(folder, globals()[how], 600.0)
    initialise = torch.distributed.init_process_group

    def late(*arguments: Any, **options: Any) -> None:
        time.sleep(ranks.rank)
        initialise(*arguments, **options)

    with ending(), mock.patch.object(torch.distributed, "init_process_group", late):
        ranks.start_torch(torch.device("cpu"))
        ranks.sum(torch.tensor(1.0))


@contextlib.contextmanager
def ending() -> Iterator[None]:
    """An error ends all ranks as one of a run does."""
    try:
        yield
    except Exception as error:
        _end(error, str(error), getattr(error, "exit_code", 1))


def meet(folder: Path) -> None:
    """Note where the store listens."""
    ranks = mpi.connect(True, 60.0)
    (folder / f"listens_{ranks.rank}.json").write_text(json.dumps(listening(ranks)))
    ranks.close()


def listening(ranks: mpi.MpiRanks) -> list[str]:
    """The addresses at which this host listens on the store's port, by the kernel's tables."""
    port = f"{ranks.store.port:04X}"
    lines = [line for table in ("tcp", "tcp6") for line in Path(f"/proc/net/{table}").read_text().splitlines()]
    local = [row[1].split(":") for row in map(str.split, lines) if row[3] == "0A"]
    return [socket.inet_ntoa(bytes.fromhex(address)[::-1]) for address, own in local if own == port]


if __name__ == "__main__":
    globals()[sys.argv[1]](Path(sys.argv[2]), *sys.argv[3:])
