"""Batches of many steps whose entries are read together."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np

from airshower.data.batch import Batch
from airshower.data.source import Source


class Window:
    """One rank's entries of several steps, in memory: read run by run, each entry once.

    `runs` are ascending entries, int64 [n] each, and follow each other; `threads` read them. A batch of a window is the
    one that the source itself would read.
    """

    def __init__(self, source: Source, runs: list[np.ndarray], threads: ThreadPoolExecutor):
        self.source = source
        self._runs = runs
        self._first = np.array([run[0] for run in runs], np.int64)
        self._reads = [threads.submit(source.read, run) for run in runs]

    def batch(self, entries: np.ndarray) -> Batch:
        """The events of these entries, int64 [n], in this order; waits until their runs are read. Raises `DataError` as
        the source does, for any entry of these runs."""
        if not len(entries):
            return self.source.read(entries)
        run = np.searchsorted(self._first, entries, side="right") - 1
        by_run = np.argsort(run, kind="stable")
        parts = []
        for number in np.unique(run).tolist():
            rows = np.searchsorted(self._runs[number], entries[run == number])
            parts.append(self._reads[number].result().taken(rows))
        return Batch.joined(parts).taken(np.argsort(by_run))
