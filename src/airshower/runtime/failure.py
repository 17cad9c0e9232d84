"""Failures of ranks: one rank's failure ends all ranks, soon and with one message."""

import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future
from dataclasses import asdict, dataclass, fields
from typing import Any, NoReturn, Self, TypeVar

from torch.distributed import DistError, Store

from airshower.runtime.messages import SignedStore

GRACE = 3.0
"""Seconds that a rank which has failed gives the others to say that they have, too."""

T = TypeVar("T")
_UNREACHABLE = (RuntimeError, DistError, TimeoutError)  # errors of the store's calls without rank 0
_CONNECTION = ("gloo", "nccl", "timed out", "connection closed", "connection reset")


class RanksError(Exception):
    """Other ranks do not answer, or have failed."""


@dataclass(frozen=True)
class Report:
    """The reason why a rank ends. A `consequence` is an error caused by other ranks' failures. `pending`: a message was
    in progress, so MPI can't be finalised."""

    message: str
    exit_code: int
    details: str = ""
    consequence: bool = False
    pending: bool = False

    @classmethod
    def from_record(cls, record: Any) -> Self | None:
        """Inverse of `dataclasses.asdict`; None for anything else."""
        kinds = {item.name: item.type for item in fields(cls)}
        fits = isinstance(record, dict) and {name: type(value) for name, value in record.items()} == kinds
        return cls(**record) if fits else None


def report(error: BaseException, message: str, exit_code: int, details: str = "") -> Report:
    """The report of a rank's error."""
    text = str(error).lower()
    lost = isinstance(error, DistError) or (
        isinstance(error, RuntimeError) and any(word in text for word in _CONNECTION)
    )
    waited = isinstance(error, RanksError)
    pending = lost or waited or isinstance(error, KeyboardInterrupt)
    return Report(message, exit_code, details, consequence=lost or waited, pending=pending)


class Failures:
    """Reports of failed ranks in the store of all ranks.

    Others on the network can write to the store, so reports are signed with the job's `secret`; entries without the
    signature are ignored. `peers` are the ranks' hosts and processes, by rank; `abort` ends all ranks at once;
    `timeout` is how long rank 0, which serves the store, may be silent.
    """

    def __init__(
        self, store: Store, secret: str, rank: int, peers: list[str], abort: Callable[[int], None],
        timeout: float = 600.0,
    ):  # fmt: skip
        self.store = store
        self.signed = SignedStore(store, secret)
        self.rank = rank
        self.peers = peers
        self.abort = abort
        self.timeout = timeout

    def noticed(self) -> bool:
        """True if any rank has failed."""
        try:
            return _within(self.timeout, lambda: self.signed.get("failed") is not None)
        except _UNREACHABLE:
            raise RanksError(f"{self._name(0)} does not answer") from None

    def leave(self, cause: Report) -> NoReturn:
        """End all ranks. One of the failed ranks prints the message for all of them.

        Never returns: raises `SystemExit` if every rank has failed by itself, else aborts the job.
        """
        try:
            speaks = _within(2 * GRACE, lambda: self._roll_call(cause))
            reports = _within(2 * GRACE, lambda: {self.rank: cause} | dict(self._reports())) if speaks else None
            if reports is not None:
                self._say(*conclusion(reports, self.peers))
            code, alone = _within(4 * GRACE, lambda: self._part(reports))
        except _UNREACHABLE:
            time.sleep(min(self.rank, 20) / 10)  # the first rank that prints its message aborts all
            line = (
                _missing([self._name(0)], cause) if cause.consequence else f"{self._name(self.rank)}: {cause.message}"
            )
            self._say([line])
            self.abort(cause.exit_code)
        if not alone:
            self.abort(code)
        raise SystemExit(code)

    def _roll_call(self, cause: Report) -> bool:
        """Report, wait for the others' reports, and return True if this rank prints the message: the first of the ranks
        that have reported, unless another has printed it before."""
        self.signed.set(f"failed/{self.rank}", asdict(cause))
        self.signed.set("failed", self.rank)
        self._wait_for("failed", range(len(self.peers)))
        first = next((rank for rank, _ in self._reports()), self.rank)
        return first == self.rank and self.signed.get("verdict") is None

    def _reports(self) -> Iterator[tuple[int, Report]]:
        """(rank, report) of the failed ranks."""
        for rank in range(len(self.peers)):
            if report := Report.from_record(self.signed.get(f"failed/{rank}")):
                yield rank, report

    def _part(self, reports: dict[int, Report] | None) -> tuple[int, bool]:
        """The exit code, and True if each rank can exit by itself. The rank with the reports decides; the others wait
        for its verdict.

        Rank 0, which serves the store, waits until all have read it.
        """
        verdict = None
        if reports is not None:
            code = next((r.exit_code for _, r in sorted(reports.items()) if not r.consequence), 1)
            verdict = code, len(reports) == len(self.peers) and not any(item.pending for item in reports.values())
            self.signed.set("verdict", verdict)
        while verdict is None:
            time.sleep(0.05)
            verdict = self.signed.get("verdict")
        self.store.set(f"heard/{self.rank}", "")
        if self.rank == 0:
            self._wait_for("heard", [rank for rank, _ in self._reports()])
        return verdict

    def _wait_for(self, name: str, ranks: Iterable[int]) -> None:
        """Wait, up to a limit, until all these ranks have written under a name."""
        keys = [f"{name}/{rank}" for rank in ranks]
        deadline = time.monotonic() + GRACE
        while time.monotonic() < deadline and not self.store.check(keys):
            time.sleep(0.05 + len(keys) / 2000)  # with a thousand ranks, each reads a thousand keys

    def _name(self, rank: int) -> str:
        return _named(rank, self.peers)

    @staticmethod
    def _say(lines: list[str], details: str = "") -> None:
        text = "".join(f"airshower: {line}\n" for line in lines)
        sys.stderr.write(details + text)
        sys.stderr.flush()


def conclusion(reports: dict[int, Report], peers: list[str]) -> tuple[list[str], str]:
    """The lines to print, and the traceback of an unforeseen error.

    One line: the message that all ranks have in common, else that of the first rank that is not a consequence. If there
    are consequences only, the line names the missing ranks.
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
    """The result of `function`. Raises `TimeoutError` after `seconds`, as the store's calls wait for rank 0 without
    limit."""
    outcome: Future[T] = Future()

    def call() -> None:
        try:
            outcome.set_result(function())
        except Exception as error:
            outcome.set_exception(error)

    threading.Thread(target=call, daemon=True).start()
    return outcome.result(seconds)
