"""Signals: those that ask a run to stop at the next step, with a checkpoint, and those that end it at once."""

import contextlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import Any

from airshower.runtime import folders
from airshower.runtime.launcher import launched

EXIT_CODE = 75
"""EX_TEMPFAIL: stopped on request, to be resumed."""

ENDING = tuple(getattr(signal, name) for name in ("SIGTERM", "SIGUSR1", "SIGHUP") if hasattr(signal, name))


@contextlib.contextmanager
def clean_end() -> Iterator[None]:
    """In this context a signal that ends the process removes partial files and prints a message.

    No exception is raised, as it could interrupt a library's write. Ignored signals, as under nohup, stay ignored. Only
    a process's main thread can handle signals: in others nothing is changed.
    """
    if not _handles_signals():
        yield
        return
    before = {number: signal.getsignal(number) for number in ENDING}
    before = {number: handler for number, handler in before.items() if handler not in (signal.SIG_IGN, None)}
    for number in before:
        signal.signal(number, _end)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _handles_signals() -> bool:
    return threading.current_thread() is threading.main_thread()


def _end(number: int, frame: FrameType | None) -> None:
    folders.remove_partials()
    if launched().rank == 0:
        line = f"airshower: ended by {signal.Signals(number).name}; half-written files are removed\n"
        with contextlib.suppress(Exception):  # stderr may be gone
            # not through the stream, which refuses where the signal interrupted a print to it
            os.write(sys.stderr.fileno(), line.encode())
    signal.signal(number, signal.SIG_DFL)
    os.kill(os.getpid(), number)


class StopSignal:
    """Notes signals that ask to stop. A context manager: within it SIGUSR1, which batch systems send before a time
    limit; from `listen` on SIGTERM and Ctrl-C, too. A second Ctrl-C ends at once. Outside of the main thread, where
    Python handles no signals, it notes none."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        self._note(signal.SIGUSR1)
        return self

    def listen(self) -> None:
        """Also handle SIGTERM and Ctrl-C, as from here on there is a state to save."""
        self._note(signal.SIGTERM, signal.SIGINT)

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *numbers: int) -> None:
        for number in numbers if _handles_signals() else ():
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
