"""How failures are told: one line, which names the rank and the cause."""

import threading
from datetime import timedelta

import pytest
import torch
from torch.distributed import TCPStore

from airshower.errors import UserError
from airshower.runtime import failure
from airshower.runtime.failure import Failures, RanksError, Report, conclusion, report

SECRET = "a" * 64
PEERS = ["a, process 1", "a, process 2", "b, process 7"]


def lost(text: str = "Connection closed by peer") -> Report:
    return Report(text, 1, consequence=True, pending=True)


def test_the_same_mistake_on_all_ranks_is_told_once() -> None:
    reports = {rank: Report("network.depth=99: must be at most 12", 2) for rank in range(3)}
    assert conclusion(reports, PEERS) == (["network.depth=99: must be at most 12"], "")


def test_a_cause_is_told_with_its_rank_and_consequences_are_not() -> None:
    reports = {0: lost(), 2: Report("events.h5: entry 7 is damaged", 2), 1: lost()}
    assert conclusion(reports, PEERS)[0] == ["rank 2 of 3 (b, process 7): events.h5: entry 7 is damaged"]


def test_of_many_causes_the_first_is_told() -> None:
    reports = {rank: Report(f"the loss is nan (entries {rank})", 3) for rank in range(3)}
    lines = ["rank 0 of 3 (a, process 1): the loss is nan (entries 0) (2 other ranks failed, too)"]
    assert conclusion(reports, PEERS)[0] == lines


def test_a_rank_that_says_nothing_is_named() -> None:
    lines, _ = conclusion({0: lost("Timed out"), 1: lost()}, PEERS)
    assert lines == ["no sign of rank 2 of 3 (b, process 7): killed, out of memory, or stuck (Timed out)"]


def test_an_unforeseen_error_comes_with_its_traceback() -> None:
    reports = {1: Report("ValueError: x", 1, details="Traceback ...\n"), 0: lost()}
    assert conclusion(reports, PEERS) == (["rank 1 of 3 (a, process 2): ValueError: x"], "Traceback ...\n")


@pytest.mark.parametrize(
    ("error", "consequence"),
    [
        (RanksError("no answer"), True),
        (torch.distributed.DistBackendError("NCCL error"), True),
        (RuntimeError("[gloo/transport/tcp/pair.cc] Connection closed by peer"), True),
        (RuntimeError("shape '[3]' of the skip connection is invalid"), False),
        (torch.OutOfMemoryError("CUDA out of memory"), False),
        (UserError("network.depth=99"), False),
    ],
)
def test_what_is_a_cause_and_what_a_consequence(error: Exception, consequence: bool) -> None:
    assert report(error, str(error), 1).consequence is consequence


class Meeting:
    """Some ranks with one store, and what each of them did in the end."""

    def __init__(self, size: int, capfd: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch):
        monkeypatch.setattr(failure, "GRACE", 0.3)
        self.store = TCPStore("127.0.0.1", 0, 1, True, timedelta(seconds=5), wait_for_workers=False)
        self.size, self.capfd, self.ends = size, capfd, {}

    def leave(self, rank: int, own: Report) -> None:
        store = TCPStore("127.0.0.1", self.store.port, None, False, timedelta(seconds=5), wait_for_workers=False)

        def abort(code: int) -> None:
            self.ends[rank] = ("aborted", code)
            raise SystemExit

        try:
            Failures(store, SECRET, rank, PEERS[: self.size], abort).leave(own)
        except SystemExit as stop:
            self.ends.setdefault(rank, ("exited", stop.code))

    def all(self, reports: dict[int, Report]) -> list[str]:
        threads = [threading.Thread(target=self.leave, args=item) for item in reports.items()]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(10)
        return self.capfd.readouterr().err.splitlines()


def test_ranks_that_all_fail_end_in_order_and_one_speaks(capfd, monkeypatch) -> None:
    meeting = Meeting(3, capfd, monkeypatch)
    assert meeting.all({rank: Report("no such file", 2) for rank in range(3)}) == ["airshower: no such file"]
    assert meeting.ends == dict.fromkeys(range(3), ("exited", 2))


def test_a_rank_that_fails_alone_aborts_the_others(capfd, monkeypatch) -> None:
    meeting = Meeting(2, capfd, monkeypatch)
    assert meeting.all({1: Report("the loss is nan", 3)}) == ["airshower: rank 1 of 2 (a, process 2): the loss is nan"]
    assert meeting.ends == {1: ("aborted", 3)}


def test_a_rank_that_noticed_ends_with_the_exit_code_of_the_cause(capfd, monkeypatch) -> None:
    meeting = Meeting(2, capfd, monkeypatch)
    said = meeting.all({0: lost("another rank has failed"), 1: Report("entry 3 is damaged", 2)})
    assert said == ["airshower: rank 1 of 2 (a, process 2): entry 3 is damaged"]
    assert set(meeting.ends.values()) == {("aborted", 2)}


def test_others_notice(capfd, monkeypatch) -> None:
    meeting = Meeting(2, capfd, monkeypatch)
    failures = Failures(meeting.store, SECRET, 0, PEERS[:2], lambda code: None)
    assert not failures.noticed()
    meeting.all({1: Report("out", 1)})
    assert failures.noticed()


@pytest.mark.parametrize("lie", [b"", b"\x80\x04garbage", b'{"body": "[0, true]", "signature": ""}'])
def test_what_a_stranger_writes_is_not_believed(capfd, monkeypatch, lie: bytes) -> None:
    """Before the ranks fail, and counters that would have ended the roll call."""
    meeting = Meeting(2, capfd, monkeypatch)
    for key in ("failed", "failed/0", "failed/1", "verdict", "heard/0", "heard/1"):
        meeting.store.set(key, lie)
    for counter in ("reports", "speakers", "heard"):
        meeting.store.add(counter, 5)
    assert not Failures(meeting.store, SECRET, 0, PEERS[:2], lambda code: None).noticed()
    assert meeting.all({1: Report("the loss is nan", 3)}) == ["airshower: rank 1 of 2 (a, process 2): the loss is nan"]
    assert meeting.ends == {1: ("aborted", 3)}
