"""What sources of HAWC's events have in common: of each event that passes the cuts, numbers in memory as columns."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from airshower.config.fields import choice
from airshower.data.cuts import check_names, parse_cuts
from airshower.data.source import STUDIED
from airshower.data.tanks import Quantity, TankBatch, TankHits, TankSpec
from airshower.detectors.hawc.event_fields import ENERGY
from airshower.detectors.hawc.generated_file import GeneratedFile
from airshower.detectors.hawc.quantities import PRIMARY
from airshower.errors import UserError
from airshower.runtime.log import logger

NO_HITS = TankHits(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))


class EventFile(Protocol):
    """Events in a file: `scalars` are the names of columns that have one number for each; `digest` tells the content
    from that of others."""

    path: Path

    @property
    def scalars(self) -> list[str]: ...

    @property
    def digest(self) -> str: ...

    def __len__(self) -> int: ...

    def columns(self, names: Sequence[str]) -> Mapping[str, Any]:
        """Columns [events] by name. Raises `DataError` for one that there is not."""
        ...


@dataclass
class EventConfig:
    """What all data of HAWC share."""

    data_directory: str = ""
    parameters: list[str] = field(default_factory=list)
    conditions: list[str] = field(default_factory=list)
    cuts: str = ""
    order: str = choice("shuffled", "serial", "random_blocks")


class TankEvents:
    """Entries of one or more files: the events that pass the cuts. In memory are their scalar values alone.

    `files` are by primary, whose names are the classes of `spec`. `event_ids` is as in `TankBatch`; `columns` f8
    [events] of the scalars in use. Raises `UserError` for a selection that leaves nothing.
    """

    kind = "tank_hits"

    def __init__(self, config: EventConfig, files: Mapping[str, Sequence[EventFile]], spec: TankSpec):
        self.config, self.spec, self.cuts = config, spec, parse_cuts(config.cuts)
        self.files = [file for of_class in files.values() for file in of_class]
        self._primary = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
        self._index()
        self.digest = hashlib.sha256(" ".join(file.digest for file in self.files).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.event_ids)

    def read(self, entries: np.ndarray) -> TankBatch:
        """The events of these entries, in this order. Raises `DataError` naming file and event."""
        entries = np.asarray(entries, np.int64)
        ids = self.event_ids[entries]
        parameters, conditions = self.scalars(entries)
        return TankBatch(
            images=self.spec.images(self.hits(entries), len(entries)),
            parameters=parameters,
            conditions=conditions,
            primary=self._primary[ids[:, 0]],
            entries=entries,
            event_ids=ids,
        )

    def scalars(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Parameters and conditions as in `TankBatch`, without reading hits."""
        return self._scaled(self.spec.parameters, entries), self._scaled(self.spec.conditions, entries)

    def hits(self, entries: np.ndarray) -> TankHits:
        """The hits that images are made of, at most one of a PMT; `event` is the place in `entries`."""
        return NO_HITS

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = STUDIED) -> dict[str, np.ndarray]:
        """Of these names (None: all) what there is: `interaction`, the name of the primary, `energy` in GeV, and the
        fields in `columns`."""
        found = {name: column[entries] for name, column in self.columns.items()}
        if ENERGY in found:
            found["energy"] = found[ENERGY]
        found["interaction"] = np.array(self.spec.classes)[self._primary[self.event_ids[entries, 0]]]
        return found if names is None else {name: found[name] for name in names if name in found}

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> GeneratedFile:
        """A writer of parameters or hits, and conditions, of generated events. Its comments say of what times are."""
        if len(self.spec.channels) > 1 and self.spec.time == "plane":
            provenance = provenance | {"times": "behind the plane of the shower; read them with data.time=absolute"}
        return GeneratedFile(path, self._quantities, provenance, self.spec.position)

    @property
    def _quantities(self) -> tuple[Quantity, ...]:
        return (*self.spec.parameters, *self.spec.conditions)

    def _needed(self, common: list[str]) -> list[str]:
        """Columns in use beside quantities and cuts; `common` are those of all files."""
        return []

    def _tests(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """What events have to pass beside the cuts, bool [events] by a name for it."""
        return {}

    def _index(self) -> None:
        """Reads the scalars in use of all events and keeps those that pass."""
        common = sorted(set.intersection(*(set(file.scalars) for file in self.files)))
        check_names(self.cuts, set(common), common)
        used = [quantity.name for quantity in self._quantities]
        used += [name for cut in self.cuts for name in cut.names] + self._needed(common)
        own = {PRIMARY.name} if PRIMARY in self.spec.conditions else set()
        used = list(dict.fromkeys(name for name in used if name not in own))
        read = [file.columns(used) for file in self.files]
        columns = {name: np.concatenate([part[name] for part in read]).astype(float) for name in used}
        counts = [len(file) for file in self.files]
        columns |= {name: np.repeat(self._primary, counts).astype(float) for name in own}
        ids = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate(list(map(np.arange, counts)))], 1)
        kept = self._kept(columns, np.concatenate(list(map(self._of_class, self.files, self._primary.tolist()))))
        self.columns = {name: column[kept] for name, column in columns.items()}
        self.event_ids = np.column_stack([ids[kept], np.zeros(kept.sum(), np.int64)])

    def _of_class(self, file: EventFile, index: int) -> np.ndarray:
        """Which events of a file are of its class: all, unless it states the primary of each, as generated ones may."""
        if PRIMARY.name not in file.scalars:
            return np.ones(len(file), bool)
        return file.columns([PRIMARY.name])[PRIMARY.name] == PRIMARY.names.index(self.spec.classes[index])

    def _kept(self, columns: dict[str, np.ndarray], of_class: np.ndarray) -> np.ndarray:
        """Which events pass all cuts, and a line in the log that says what each removed."""
        events, kept, removed = len(of_class), np.ones(len(of_class), bool), []
        tests = {cut.text: cut.keeps(columns) for cut in self.cuts} | self._tests(columns)
        tests["being of another class"] = of_class
        for quantity in self._quantities:
            tests[f"{quantity.name} not a number"] = np.isfinite(quantity.scaled(columns[quantity.name]))
        for name, passes in tests.items():
            if lost := int((kept & ~passes).sum()):
                removed.append(f"; {name} removed {lost}")
            kept &= passes
        if not kept.any():
            raise UserError(f"data: no event is left of the {events} of {len(self.files)} files{''.join(removed)}")
        logger.info("data: %d events of %d files%s", events, len(self.files), "".join(removed))
        return kept

    def _scaled(self, quantities: tuple[Quantity, ...], entries: np.ndarray) -> np.ndarray:
        rows = [quantity.scaled(self.columns[quantity.name][entries]) for quantity in quantities]
        return np.stack(rows, 1) if rows else np.zeros((len(entries), 0), np.float32)
