"""The orders in which entries are trained on: as in the files, at random, or runs of neighbours that are mixed."""

from dataclasses import dataclass

import numpy as np

from airshower.config.fields import choice, number, value
from airshower.errors import UserError


@dataclass
class OrderConfig:
    """`data.*`: the order of an epoch. `block` and `buffer` count entries of `random_blocks`. An epoch has this `share`
    of the events of the classes `share_of`, see `Shares`."""

    order: str = choice("shuffled", "serial", "random_blocks")
    block: int = number(16, low=1, free=True)
    buffer: int = number(1024, low=1, free=True)
    share: float = number(1.0, above=0.0, high=1.0)
    share_of: list[str] = value([])


class RandomBlocks:
    """Shuffling for disks: entries are read in runs of neighbours and mixed in memory.

    The entries are cut into blocks of up to `block` neighbours, each of one file. An epoch has the blocks in random
    order. It is cut into windows of `steps` steps, which are read together. Each slot of a step, its first entry, its
    second and so on, draws from its own stretch of the window. So a rank, whose slots are neighbours, reads whole runs,
    however many ranks there are; and a step has one entry of a block at most, if a window has as many steps as a block
    has entries.
    """

    def __init__(self, entries: np.ndarray, step_size: int, config: OrderConfig, file_ends: np.ndarray):
        if config.buffer < config.block:
            raise UserError(f"data.buffer={config.buffer}: must be at least data.block={config.block}")
        self.entries = np.sort(entries)
        self.step_size = step_size
        self.steps = max(1, config.buffer // step_size)
        file = np.searchsorted(file_ends, self.entries, side="right")
        in_file = np.arange(len(file)) - np.searchsorted(file, file)
        self._starts = np.flatnonzero(in_file % config.block == 0)

    @property
    def window(self) -> int:
        """Entries of a window; the last of an epoch may have fewer."""
        return self.steps * self.step_size

    def draw(self, generator: np.random.Generator) -> np.ndarray:
        """The entries of an epoch in their order, step after step."""
        blocks = np.split(self.entries, self._starts[1:])
        order = generator.permutation(len(blocks))
        entries = np.concatenate([blocks[number] for number in order])
        block = np.repeat(np.arange(len(blocks)), [len(blocks[number]) for number in order])
        windows = (slice(start, start + self.window) for start in range(0, len(entries), self.window))
        return np.concatenate([self._mixed(entries[window], block[window], generator) for window in windows])

    def runs(self, entries: np.ndarray) -> list[np.ndarray]:
        """Some of the entries as the runs in which they are read: block by block, ascending, each entry once."""
        different = np.unique(entries)
        block = np.searchsorted(self._starts, np.searchsorted(self.entries, different), side="right")
        return np.split(different, np.flatnonzero(np.diff(block)) + 1) if len(different) else []

    def _mixed(self, entries: np.ndarray, block: np.ndarray, generator: np.random.Generator) -> np.ndarray:
        """A window's entries, step after step. The entries of a block in a slot's stretch are shuffled, and all
        stretches are dealt to the steps in the same random order. The last step of an epoch, which has fewer slots,
        gets the last entries of the stretches that are longer by one."""
        whole, rest = divmod(len(entries), self.step_size)
        lengths = whole + (np.arange(self.step_size) < rest)
        slot = np.repeat(np.arange(self.step_size), lengths)
        place = np.arange(len(entries)) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        step = np.append(generator.permutation(whole), whole)[place]
        shuffled = entries[np.lexsort((generator.random(len(entries)), block, slot))]
        return shuffled[np.argsort(step, kind="stable")]
