"""Events of HAWC as a source of entries: XCDF files of gammas, and of protons, read on the fly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, number
from airshower.data.source import Splits
from airshower.data.splits import matching_files, split_by_shower
from airshower.data.tanks import TankHits, TankSpec
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
from airshower.detectors.hawc.events import NO_HITS, EventConfig, TankEvents
from airshower.detectors.hawc.images import KEEP, behind_plane, one_hit_each
from airshower.detectors.hawc.quantities import (
    CONDITIONS,
    LEAST_CHARGE,
    PARAMETERS,
    PRIMARY,
    QUANTITIES,
    chosen,
    image_channels,
)
from airshower.detectors.hawc.xcdf_block import Ragged
from airshower.detectors.hawc.xcdf_file import KEPT_BYTES, XcdfFile
from airshower.errors import DataError, UserError

LAYOUT_EVENTS = 1000  # of which positions of PMTs are taken, where files have them
SHOWER = (ENERGY, THETA, PHI)  # what tells simulated showers apart: each may be used several times, with other cores
FAILED = 0.01  # rad from pi: the zenith angle of events whose direction was not found


@dataclass
class TankConfig(EventConfig):
    """What XCDF files and simulated events share."""

    channels: list[str] = field(default_factory=list)
    hits: str = choice(*KEEP)
    time: str = choice("plane", "absolute")
    earliest: float = number(-100.0)
    latest: float = number(200.0)
    most_charge: float = number(1e4, above=1.0)
    parameters: list[str] = field(default_factory=lambda: list(PARAMETERS))
    conditions: list[str] = field(default_factory=lambda: list(CONDITIONS))
    failed_fits: bool = False


class HawcEvents(TankEvents):
    """Entries of one or more XCDF files, whose hits are read when they are wanted."""

    config: TankConfig

    def __init__(self, config: TankConfig, files: Mapping[str, Sequence[Path]]):
        if config.latest <= config.earliest:
            raise UserError(f"data.latest={config.latest}: must be above data.earliest={config.earliest}")
        if PRIMARY.name in config.conditions and len(files) < len(PRIMARY.names):
            raise UserError(
                f"data.conditions: {PRIMARY.name} needs both classes, but all events are {next(iter(files))}s; name"
                " files of both (data.gammas, data.protons), or a data.proton_fraction between 0 and 1"
            )
        share = KEPT_BYTES // sum(map(len, files.values()))
        opened = {name: [XcdfFile(path, share) for path in paths] for name, paths in files.items()}
        untimed = [file.path for of_class in opened.values() for file in of_class if not _has(file, TIME)]
        self._timed = not untimed
        if untimed:
            _check_untimed(config, untimed[0])
        spec = TankSpec(
            channels=image_channels(config.channels, config.most_charge, config.earliest, config.latest),
            time=config.time,
            parameters=chosen(config.parameters, "data.parameters"),
            conditions=chosen(config.conditions, "data.conditions", QUANTITIES | {PRIMARY.name: PRIMARY}),
            position=pmt_positions(next(iter(opened.values()))[0]),
            cell=hawc_array().cell,
            pmt=hawc_array().pmt,
            classes=tuple(files),
        )
        super().__init__(config, opened, spec)

    def hits(self, entries: np.ndarray) -> TankHits:
        """See `TankEvents`. Raises `DataError` naming file and event."""
        if not self.spec.channels:
            return NO_HITS
        hits = self._stored_hits(entries)
        hits = hits.rows(hits.charge > LEAST_CHARGE)
        if hits.time is None:
            return one_hit_each(hits, self.config.hits)
        hits = hits.rows(np.isfinite(hits.time))
        if self.config.time == "plane":
            zenith, azimuth = (self.columns[name][entries] for name in (ZENITH, AZIMUTH))
            towards = np.sin(zenith)[:, None] * np.stack([np.cos(azimuth), np.sin(azimuth)], 1)
            hits = hits._replace(time=behind_plane(hits, towards, self.spec.position))
        assert hits.time is not None
        inside = (hits.time >= self.config.earliest) & (hits.time <= self.config.latest)
        return one_hit_each(hits.rows(inside), self.config.hits)

    @property
    def showers(self) -> np.ndarray:
        """The simulated shower of each entry, bytes that are equal where it is the same; without truth, the event."""
        own = self._primary[self.event_ids[:, 0]]
        known = all(name in self.columns for name in SHOWER)
        rows = [self.columns[name] for name in SHOWER] if known else [*self.event_ids[:, :2].T]
        keys = np.stack([own, *rows], 1).astype(float) + 0.0
        return keys.view(f"V{keys.itemsize * keys.shape[1]}").reshape(-1)

    def _needed(self, common: list[str]) -> list[str]:
        plane = [ZENITH, AZIMUTH] if self.config.time == "plane" and self.spec.channels and self._timed else []
        for name in plane:
            if name not in common:
                raise UserError(
                    f"data.time=plane: there is no {name} in all files; times that are behind a plane already, as those"
                    " of generated events, are read with data.time=absolute"
                )
        return plane + [name for name in (*SHOWER, ZENITH) if name in common]

    def _tests(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if ZENITH not in columns or self.config.failed_fits:
            return {}
        return {"failed fits": np.abs(columns[ZENITH] - FAILED_ZENITH) > FAILED}

    def _stored_hits(self, entries: np.ndarray) -> TankHits:
        ids, names = self.event_ids[entries], [GRID_ID, CHARGE, *([TIME] if self._timed else [])]
        parts = [NO_HITS if self._timed else NO_HITS._replace(time=None)]
        for of_file in np.unique(ids[:, 0]):
            file, rows = self.files[of_file], np.flatnonzero(ids[:, 0] == of_file)
            columns = file.read(ids[rows, 1], names)
            vectors = {name: _vector(column, name, file) for name, column in columns.items()}
            grid_id = vectors[GRID_ID]
            event = np.repeat(rows, grid_id.counts)
            for place in np.flatnonzero((grid_id.values < 1) | (grid_id.values > PMTS))[:1]:
                raise DataError(
                    f"{file.path}: event {ids[event[place], 1]}: {GRID_ID} is {grid_id.values[place]}, PMTs have 1 to "
                    f"{PMTS}"
                )
            time = vectors[TIME].values if self._timed else None
            parts.append(TankHits(event, grid_id.values.astype(np.int64), vectors[CHARGE].values, time))
        return TankHits.joined(parts)


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
        return split_by_shower(source, source.showers, config.validation_fraction, config.test_fraction, self.seed)


def pmt_positions(file: XcdfFile) -> np.ndarray:
    """Positions f8 [1200, 3] in m of the PMTs that are hit in a file's first events, where it has them; else those of
    the built-in array."""
    position = hawc_array().position.copy()
    if all(_has(file, name) for name in POSITION):
        columns = file.columns([GRID_ID, *POSITION], 0, LAYOUT_EVENTS)
        vectors = {name: _vector(column, name, file).values for name, column in columns.items()}
        grid_id = vectors[GRID_ID].astype(np.int64)
        found = np.stack([vectors[name] for name in POSITION], 1)
        there = (grid_id >= 1) & (grid_id <= PMTS) & np.isfinite(found).all(1)
        position[grid_id[there] - 1] = found[there]
    return position


def _vector(column: np.ndarray | Ragged, name: str, file: XcdfFile) -> Ragged:
    if not isinstance(column, Ragged) or file.field(name).parent != HIT_NUMBERS:
        raise DataError(f"{file.path}: {name} is not a vector of {HIT_NUMBERS} values")
    return column


def _has(file: XcdfFile, name: str) -> bool:
    return any(field.name == name for field in file.fields)


def _check_untimed(config: TankConfig, path: Path) -> None:
    """Raise `UserError` for what needs times, which the hits of this file do not have."""
    if "time" in config.channels:
        raise UserError(f"data.channels=[{','.join(config.channels)}]: hits of {path} have no times; use [charge]")
    if config.channels and config.hits != "largest":
        raise UserError(f"data.hits={config.hits}: hits of {path} have no times; use data.hits=largest")
