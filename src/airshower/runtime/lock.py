"""A lock on a folder: one process at a time works in it, on any host."""

import contextlib
import json
import os
import secrets
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

from airshower.errors import UserError
from airshower.runtime import folders
from airshower.runtime.log import logger
from airshower.runtime.processes import Process, is_running

HEARTBEAT = 10.0
"""Seconds between the times at which the holder touches its lock."""
STALE = 120.0
"""Seconds without a touch after which a holder on another host counts as dead."""


class Lock:
    """A file with its holder's host, process id and start time; it is removed when the holder ends normally.

    A holder on this machine is checked by its process id and start time. A holder touches the file every ten seconds,
    so that a lock of another host that is unchanged for two minutes belongs to a dead process and is taken over.
    """

    def __init__(self, path: Path):
        self.path = path
        since = datetime.now(UTC).isoformat(timespec="seconds")
        record = asdict(Process.current()) | {"since": since, "id": secrets.token_hex(8)}
        self.content = json.dumps(record) + "\n"
        self._released = threading.Event()

    def acquire(self) -> None:
        """Take the lock. Raises `UserError` if a running process holds it. Waits up to two minutes for a touch by a
        holder on another host."""
        while not self._create():
            held = self._read()
            if held is not None:
                if self._is_alive(held):
                    raise UserError(f"{self.path.parent}: {_described(held)} works on this run; choose another run.id")
                self._remove(held)
        threading.Thread(target=self._beat, name="lock", daemon=True).start()

    def check(self) -> None:
        """Raise `UserError` if another process has taken the lock over, as this one did not touch it for two
        minutes."""
        held = self._read()
        if held not in (None, self.content):
            raise UserError(f"{self.path.parent}: {_described(held)} has taken this run over; this process ends")

    def release(self) -> None:
        """Release the lock, if it is held."""
        self._released.set()
        with contextlib.suppress(OSError):
            if self._read() == self.content:
                self.path.unlink()

    def _create(self) -> bool:
        """Create the file atomically; False if it exists."""
        temporary = folders.partial(self.path)
        try:
            temporary.write_text(self.content)
            os.link(temporary, self.path)
        except FileExistsError:
            return False
        except OSError as error:
            if error.errno not in folders.NO_LINKS:
                raise
            return self._create_without_links()
        finally:
            temporary.unlink(missing_ok=True)
        return True

    def _create_without_links(self) -> bool:
        try:
            with open(self.path, "x") as handle:
                handle.write(self.content)
        except FileExistsError:
            return False
        return True

    def _read(self) -> str | None:
        try:
            return self.path.read_text(errors="replace")
        except FileNotFoundError:
            return None

    def _is_alive(self, held: str) -> bool:
        holder = _holder(held)
        if holder and holder.is_here():
            return is_running(holder.pid, holder.start)
        return self._is_touched(held)

    def _is_touched(self, held: str) -> bool:
        """True as soon as the file changes, False once it has not for `STALE` seconds. Ages use only the file
        system's clock."""
        first = self._touched()
        age = self._now() - first
        if age < STALE:
            logger.info("%s: waiting up to %.0f s for a sign of %s", self.path, STALE - age, _described(held))
        deadline = time.monotonic() + STALE - age
        while time.monotonic() < deadline:
            time.sleep(min(1.0, HEARTBEAT / 4))
            if self._touched() != first:
                return self._read() is not None
        return False

    def _touched(self) -> float:
        """The time of the file's last touch; 0 without a file. Opening the file makes network file systems refresh
        it."""
        try:
            with open(self.path) as handle:
                return os.fstat(handle.fileno()).st_mtime
        except FileNotFoundError:
            return 0.0

    def _now(self) -> float:
        probe = folders.partial(self.path)
        try:
            probe.write_text("")
            return probe.stat().st_mtime
        finally:
            probe.unlink(missing_ok=True)

    def _remove(self, held: str) -> None:
        """Remove a dead process's lock; a newer lock of another process is restored."""
        aside = folders.partial(self.path)
        try:
            os.rename(self.path, aside)
        except FileNotFoundError:
            return
        if aside.read_text(errors="replace") != held:
            with contextlib.suppress(OSError):
                os.link(aside, self.path)
        aside.unlink()

    def _beat(self) -> None:
        while not self._released.wait(HEARTBEAT):
            with contextlib.suppress(OSError):
                if self._read() == self.content:
                    os.utime(self.path)


def _holder(held: str) -> Process | None:
    try:
        return Process.from_record(json.loads(held))
    except ValueError:
        return None


def _described(held: str) -> str:
    holder = _holder(held)
    if holder is None:
        return "another process"
    return f"process {holder.pid} on {holder.host} (since {json.loads(held).get('since')})"
