"""How a failure of one rank ends all of them, soon and with one message."""

import pickle
import sys
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, NoReturn, TypeVar

from torch.distributed import DistError, Store

GRACE = 3.0
"""Seconds that a rank which has failed gives the others to say that they have, too."""

T = TypeVar("T")
_UNREACHABLE = (RuntimeError, DistError, TimeoutError)  # what the store's calls raise without rank 0
_CONNECTION = ("gloo", "nccl", "timed out", "connection closed", "connection reset")


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
    pending = lost or waited or isinstance(error, KeyboardInterrupt)
    return Report(message, exit_code, details, consequence=lost or waited, pending=pending)


class Failures:
    """Reports of ranks that have failed, in the store that all can reach.

    `peers` are the ranks' hosts and processes, by rank; `abort` ends all ranks at once; `timeout` is how long rank 0,
    which serves the store, may be silent.
    """

    def __init__(self, store: Store, rank: int, peers: list[str], abort: Callable[[int], None], timeout: float = 600.0):
        self.store: Any = store  # torch's types do not say that it takes bytes
        self.rank, self.peers, self.abort, self.timeout = rank, peers, abort, timeout

    def noticed(self) -> bool:
        """Whether any rank has failed."""
        try:
            return _within(self.timeout, lambda: self.store.check(["failed"]))
        except _UNREACHABLE:
            raise RanksError(f"{self._name(0)} does not answer") from None

    def leave(self, own: Report) -> NoReturn:
        """End this rank with its report, and all others with it. One rank speaks, for all that have failed.

        Returns to nobody: raises `SystemExit` if every rank has failed by itself, else the job is aborted.
        """
        try:
            speaks = _within(2 * GRACE, lambda: self._roll_call(own))
            if speaks:
                reports = _within(2 * GRACE, self._reports)
                self._say(*conclusion(reports, self.peers))
            code, alone = _within(4 * GRACE, lambda: self._part(reports if speaks else None))
        except _UNREACHABLE:
            time.sleep(min(self.rank, 20) / 10)  # the first to speak ends all
            line = _missing([self._name(0)], own) if own.consequence else f"{self._name(self.rank)}: {own.message}"
            self._say([line])
            self.abort(own.exit_code)
        if not alone:
            self.abort(code)
        raise SystemExit(code)

    def _roll_call(self, own: Report) -> bool:
        """Report, give the others time to do so, and return whether this rank is the one to speak."""
        self.store.set(f"failed/{self.rank}", pickle.dumps(own))
        self.store.add("reports", 1)
        self.store.set("failed", "1")
        self._wait_for("reports", len(self.peers))
        return self.store.add("speakers", 1) == 1

    def _reports(self) -> dict[int, Report]:
        there = [rank for rank in range(len(self.peers)) if self.store.check([f"failed/{rank}"])]
        return {rank: pickle.loads(self.store.get(f"failed/{rank}")) for rank in there}

    def _part(self, reports: dict[int, Report] | None) -> tuple[int, bool]:
        """The exit code, and whether each rank can leave by itself, as the speaker, who has the reports, concludes.

        Rank 0, without which there is no store, waits until all know.
        """
        if reports is not None:
            code = next((r.exit_code for _, r in sorted(reports.items()) if not r.consequence), 1)
            alone = len(reports) == len(self.peers) and not any(item.pending for item in reports.values())
            self.store.set("verdict", pickle.dumps((code, alone)))
        verdict = pickle.loads(self.store.get("verdict"))
        self.store.add("heard", 1)
        if self.rank == 0:
            self._wait_for("heard", self.store.add("reports", 0))
        return verdict

    def _wait_for(self, counter: str, number: int) -> None:
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and self.store.add(counter, 0) < number:
            time.sleep(0.05)

    def _name(self, rank: int) -> str:
        return _named(rank, self.peers)

    @staticmethod
    def _say(lines: list[str], details: str = "") -> None:
        text = "".join(f"airshower: {line}\n" for line in lines)
        sys.stderr.write(details + text)
        sys.stderr.flush()


def conclusion(reports: dict[int, Report], peers: list[str]) -> tuple[list[str], str]:
    """The lines to print, and the traceback of an unforeseen error.

    One line: what all ranks say alike; else what the first rank with a cause of its own says; where ranks only lost
    others, those that are missing are named.
    """
    causes = {rank: item for rank, item in sorted(reports.items()) if not item.consequence}
    messages = {item.message for item in causes.values()}
    details = next((item.details for item in causes.values() if item.details), "")
    if len(causes) == len(peers) and len(messages) == 1:
        return [messages.pop()], details

    if causes:
        rank = next(iter(causes))
        others = f" ({len(causes) - 1} other ranks failed, too)" if len(causes) > 1 else ""
        return [f"{_named(rank, peers)}: {causes[rank].message}{others}"], details
    missing = [_named(rank, peers) for rank in range(len(peers)) if rank not in reports]
    first = min(reports)
    if missing:
        return [_missing(missing, reports[first])], ""
    return [f"{_named(first, peers)}: {reports[first].message}"], ""


def _named(rank: int, peers: list[str]) -> str:
    return f"rank {rank} of {len(peers)} ({peers[rank]})"


def _missing(names: list[str], noticed: Report) -> str:
    return f"no sign of {'; '.join(names)}: killed, out of memory, or stuck ({noticed.message})"


def _within(seconds: float, function: Callable[[], T]) -> T:
    """What `function` gives. Raises `TimeoutError` after `seconds`: the store's calls wait for rank 0 without end."""
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return outcome.result(seconds)
