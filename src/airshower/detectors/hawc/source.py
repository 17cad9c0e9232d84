"""Events of HAWC as a source of entries: XCDF files of gammas, and of protons, read on the fly."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import Any, Self

import numpy as np

from airshower.config.fields import choice, location, number
from airshower.data.batch import Batch
from airshower.data.containers import Container, Images, Points, Table
from airshower.data.cuts import parse_cuts
from airshower.data.files import FileData, FilesConfig, Paths
from airshower.data.hits import TankHits
from airshower.data.index import FileIndex
from airshower.data.spec import Spec, TableSpec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column, Columns, Frame, Truth
from airshower.detectors.hawc.event_fields import (
    AZIMUTH,
    CHARGE,
    CORE,
    ENERGY,
    FAILED_ZENITH,
    GRID_ID,
    PHI,
    THETA,
    TIME,
    TRUE_CORE,
    ZENITH,
)
from airshower.detectors.hawc.events import NO_HITS, EventConfig, HawcTable, check_no_copies
from airshower.detectors.hawc.file_array import file_array, hit_vector, stated_array
from airshower.detectors.hawc.generated_file import GeneratedFile, PredictedFile
from airshower.detectors.hawc.image_spec import HawcImagesSpec
from airshower.detectors.hawc.images import KEEP, behind_plane, one_hit_each
from airshower.detectors.hawc.indexed_file import IndexedXcdf, xcdf_index
from airshower.detectors.hawc.points_spec import HawcPointsSpec
from airshower.detectors.hawc.quantities import (
    CONDITIONS,
    LEAST_CHARGE,
    PARAMETERS,
    PRIMARY,
    QUANTITIES,
    TURN,
    chosen,
    image_channels,
    point_features,
)
from airshower.detectors.hawc.xcdf.file import KEPT_BYTES, XcdfFile
from airshower.detectors.hawc.xcdf.frames import is_xcdf
from airshower.errors import DataError, UserError
from airshower.geometry.sky import east_north
from airshower.geometry.tank_array import HawcArray, TankArray

SHOWER = (ENERGY, THETA, PHI)  # what tells simulated showers apart: each may be used several times, with other cores
COLUMNS = (
    Column("primary", CLASS, classes=PRIMARY.names),
    Column("energy", NUMBER, "GeV"),
    Column("direction", DIRECTION, "rad", parts=("alt", "az")),
    Column("core", POSITION, "m", parts=("core_x", "core_y")),
)
"""The truth of simulations."""
NEEDED = (*SHOWER, *TRUE_CORE, ZENITH, AZIMUTH, *CORE)  # columns in use, where files have them
FIELDS = {"primary": (), "energy": (ENERGY,), "direction": (THETA, PHI), "core": TRUE_CORE}  # of columns of truth
CONTAINERS = MappingProxyType({"images": Images, "points": Points, "parameters": Table, "conditions": Table})
ZENITH_ALTITUDE = np.pi / 2  # rad
PRIMARIES = {
    "gammas": "gamma",
    "protons": "proton",
    "file": "observed",
}  # the class of events by the key of their files
FAILED = 0.01  # rad from pi: the zenith angle of events whose direction was not found


@dataclass
class HawcConfig(EventConfig):
    """What XCDF files and simulated events share."""

    channels: list[str] = field(default_factory=list)
    features: list[str] = field(default_factory=list)
    hits: str = choice(*KEEP)
    time: str = choice("plane", "absolute")
    earliest: float = number(-100.0)
    latest: float = number(200.0)
    most_charge: float = number(1e4, above=1.0)
    parameters: list[str] = field(default_factory=lambda: list(PARAMETERS))
    conditions: list[str] = field(default_factory=lambda: list(CONDITIONS))
    failed_fits: bool = False


class HawcEvents(HawcTable):
    """Entries of one or more XCDF files, whose hits are read when they are wanted."""

    config: HawcConfig

    def __init__(self, config: HawcConfig, files: Mapping[str, Sequence[Path]], index: FileIndex | None = None):
        if config.latest <= config.earliest:
            raise UserError(f"data.latest={config.latest}: must be above data.earliest={config.earliest}")
        if PRIMARY.name in config.conditions and len(files) < len(PRIMARY.names):
            raise UserError(
                f"data.conditions: {PRIMARY.name} needs both classes, but all events are {next(iter(files))}s; name"
                " files of both (data.gammas, data.protons), or a data.proton_fraction between 0 and 1"
            )
        share = KEPT_BYTES // sum(map(len, files.values()))
        indexed = iter((index or hawc_index(config)).open([path for paths in files.values() for path in paths]))
        opened = {name: [IndexedXcdf(next(indexed), share) for _ in paths] for name, paths in files.items()}
        untimed = [file.path for of_class in opened.values() for file in of_class if not file.has(TIME)]
        self._timed = not untimed
        if untimed:
            _check_untimed(config, untimed[0])
        self.config = config
        first = next(iter(opened.values()))[0].file
        self.array = file_array(first)
        self.stated_array = stated_array(first)
        self.images = _images(config, self.array, first.path)
        self.points = HawcPointsSpec.of_array(config.features, self.array)
        super().__init__(config, opened, Spec(_inputs(config, self.images, self.points)))
        simulated = PRIMARIES["file"] not in self.classes
        available = (name for name, fields in FIELDS.items() if simulated and set(fields) <= self.columns.keys())
        self.spec = replace(self.spec, truth=COLUMNS, known=frozenset(available), ids=("file", "event"))
        self._origin = self.array.centre.astype(np.float32)

    def hits(self, entries: np.ndarray) -> TankHits:
        """The hits that images are made of, at most one of a PMT; `event` is the place in `entries`. Raises `DataError`
        naming file and event."""
        hits = self._stored_hits(entries)
        hits = hits.rows(hits.charge > LEAST_CHARGE)
        if hits.time is None:
            return one_hit_each(hits, self.config.hits)
        hits = hits.rows(np.isfinite(hits.time))
        if self.config.time == "plane":
            zenith, azimuth = (self.columns[name][entries] for name in (ZENITH, AZIMUTH))
            hits = hits._replace(time=behind_plane(hits, east_north(zenith, azimuth), self.array.position))
        assert hits.time is not None
        inside = (hits.time >= self.config.earliest) & (hits.time <= self.config.latest)
        return one_hit_each(hits.rows(inside), self.config.hits)

    def read(self, entries: np.ndarray) -> Batch:
        """See `HawcTable`, with `images` if channels are asked for, and `points` if features are. Directions are
        learned relative to the zenith, cores to the middle of the array. Raises `DataError` naming file and event."""
        batch = super().read(entries)
        axis = np.tile(np.array([ZENITH_ALTITUDE, 0.0], np.float32), (len(batch), 1))
        origin = np.tile(self._origin, (len(batch), 1))
        truth = Truth(self.truth, batch.entries)
        return replace(batch, truth=truth, frame=Frame(axis, origin))

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """See `Source`: `primary`, and of simulations `energy` in GeV, `direction`, `core` in m."""
        return {name: self._true(name, entries) for name in self.spec.wanted(names)}

    def estimates(self, entries: np.ndarray) -> Columns:
        """See `Source`: direction and core of the detector's own fits, NaN where the direction was not found."""
        columns = {name: self.columns[name][entries] for name in (ZENITH, AZIMUTH, *CORE) if name in self.columns}
        estimates: Columns = {}
        if ZENITH in columns and AZIMUTH in columns:
            failed = np.abs(columns[ZENITH] - FAILED_ZENITH) <= FAILED
            direction = np.stack([np.pi / 2 - columns[ZENITH], columns[AZIMUTH] % TURN], 1)
            estimates["direction"] = np.where(failed[:, None], np.nan, direction)
        if set(CORE) <= columns.keys():
            estimates["core"] = np.stack([columns[name] for name in CORE], 1)
        return estimates

    def generated_writer(self, path: Path, provenance: dict[str, str]) -> GeneratedFile:
        """See `HawcTable`: also hits. The file's comments say what times are relative to."""
        if len(self.config.channels) > 1 and self.config.time == "plane":
            provenance = provenance | {"times": "behind the plane of the shower; read them with data.time=absolute"}
        return GeneratedFile(path, self._quantities, provenance, self.array.position)

    def event_writer(self, path: Path, provenance: dict[str, str]) -> PredictedFile:
        """See `Source`: an XCDF file with a row for each predicted event."""
        return PredictedFile(path, self.event_ids, provenance)

    def _of_hits(self, entries: np.ndarray) -> dict[str, Container]:
        given: dict[str, Container] = {}
        if not _with_hits(self.config):
            return given
        hits = self.hits(entries)
        if self.images is not None:
            given["images"] = Images(self.images.images(hits, len(entries)))
        if self.points.features:
            given["points"] = self.points.points(hits, len(entries))
        return given

    def _true(self, name: str, entries: np.ndarray) -> np.ndarray:
        """One column of truth, as `truth.Column` says."""
        if name == "primary":
            return self.primaries(entries)
        values = np.stack([self.columns[part][entries] for part in FIELDS[name]], 1)
        if name == "direction":
            return np.stack([np.pi / 2 - np.radians(values[:, 0]), np.radians(values[:, 1])], 1)
        return values if name == "core" else values[:, 0]

    @property
    def showers(self) -> np.ndarray:
        """The simulated shower of each entry, bytes that are equal where it is the same; without truth, the event."""
        file, event, _ = self.event_ids.T
        simulated = all(name in self.columns for name in SHOWER)
        rows = [self.columns[name] for name in SHOWER] if simulated else [file, event, self._content[file]]
        keys = np.stack([self._primary[file], *rows], 1).astype(float) + 0.0
        return keys.view(f"V{keys.itemsize * keys.shape[1]}").reshape(-1)

    def _needed(self, common: list[str]) -> list[str]:
        plane = [ZENITH, AZIMUTH] if self.config.time == "plane" and _with_hits(self.config) and self._timed else []
        for name in plane:
            if name not in common:
                raise UserError(
                    f"data.time=plane: there is no {name} in all files; times that are behind a plane already, as those"
                    " of generated events, are read with data.time=absolute"
                )
        return plane + [name for name in NEEDED if name in common]

    def _tests(self, columns: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        if ZENITH not in columns or self.config.failed_fits:
            return {}
        return {"failed fits": np.abs(columns[ZENITH] - FAILED_ZENITH) > FAILED}

    def _stored_hits(self, entries: np.ndarray) -> TankHits:
        ids = self.event_ids[entries]
        names = [GRID_ID, CHARGE, *([TIME] if self._timed else [])]
        parts = [NO_HITS if self._timed else NO_HITS._replace(time=None)]
        for of_file in np.unique(ids[:, 0]):
            file = self.files[of_file].file
            if stated_array(file) != self.stated_array:
                raise DataError(f"{file.path}: is of another array of tanks than {self.files[0].path}; read it alone")
            rows = np.flatnonzero(ids[:, 0] == of_file)
            columns = file.read(ids[rows, 1], names)
            vectors = {name: hit_vector(column, name, file) for name, column in columns.items()}
            grid_id = vectors[GRID_ID]
            event = np.repeat(rows, grid_id.counts)
            for hit in np.flatnonzero((grid_id.values < 1) | (grid_id.values > len(self.array.position)))[:1]:
                raise DataError(
                    f"{file.path}: event {ids[event[hit], 1]}: {GRID_ID} is {grid_id.values[hit]}, PMTs have 1 to "
                    f"{len(self.array.position)}"
                )
            time = vectors[TIME].values if self._timed else None
            parts.append(TankHits(event, grid_id.values.astype(np.int64), vectors[CHARGE].values, time))
        return TankHits.joined(parts)


def hawc_index(config: HawcConfig) -> FileIndex:
    """The index of XCDF files with the columns that the config may need."""
    tables = _tables(config).values()
    quantities = [quantity.name for table in tables for quantity in table.quantities]
    cuts = [name for cut in parse_cuts(config.cuts) for name in cut.names]
    return xcdf_index([*quantities, *cuts, *NEEDED, PRIMARY.name])


def _images(config: HawcConfig, array: TankArray, path: Path) -> HawcImagesSpec | None:
    """The spec of images; None if no channels are asked for. Raises `UserError` for an array that has no images."""
    channels = image_channels(config.channels, config.most_charge, config.earliest, config.latest)
    if not channels:
        return None
    if not isinstance(array, HawcArray):
        raise no_images(config, str(path))
    return HawcImagesSpec(channels, array.position, array.cell, array.pmt, config.time)


def no_images(config: HawcConfig, name: str) -> UserError:
    """The error for images of another array than HAWC."""
    channels = ",".join(config.channels)
    return UserError(
        f"data.channels=[{channels}]: images are of HAWC alone, but {name} is another array; use a network on points, "
        "or data.channels=[] and data.features"
    )


def _inputs(config: HawcConfig, images: HawcImagesSpec | None, points: HawcPointsSpec) -> dict[str, Any]:
    """The specs of the containers."""
    hits = {"images": images} if images is not None else {}
    return hits | ({"points": points} if points.features else {}) | _tables(config)


def _tables(config: HawcConfig) -> dict[str, TableSpec]:
    return {
        "parameters": TableSpec(chosen(config.parameters, "data.parameters")),
        "conditions": TableSpec(chosen(config.conditions, "data.conditions", QUANTITIES | {PRIMARY.name: PRIMARY})),
    }


def _with_hits(config: HawcConfig) -> bool:
    """True if hits are read."""
    return bool(config.channels or config.features)


class HawcContents:
    """The containers and the columns of truth of all data of HAWC that have hits."""

    containers = CONTAINERS

    @classmethod
    def gives(cls, config: HawcConfig) -> Mapping[str, type[Container]]:
        """See `Data`: images if channels are asked for, points if features are."""
        image_channels(config.channels, config.most_charge, config.earliest, config.latest)
        point_features(config.features)
        absent = {name for name, of in (("images", config.channels), ("points", config.features)) if not of}
        return {name: kind for name, kind in CONTAINERS.items() if name not in absent}

    @classmethod
    def columns(cls, config: HawcConfig) -> tuple[Column, ...]:
        """See `Data`."""
        return COLUMNS


class Hawc(HawcContents, FileData[HawcEvents]):
    """`data=hawc`: XCDF files of simulated gammas and protons, or of observed events."""

    keys = ("gammas", "protons", "file")

    @dataclass
    class Config(HawcConfig, FilesConfig):
        """`data.*`."""

        file: Any = location()
        gammas: Any = location()
        protons: Any = location()
        aux_gammas: Any = location()
        aux_protons: Any = location()
        validation_fraction: float = number(0.1, low=0.0, high=0.9)

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """See `Data`."""
        return is_xcdf(path)

    def source(self, paths: Paths) -> HawcEvents:
        """See `FileData.source`."""
        if "file" in paths and len(paths) > 1:
            raise UserError("data.file: is for observed events; give it alone, or data.gammas and data.protons")
        return HawcEvents(self.config, {PRIMARIES[key]: files for key, files in paths.items()}, self.index)

    def build_index(self) -> FileIndex:
        """See `FileData`."""
        return hawc_index(self.config)

    def in_full(self) -> Self:
        """See `Data`: what all files have, instead of what networks ask for."""
        files = [path for prefix in ("", "aux_") for paths in self._paths(prefix).values() for path in paths]
        opened = [XcdfFile(path) for path in files]
        fields = [{field.name for field in file.fields} for file in opened]
        images = all(stated_array(file) is None for file in opened)
        config = _available(self.config, set.intersection(*fields), images) if fields else self.config
        return type(self)(config, self.seed)

    def check_alike(self, source: HawcEvents, aux: HawcEvents) -> None:
        """They must be of the same primaries and of other files."""
        check_no_copies(source, aux)
        if aux.classes != source.classes:
            given, wanted = (" and ".join(events.classes) for events in (aux, source))
            raise UserError(f"data: files for validation are of {given}, but those to train on are of {wanted}")
        if aux.stated_array != source.stated_array:
            raise UserError("data: files for validation are of another array of tanks than those to train on")


def _available(config: HawcConfig, fields: set[str], images: bool) -> Any:
    """The config with the quantities that are fields, and all that hits have: as images, or else as points."""
    of_hits = [name for name in ("charge", "time") if name == "charge" or TIME in fields]
    of_hits = of_hits if {GRID_ID, CHARGE} <= fields else []
    return replace(
        config,
        channels=config.channels or (of_hits if images else []),
        features=config.features or ([] if images or not of_hits else [*of_hits, "central", "lower"]),
        time=config.time if {ZENITH, AZIMUTH} <= fields else "absolute",
        parameters=[name for name in config.parameters if name in fields],
        conditions=[name for name in config.conditions if name in fields or name == PRIMARY.name],
    )


def _check_untimed(config: HawcConfig, path: Path) -> None:
    """Raise `UserError` for what needs times, which the hits of this file do not have."""
    for key, names in (("channels", config.channels), ("features", config.features)):
        if "time" in names:
            raise UserError(f"data.{key}=[{','.join(names)}]: hits of {path} have no times; leave time out")
    if _with_hits(config) and config.hits != "largest":
        raise UserError(f"data.hits={config.hits}: hits of {path} have no times; use data.hits=largest")
