"""How a failure of one rank ends all of them, soon and with one message."""

import pickle
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import NoReturn

from torch.distributed import DistError, Store

GRACE = 3.0
"""Seconds that a rank which has failed gives the others to say that they have, too."""

_CONNECTION = ("gloo", "nccl", "connection", "timed out", "timeout", "socket")


class RanksError(Exception):
    """Other ranks do not answer, or have failed."""


@dataclass(frozen=True)
class Report:
    """Why a rank ends. A `consequence` is an error that other ranks' failures explain; `pending` says that a message
    was under way, so that MPI can't be left in the ordinary way."""

    message: str
    exit_code: int
    details: str = ""
    consequence: bool = False
    pending: bool = False


def report(error: BaseException, message: str, exit_code: int, details: str = "") -> Report:
    """What a rank says of its error."""
    text = str(error).lower()
    lost = isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in _CONNECTION)
    )
    waited = isinstance(error, RanksError)
    return Report(message, exit_code, details, lost or waited, lost or waited)


class Failures:
    """Reports of ranks that have failed, in the store that all can reach.

    `peers` are the ranks' hosts and processes, by rank; `abort` ends all ranks at once.
    """

    def __init__(self, store: Store, rank: int, peers: list[str], abort: Callable[[int], None]):
        self.store, self.rank, self.peers, self.abort = store, rank, peers, abort

    def noticed(self) -> bool:
        """Whether any rank has failed."""
        try:
            return self.store.check(["failed"])
        except (RuntimeError, DistError):
            raise RanksError(f"{self._name(0)} does not answer") from None

    def leave(self, own: Report) -> NoReturn:
        """End this rank with its report, and all others with it. One rank speaks, for all that have failed.

        Returns to nobody: raises `SystemExit` if every rank has failed by itself, else the job is aborted.
        """
        try:
            reports = self._roll_call(own)
            speaks = self.store.add("speakers", 1) == 1
        except (RuntimeError, DistError):
            self._say([f"{own.message}: {self._name(0)} does not answer"], "")
            self.abort(own.exit_code)
        if speaks:
            lines, details = conclusion(reports, self.peers)
            self._say(lines, details)
            self.store.set("said", "1")
        else:
            self._wait_for("said")
        code = next((r.exit_code for _, r in sorted(reports.items()) if not r.consequence), own.exit_code)
        if len(reports) < len(self.peers) or any(item.pending for item in reports.values()):
            self.abort(code)
        raise SystemExit(code)

    def _roll_call(self, own: Report) -> dict[int, Report]:
        self.store.set(f"failed/{self.rank}", pickle.dumps(own))
        self.store.set("failed", "1")
        keys = [f"failed/{rank}" for rank in range(len(self.peers))]
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not self.store.check(keys):
            time.sleep(0.02)
        there = [rank for rank, key in enumerate(keys) if self.store.check([key])]
        return {rank: pickle.loads(self.store.get(keys[rank])) for rank in there}

    def _wait_for(self, key: str) -> None:
        deadline = time.monotonic() + GRACE
        try:
            while time.monotonic() < deadline and not self.store.check([key]):
                time.sleep(0.02)
        except (RuntimeError, DistError):  # rank 0 has spoken and gone
            return

    def _name(self, rank: int) -> str:
        return f"rank {rank} of {len(self.peers)} ({self.peers[rank]})"

    @staticmethod
    def _say(lines: list[str], details: str) -> None:
        text = "".join(f"airshower: {line}\n" for line in lines)
        sys.stderr.write(details + text)
        sys.stderr.flush()


def conclusion(reports: dict[int, Report], peers: list[str]) -> tuple[list[str], str]:
    """The lines to print, and the traceback of an unforeseen error.

    One line for what all ranks say alike; else a line for each rank's own; where ranks only lost others, those that are
    missing are named.
    """
    causes = {rank: item for rank, item in sorted(reports.items()) if not item.consequence}
    messages = {item.message for item in causes.values()}
    details = next((item.details for item in causes.values() if item.details), "")
    if len(causes) == len(peers) and len(messages) == 1:
        return [messages.pop()], details

    def name(rank: int) -> str:
        return f"rank {rank} of {len(peers)} ({peers[rank]})"

    if causes:
        return [f"{name(rank)}: {item.message}" for rank, item in causes.items()], details
    missing = [name(rank) for rank in range(len(peers)) if rank not in reports]
    first = min(reports)
    if missing:
        return [f"no sign of {'; '.join(missing)}: killed, out of memory, or stuck ({reports[first].message})"], ""
    return [f"{name(first)}: {reports[first].message}"], ""
