"""Events of HAWC as a source of entries: XCDF files of gammas, and of protons, read on the fly."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, number
from airshower.data.cuts import check_names, parse_cuts
from airshower.data.source import STUDIED, Selection, Splits
from airshower.data.splits import matching_files, split_by_shower
from airshower.data.tanks import TankBatch, TankHits, TankSpec
from airshower.detectors.hawc.array import PMTS, hawc_array
from airshower.detectors.hawc.event_fields import (
    AZIMUTH,
    CHARGE,
    ENERGY,
    FAILED_ZENITH,
    GRID_ID,
    HIT_NUMBERS,
    PHI,
    POSITION,
    THETA,
    TIME,
    ZENITH,
)
from airshower.detectors.hawc.images import KEEP, behind_plane, one_hit_each
from airshower.detectors.hawc.quantities import CONDITIONS, LEAST_CHARGE, PARAMETERS, chosen, image_channels
from airshower.detectors.hawc.xcdf_block import Ragged
from airshower.detectors.hawc.xcdf_file import KEPT_BYTES, XcdfFile
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger

LAYOUT_EVENTS = 1000  # of which positions of PMTs are taken, where files have them
SHOWER = (ENERGY, THETA, PHI)  # what tells simulated showers apart: each may be used several times, with other cores
NO_HITS = TankHits(*np.zeros((2, 0), np.int64), *np.zeros((2, 0)))
FAILED = 0.01  # rad from pi: the zenith angle of events whose direction was not found


@dataclass
class TankConfig:
    """What all data of HAWC share."""

    data_directory: str = ""
    channels: list[str] = field(default_factory=lambda: ["charge", "time"])
    hits: str = choice(*KEEP)
    time: str = choice("plane", "absolute")
    earliest: float = number(-100.0)
    latest: float = number(200.0)
    most_charge: float = number(1e4, above=1.0)
    parameters: list[str] = field(default_factory=lambda: list(PARAMETERS))
    conditions: list[str] = field(default_factory=lambda: list(CONDITIONS))
    cuts: str = ""
    failed_fits: bool = False
    order: str = choice("shuffled", "serial", "random_blocks")


class HawcEvents:
    """Entries of one or more files: the events that pass the cuts. In memory are their scalar values alone.

    `files` are by primary, whose names are the classes. `event_ids` is as in `TankBatch`; `columns` f8 [events] of the
    scalar fields in use. Raises `UserError` for a selection that leaves nothing.
    """

    kind = "tank_hits"

    def __init__(self, config: TankConfig, files: dict[str, Sequence[Path]]):
        if config.latest <= config.earliest:
            raise UserError(f"data.latest={config.latest}: must be above data.earliest={config.earliest}")
        self.config, self.cuts = config, parse_cuts(config.cuts)
        paths = [path for of_class in files.values() for path in of_class]
        self.files = [XcdfFile(path, KEPT_BYTES // len(paths)) for path in paths]
        self.spec = TankSpec(
            channels=image_channels(config.channels, config.most_charge, config.earliest, config.latest),
            time=config.time,
            parameters=chosen(config.parameters, "data.parameters"),
            conditions=chosen(config.conditions, "data.conditions"),
            position=pmt_positions(self.files[0]),
            cell=hawc_array().cell,
            pmt=hawc_array().pmt,
            classes=tuple(files),
        )
        self._primary = np.repeat(np.arange(len(files)), [len(of_class) for of_class in files.values()])
        self._index()
        self.digest = hashlib.sha256(" ".join(map(_content, self.files)).encode()).hexdigest()[:16]

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
        if not self.spec.channels:
            return NO_HITS
        hits = self._stored_hits(entries)
        hits = _some(hits, (hits.charge > LEAST_CHARGE) & np.isfinite(hits.time))
        if self.config.time == "plane":
            zenith, azimuth = (self.columns[name][entries] for name in (ZENITH, AZIMUTH))
            towards = np.sin(zenith)[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], 1)
            hits = hits._replace(time=behind_plane(hits, towards, self.spec.position))
        inside = (hits.time >= self.config.earliest) & (hits.time <= self.config.latest)
        return one_hit_each(_some(hits, inside), self.config.hits)

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = STUDIED) -> dict[str, np.ndarray]:
        """Of these names (None: all) what there is: `interaction`, the name of the primary, `energy` in GeV, and the
        fields in `columns`."""
        found = {name: column[entries] for name, column in self.columns.items()}
        if ENERGY in found:
            found["energy"] = found[ENERGY]
        found["interaction"] = np.array(self.spec.classes)[self._primary[self.event_ids[entries, 0]]]
        return found if names is None else {name: found[name] for name in names if name in found}

    @property
    def showers(self) -> np.ndarray:
        """The simulated shower of each entry, bytes that are equal where it is the same; without truth, the event."""
        own = self._primary[self.event_ids[:, 0]]
        known = all(name in self.columns for name in SHOWER)
        rows = [self.columns[name] for name in SHOWER] if known else [*self.event_ids[:, :2].T]
        keys = np.stack([own, *rows], 1).astype(float) + 0.0
        return keys.view(f"V{keys.itemsize * keys.shape[1]}").reshape(-1)

    def _index(self) -> None:
        """Reads the scalars in use of all events and keeps those that pass."""
        stored = [{f.name for f in file.fields if not f.parent} for file in self.files]
        common = sorted(set.intersection(*stored))
        check_names(self.cuts, set(common), common)
        used = [q.name for q in (*self.spec.parameters, *self.spec.conditions)]
        used += [ZENITH, AZIMUTH] if self.config.time == "plane" and self.spec.channels else []
        used += [name for cut in self.cuts for name in cut.names]
        used += [name for name in (*SHOWER, ZENITH) if name in common]
        used = list(dict.fromkeys(used))
        read = [file.columns(used) for file in self.files]
        columns = {name: np.concatenate([part[name] for part in read]).astype(float) for name in used}
        counts = [len(file) for file in self.files]
        ids = np.stack([np.repeat(np.arange(len(counts)), counts), np.concatenate(list(map(np.arange, counts)))], 1)
        kept = self._kept(columns, sum(counts))
        if not kept.any():
            raise UserError(f"data: no event is left of the {len(kept)} of {len(counts)} files")
        self.columns = {name: column[kept] for name, column in columns.items()}
        self.event_ids = np.column_stack([ids[kept], np.zeros(kept.sum(), np.int64)])

    def _kept(self, columns: dict[str, np.ndarray], events: int) -> np.ndarray:
        """Which events pass all cuts, and a line in the log that says what each removed."""
        kept, removed = np.ones(events, bool), []
        tests = {cut.text: cut.keeps(columns) for cut in self.cuts}
        if ZENITH in columns and not self.config.failed_fits:
            tests["failed fits"] = np.abs(columns[ZENITH] - FAILED_ZENITH) > FAILED
        quantities = (*self.spec.parameters, *self.spec.conditions)
        for quantity in quantities:
            tests[f"{quantity.name} not a number"] = np.isfinite(quantity.scaled(columns[quantity.name]))
        for name, passes in tests.items():
            if lost := int((kept & ~passes).sum()):
                removed.append(f"{name} removed {lost}")
            kept &= passes
        logger.info("data: %s", "; ".join([f"{events} events of {len(self.files)} files", *removed]))
        return kept

    def _scaled(self, quantities: tuple, entries: np.ndarray) -> np.ndarray:
        rows = [quantity.scaled(self.columns[quantity.name][entries]) for quantity in quantities]
        return np.stack(rows, 1) if rows else np.zeros((len(entries), 0), np.float32)

    def _stored_hits(self, entries: np.ndarray) -> TankHits:
        ids, parts = self.event_ids[entries], [NO_HITS]
        for of_file in np.unique(ids[:, 0]):
            file, rows = self.files[of_file], np.flatnonzero(ids[:, 0] == of_file)
            columns = file.read(ids[rows, 1], [GRID_ID, CHARGE, TIME])
            grid_id, charge, time = (_vector(column, name, file) for name, column in columns.items())
            event = np.repeat(rows, grid_id.counts)
            for place in np.flatnonzero((grid_id.values < 1) | (grid_id.values > PMTS))[:1]:
                raise DataError(
                    f"{file.path}: event {ids[event[place], 1]}: {GRID_ID} is {grid_id.values[place]}, PMTs have 1 to "
                    f"{PMTS}"
                )
            parts.append(TankHits(event, grid_id.values.astype(np.int64), charge.values, time.values))
        return TankHits(*(np.concatenate(column) for column in zip(*parts, strict=True)))


class Hawc:
    """`data=hawc`: XCDF files. Validation and test are fractions of the showers; inference runs over the test, or over
    everything."""

    kind = HawcEvents.kind

    @dataclass
    class Config(TankConfig):
        """`data.*`."""

        gammas: Any = MISSING
        protons: Any = ""
        validation_fraction: float = number(0.1, low=0.0, high=0.9)
        test_fraction: float = number(0.0, low=0.0, high=0.9)

    def __init__(self, config: Config, seed: int):
        self.config, self.seed = config, seed

    def open(self) -> Splits:
        """Opens the files, selects, and splits by shower. Raises `UserError` if a split would be empty."""
        config = self.config
        given = {"gamma": config.gammas, "proton": config.protons}
        files = {
            name: matching_files(config.data_directory, paths, f"data.{name}s")
            for name, paths in given.items()
            if paths
        }
        if not files:
            raise UserError("data.gammas, data.protons: name files of one of them")
        source = HawcEvents(config, files)
        parts = split_by_shower(source, source.showers, config.validation_fraction, config.test_fraction, self.seed)
        train, validation, test = parts
        whole = test if config.test_fraction else Selection(source, np.arange(len(source)))
        return Splits(train, validation if len(validation.entries) else None, whole)


def pmt_positions(file: XcdfFile) -> np.ndarray:
    """Positions f8 [1200, 3] in m of the PMTs that are hit in a file's first events, where it has them; else those of
    the built-in array."""
    position = hawc_array().position.copy()
    if all(any(field.name == name for field in file.fields) for name in POSITION):
        columns = file.columns([GRID_ID, *POSITION], 0, LAYOUT_EVENTS)
        grid_id = columns[GRID_ID].values.astype(np.int64)
        there = (grid_id >= 1) & (grid_id <= PMTS)
        position[grid_id[there] - 1] = np.stack([columns[name].values[there] for name in POSITION], 1)
    return position


def _vector(column: np.ndarray | Ragged, name: str, file: XcdfFile) -> Ragged:
    if not isinstance(column, Ragged) or file.field(name).parent != HIT_NUMBERS:
        raise DataError(f"{file.path}: {name} is not a vector of {HIT_NUMBERS} values")
    return column


def _some(hits: TankHits, kept: np.ndarray) -> TankHits:
    return TankHits(*(values[kept] for values in hits))


def _content(file: XcdfFile) -> str:
    """What tells a file's content from that of others: its size and the places and headers of its blocks."""
    blocks = [(block.offset, block.header.minima.tobytes(), block.header.sizes.tobytes()) for block in file.blocks]
    return hashlib.sha256(repr((len(file), blocks)).encode()).hexdigest()
