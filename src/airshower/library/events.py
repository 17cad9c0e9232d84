"""`airshower.open`: the events of files."""

import os
from collections.abc import Iterator, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from omegaconf import DictConfig, OmegaConf
from torch.utils.data import Dataset

from airshower.assembly.components import data_yamls, recognised
from airshower.config import build
from airshower.data.batch import Batch
from airshower.data.event_table import EventTable
from airshower.data.files import FileData, matching_files
from airshower.data.points.writer import write_points
from airshower.data.source import Source
from airshower.data.spec import Spec, TableSpec
from airshower.data.splits import Data, Selection
from airshower.data.truth import CLASS, DIRECTION, POSITION, Column
from airshower.errors import UserError
from airshower.library.words import in_words
from airshower.writers.event_displays import display_event
from airshower.writers.graphs import Graphs

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Files = str | Path | Sequence[str | Path]
SEED = 1


def open_events(files: Files | None = None, *, data: str | None = None, **options: Any) -> "Events":
    """The events of files of any supported format, which is recognised by content.

    `files` is a path, a pattern or a list of them. `data` names what is read where the content does not say enough, as
    in `data="hawc_crab"`; simulated data need no files: `airshower.open(data="lartpc_simulated", events=20)`.
    `options` are the keys of `data.*` on the command line, such as `cuts="hillas_intensity > 50"` or
    `gammas="g.xcd", protons="p.xcd"`. Raises `UserError` or `DataError`, naming the file or the option.
    """
    name = data or _name(files, options)
    return Events(data_of(name, files, options).in_full().everything(), name)


class Events:
    """Events that can be read in any order, numbered from 0 on; those that pass the cuts of the files.

    `events[3]` is the batch of one event; `events[10:20]`, and indexing with numbers or a mask, are some of the events.
    `source` and `entries` are what commands of the application read.
    """

    def __init__(self, selection: Selection, name: str):
        self.source: Source = selection.source
        self.entries: np.ndarray = selection.entries
        self.name = name

    def __len__(self) -> int:
        return len(self.entries)

    def __getitem__(self, chosen: Any) -> "Batch | Events":
        """The batch of one event; of slices, numbers and masks the events."""
        if isinstance(chosen, int | np.integer):
            if not -len(self) <= chosen < len(self):
                raise IndexError(f"there are {len(self)} events, not one of number {chosen}")
            return self.read([int(chosen)])
        chosen = chosen if isinstance(chosen, slice) else np.asarray(chosen)
        return Events(Selection(self.source, self.entries[chosen]), self.name)

    def __iter__(self) -> Iterator[Batch]:
        """One event after the other."""
        return (self.read([number]) for number in range(len(self)))

    @property
    def spec(self) -> Spec:
        """Containers and columns of truth, with shapes, classes and units."""
        return self.source.spec

    def read(self, numbers: Sequence[int] | np.ndarray) -> Batch:
        """The batch of these events, in this order; containers are numpy arrays."""
        return self.source.read(self.entries[np.asarray(numbers, np.int64)])

    @cached_property
    def truth(self) -> EventTable:
        """The simulated truth of all events: directions by altitude and azimuth, positions by coordinate, classes by
        name ("" where an event is of none). No columns of observations."""
        columns: dict[str, np.ndarray] = {}
        units: dict[str, str] = {}
        for name, values in self.source.truth(self.entries).items():
            column = self.spec.column(name)
            assert column is not None
            named = _parts(column, values)
            columns |= named
            units |= dict.fromkeys(named, "rad" if column.kind == DIRECTION else column.unit)
        return EventTable(columns, units)

    @property
    def table(self) -> EventTable:
        """All that is one number for each event: its entry, the tables of its containers, and the truth with the prefix
        `true_`."""
        columns: dict[str, np.ndarray] = {"entry": self.entries}
        units: dict[str, str] = {}
        for name, part in self.spec.inputs.items():
            if isinstance(part, TableSpec):
                columns |= part.physical(self.source.scaled(name, self.entries))
                units |= {quantity.name: quantity.unit for quantity in part.quantities}
        columns |= {f"true_{name}": self.truth[name] for name in self.truth}
        return EventTable(columns, units | {f"true_{name}": self.truth.unit(name) for name in self.truth})

    def display(self, number: int) -> "Figure":
        """A picture of an event."""
        entry = int(self.entries[number])
        figure = display_event(self.spec, self.read([number]), 0, f"{self.name}, entry {entry}")
        if figure is None:
            raise UserError(f"{self.name}: there is no picture of such events")
        return figure

    def torch(self) -> "TorchEvents":
        """A map-style dataset for `torch.utils.data.DataLoader`, which takes its `collate` as `collate_fn`."""
        return TorchEvents(self)

    def to_npz(self, path: str | Path) -> None:
        """Write `table` as arrays, see `EventTable.to_npz`."""
        self.table.to_npz(path)

    def to_parquet(self, path: str | Path) -> None:
        """Write `table` as Parquet, see `EventTable.to_parquet`."""
        self.table.to_parquet(path)

    def graphs(self, k: int = 6) -> Graphs:
        """Graphs of events that have points, for PyTorch Geometric: edges come from the `k` nearest points."""
        return Graphs(self.source, self.entries, k)

    def to_points(self, path: str | Path) -> None:
        """Write the events as a file of points, see docs/point_files.md. Raises `UserError` if they have no points."""
        write_points(self.source, self.entries, Path(path))

    def __repr__(self) -> str:
        return "\n".join([f"{len(self):,} events ({self.name})", *in_words(self.spec)])


