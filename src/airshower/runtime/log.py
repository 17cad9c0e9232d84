"""What a run says: the log (console and file) and progress bars."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sized
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

T = TypeVar("T")
logger = logging.getLogger("airshower")
console = Console(stderr=True)


def start_log(speaks: bool) -> None:
    """Log to the console; on ranks that do not speak, only warnings and no progress bars."""
    stop_log()
    console.quiet = not speaks
    logger.propagate = False
    logger.setLevel(logging.INFO if speaks else logging.WARNING)
    logger.addHandler(_Console())


class _Console(logging.Handler):
    """Prints to what stdout is at that moment: a progress bar takes its place and stays below the lines."""

    def emit(self, record: logging.LogRecord) -> None:
        print(self.format(record), flush=True)


def stop_log() -> None:
    """Close the console and files that `start_log` and `log_to` opened."""
    for handler in list(logger.handlers):
        logger.removeHandler(handler)
        with contextlib.suppress(OSError):
            handler.close()


def log_to(path: Path) -> None:
    """Log to a file too, appending."""
    handler = _File(path)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(message)s"))
    logger.addHandler(handler)


class _File(logging.FileHandler):
    """Lines that can't be written, as on a full disk, are left out: what matters more will say so."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called by logging."""


def progress_bar() -> Progress:
    """A bar for long work: description, share done, what is left, and a field `note`; silent off a terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console, disable=console.quiet or not console.is_terminal
    )


def progress(items: Iterable[T], description: str, total: int | None = None, rate: str = "") -> Iterator[T]:
    """Iterate with a progress bar; off a terminal, with one line in the log.

    `total` is needed of iterables without a length; `rate` is what to call items per second, if they are shown.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if not console.is_terminal:
        logger.info("%s (%d)", description, total)
    start = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, note="")
        for done, item in enumerate(items, 1):
            yield item
            note = f"{done / max(time.monotonic() - start, 1e-9):.0f} {rate}" if rate else ""
            bar.update(task, advance=1, note=note)
