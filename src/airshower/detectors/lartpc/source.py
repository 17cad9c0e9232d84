"""Wire images as a source of events: real larcv3 files."""

import glob
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from pathlib import Path

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, number
from airshower.data.batch import Batch, SparseImages
from airshower.data.source import STUDIED, ImageSpec, Selection, Splits, halvings
from airshower.detectors.lartpc.cache import CachedReader
from airshower.detectors.lartpc.larcv_package import LarcvReader
from airshower.detectors.lartpc.predictions import WirePredictionWriter
from airshower.detectors.lartpc.wires import CLASSES, Products, WireFile, WireReader
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger

EVENT_CLASSES = ("nu_e CC", "nu_mu CC", "NC", "cosmic")
INTERACTIONS = (*EVENT_CLASSES, "nu_tau CC", "unknown")  # the last two are none of the classes that events are given

SBND_PIXEL = (0.3125, 0.3)  # cm of drift in a tick of the images, cm between wires


@dataclass
class WireConfig:
    """What all wire-image data share."""

    data_directory: str = ""
    downsample: int = number(2, low=0, high=10)
    charge: str = choice("signed", "absolute")
    img_transform: bool = True
    order: str = choice("shuffled", "serial", "random_blocks")
    reader: str = choice("native", "larcv", "queueloader")
    cache: bool = False
    image_producer: str = "sbndwire"
    label_producer: str = "sbnd_cosmicseg"
    particle_producer: str = "sbndneutrino"


class WireImages:
    """Events of one or more larcv3 files, concatenated; `file` is a path or a glob pattern."""

    kind = "wire_images"

    def __init__(self, config: WireConfig, file: str, pixel_size: Sequence[float] = SBND_PIXEL):
        if config.reader == "queueloader":
            raise UserError(
                "data.reader=queueloader: with numpy >= 2, larcv's queueloader returns garbage without a message; "
                "use data.reader=larcv (its IOManager) or native"
            )
        self.config = config
        products = Products(config.image_producer, config.label_producer, config.particle_producer)
        self.files = [WireFile(path, products) for path in _paths(config.data_directory, file)]
        self._check_equal()
        self.readers = [_reader(file, config) for file in self.files]
        self.ends = np.cumsum([len(file) for file in self.files])
        self.event_ids = np.concatenate([file.event_ids for file in self.files])
        self.spec = ImageSpec(
            self.files[0].planes,
            self.files[0].shape,
            config.downsample,
            CLASSES,
            config.img_transform,
            EVENT_CLASSES,
            (pixel_size[0], pixel_size[1]),
            config.charge == "absolute",
        )
        self.may_cancel = bool(config.downsample) and config.charge == "signed"
        self.digest = "-".join(file.digest[:16] for file in self.files)

    def __len__(self) -> int:
        return int(self.ends[-1])

    def read(self, entries: np.ndarray) -> Batch:
        """The events of these entries; see `Source.read`."""
        events = []
        for entry in entries:
            file = int(np.searchsorted(self.ends, entry, side="right"))
            events.append(self.readers[file].read(int(entry - (self.ends[file - 1] if file else 0))))
        if not events:
            return self._nothing()
        columns = [np.concatenate([getattr(event, name) for event in events]) for name in ("row", "column", "value")]
        labelled = all(event.label is not None for event in events)
        label = np.concatenate([event.label for event in events]) if labelled else None
        counts = np.stack([event.counts for event in events])
        images = SparseImages(*columns, label=label, counts=counts, shape=self.spec.shape)
        if self.may_cancel and (images.value < 0).any():
            self.may_cancel = False  # said once
            logger.warning(
                "data.downsample=%d: charges of both signs, which these files have, cancel where pixels are joined; "
                "data.charge=absolute averages their sizes",
                self.config.downsample,
            )
        return Batch(images, np.asarray(entries, np.int64), self.event_ids[entries], partial(self.truth, entries))

    def truth(self, entries: np.ndarray, names: tuple[str, ...] = STUDIED) -> dict[str, np.ndarray]:
        """Neutrino `energy` (GeV, NaN without one), `interaction` (of `INTERACTIONS`) and `vertex`, where known."""
        found = {} if set(names).isdisjoint(STUDIED) else dict(self._neutrinos)
        if "vertex" in names and self._vertices is not None:
            found["vertex"] = self._vertices
        return {name: found[name][entries] for name in names if name in found}

    @cached_property
    def _neutrinos(self) -> dict[str, np.ndarray]:
        records = [part for file in self.files if (part := file.neutrinos()) is not None]
        return _neutrino_truth(np.concatenate(records)) if len(records) == len(self.files) else {}

    @cached_property
    def _vertices(self) -> np.ndarray | None:
        positions = [part for file in self.files if (part := file.vertices()) is not None]
        return np.concatenate(positions) if len(positions) == len(self.files) else None

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> WirePredictionWriter:
        """Writes predicted classes as larcv3."""
        return WirePredictionWriter(
            path, [file.images.planes for file in self.files], self.event_ids, self.config.downsample, provenance
        )

    def _nothing(self) -> Batch:
        empty = np.empty(0, np.int32)
        label = np.empty(0, np.uint8) if self.config.label_producer else None
        counts = np.zeros((0, self.spec.planes), np.int64)
        images = SparseImages(empty, empty, np.empty(0, np.float32), label, counts, self.spec.shape)
        entries = np.empty(0, np.int64)
        return Batch(images, entries, np.empty((0, 3), np.int64), partial(self.truth, entries))

    def _check_equal(self) -> None:
        first, downsample = self.files[0], self.config.downsample
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
            lacking, other = (first, file) if file.file.has(kind, producer) else (file, first)
            if other.file.has(kind, producer) and not lacking.file.has(kind, producer):
                raise DataError(
                    f"{lacking.path}: has no product {kind}_{producer}, but {other.path} has; choose files that are "
                    'alike, or data.particle_producer="" to read none of it'
                )


