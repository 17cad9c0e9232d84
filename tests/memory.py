"""How much memory a reader may take."""

import contextlib
import tracemalloc
from collections.abc import Iterator
from pathlib import Path


def peak_memory() -> int:
    """The most that this process has had in memory, kB; `ru_maxrss` begins with that of the one that started it."""
    status = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))


@contextlib.contextmanager
def little_memory(megabytes: int = 600) -> Iterator[None]:
    """Fails where more is allocated at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1_000_000
    finally:
        tracemalloc.stop()
