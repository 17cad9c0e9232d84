"""One thread that reads ahead of the training loop."""

import queue
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from airshower.data.batch import Batch
from airshower.data.plan import EntryPlan, PlannedStep
from airshower.data.source import Source


class Feeder:
    """Reads the plan's steps from the source in a thread, `prefetch` steps ahead; iterate to get them.

    Each item is (`PlannedStep`, list of micro-batches): this rank's share of the step's entries, in pieces of at most
    `minibatch_size`. A rank's share may be empty at the end of an epoch; it then gets one batch without events.
    `waited` counts the seconds that the consumer stood still for data. An error in the thread is raised here.
    """

    def __init__(
        self,
        source: Source,
        plan: EntryPlan,
        minibatch_size: int,
        share: Callable[[np.ndarray], np.ndarray] = lambda entries: entries,
        steps: int | None = None,
        prefetch: int = 2,
        pin: bool = False,
    ):
        self.source, self.plan, self.minibatch_size, self.share = source, plan, minibatch_size, share
        self.steps, self.pin, self.waited = steps, pin, 0.0
        self._queue: queue.Queue[Any] = queue.Queue(maxsize=prefetch)
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._read, name="feeder", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Feeder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[PlannedStep, list[Batch]]]:
        while True:
            start = time.perf_counter()
            item = self._queue.get()
            self.waited += time.perf_counter() - start
            if item is None:
                return
            if isinstance(item, BaseException):
                raise item
            yield item

    def close(self) -> None:
        """Stop reading; returns when the thread has ended."""
        self._stop.set()
        while self._thread.is_alive():
            try:
                self._queue.get(timeout=0.05)
            except queue.Empty:
                continue

    def _read(self) -> None:
        try:
            step = 0
            while (self.steps is None or step < self.steps) and not self._stop.is_set():
                planned = self.plan.next()
                self._queue.put((planned, self._micro_batches(self.share(planned.entries))))
                step += 1
            self._queue.put(None)
        except BaseException as error:  # handed to the consumer, whatever it is: a silent thread would hang the run
            self._queue.put(error)

    def _micro_batches(self, entries: np.ndarray) -> list[Batch]:
        size = self.minibatch_size
        pieces = [entries[i : i + size] for i in range(0, len(entries), size)] or [entries]
        batches = [self.source.read(piece) for piece in pieces]
        return [batch.pin() for batch in batches] if self.pin else batches
