"""Which entries are read when: every entry exactly once an epoch, whatever the batch size and the number of ranks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.runtime.ranks import Ranks


class EntryPlan:
    """Draws the entries of each step; the last step of an epoch has what is left.

    Orders: `serial` as in the file, `shuffled`, and `random_blocks` (blocks of neighbouring entries in random order,
    kinder to disks). The order of an epoch follows from (seed, epoch) alone, so the state is two numbers and does not
    depend on the number of ranks.
    """

    def __init__(self, entries: np.ndarray, step_size: int, order: str = "shuffled", seed: int = 0, block: int = 16):
        self.entries, self.step_size = np.asarray(entries, np.int64), step_size
        self.order, self.seed, self.block = order, seed, block
        self.epoch = self.position = 0
        self._drawn: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps that read every entry once."""
        return -(-len(self.entries) // self.step_size)

    def next(self) -> np.ndarray:
        """The next step's entries; after the last of an epoch the next epoch begins."""
        entries = self._epoch_order()[self.position : self.position + self.step_size]
        self.position += len(entries)
        if self.position >= len(self.entries):
            self.epoch, self.position = self.epoch + 1, 0
        return entries

    def state_dict(self) -> dict[str, int]:
        """Epoch and position (entries of it already read)."""
        return {"epoch": self.epoch, "position": self.position, "entries": len(self.entries)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the batch size and the number of ranks may have changed."""
        if state["entries"] != len(self.entries):
            raise ValueError(f"the plan has {len(self.entries)} entries, its saved state is for {state['entries']}")
        self.epoch, self.position = state["epoch"], state["position"]

    def _epoch_order(self) -> np.ndarray:
        if self._drawn is None or self._drawn[0] != self.epoch:
            self._drawn = (self.epoch, self._draw(np.random.default_rng([self.seed, self.epoch])))
        return self._drawn[1]

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.order == "serial":
            return self.entries
        if self.order == "shuffled":
            return generator.permutation(self.entries)
        blocks = [self.entries[i : i + self.block] for i in range(0, len(self.entries), self.block)]
        return np.concatenate([blocks[i] for i in generator.permutation(len(blocks))])


@dataclass(frozen=True)
class DealtStep:
    """One rank's part of an optimizer step: the entries of its `pieces` (micro-batches), how many `events` the step has
    over all ranks, and the plan's `state` after it."""

    pieces: list[np.ndarray]
    events: int
    state: dict[str, int]


class Dealer:
    """Deals the plan's steps to the ranks: the master draws and scatters.

    A step is cut into minibatches, and each of these over the ranks, so that all ranks have the same number of pieces;
    at the end of an epoch some may be empty. The entries of a minibatch do not depend on the number of ranks.
    """

    def __init__(self, plan: EntryPlan, minibatch_size: int, ranks: Ranks):
        self.plan, self.minibatch_size, self.ranks = plan, minibatch_size, ranks
        self.pieces, self.largest = -(-plan.step_size // minibatch_size), -(-minibatch_size // ranks.size)

    def next(self) -> DealtStep:
        """This rank's part of the next step. Collective."""
        rows = self._rows() if self.ranks.master else None
        epoch, position, events, count, *row = self.ranks.scatter(rows, 4 + self.pieces * (1 + self.largest)).tolist()
        lengths, entries = row[: self.pieces], np.array(row[self.pieces :], np.int64).reshape(self.pieces, -1)
        pieces = [piece[:length] for piece, length in zip(entries[:count], lengths, strict=False)]
        return DealtStep(pieces, events, self.plan.state_dict() | {"epoch": epoch, "position": position})

    def _rows(self) -> np.ndarray:
        """A row a rank: epoch, position, events, number of pieces, their lengths, their entries."""
        entries, size = self.plan.next(), self.minibatch_size
        minibatches = [entries[i : i + size] for i in range(0, len(entries), size)]
        rows = np.zeros((self.ranks.size, 4 + self.pieces * (1 + self.largest)), np.int64)
        rows[:, :4] = self.plan.epoch, self.plan.position, len(entries), len(minibatches)
        for index, minibatch in enumerate(minibatches):
            start = 4 + self.pieces + index * self.largest
            lengths = len(minibatch) // self.ranks.size + (
                np.arange(self.ranks.size) < len(minibatch) % self.ranks.size
            )
            rows[:, 4 + index] = lengths
            rows[:, start : start + self.largest][np.arange(self.largest) < lengths[:, None]] = minibatch
        return rows
