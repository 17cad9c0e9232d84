"""The log (console and file) and progress bars."""

import contextlib
import logging
import time
from collections.abc import Iterable, Iterator, Sized
from datetime import timedelta
from pathlib import Path
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

INTERVAL = 30.0
"""Seconds between lines about long work where there is no terminal."""

T = TypeVar("T")
logger = logging.getLogger("airshower")
console = Console(stderr=True)


def start_log(speaks: bool) -> None:
    """Log to the console; without `speaks`, only warnings and no progress bars."""
    stop_log()
    console.quiet = not speaks
    logger.propagate = False
    logger.setLevel(logging.INFO if speaks else logging.WARNING)
    logger.addHandler(_Console())


class _Console(logging.Handler):
    """Prints to the present stdout, which a progress bar replaces to stay below the lines."""

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
    """Drops lines that can't be written, as on a full disk: writing results then raises the error."""

    def handleError(self, record: logging.LogRecord) -> None:
        """Called by logging."""


def progress_bar() -> Progress:
    """A bar for long work: description, fraction done, remaining time, and a field `note`; silent if stdout is no
    terminal."""
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    return Progress(
        *columns, TextColumn("{task.fields[note]}"), console=console, disable=console.quiet or not console.is_terminal
    )


def progress(items: Iterable[T], description: str, total: int | None = None, rate: str = "") -> Iterator[T]:
    """Iterate with a progress bar; if stdout is no terminal, with a line in the log, and of long work with more lines
    that say how much is done and how long the rest takes.

    `total` is needed for iterables without a length. `rate` is the unit of the speed, such as events/s; empty: not
    shown.
    """
    total = len(items) if total is None and isinstance(items, Sized) else total
    if not console.is_terminal:
        logger.info("%s (%d)", description, total)
    start = said = time.monotonic()
    with progress_bar() as bar:
        task = bar.add_task(description, total=total, note="")
        for done, item in enumerate(items, 1):
            yield item
            now = time.monotonic()
            speed = done / max(now - start, 1e-9)
            bar.update(task, advance=1, note=f"{speed:.0f} {rate}" if rate else "")
            if not console.is_terminal and now - said >= INTERVAL:
                said = now
                rest = f" of {total}, {timedelta(seconds=round((total - done) / speed))} left" if total else ""
                logger.info("%s: %d%s", description, done, rest)
