"""Simulated data: files that are made on first use and kept in the cache folder, or written where a user wants them."""

from abc import abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic

import numpy as np

from airshower.config.fields import number
from airshower.data.splits import Data, Selection, SourceT_co, Splits
from airshower.runtime.folders import move_to_new, partial, simulated_file

TEST_SEED = 2**30  # and more are the seeds of events to test on, below are those of all others


@dataclass
class SimulatedConfig:
    """`data.*` of all simulated data."""

    events: int = number(1000, low=1)
    validation_events: int = number(1000, low=1)
    test_events: int = number(1000, low=1, free=True)
    seed: int = number(1, low=0, high=TEST_SEED // 2 - 1)


@dataclass(frozen=True)
class SimulatedFile:
    """A file of simulated events that may be made anywhere.

    `write(path, text)` simulates the events and writes them to `path`, of any name, at once and whole or not at all;
    `text` is `made_from`, what the content follows from, for the file's own record. In the cache it is in `folder`,
    with a name from `stem` to `suffix`.
    """

    folder: str
    stem: str
    suffix: str
    made_from: Mapping[str, Any]
    write: Callable[[Path, str], None]

    def cached(self) -> Path:
        """The file in the cache, simulated if it is not there. Of processes that simulate it at the same time, all get
        the file of the first that is ready."""
        path, text = simulated_file(self.folder, self.stem, dict(self.made_from), self.suffix)
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            own = partial(path)
            self.write(own, text)
            move_to_new(own, path)
        return path

    def write_to(self, path: Path) -> None:
        """Simulate the events into a file elsewhere, in a folder that exists."""
        _, text = simulated_file(self.folder, self.stem, dict(self.made_from), self.suffix)
        self.write(path, text)


class SimulatedData(Data, Generic[SourceT_co]):
    """Simulated data: a file each, of events of its own, to train on, to validate on and to test on.

    A file is simulated when its events are first used and it is not in the cache yet.
    """

    @abstractmethod
    def source(self, name: str, events: int, seed: int) -> SourceT_co:
        """n events made with a seed, of files with `name` in their own."""

    @abstractmethod
    def files(self, name: str, events: int, seed: int) -> dict[str, SimulatedFile]:
        """The files of n events made with a seed, keyed by what tells them apart, such as the primary."""

    def file(self, name: str, events: int, seed: int) -> Path:
        """The file in the cache of data that have a single one."""
        (file,) = self.files(name, events, seed).values()
        return file.cached()

    def entries(self, source: Any) -> np.ndarray:
        """The entries that pass the cuts, int64."""
        return np.arange(len(source))

    def everything(self) -> Selection[SourceT_co]:
        """See `Data`: the events to train on."""
        return self.open().train

    def sample(self, split: str) -> tuple[str, int, int]:
        """The name, the number of events and the seed of the events to train on, to validate on or to test on."""
        config = self.config
        return {
            "train": ("train", config.events, 2 * config.seed),
            "validation": ("validation", config.validation_events, 2 * config.seed + 1),
            "test": ("test", config.test_events, TEST_SEED + config.seed),
        }[split]

    def open(self) -> Splits[SourceT_co]:
        """Inference and iotest run over the events to test on."""

        def selection(split: str) -> Selection[SourceT_co]:
            source = self.source(*self.sample(split))
            return Selection(source, self.entries(source))

        return Splits(*(lambda split=split: selection(split) for split in ("train", "validation", "test")))
