"""How much memory a reader may take."""

import contextlib
import tracemalloc
from collections.abc import Iterator


@contextlib.contextmanager
def little_memory(megabytes: int = 600) -> Iterator[None]:
    """Fails where more is allocated at any time."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < megabytes * 1_000_000
    finally:
        tracemalloc.stop()
