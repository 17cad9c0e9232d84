"""Threads that read ahead of the training loop."""

import time
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any

import numpy as np

from airshower.data.batch import Batch
from airshower.data.plan import Dealer, DealtStep
from airshower.data.source import Source
from airshower.data.window import Window


@dataclass
class _Pending:
    """A dealt step, what reads the entries of a piece, in which thread, and the batches once that has begun."""

    step: DealtStep
    read: Callable[[np.ndarray], Batch]
    threads: ThreadPoolExecutor
    batches: Future[list[Batch]] | None = None


class Feeder:
    """Reads the dealt steps from the source in `threads` threads, at least `prefetch` steps ahead; iterate to get them.

    Each item is (`DealtStep`, list of micro-batches), in the order in which steps were dealt. A piece without entries
    gives a batch without events. `change` makes what is trained on of a batch and its epoch. With more than one thread
    `source.read` and `change` are called by several at a time. Steps are dealt by the thread that iterates, since
    dealing is collective. `waited` counts the seconds that the consumer stood still for data. An error in a thread is
    raised here, in the place of its step.

    Where the plan has steps that are read together, the entries of a hand are a `Window` in memory, of which one more
    thread makes the batches. The next window is read while this one is trained on, so that two are in memory.
    """

    def __init__(
        self,
        source: Source,
        dealer: Dealer,
        steps: int | None = None,
        threads: int = 1,
        prefetch: int = 2,
        pin: bool = False,
        change: Callable[[Batch, int], Batch] = lambda batch, _: batch,
    ):
        self.source = source
        self.dealer = dealer
        self.steps = steps
        self.pin = pin
        self.change = change
        self.waited = 0.0
        self._windows = dealer.plan.blocks if dealer.plan.steps_at_once > 1 else None
        self._steps_begun = 1 + (prefetch if self._windows else max(prefetch, threads))
        self._hands_dealt = 2 if self._windows else self._steps_begun
        self._readers = ThreadPoolExecutor(threads, thread_name_prefix="feeder")
        self._taker = ThreadPoolExecutor(1, thread_name_prefix="feeder-window")
        self._hands: deque[deque[_Pending]] = deque()

    def __enter__(self) -> "Feeder":
        return self

    def __exit__(self, *_: Any) -> None:
        self.close()

    def __iter__(self) -> Iterator[tuple[DealtStep, list[Batch]]]:
        """Deals and gives steps. Collective."""
        left = self.steps
        while True:
            while len(self._hands) < self._hands_dealt and left != 0:
                hand = self.dealer.hand(left)
                self._hands.append(deque(self._read(hand)))
                left = None if left is None else left - len(hand)
            if not self._hands:
                return
            for pending in islice(chain.from_iterable(self._hands), self._steps_begun):
                if pending.batches is None:
                    pending.batches = pending.threads.submit(self._batches, pending.read, pending.step)
            yield self._next()

    def close(self) -> None:
        """Stop reading; returns when the threads have ended."""
        self._readers.shutdown(cancel_futures=True)
        self._taker.shutdown(cancel_futures=True)

    def _read(self, hand: list[DealtStep]) -> list[_Pending]:
        """The steps of a hand; if they have a window, its entries begin to be read."""
        if self._windows is None:
            return [_Pending(step, self.source.read, self._readers) for step in hand]
        entries = np.concatenate([piece for step in hand for piece in step.pieces])
        window = Window(self.source, self._windows.runs(entries), self._readers)
        return [_Pending(step, window.batch, self._taker) for step in hand]

    def _next(self) -> tuple[DealtStep, list[Batch]]:
        pending = self._hands[0].popleft()
        if not self._hands[0]:
            self._hands.popleft()
        assert pending.batches is not None
        start = time.perf_counter()
        batches = pending.batches.result()
        self.waited += time.perf_counter() - start
        return pending.step, batches

    def _batches(self, read: Callable[[np.ndarray], Batch], step: DealtStep) -> list[Batch]:
        batches = [self.change(read(piece), step.epoch) for piece in step.pieces]
        return [batch.pin() for batch in batches] if self.pin else batches
