"""Wire images as a source of events: real larcv3 files."""

import dataclasses
import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from types import MappingProxyType

import numpy as np

from airshower.config.fields import choice, number, section, value
from airshower.data.batch import Batch
from airshower.data.containers import SparseImages
from airshower.data.cuts import Cut, check_names, parse_cuts, passing
from airshower.data.files import FileData, FilesConfig, FileSource, Paths, matching_files
from airshower.data.handles import check_same
from airshower.data.index import FileIndex
from airshower.data.index_table import OPTIONAL
from airshower.data.order import OrderConfig
from airshower.data.source import Contents
from airshower.data.spec import SparseImagesSpec, Spec, halvings
from airshower.data.truth import CLASS, NUMBER, POSITION, Column, Columns, Truth
from airshower.detectors.lartpc.augmentation import Augmentation, AugmentationConfig
from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.file import is_larcv
from airshower.detectors.lartpc.larcv.package import LarcvReader
from airshower.detectors.lartpc.larcv.wires import CLASSES, Products, WireFile, WireReader, wire_index
from airshower.detectors.lartpc.predictions import WirePredictionWriter
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger

EVENT_CLASSES = ("nu_e CC", "nu_mu CC", "NC", "cosmic")
INTERACTIONS = (*EVENT_CLASSES, "nu_tau CC", "unknown")  # the last two are none of the classes that events are given
COLUMNS = (
    Column("interaction", CLASS, classes=INTERACTIONS),
    Column("energy", NUMBER, "GeV"),  # of the neutrino, NaN without one
    Column("vertex", POSITION, "pixel"),  # [events, planes, 2], row and column as read; NaN without one
)
TRUE_COLUMNS = {"true_energy": "energy_init", "true_pdg": "pdg", "true_current_type": "current_type"}
"""Names in cuts of what `ParticleTable.neutrinos` gives."""

SBND_PIXEL = (0.3125, 0.3)  # cm of drift in a tick of the images, cm between wires


@dataclass
class LartpcConfig(OrderConfig):
    """What all wire-image data share."""

    cuts: str = ""
    downsample: int = number(2, low=0, high=10)
    charge: str = choice("signed", "absolute")
    img_transform: bool = True
    reader: str = choice("native", "larcv", "queueloader", free=True)
    cache: bool = value(False, free=True)
    image_producer: str = "sbndwire"
    label_producer: str = "sbnd_cosmicseg"
    particle_producer: str = "sbndneutrino"
    augmentation: AugmentationConfig = section(AugmentationConfig)


