"""Images of Cherenkov telescopes as a source of entries: files of simulations, of observations, or of both."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType

import numpy as np
import torch

from airshower.config.fields import choice, number
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Container, Points, TelescopeImages, spans
from airshower.data.cuts import Cut, check_names, parse_cuts
from airshower.data.files import FileData, FilesConfig, FileSource, Paths, matching_files
from airshower.data.index import FileIndex
from airshower.data.order import OrderConfig
from airshower.data.source import Contents, ThrownShowers
from airshower.data.spec import Spec
from airshower.data.truth import CLASS, DIRECTION, NUMBER, POSITION, Column, Columns, Frame, Truth
from airshower.detectors.cta.dl1.dl2_writer import ShowerPredictionWriter
from airshower.detectors.cta.image_file import PART, TRUTH, ImageFile
from airshower.detectors.cta.keys import KEYS
from airshower.detectors.cta.open_file import file_index, indexed_file, is_image_file
from airshower.detectors.cta.points import POINT_FEATURES, TelescopePoints, point_features
from airshower.detectors.cta.primaries import OBSERVED, class_ids, classified
from airshower.detectors.cta.selection import CutFlow, Selector
from airshower.detectors.cta.subarray import chosen_telescopes, merge_subarrays, spec_of
from airshower.errors import DataError, UserError
from airshower.geometry.sky import common_pointing, unit_vector
from airshower.runtime.log import logger

FIRST_SHOWER_TYPE = 16  # types of events below are calibration
# what tells showers apart: simulations use each several times, with other cores, also in other runs and files
FIELDS = {"direction": ("alt", "az"), "core": ("core_x", "core_y")}  # of columns of truth
SHOWER = ("primary", "energy", "alt", "az", "h_first_interaction", "x_max")


@dataclass
class CtaConfig(OrderConfig):
    """What all data of Cherenkov telescopes share."""

    mode: str = choice("mono", "stereo")
    telescopes: list[int] = field(default_factory=list)
    telescope_types: list[str] = field(default_factory=list)
    cuts: str = ""
    multiplicity: int = number(1, low=1)
    classes: list[str] = field(default_factory=lambda: ["gamma", "proton"])
    bad_pixels: str = choice("error", "zero", "skip")
    features: list[str] = field(default_factory=list)
    point_features: list[str] = field(default_factory=lambda: list(POINT_FEATURES))


class CtaEvents(FileSource):
    """Entries of one or more files: selected images (mono) or events of which any image is selected (stereo).

    In memory is what the `index` has of the files. `cut_flow` says how many images and events there were and what each
    cut removed; `event_ids` int64 [n, 3]: observation, event, telescope (0 in stereo). Raises `UserError` for a
    selection that leaves nothing.
    """

    def __init__(self, config: CtaConfig, file: str | Path | Sequence[str | Path], index: FileIndex | None = None):
        self.config = config
        self.classes = class_ids(config.classes)
        cuts = parse_cuts(config.cuts)
        indexed = (index or cta_index(config)).open(matching_files(file))
        self.files = [indexed_file(one, config.bad_pixels != "error") for one in indexed]
        self.simulated = self._any_simulated()
        array, rows = merge_subarrays([(file.path, file.subarray) for file in self.files])
        _refuse_copies(self.files)
        allowed = chosen_telescopes(array, config.telescopes, config.telescope_types)
        self.array = spec_of(array, allowed, config.mode)
        truth = true_columns(config.classes)
        known = frozenset(column.name for column in truth) if self.simulated else frozenset[str]()
        self.points = TelescopePoints(self.array, config.features) if config.features else None
        inputs = {"images": self.array} | ({"points": self.points.spec} if self.points else {})
        self.spec = Spec(inputs, truth, known)
        self.clean = all(file.has_clean for file in self.files)
        self._check_cuts(cuts)
        self.cut_flow = CutFlow()
        telescope = np.where(allowed, np.cumsum(allowed) - 1, -1)  # rows of the spec
        kept = [self._selected(file, telescope[own], cuts) for file, own in zip(self.files, rows, strict=True)]
        if not sum(map(len, kept)):
            raise UserError(f"data: no image is left of the {len(kept)} files; there were {self.cut_flow}")
        logger.info("data: %s", self.cut_flow)
        self._index(kept, [telescope[own] for own in rows])
        self.digest = hashlib.sha256(" ".join(file.digest for file in self.files).encode()).hexdigest()[:16]

    def __len__(self) -> int:
        return len(self.event_ids)

    def read(self, entries: np.ndarray) -> Batch:
        """See `Source`: the container `images`, and `points` if features are asked for. Directions are learned relative
        to the common pointing of an event's telescopes, cores to the telescope (mono) or to the middle of the array
        (stereo). Raises `DataError` naming file, telescope and event."""
        entries = np.asarray(entries, np.int64)
        batch_row, images = self._images_of(entries)
        camera = self.array.camera[self._telescope[images]]
        parts = CameraImages(
            tuple(
                self._camera_images(kind, images[camera == kind], batch_row[camera == kind])
                for kind in range(len(self.array.cameras))
            )
        )
        truth = Truth(self.truth, entries) if self.simulated else None
        frame = self._frame(parts, len(entries))
        inputs: dict[str, Container] = {"images": parts}
        if self.points is not None:
            inputs["points"] = self.points.of(parts, frame, len(entries), lambda *of: self._where(entries, *of))
        return Batch(inputs, entries, self.event_ids[entries], truth, frame)

    def file_ends(self) -> np.ndarray:
        """See `Source`."""
        return np.searchsorted(self._file[self._first], np.arange(len(self.files)), side="right")

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> Columns:
        """See `Source` and `true_columns`; NaN for what was observed. Nothing where all is observed."""
        return {name: self._true(name, self._event[entries]) for name in self.spec.wanted(names)}

    def contents(self) -> Contents:
        """See `Source`: images (mono) or events (stereo)."""
        mono = self.config.mode == "mono"
        removed = {name: counts[0 if mono else 1] for name, counts in self.cut_flow.removed.items()}
        return Contents(
            tuple(file.path for file in self.files),
            self.cut_flow.images if mono else self.cut_flow.events,
            {name: count for name, count in removed.items() if count},
            "images" if mono else "events",
        )

    def event_writer(self, path: Path, provenance: dict[str, str]) -> ShowerPredictionWriter:
        """See `Source`: DL2 files."""
        path = path.with_name(f"{path.name}.dl2.h5")
        return ShowerPredictionWriter(path, self.files, self.config.mode, self.images_of, provenance)

    def images_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The images of entries: rows among `entries`, of `files`, and of that file's index, int64 [images] each."""
        row, images = self._images_of(entries)
        return row, self._file[images], self._image[images]

    def thrown(self) -> list[ThrownShowers]:
        """What was simulated in each run, also where no event triggered or passed the cuts: such a run is of the
        primaries of its file. Nothing for observations, and for a class of which files do not say all."""
        of_runs = []
        unknown = set()
        for file in self.files:
            if file.truth is None:
                continue
            runs = {run.obs_id: run for run in getattr(file, "runs", [])}
            kinds = classified(file.truth["primary"], self.classes)
            for obs_id in sorted({*runs, *file.events.obs_id.tolist()}):
                run = runs.get(obs_id)
                kind = np.unique(kinds[file.events.obs_id == obs_id])
                if run is not None and not len(kind):
                    if not run.showers:
                        continue
                    kind = np.unique(kinds)
                if run is None or not run.known or len(kind) > 1:
                    unknown.update(kind.tolist())
                else:
                    thrown = run.showers * run.reuse
                    of_runs.append(ThrownShowers(int(kind[0]), thrown, run.energy_range, run.spectral_index, run.area))
        for kind in sorted(unknown & {run.primary for run in of_runs} - {-1}):
            logger.warning("no effective area of %s: not all files say what was simulated", self.config.classes[kind])
        return [run for run in of_runs if run.primary not in unknown]

    @property
    def showers(self) -> np.ndarray:
        """The shower of each entry, bytes that are equal where it is the same one, in whatever run or file."""
        rows = np.zeros((len(self), len(SHOWER) + 2))  # of unknown energy, as of what was observed, each is another
        known = np.zeros(len(self), bool)
        if self.simulated:
            known = np.isfinite(self._truth["energy"][self._event])
            rows[:, :-2] = np.nan_to_num(np.stack([self._truth[name][self._event] for name in SHOWER], 1)) + 0.0
        rows = np.where(known[:, None], rows, 0.0)
        rows[~known, -2:] = self.event_ids[~known, :2]
        return rows.view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1)

    def _any_simulated(self) -> bool:
        """Whether there is truth. Simulated and observed files are read together as classes alone."""
        simulated = [file.truth is not None for file in self.files]
        if not all(simulated) and any(simulated) and not any(OBSERVED in ids for ids in self.classes):
            other = self.files[simulated.index(not simulated[0])]
            raise DataError(
                f"{other.path}: one of it and {self.files[0].path} is simulated, the other observed; to tell them "
                "apart, name observed in data.classes"
            )
        return any(simulated)

    def _truth_of(self, file: ImageFile) -> dict[str, np.ndarray]:
        """NaN for a file that was observed, nothing if all were."""
        if file.truth is not None or not self.simulated:
            return file.truth or {}
        return {name: np.full(len(file.events), np.nan) for name in TRUTH}

    def _where(self, entries: np.ndarray, event: int, telescope: int) -> str:
        """Which image a row of a batch and a row of the array's telescopes are, for messages."""
        _, images = self._images_of(entries[[event]])
        image = images[self._telescope[images] == telescope][0]
        return self.files[self._file[image]].where(int(self._image[image]))

    def _images_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows among `entries` and of the index of selected images, int64 [images] each."""
        counts = self._counts[entries]
        row = np.repeat(np.arange(len(entries)), counts)
        return row, spans(self._first[entries], counts)

    def _selected(self, file: ImageFile, telescope: np.ndarray, cuts: list[Cut]) -> np.ndarray:
        """Rows of a file's image index that pass all cuts."""
        images = file.images
        events = file.events
        selector = Selector(images.event, len(events), self.cut_flow)
        selector.cut("no telescope triggered", (events.triggered > 0)[images.event])
        selector.cut("calibration", (events.event_type >= FIRST_SHOWER_TYPE)[images.event])
        selector.cut("telescopes", telescope[images.telescope] >= 0)
        if self.simulated:
            primary = classified(self._truth_of(file)["primary"], self.classes)
            selector.cut("other primaries than data.classes", (primary >= 0)[images.event])
        if self.config.bad_pixels == "skip":
            selector.cut("bad pixels", _without_bad_pixels(file, selector.kept))
        columns = self._columns(file, [name for cut in cuts for name in cut.names], np.flatnonzero(selector.kept))
        for cut in cuts:
            selector.cut(cut.text, cut.keeps(columns))
        selector.cut_multiplicity(self.config.multiplicity)
        return np.flatnonzero(selector.kept)

    def _columns(self, file: ImageFile, names: list[str], images: np.ndarray) -> dict[str, np.ndarray]:
        """What cuts are made on: ids int64, others f8 [images] each. Raises `DataError` if one of `images` lacks it."""
        parameters = sorted({name for name in names if name not in KEYS and file.find_parameter(name)})
        for image in images[~file.has_parameters[images]][:1] if parameters else ():
            raise DataError(f"{file.where(image)}: the image has no parameters to cut on")
        columns = file.parameters(parameters)
        if set(names) & set(KEYS):  # not of the parameters, which are f8
            keys = np.column_stack([file.events.keys[file.images.event], file.subarray.ids[file.images.telescope]])
            columns |= dict(zip(KEYS, keys.T, strict=True))
        return columns | {f"true_{name}": column[file.images.event] for name, column in self._truth_of(file).items()}

    def _check_cuts(self, cuts: list[Cut]) -> None:
        for file in self.files:
            truth = [f"true_{name}" for name in self._truth_of(file)]
            names = [*sorted(set(file.parameter_names) - set(KEYS)), *truth]
            columns = {*KEYS, *truth}
            known = {name for cut in cuts for name in cut.names if name in columns or file.find_parameter(name)}
            check_names(cuts, known, names)

    def _index(self, kept: list[np.ndarray], telescope: list[np.ndarray]) -> None:
        """Concatenates the selected images of all files, those of an entry beside each other."""
        stereo = self.config.mode == "stereo"
        images = []
        ids = []
        truth = []
        starts = []
        events = 0
        for place, (file, rows) in enumerate(zip(self.files, kept, strict=True)):
            rows = rows[np.argsort(file.images.event[rows], kind="stable")] if stereo else rows
            used, event = np.unique(file.images.event[rows], return_inverse=True)
            own = telescope[place][file.images.telescope[rows]]
            images.append(np.stack([np.full(len(rows), place), rows, own, events + event], 1))
            ids.append(np.stack([file.events.obs_id[used], file.events.event_id[used]], 1))
            truth.append({name: column[used] for name, column in self._truth_of(file).items()})
            events += len(used)
        self._file, self._image, self._telescope, event = np.concatenate(images).T.copy()
        self._truth = {name: np.concatenate([columns[name] for columns in truth]) for name in truth[0]}
        starts = np.diff(event, prepend=-1) != 0 if stereo else np.ones(len(event), bool)
        self._first = np.flatnonzero(starts)
        self._counts = np.diff(self._first, append=len(event))
        self._event = event[self._first]
        seen_by = np.zeros(len(self._first), np.int64) if stereo else self.array.telescope_ids[self._telescope]
        self.event_ids = np.column_stack([np.concatenate(ids)[self._event], seen_by])

    def _camera_images(self, camera: int, images: np.ndarray, batch_row: np.ndarray) -> TelescopeImages:
        pixels = len(self.array.cameras[camera].x)
        charge, time = np.empty((2, len(images), pixels), np.float32)
        clean = np.empty((len(images), pixels), bool) if self.clean else None
        pointing = np.empty((len(images), 2), np.float32)
        for place in np.unique(self._file[images]):
            at = np.flatnonzero(self._file[images] == place)
            file = self.files[place]
            rows = self._image[images[at]]
            charge[at], time[at], kept = file.read(rows)
            pointing[at] = file.pointing_of(rows)
            for row in rows[~np.isfinite(pointing[at]).all(1)][:1]:
                raise DataError(f"{file.where(row)}: the file does not say where the telescope points to")
            if clean is not None:
                clean[at] = kept
        return TelescopeImages(charge, time, clean, batch_row, self._telescope[images], pointing)

    def _true(self, name: str, events: np.ndarray) -> np.ndarray:
        """One column of truth of these rows of `_truth`, see `truth.Column`."""
        if name == "primary":
            return classified(self._truth["primary"][events], self.classes)
        parts = [self._truth[part][events] for part in FIELDS.get(name, (name,))]
        return np.stack(parts, 1) if name in FIELDS else parts[0]

    def _frame(self, images: CameraImages, entries: int) -> Frame:
        """In float64, as offsets from the pointing are small differences; given as float32."""
        event = torch.from_numpy(np.concatenate([camera.event for camera in images.cameras]))
        telescope = torch.from_numpy(np.concatenate([camera.telescope for camera in images.cameras]))
        pointing = torch.from_numpy(np.concatenate([camera.pointing for camera in images.cameras]))
        axis = common_pointing(unit_vector(pointing.double()), event, entries).float()
        position = torch.from_numpy(self.array.position[:, :2]).float()
        origin = position.mean(0).expand(entries, 2)
        if self.array.mode == "mono":
            origin = origin.index_copy(0, event, position[telescope])
        return Frame(axis.numpy(), origin.numpy())