class TorchEvents(Dataset[Batch]):
    """Events for torch's `DataLoader`. An item is the batch of one event, with tensors; `collate` joins events.

    Of several numbers at a time, as a `DataLoader` asks for them, the events are read together. Forked processes must
    not share open files, so workers are refused.
    """

    def __init__(self, events: Events):
        self.events = events
        self.process = os.getpid()

    def __len__(self) -> int:
        return len(self.events)

    def __getitem__(self, number: int) -> Batch:
        return self.__getitems__([number])

    def __getitems__(self, numbers: list[int]) -> Batch:
        """The events of these numbers as one batch; torch's loaders call it."""
        if os.getpid() != self.process:
            raise UserError("num_workers: forked processes can't share open files; use num_workers=0")
        return self.events.read(numbers).to(torch.device("cpu"))

    @staticmethod
    def collate(batch: Batch) -> Batch:
        """What `__getitems__` read, which is a batch already."""
        return batch


def _parts(column: Column, values: np.ndarray) -> dict[str, np.ndarray]:
    """A column of truth as columns of a table."""
    if column.kind == CLASS:
        return {column.name: np.array([*column.classes, ""])[values]}
    if column.kind not in (DIRECTION, POSITION):
        return {column.name: values}
    flat = values.reshape(len(values), -1)
    if len(column.parts) == flat.shape[1]:
        return dict(zip(column.parts, flat.T, strict=True))
    return {f"{column.name}_{number}": part for number, part in enumerate(flat.T)}


def _name(files: Files | None, options: Mapping[str, Any]) -> str:
    """The data of the files, or of the first option that names a file."""
    directory = str(options.get("data_directory", ""))
    if files is not None:
        return recognised(files, directory)
    for value in options.values():
        first = value[0] if isinstance(value, list | tuple) and value else value
        if isinstance(first, str | Path) and first and Path(directory, first).expanduser().is_file():
            return recognised(first, directory)
    raise UserError("files: name files, or simulated data as in data='lartpc_simulated'")


def data_of(name: str, files: Files | None, options: Mapping[str, Any]) -> Data:
    """The data of this name, with these files and options."""
    nodes = data_yamls()
    if name not in nodes:
        raise UserError(f"data={name}: there is no such data; there are {', '.join(sorted(nodes))}")
    node = nodes[name]
    kind = build.target(node, "data")
    given = dict(options)
    if files is not None:
        if not issubclass(kind, FileData):
            raise UserError(f"data={name}: is simulated and has no files")
        given["file"] = [str(path) for path in matching_files(files, str(given.pop("data_directory", "")), "files")]
    values = OmegaConf.to_container(node)
    assert isinstance(values, dict)  # what refers to other sections, or has no value, is as the class has it
    plain = {key: value for key, value in values.items() if not str(value).startswith(("${", "???"))}
    merged = OmegaConf.create({**plain, **_strings(given)})
    assert isinstance(merged, DictConfig)
    _, config = build.component(merged, "data")
    return kind(config, SEED)


def _strings(node: Any) -> Any:
    """Paths as text."""
    if isinstance(node, Mapping):
        return {key: _strings(value) for key, value in node.items()}
    if isinstance(node, list | tuple):
        return [_strings(value) for value in node]
    return str(node) if isinstance(node, Path) else node
