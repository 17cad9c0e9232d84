"""Data of many files: which files, how their events are split, and how classes are balanced."""

import glob
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar, Generic, TypeVar

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, location, number
from airshower.data.index import FileIndex
from airshower.data.source import Source
from airshower.data.splits import Data, Selection, Splits, split_by_shower
from airshower.data.truth import CLASS
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger
from airshower.runtime.ranks import Ranks

Paths = Mapping[str, list[Path]]
"""Files by the key that names them."""


@dataclass
class FilesConfig:
    """`data.*` of all data that are read from files."""

    file: Any = location(MISSING)
    aux_file: Any = location()
    validation_fraction: float = number(0.0, low=0.0, high=0.9)
    test_fraction: float = number(0.0, low=0.0, high=0.9)
    resample: str = choice("none", "undersample", "oversample")
    data_directory: str = location(free=True)


class FileSource(Source):
    """Events of files."""

    @property
    @abstractmethod
    def showers(self) -> np.ndarray:
        """A key for each entry [entries]; equal where entries are of one shower, or are one event, also in two sources.
        Entries of one shower are not split."""


FileSourceT = TypeVar("FileSourceT", bound=FileSource)


class FileData(Data, Generic[FileSourceT]):
    """Data of files. Validation comes from `aux_file`, or from a fraction of the showers of `file`.

    Inference and iotest run over the test split if `test_fraction` is above 0, else over the events for validation,
    else over all events.
    """

    keys: ClassVar[tuple[str, ...]] = ("file",)
    """Keys that name files; those for validation are the same ones after `aux_`."""

    @abstractmethod
    def source(self, paths: Paths) -> FileSourceT:
        """The events of these files, of which there is at least one."""

    @abstractmethod
    def check_alike(self, source: FileSourceT, aux: FileSourceT) -> None:
        """Raise `UserError` where events for validation can't be used with those to train on."""

    def build_index(self) -> FileIndex | None:
        """The index of such files; None where opening them needs none."""
        return None

    @cached_property
    def index(self) -> FileIndex | None:
        """See `build_index`; it is for `source`, too."""
        return self.build_index()

    def prepare(self, ranks: Ranks) -> None:
        """See `Data`: the index of the files is made by all ranks together."""
        for prefix in ("", "aux_"):
            if self.index and (paths := self._paths(prefix)):
                self.index.prepare([path for of_key in paths.values() for path in of_key], ranks)

    def entries(self, source: FileSourceT) -> np.ndarray:
        """The entries that pass the cuts, int64."""
        return np.arange(len(source))

    def everything(self) -> Selection[FileSourceT]:
        """See `Data`: all events of the files."""
        source = self.source(self._named())
        return Selection(source, self.entries(source))

    def open(self) -> Splits[FileSourceT]:
        """Opens the files and splits their events. Raises `UserError` if no event is left to train on."""
        source = self.source(self._named())
        aux = self._open_aux(source)
        entries = self.entries(source)
        fraction = 0.0 if aux else self.config.validation_fraction
        train, held_out, tested = split_by_shower(
            entries, source.showers[entries], fraction, self.config.test_fraction, self.seed
        )
        validation = aux or (Selection(source, held_out) if len(held_out) else None)
        counts = f"{len(train)} entries to train on"
        if validation:
            counts += f", {len(validation.entries)} to validate on"
        if len(tested):
            test = Selection(source, tested)
            which = f"{len(tested)} others, of data.test_fraction"
        elif validation:
            test = validation
            which = f"those to validate on ({self._to_test_all(bool(aux))} for all of the files)"
        else:
            test = Selection(source, entries)
            which = "all of them"
        logger.info("data: %s; inference and iotest run over %s", counts, which)
        return Splits(lambda: Selection(source, self._resampled(source, train)), validation, test)

    def _named(self) -> Paths:
        """The files to train on, of which there is at least one."""
        paths = self._paths("")
        if not paths:
            keys = ", ".join(f"data.{key}" for key in self.keys)
            raise UserError(f"{keys}: name files, as in data.{self.keys[0]}=PATH")
        return paths

    def _paths(self, prefix: str) -> Paths:
        """The files that keys with this prefix name, without keys that are empty."""
        given = {key: getattr(self.config, prefix + key) for key in self.keys}
        directory = self.config.data_directory
        return {key: matching_files(file, directory, f"data.{prefix}{key}") for key, file in given.items() if file}

    def _open_aux(self, source: FileSourceT) -> Selection[FileSourceT] | None:
        """The events of the files for validation; None if none are named. Refuses those that are also in `source`."""
        paths = self._paths("aux_")
        if not paths:
            return None
        aux = self.source(paths)
        self.check_alike(source, aux)
        shared = np.intersect1d(source.showers, aux.showers)
        if len(shared):
            keys = ", ".join(f"data.aux_{key}" for key in paths)
            raise UserError(f"{keys}: {len(shared)} showers are also in the files to train on; validate on others")
        return Selection(aux, self.entries(aux))

    def _to_test_all(self, has_aux: bool) -> str:
        named = [key for key in self.keys if has_aux and getattr(self.config, f"aux_{key}")]
        return " ".join(["data.validation_fraction=0", *(f"data.aux_{key}=''" for key in named)])

    def _resampled(self, source: FileSourceT, entries: np.ndarray) -> np.ndarray:
        """Entries to train on, with `resample` as many of each class as of the smallest or of the largest.

        Of the larger classes some entries are left out; entries of the smaller ones are repeated. They are drawn with
        the seed.
        """
        if self.config.resample == "none":
            return entries
        columns = (column for column in source.spec.truth if column.kind == CLASS and column.name in source.spec.known)
        column = next(columns, None)
        if column is None:  # observations, which are not trained on
            return entries
        of_class = source.truth(entries, (column.name,))[column.name]
        groups = {name: entries[of_class == row] for row, name in enumerate(column.classes)}
        counts = ", ".join(f"{len(group)} {name}" for name, group in groups.items())
        logger.info("data: to train on there are %s, resample=%s", counts, self.config.resample)
        filled = [group for group in groups.values() if len(group)]
        if len(filled) < 2:
            return entries
        size = (min if self.config.resample == "undersample" else max)(map(len, filled))
        generator = np.random.default_rng(self.seed)
        drawn = [(np.tile(group, size // len(group)), generator.permutation(group)) for group in filled]
        return np.sort(np.concatenate([part for whole, some in drawn for part in (whole, some[: size % len(some)])]))


def matching_files(files: str | Path | Sequence[str | Path], directory: str = "", key: str = "data.file") -> list[Path]:
    """The files that a path, a pattern or a list of them names, each once; relative ones are in `directory`.

    Raises `DataError` for a pattern that no file matches, `UserError` naming `key` for an empty list.
    """
    paths: dict[Path, None] = {}
    for file in [files] if isinstance(files, str | Path) else files:
        pattern = str(Path(directory).expanduser() / Path(file).expanduser())
        matching = sorted(glob.glob(pattern)) if glob.has_magic(pattern) and not Path(pattern).exists() else [pattern]
        if not matching:
            raise DataError(f"{pattern}: no file matches")
        paths |= dict.fromkeys(map(Path, matching))
    if not paths:
        raise UserError(f"{key}: is empty")
    return list(paths)