def true_columns(classes: Sequence[str]) -> tuple[Column, ...]:
    """The truth of simulated showers with primaries of these classes."""
    return (
        Column("primary", CLASS, classes=tuple(classes)),
        Column("energy", NUMBER, "TeV"),
        Column("direction", DIRECTION, "rad", parts=FIELDS["direction"]),
        Column("core", POSITION, "m", parts=FIELDS["core"]),
        Column("x_max", NUMBER, "g/cm2"),
        Column("h_first_interaction", NUMBER, "m"),
    )


def cta_index(config: CtaConfig) -> FileIndex:
    """The index of files with what the config's cuts need of images."""
    names = (name for cut in parse_cuts(config.cuts) for name in cut.names)
    parameters = [name for name in names if name not in KEYS and not name.startswith("true_")]
    return file_index(config.bad_pixels != "error", parameters)


class CtaContents:
    """The containers and the columns of truth of all data of Cherenkov telescopes."""

    containers = MappingProxyType({"images": CameraImages, "points": Points})

    @classmethod
    def gives(cls, config: CtaConfig) -> Mapping[str, type[Container]]:
        """See `Data`: points if features are asked for."""
        point_features(config.features)
        return {name: kind for name, kind in cls.containers.items() if name != "points" or config.features}

    @classmethod
    def columns(cls, config: CtaConfig) -> tuple[Column, ...]:
        """See `Data`."""
        return true_columns(config.classes)


