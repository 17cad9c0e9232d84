"""One process works in a folder: who holds a lock, who is refused, and who takes a dead process's lock over."""

import errno
import json
import multiprocessing
import os
import subprocess
import sys
import threading
import time
from dataclasses import asdict, replace
from multiprocessing.synchronize import Event
from pathlib import Path

import pytest

from airshower.errors import UserError
from airshower.runtime import lock as module
from airshower.runtime.lock import Lock
from airshower.runtime.processes import Process, is_running, started


def held_by(path: Path, process: Process) -> None:
    path.write_text(json.dumps(asdict(process) | {"since": "2024-01-01T00:00:00+00:00"}) + "\n")


def dead() -> int:
    """The number of a process that has ended."""
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "run.lock"


@pytest.fixture(autouse=True)
def fast(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "HEARTBEAT", 0.05)
    monkeypatch.setattr(module, "STALE", 0.3)


@pytest.fixture
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever waits for a sign of a holder waits longer than a test may take."""
    monkeypatch.setattr(module, "STALE", 1e4)


def test_a_lock_names_its_holder_and_is_gone_afterwards(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    record = json.loads(path.read_text())
    assert record["host"] == os.uname().nodename
    assert record["pid"] == os.getpid()
    assert record["start"] == started(os.getpid()) > 0
    lock.check()
    lock.release()
    assert list(path.parent.iterdir()) == []


def test_a_living_holder_is_named(path: Path) -> None:
    holder = Lock(path)
    holder.acquire()
    second = Lock(path)
    with pytest.raises(UserError, match=rf"{path.parent}: process {os.getpid()} on .* works on this run"):
        second.acquire()
    second.release()
    assert path.exists(), "what another holds is not let go of"
    holder.release()


@pytest.mark.usefixtures("patient")
@pytest.mark.parametrize("fate", ["dead", "number used again"])
def test_a_lock_of_a_dead_process_of_this_machine_is_taken_over(path: Path, fate: str) -> None:
    own = Process.current()
    held_by(path, replace(own, pid=dead()) if fate == "dead" else replace(own, start=own.start - 1))
    Lock(path).acquire()
    assert json.loads(path.read_text())["pid"] == os.getpid()


@pytest.mark.parametrize("changed", [{"host": "elsewhere"}, {"boot": "another"}, {"namespace": 7}])
def test_a_holder_elsewhere_is_dead_without_a_touch_for_a_while(path: Path, changed: dict) -> None:
    """On another host, before this one was started anew, or in another container."""
    held_by(path, replace(Process.current(), **changed))
    begun = time.monotonic()
    Lock(path).acquire()
    assert time.monotonic() - begun > 0.25
    assert json.loads(path.read_text())["host"] == os.uname().nodename


@pytest.mark.usefixtures("patient")
def test_an_old_lock_of_another_host_is_taken_over_at_once(path: Path) -> None:
    held_by(path, replace(Process.current(), host="elsewhere"))
    os.utime(path, (time.time() - 2e4, time.time() - 2e4))
    Lock(path).acquire()
    assert json.loads(path.read_text())["host"] == os.uname().nodename


@pytest.mark.usefixtures("patient")
def test_a_holder_on_another_host_that_touches_its_lock_is_refused(path: Path) -> None:
    held_by(path, replace(Process.current(), host="elsewhere", pid=99))
    end = threading.Event()

    def touch() -> None:
        while not end.wait(0.1):
            os.utime(path)

    thread = threading.Thread(target=touch)
    thread.start()
    try:
        with pytest.raises(UserError, match=r"process 99 on elsewhere \(since 2024"):
            Lock(path).acquire()
    finally:
        end.set()
        thread.join()


def test_the_holder_touches_its_lock(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    os.utime(path, (0, 0))
    deadline = time.monotonic() + 10
    while path.stat().st_mtime == 0:
        assert time.monotonic() < deadline
        time.sleep(0.01)
    lock.release()


@pytest.mark.parametrize("left", ["nothing", "a dead process's lock"])
def test_a_file_system_without_links_will_do(path: Path, monkeypatch: pytest.MonkeyPatch, left: str) -> None:
    def refused(*_: object) -> None:
        raise OSError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", refused)
    if left != "nothing":
        held_by(path, replace(Process.current(), pid=dead()))
    lock = Lock(path)
    lock.acquire()
    with pytest.raises(UserError, match="works on this run"):
        Lock(path).acquire()
    lock.release()
    assert list(path.parent.iterdir()) == []


@pytest.mark.parametrize("content", ["", "{", "[]", "null", '{"host": 5}', "\x00\xff", '{"pid": "1"}'])
def test_a_damaged_lock_is_that_of_a_process_elsewhere(path: Path, content: str) -> None:
    path.write_text(content, encoding="latin-1")
    Lock(path).acquire()
    assert json.loads(path.read_text())["pid"] == os.getpid()


def test_a_holder_that_was_taken_for_dead_is_told(path: Path) -> None:
    lock = Lock(path)
    lock.acquire()
    held_by(path, replace(Process.current(), host="elsewhere", pid=99))
    with pytest.raises(UserError, match=r"process 99 on elsewhere .* has taken this run over"):
        lock.check()
    lock.release()
    assert path.exists()


def contend(path: str, begin: Event, end: Event, results: multiprocessing.Queue) -> None:
    begin.wait()
    try:
        Lock(Path(path)).acquire()
        results.put("holds")
    except UserError:
        results.put("refused")
    end.wait()


@pytest.mark.parametrize("left", ["nothing", "a dead process's lock"])
def test_of_many_at_once_one_gets_the_lock(path: Path, left: str) -> None:
    if left != "nothing":
        held_by(path, replace(Process.current(), pid=dead()))
    server = multiprocessing.get_context("forkserver")
    begin, end, results = server.Event(), server.Event(), server.Queue()
    processes = [server.Process(target=contend, args=(str(path), begin, end, results)) for _ in range(8)]
    for process in processes:
        process.start()
    begin.set()
    outcomes = sorted(results.get(timeout=60) for _ in processes)
    end.set()
    for process in processes:
        process.join()
    assert outcomes == ["holds", *["refused"] * 7]


def test_a_process_is_known_by_its_number_and_start() -> None:
    own = os.getpid()
    assert is_running(own, started(own))
    assert is_running(own, 0)
    assert not is_running(own, started(own) + 1)
    assert not is_running(dead(), 0)
    assert not is_running(2**40, 0)
    assert is_running(1, 0), "another user's, too"
