"""Which entries are read when: every entry exactly once an epoch, whatever the batch size and the number of ranks."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from airshower.data.order import OrderConfig, RandomBlocks
from airshower.data.shares import Shares
from airshower.errors import UserError
from airshower.runtime.ranks import Ranks


class EntryPlan:
    """Draws the entries of each step; the last step of an epoch has what is left.

    The order of an epoch, see `OrderConfig`, follows from the entries, the seed and the epoch; that of `random_blocks`
    also from the step size, its block and buffer, and where files end (`Source.file_ends`). So the state is two numbers
    and does not depend on the number of ranks. `blocks` is None for other orders. With `shares` an epoch has these of
    the entries, `count` in all.
    """

    def __init__(
        self,
        entries: np.ndarray,
        step_size: int,
        config: OrderConfig | None = None,
        seed: int = 0,
        file_ends: np.ndarray | None = None,
        shares: Shares | None = None,
    ):
        self.shares = shares
        self.count = shares.count if shares else len(entries)
        self.entries = np.asarray(entries, np.int64)
        self.step_size = step_size
        self.config = config or OrderConfig()
        self.seed = seed
        self.file_ends = np.empty(0, np.int64) if file_ends is None else file_ends
        self.blocks: RandomBlocks | None = None
        if self.config.order == "random_blocks":
            self.blocks = RandomBlocks(self.entries, step_size, self.config, self.file_ends)
        self.epoch = self.position = 0
        self._drawn: tuple[int, np.ndarray] | None = None

    @property
    def steps_per_epoch(self) -> int:
        """Steps that read every entry once."""
        return -(-self.count // self.step_size)

    @property
    def steps_at_once(self) -> int:
        """The largest number of steps whose entries are read together."""
        return min(self.blocks.steps, self.steps_per_epoch) if self.blocks else 1

    @property
    def steps_to_read(self) -> int:
        """The number of next steps whose entries are read together: those up to the end of a window."""
        if not self.blocks:
            return 1
        end = min((self.position // self.blocks.window + 1) * self.blocks.window, len(self.entries))
        return -(-(end - self.position) // self.step_size)

    def next(self) -> np.ndarray:
        """The next step's entries; after the last of an epoch the next epoch begins."""
        entries = self._epoch_order()[self.position : self.position + self.step_size]
        self.position += len(entries)
        if self.position >= self.count:
            self.epoch = self.epoch + 1
            self.position = 0
        return entries

    def state_dict(self) -> dict[str, Any]:
        """Epoch and position (entries of it already read), and for what these hold."""
        blocks = [self.config.block, self.blocks.window, self.step_size] if self.blocks else []
        return {"epoch": self.epoch, "position": self.position, "entries": self.count, "blocks": blocks}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the number of ranks may have changed. Raises `UserError` in the middle of an epoch
        whose order was another one."""
        if state["entries"] != self.count:
            raise ValueError(f"the plan has {self.count} entries, its saved state is for {state['entries']}")
        if state["position"] and state.get("blocks", []) != self.state_dict()["blocks"]:
            raise UserError(
                "data.block, data.buffer: the run is in the middle of an epoch with others; go on with those, or "
                "choose another run.id"
            )
        self.epoch = state["epoch"]
        self.position = state["position"]

    def _epoch_order(self) -> np.ndarray:
        if self._drawn is None or self._drawn[0] != self.epoch:
            self._drawn = (self.epoch, self._draw(np.random.default_rng([self.seed, self.epoch])))
        return self._drawn[1]

    def _draw(self, generator: np.random.Generator) -> np.ndarray:
        if self.blocks:
            return self.blocks.draw(generator)
        entries = self.shares.draw(generator) if self.shares else self.entries
        return entries if self.config.order == "serial" else generator.permutation(entries)


@dataclass(frozen=True)
class DealtStep:
    """One rank's part of an optimizer step: the entries of its `pieces` (micro-batches), how many `events` the step has
    over all ranks, and the plan's `state` after it."""

    pieces: list[np.ndarray]
    events: int
    state: dict[str, Any]

    @property
    def epoch(self) -> int:
        """The epoch that the step belongs to."""
        return self.state["epoch"] - (self.state["position"] == 0)


class Dealer:
    """Deals the plan's steps to the ranks: the master draws and scatters.

    A step is cut into minibatches, and each of these over the ranks, so that all ranks have the same number of pieces;
    at the end of an epoch some may be empty. The entries of a minibatch do not depend on the number of ranks.
    """

    def __init__(self, plan: EntryPlan, minibatch_size: int, ranks: Ranks):
        self.plan = plan
        self.minibatch_size = minibatch_size
        self.ranks = ranks
        self.pieces, self.largest = -(-plan.step_size // minibatch_size), -(-minibatch_size // ranks.size)
        self.width = 4 + self.pieces * (1 + self.largest)

    def hand(self, most: int | None = None) -> list[DealtStep]:
        """This rank's parts of the next steps whose entries are read together, at most `most` steps. Collective."""
        steps = self.plan.steps_at_once if most is None else min(most, self.plan.steps_at_once)
        rows = None
        if self.ranks.master:
            rows = np.zeros((self.ranks.size, steps, self.width), np.int64)
            for step in range(min(steps, self.plan.steps_to_read)):
                self._fill(rows[:, step])
            rows = rows.reshape(self.ranks.size, -1)
        dealt = self.ranks.scatter(rows, steps * self.width).reshape(steps, self.width)
        return [self._step(row) for row in dealt if row[3]]

    def _fill(self, rows: np.ndarray) -> None:
        """The next step in a row a rank: epoch, position, events, number of pieces, their lengths, their entries."""
        entries = self.plan.next()
        size = self.minibatch_size
        minibatches = [entries[i : i + size] for i in range(0, len(entries), size)]
        rows[:, :4] = self.plan.epoch, self.plan.position, len(entries), len(minibatches)
        for index, minibatch in enumerate(minibatches):
            start = 4 + self.pieces + index * self.largest
            lengths = len(minibatch) // self.ranks.size + (
                np.arange(self.ranks.size) < len(minibatch) % self.ranks.size
            )
            rows[:, 4 + index] = lengths
            rows[:, start : start + self.largest][np.arange(self.largest) < lengths[:, None]] = minibatch

    def _step(self, row: np.ndarray) -> DealtStep:
        epoch, position, events, count, *parts = row.tolist()
        lengths = parts[: self.pieces]
        entries = np.array(parts[self.pieces :], np.int64).reshape(self.pieces, -1)
        pieces = [piece[:length] for piece, length in zip(entries[:count], lengths, strict=False)]
        return DealtStep(pieces, events, self.plan.state_dict() | {"epoch": epoch, "position": position})
