"""The base class of sources of HAWC's events, with columns of numbers in memory for events that pass the cuts."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from airshower.data.batch import Batch
from airshower.data.containers import Container, Table
from airshower.data.cuts import check_names, parse_cuts, passing
from airshower.data.files import FileSource
from airshower.data.hits import TankHits
from airshower.data.order import OrderConfig
from airshower.data.quantity import Quantity
from airshower.data.source import Contents
from airshower.data.spec import Spec
from airshower.detectors.hawc.generated_file import GeneratedFile
from airshower.detectors.hawc.quantities import PRIMARY
from airshower.errors import UserError
from airshower.geometry.tank_array import hawc_array

NO_HITS = TankHits(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))


class EventFile(Protocol):
    """Events in a file: `scalars` are the names of columns that have one number for each; `digest` identifies the
    content."""

    path: Path

    @property
    def scalars(self) -> list[str]: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def columns(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Columns [events] by name. Raises `DataError` for a missing one."""
        ...


@dataclass
class EventConfig(OrderConfig):
    """The base class of HAWC's data."""

    parameters: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    cuts: str = ""


def check_no_copies(source: "HawcTable", aux: "HawcTable") -> None:
    """Raise `UserError` for a validation file that is also a training file."""
    digests = {file.digest for file in source.files}
    for copy in [file for file in aux.files if file.digest in digests][:1]:
        raise UserError(f"{copy.path}: is among the files for validation and those to train on; validate on others")


class HawcTable(FileSource):
    """Entries of one or more files: the events that pass the cuts. In memory are their scalar values alone.

    `files` are by primary, whose names are `classes`: gamma, proton, or observed. `event_ids` int64 [n, 3]: file, event
    in the file, 0; `columns` f8 [events] of the scalars in use. Raises `UserError` for a selection that leaves nothing.
    """

    def __init__(self, config: EventConfig, files: Mapping[str, Sequence[EventFile]], spec: Spec):
        self.config = config
        self.spec = spec
        self.cuts = parse_cuts(config.cuts)
        self.classes = tuple(files)
        self.files = [file for of_class in files.values() for file in of_class]
        rows = [PRIMARY.names.index(name) if name in PRIMARY.names else -1 for name in self.classes]
        self._primary = np.repeat(rows, [len(of_class) for of_class in files.values()])
        self._index()
        self.digest = hashlib.sha256(" ".join(file.digest for file in self.files).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.event_ids)

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`: the tables `parameters` and `conditions`."""
        entries = np.asarray(entries, np.int64)
        inputs = {name: Table(self.scaled(name, entries)) for name in ("parameters", "conditions")}
        return Batch(self._of_hits(entries) | inputs, entries, self.event_ids[entries])

    def file_ends(self) -> np.ndarray:
        """See `Source`."""
        return np.searchsorted(self.event_ids[:, 0], np.arange(len(self.files)), side="right")

    def scaled(self, name: str, entries: np.ndarray) -> np.ndarray:
        """The table of this name, float32 [n, quantities], without reading hits."""
        rows = [quantity.scaled(self.columns[quantity.name][entries]) for quantity in self.spec.quantities(name)]
        return np.stack(rows, 1) if rows else np.zeros((len(entries), 0), np.float32)

    def primaries(self, entries: np.ndarray) -> np.ndarray:
        """Rows of `PRIMARY.names`, int64 [n]; -1 for observed events."""
        return self._primary[self.event_ids[entries, 0]]

    def generated_writer(self, path: Path, provenance: dict[str, str]) -> GeneratedFile:
        """See `Source`: parameters and conditions of generated events."""
        return GeneratedFile(path, self._quantities, provenance, hawc_array().position)

    def _of_hits(self, entries: np.ndarray) -> dict[str, Container]:
        """The containers of hits, for sources that have them."""
        return {}

    def contents(self) -> Contents:
        """See `Source`."""
        return Contents(tuple(file.path for file in self.files), sum(map(len, self.files)), self._removed)

    @property
    def showers(self) -> np.ndarray:
        """The event of each entry [entries]: its file, its number there, and the file's content."""
        file, event, _ = self.event_ids.T
        keys = np.empty(len(self), [("file", np.int64), ("event", np.int64), ("content", np.int64)])
        keys["file"] = file
        keys["event"] = event
        keys["content"] = self._content[file]
        return keys

    @property
    def _content(self) -> np.ndarray:
        """48 bits of the digest of each file, int64 [files]."""
        return np.array([int(hashlib.sha256(file.digest.encode()).hexdigest()[:12], 16) for file in self.files])

    @property
    def _quantities(self) -> tuple[Quantity, ...]:
        return (*self.spec.quantities("parameters"), *self.spec.quantities("conditions"))

    def _needed(self, common: list[str]) -> list[str]:
        """Further columns in use; `common` are the columns of all files."""
        return []

    def _tests(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Further selections, bool [events], keyed by name."""
        return {}

    def _index(self) -> None:
        """Reads the scalars in use of all events and keeps those that pass."""
        common = sorted(set.intersection(*(set(file.scalars) for file in self.files)))
        check_names(self.cuts, set(common), common)
        used = [quantity.name for quantity in self._quantities]
        used += [name for cut in self.cuts for name in cut.names] + self._needed(common)
        from_class = {PRIMARY.name} if PRIMARY in self.spec.quantities("conditions") else set()
        used = list(dict.fromkeys(name for name in used if name not in from_class))
        read = [file.columns(used) for file in self.files]
        columns = {name: np.concatenate([part[name] for part in read]).astype(float) for name in used}
        counts = [len(file) for file in self.files]
        columns |= {name: np.repeat(self._primary, counts).astype(float) for name in from_class}
        ids = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate(list(map(np.arange, counts)))], 1)
        kept, self._removed = self._kept(
            columns, np.concatenate(list(map(self._of_class, self.files, self._primary.tolist())))
        )
        self.columns = {name: column[kept] for name, column in columns.items()}
        self.event_ids = np.column_stack([ids[kept], np.zeros(kept.sum(), np.int64)])

    def _of_class(self, file: EventFile, primary: int) -> np.ndarray:
        """True for events of a file's class: all, unless it has the primary of each event, as generated files may."""
        if PRIMARY.name not in file.scalars or primary < 0:
            return np.ones(len(file), bool)
        return file.columns([PRIMARY.name])[PRIMARY.name] == primary

    def _kept(self, columns: dict[str, np.ndarray], of_class: np.ndarray) -> tuple[np.ndarray, dict[str, int]]:
        """True for events that pass all cuts; how many each cut removed."""
        tests = {cut.text: cut.keeps(columns) for cut in self.cuts} | self._tests(columns)
        tests["being of another class"] = of_class
        for quantity in self._quantities:
            tests[f"{quantity.name} not a number"] = np.isfinite(quantity.scaled(columns[quantity.name]))
        return passing(tests, len(of_class), len(self.files))
