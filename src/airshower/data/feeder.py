"""One thread that reads ahead of the training loop."""

import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

import numpy as np

from airshower.data.batch import EventBatch
from airshower.data.plan import Dealer, DealtStep
from airshower.data.source import Source


class Feeder:
    """Reads the dealt steps from the source in a thread, `prefetch` steps ahead; iterate to get them.

    Each item is (`DealtStep`, list of micro-batches). A piece without entries gives a batch without events. Steps are
    dealt by the thread that iterates, since dealing is collective. `waited` counts the seconds that the consumer stood
    still for data. An error in the thread is raised here.
    """

    def __init__(self, source: Source, dealer: Dealer, steps: int | None = None, prefetch: int = 2, pin: bool = False):
        self.source, self.dealer, self.steps, self.prefetch, self.pin = source, dealer, steps, prefetch, pin
        self.waited = 0.0
        self._dealt: queue.SimpleQueue[DealtStep | None] = queue.SimpleQueue()
        self._read: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="feeder", daemon=True)
        self._thread.start()

    def __enter__(self) -> "Feeder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[DealtStep, list[EventBatch]]]:
        """Deals and gives steps. Collective."""
        dealt = given = 0
        while True:
            while dealt - given <= self.prefetch and (self.steps is None or dealt < self.steps):
                self._dealt.put(self.dealer.next())
                dealt += 1
            if given == dealt:
                return
            start = time.perf_counter()
            item = self._read.get()
            self.waited += time.perf_counter() - start
            if isinstance(item, BaseException):
                raise item
            given += 1
            yield item

    def close(self) -> None:
        """Stop reading; returns when the thread has ended."""
        self._stop.set()
        self._dealt.put(None)
        self._thread.join()

    def _work(self) -> None:
        try:
            while (step := self._dealt.get()) is not None and not self._stop.is_set():
                self._read.put((step, [self._batch(piece) for piece in step.pieces]))
        except BaseException as error:  # handed to the consumer, whatever it is: a silent thread would hang the run
            self._read.put(error)

    def _batch(self, entries: np.ndarray) -> EventBatch:
        batch = self.source.read(entries)
        return batch.pin() if self.pin else batch
