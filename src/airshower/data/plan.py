"""Which entries are read when: every entry exactly once an epoch, whatever the batch size and the number of ranks."""

from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class PlannedStep:
    """The entries of one optimizer step over all ranks and micro-batches, and the plan's state after it."""

    entries: np.ndarray
    state: dict[str, int]


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

    def next(self) -> PlannedStep:
        """The next step's entries; after the last of an epoch the next epoch begins."""
        entries = self._epoch_order()[self.position : self.position + self.step_size]
        self.position += len(entries)
        if self.position >= len(self.entries):
            self.epoch, self.position = self.epoch + 1, 0
        return PlannedStep(entries, self.state_dict())

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