class LartpcEvents(FileSource):
    """Events of one or more larcv3 files, concatenated; `file` is a path, a pattern or a list of them.

    `selected` int64 are the entries that pass `cuts`; entries are numbered by their place in the files. Raises
    `UserError` for cuts that leave nothing.
    """

    def __init__(
        self,
        config: LartpcConfig,
        file: str | Path | Sequence[str | Path],
        pixel_size: Sequence[float] = SBND_PIXEL,
        index: FileIndex | None = None,
    ):
        if config.reader == "queueloader":
            raise UserError(
                "data.reader=queueloader: with numpy >= 2, larcv's queueloader returns garbage without a message; "
                "use data.reader=larcv (its IOManager) or native"
            )
        self.config = config
        self.index = index or lartpc_index(config)
        products = _products(config)
        indexed = self.index.open(matching_files(file))
        self.files = [WireFile(one.path, products, one.stamp, one.entry) for one in indexed]
        self._check_equal()
        self.readers = [_reader(file, config) for file in self.files]
        self.ends = np.cumsum([len(file) for file in self.files])
        self.event_ids = np.concatenate([file.event_ids for file in self.files])
        self.images = SparseImagesSpec(
            self.files[0].planes,
            self.files[0].shape,
            config.downsample,
            CLASSES,
            config.img_transform,
            (pixel_size[0], pixel_size[1]),
            config.charge == "absolute",
            "ADC",
        )
        self.spec = Spec({"images": self.images}, COLUMNS, self._known(), ("run", "subrun", "event"))
        self.may_cancel = bool(config.downsample) and config.charge == "signed"
        self.digest = "-".join(file.digest[:16] for file in self.files)
        self.selected, self._removed = self._selected(parse_cuts(config.cuts))

    def __len__(self) -> int:
        return int(self.ends[-1])

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`: the container `images`."""
        entries = np.asarray(entries, np.int64)
        events = []
        files = np.searchsorted(self.ends, entries, side="right")
        within = entries - np.concatenate([[0], self.ends])[files]
        for file, of_file in itertools.groupby(zip(files.tolist(), within.tolist(), strict=True), lambda pair: pair[0]):
            events += self.readers[file].read_several([entry for _, entry in of_file])
        if not events:
            return self._nothing()
        columns = [np.concatenate([getattr(event, name) for event in events]) for name in ("row", "column", "value")]
        labelled = all(event.label is not None for event in events)
        label = np.concatenate([event.label for event in events]) if labelled else None
        counts = np.stack([event.counts for event in events])
        images = SparseImages(*columns, label=label, counts=counts, shape=self.images.shape)
        if self.may_cancel and (images.value < 0).any():
            self.may_cancel = False  # said once
            logger.warning(
                "data.downsample=%d: charges of both signs, which these files have, cancel where pixels are joined; "
                "data.charge=absolute averages their sizes",
                self.config.downsample,
            )
        return Batch({"images": images}, entries, self.event_ids[entries], Truth(self.truth, entries))

    def augmented(self, batch: Batch, epoch: int, seed: int) -> Batch:
        """See `Source` and `AugmentationConfig`."""
        augmentation = Augmentation(self.config.augmentation, self.images.planes, self.images.shape, seed)
        if not augmentation.changes:
            return batch

        def truth(entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
            """Columns of truth of the changed events."""
            columns = self.truth(entries, names)
            if "vertex" in columns:
                columns["vertex"] = augmentation.vertices(columns["vertex"], entries, epoch)
            return columns

        images = augmentation.images(batch["images"], batch.entries, epoch)
        return dataclasses.replace(batch, inputs={"images": images}, truth=Truth(truth, batch.entries))

    def file_ends(self) -> np.ndarray:
        """See `Source`."""
        return self.ends

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """See `Source` and `COLUMNS`."""
        return {name: self._true(name)[entries] for name in self.spec.wanted(names)}

    def _known(self) -> frozenset[str]:
        """The columns of truth that all files have."""
        producer = self.config.particle_producer
        products = {"interaction": "particle", "energy": "particle", "vertex": "cluster2d"}
        if not producer:
            return frozenset()
        return frozenset(
            name for name, kind in products.items() if all(file.has(kind, producer) for file in self.files)
        )

    def _true(self, name: str) -> np.ndarray:
        """One column of truth of all entries."""
        return self._vertices if name == "vertex" else self._neutrinos[name]

    @property
    def showers(self) -> np.ndarray:
        """The event of each entry [entries]: run, subrun, event, and non-empty pixels of each plane, since productions
        may number their events alike."""
        keys = np.column_stack([self.event_ids, self._pixels])
        return keys.view([(str(column), np.int64) for column in range(keys.shape[1])]).reshape(-1)

    @cached_property
    def _pixels(self) -> np.ndarray:
        """Non-empty pixels of the wires, int64 [entries, planes]."""
        return np.concatenate([file.images.counts for file in self.files]).astype(np.int64)

    @cached_property
    def _neutrinos(self) -> dict[str, np.ndarray]:
        return {} if self._neutrino_records is None else _neutrino_truth(self._neutrino_records)

    @cached_property
    def _neutrino_records(self) -> np.ndarray | None:
        """See `ParticleTable.neutrinos`; None if a file has no particles."""
        producer = self.config.particle_producer
        if not producer or not all(file.has("particle", producer) for file in self.files):
            return None
        return self._added("neutrinos")

    def contents(self) -> Contents:
        """See `Source`."""
        return Contents(tuple(file.path for file in self.files), len(self), self._removed)

    def _selected(self, cuts: list[Cut]) -> tuple[np.ndarray, dict[str, int]]:
        """Entries that pass all cuts, and how many each removed."""
        names = {name for cut in cuts for name in cut.names}
        run, subrun, event = self.event_ids.T
        columns: Columns = {"run": run, "subrun": subrun, "event": event, "pixels": self._pixels.sum(1)}
        if names - columns.keys() and self._neutrino_records is not None:
            columns |= {name: self._neutrino_records[field] for name, field in TRUE_COLUMNS.items()}
        check_names(cuts, set(columns), list(columns))
        tests = {cut.text: cut.keeps(columns) for cut in cuts}
        kept, removed = passing(tests, len(self), len(self.files))
        return np.flatnonzero(kept), removed

    @cached_property
    def _vertices(self) -> np.ndarray:
        return self._added("vertices")

    def _added(self, name: str) -> np.ndarray:
        """An optional array of the index, of all entries."""
        indexed = self.index.open([file.path for file in self.files], [name])
        for file, one in zip(self.files, indexed, strict=True):
            check_same(file.path, one.stamp, file.stamp)
        return np.concatenate([one.entry[OPTIONAL + name] for one in indexed])

    def pixel_writer(self, path: Path, provenance: dict[str, str]) -> WirePredictionWriter:
        """Writes predicted classes as larcv3."""
        return WirePredictionWriter(
            path, [file.images.planes for file in self.files], self.event_ids, self.config.downsample, provenance
        )

    def _nothing(self) -> Batch:
        empty = np.empty(0, np.int32)
        label = np.empty(0, np.uint8) if self.config.label_producer else None
        counts = np.zeros((0, self.images.planes), np.int64)
        images = SparseImages(empty, empty, np.empty(0, np.float32), label, counts, self.images.shape)
        entries = np.empty(0, np.int64)
        return Batch({"images": images}, entries, np.empty((0, 3), np.int64), Truth(self.truth, entries))

    def _check_equal(self) -> None:
        first = self.files[0]
        downsample = self.config.downsample
        for file in self.files[1:]:
            check_like(file, first)
            self._check_truth(file, first)
        most = halvings(first.shape)
        if downsample > most:
            raise UserError(
                f"data.downsample={downsample}: images of {first.shape[0]} x {first.shape[1]} pixels can be halved "
                f"at most {most} times"
            )

    def _check_truth(self, file: WireFile, first: WireFile) -> None:
        """Files of one source either all have a product with truth or all lack it."""
        producer = self.config.particle_producer
        for kind in ("particle", "cluster2d"):
            lacking, other = (first, file) if file.has(kind, producer) else (file, first)
            if other.has(kind, producer) and not lacking.has(kind, producer):
                raise DataError(
                    f"{lacking.path}: has no product {kind}_{producer}, but {other.path} has; choose files that are "
                    'alike, or data.particle_producer="" to read none of it'
                )


class Lartpc(FileData[LartpcEvents]):
    """`data=lartpc`: larcv3 files."""

    @dataclass
    class Config(LartpcConfig, FilesConfig):
        """`data.*`."""

        pixel_size: list[float] = value([*SBND_PIXEL], free=True)

    containers = MappingProxyType({"images": SparseImages})

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """See `Data`."""
        return is_larcv(path)

    @classmethod
    def columns(cls, config: Config) -> tuple[Column, ...]:
        """See `Data`."""
        return COLUMNS if config.particle_producer else ()

    def source(self, paths: Paths) -> LartpcEvents:
        """See `FileData.source`."""
        if len(self.config.pixel_size) != 2 or min(self.config.pixel_size) <= 0:
            raise UserError(
                f"data.pixel_size={self.config.pixel_size}: must be two lengths in cm, along time and wires"
            )
        return LartpcEvents(self.config, paths["file"], self.config.pixel_size, self.index)

    def build_index(self) -> FileIndex:
        """See `FileData`."""
        return lartpc_index(self.config)

    def check_alike(self, source: LartpcEvents, aux: LartpcEvents) -> None:
        """Their planes and the size of their images must be the same."""
        check_like(aux.files[0], source.files[0])

    def entries(self, source: LartpcEvents) -> np.ndarray:
        """See `LartpcEvents`."""
        return source.selected


def lartpc_index(config: LartpcConfig) -> FileIndex:
    """The index of files with what the config's cuts need of their events."""
    names = {name for cut in parse_cuts(config.cuts) for name in cut.names}
    return wire_index(_products(config), ["neutrinos"] if names & TRUE_COLUMNS.keys() else [])


def _products(config: LartpcConfig) -> Products:
    return Products(config.image_producer, config.label_producer, config.particle_producer)


def check_like(file: WireFile, first: WireFile) -> None:
    """Raise `DataError` where files have other planes, or images of another size, and can't be used together."""
    if file.plane_ids != first.plane_ids:
        one, other = (", ".join(map(str, ids)) for ids in (file.plane_ids, first.plane_ids))
        raise DataError(f"{file.path}: has planes {one}, but {first.path} has {other}")
    if file.shape != first.shape:
        raise DataError(f"{file.path}: its images are not of the number and size of those of {first.path}")


def _reader(file: WireFile, config: LartpcConfig) -> WireReader:
    if config.cache:
        return CachedReader(file)
    return LarcvReader(file) if config.reader == "larcv" else file


def _neutrino_truth(neutrino: np.ndarray) -> dict[str, np.ndarray]:
    """Energy and interaction of `ParticleTable.neutrinos`; unknown is that of a neutrino without a stated current."""
    flavour = np.abs(neutrino["pdg"])
    current = neutrino["current_type"]
    conditions = {
        "cosmic": flavour == 0,
        "NC": current == 1,
        "unknown": current != 0,
        "nu_e CC": flavour == 12,
        "nu_mu CC": flavour == 14,
    }
    rows = [INTERACTIONS.index(name) for name in conditions]
    interaction = np.select(list(conditions.values()), rows, default=INTERACTIONS.index("nu_tau CC"))
    return {"energy": neutrino["energy_init"], "interaction": interaction}
