"""Signals that ask a run to stop at the next step, with a checkpoint."""

import signal
from types import FrameType
from typing import Any

EXIT_CODE = 75
"""EX_TEMPFAIL: stopped on request, to be resumed."""


class StopSignal:
    """Notes SIGTERM, SIGUSR1 and Ctrl-C; a second Ctrl-C ends at once. A context manager."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        for number in (signal.SIGTERM, signal.SIGUSR1, signal.SIGINT):
            self._before[number] = signal.signal(number, self._note)
        return self

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
