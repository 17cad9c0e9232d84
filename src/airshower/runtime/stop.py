"""Signals that ask a run to stop at the next step, with a checkpoint."""

import signal
from types import FrameType
from typing import Any

EXIT_CODE = 75
"""EX_TEMPFAIL: stopped on request, to be resumed."""


class StopSignal:
    """Notes signals that ask to stop. A context manager: within it SIGUSR1, which batch systems send before a time
    limit; from `listen` on SIGTERM and Ctrl-C, too. A second Ctrl-C ends at once."""

    def __init__(self) -> None:
        self.received: str | None = None
        self._before: dict[int, Any] = {}

    def __enter__(self) -> "StopSignal":
        self._note(signal.SIGUSR1)
        return self

    def listen(self) -> None:
        """From here on there is something to save."""
        self._note(signal.SIGTERM, signal.SIGINT)

    def __exit__(self, *_: Any) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _note(self, *numbers: int) -> None:
        for number in numbers:
            self._before[number] = signal.signal(number, self._receive)

    def _receive(self, number: int, frame: FrameType | None) -> None:
        if number == signal.SIGINT and self.received:
            raise KeyboardInterrupt
        self.received = signal.Signals(number).name