class Lartpc:
    """`data=lartpc`: real files. Validation comes from `aux_file`, or from a fraction of `file`."""

    kind = WireImages.kind

    @dataclass
    class Config(WireConfig):
        """`data.*`."""

        file: str = MISSING
        aux_file: str = ""
        pixel_size: list[float] = field(default_factory=lambda: list(SBND_PIXEL))
        validation_fraction: float = number(0.0, low=0.0, high=0.9)

    def __init__(self, config: Config, seed: int):
        self.config, self.seed = config, seed

    def open(self) -> Splits:
        """Opens the files and checks their index."""
        if len(self.config.pixel_size) != 2 or min(self.config.pixel_size) <= 0:
            raise UserError(
                f"data.pixel_size={self.config.pixel_size}: must be two lengths in cm, along time and wires"
            )
        source = WireImages(self.config, self.config.file, self.config.pixel_size)
        entries = np.arange(len(source))
        everything = Selection(source, entries)
        if self.config.aux_file:
            aux = WireImages(self.config, self.config.aux_file, self.config.pixel_size)
            check_like(aux.files[0], source.files[0])
            return Splits(everything, Selection(aux, np.arange(len(aux))), everything)
        held_out = int(np.ceil(len(source) * self.config.validation_fraction))
        if not held_out:
            return Splits(everything, None, everything)
        if held_out == len(source):
            raise UserError(
                f"data.validation_fraction={self.config.validation_fraction}: leaves none of {len(source)} events "
                "to train on"
            )
        shuffled = np.random.default_rng(self.seed).permutation(entries)
        held, rest = np.sort(shuffled[:held_out]), np.sort(shuffled[held_out:])
        return Splits(Selection(source, rest), Selection(source, held), everything)


def check_like(file: WireFile, first: WireFile) -> None:
    """Raise `DataError` where files have other planes, or images of another size, and can't be used together."""
    if file.plane_ids != first.plane_ids:
        one, other = (", ".join(map(str, ids)) for ids in (file.plane_ids, first.plane_ids))
        raise DataError(f"{file.path}: has planes {one}, but {first.path} has {other}")
    if file.shape != first.shape:
        raise DataError(f"{file.path}: its images are not of the number and size of those of {first.path}")


def _paths(directory: str, file: str) -> list[Path]:
    pattern = str(Path(directory).expanduser() / Path(file).expanduser())
    if glob.has_magic(pattern) and not Path(pattern).exists():
        found = sorted(glob.glob(pattern))
        if not found:
            raise DataError(f"{pattern}: no file matches")
        return [Path(name) for name in found]
    return [Path(pattern)]


def _reader(file: WireFile, config: WireConfig) -> WireReader:
    if config.cache:
        return CachedReader(file)
    return LarcvReader(file) if config.reader == "larcv" else file


def _neutrino_truth(neutrino: np.ndarray) -> dict[str, np.ndarray]:
    """Energy and interaction of `ParticleTable.neutrinos`; unknown is that of a neutrino without a stated current."""
    flavour, current = np.abs(neutrino["pdg"]), neutrino["current_type"]
    conditions = {
        "cosmic": flavour == 0,
        "NC": current == 1,
        "unknown": current != 0,
        "nu_e CC": flavour == 12,
        "nu_mu CC": flavour == 14,
    }
    interaction = np.select(list(conditions.values()), list(conditions), default="nu_tau CC")
    return {"energy": neutrino["energy_init"], "interaction": interaction}