class Cta(CtaContents, FileData[CtaEvents]):
    """`data=cta`: files of telescopes' images."""

    @dataclass
    class Config(CtaConfig, FilesConfig):
        """`data.*`."""

    @classmethod
    def recognises(cls, path: Path) -> bool:
        """See `Data`."""
        return is_image_file(path)

    def source(self, paths: Paths) -> CtaEvents:
        """See `FileData.source`."""
        return CtaEvents(self.config, paths["file"], self.index)

    def build_index(self) -> FileIndex:
        """See `FileData`."""
        return cta_index(self.config)

    def check_alike(self, source: CtaEvents, aux: CtaEvents) -> None:
        """Their telescopes must be the same ones, and both simulated or both observed."""
        same = np.array_equal(aux.array.telescope_ids, source.array.telescope_ids)
        if aux.simulated != source.simulated or not same:
            raise UserError("data.aux_file: its telescopes are not those of data.file, or one of both is not simulated")
        merge_subarrays([(file.path, file.subarray) for file in (*source.files, *aux.files)])


def _refuse_copies(files: Sequence[ImageFile]) -> None:
    """Raise `DataError` for a file that has the events and images of another."""
    first: dict[tuple[str, ...], Path] = {}
    for file in files:
        truth = [hashlib.sha256(column.tobytes()).hexdigest() for column in (file.truth or {}).values()]
        other = first.setdefault((file.digest, *truth), file.path)
        if other is not file.path:
            raise DataError(f"{file.path}: has the events and images of {other}; read one of both")


def _without_bad_pixels(file: ImageFile, asked: np.ndarray) -> np.ndarray:
    """Which images have finite pixels only, bool [images], of those that are `asked` for; these are all read."""
    whole = asked.copy()
    camera = file.subarray.camera[file.images.telescope]
    for kind in np.unique(camera[asked]):
        images = np.flatnonzero(asked & (camera == kind))
        for part in np.split(images, range(PART, len(images), PART)):
            whole[part] = ~file.bad_pixels(part).any(1)
    return whole
