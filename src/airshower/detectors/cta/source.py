"""Images of Cherenkov telescopes as a source of entries: files of simulations, of observations, or of both."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, number
from airshower.data.cuts import Cut, check_names, parse_cuts
from airshower.data.showers import ShowerBatch, Showers, TelescopeImages
from airshower.data.source import Selection, Splits, ThrownShowers
from airshower.data.splits import matching_files, split_by_shower
from airshower.detectors.cta.dl2_writer import ShowerPredictionWriter
from airshower.detectors.cta.image_file import PART, TRUTH, ImageFile
from airshower.detectors.cta.keys import KEYS
from airshower.detectors.cta.open_file import open_file
from airshower.detectors.cta.primaries import OBSERVED, class_ids, classified
from airshower.detectors.cta.selection import CutFlow, Selector
from airshower.detectors.cta.subarray import chosen_telescopes, merge_subarrays, spec_of
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger

FIRST_SHOWER_TYPE = 16  # types of events below are calibration
# what tells showers apart: simulations use each several times, with other cores, also in other runs and files
SHOWER = ("primary", "energy", "alt", "az", "h_first_interaction", "x_max")


@dataclass
class IactConfig:
    """What all data of Cherenkov telescopes share."""

    data_directory: str = ""
    mode: str = choice("mono", "stereo")
    telescopes: list[int] = field(default_factory=list)
    telescope_types: list[str] = field(default_factory=list)
    cuts: str = ""
    multiplicity: int = number(1, low=1)
    classes: list[str] = field(default_factory=lambda: ["gamma", "proton"])
    bad_pixels: str = choice("error", "zero", "skip")
    order: str = choice("shuffled", "serial", "random_blocks")


class IactImages:
    """Entries of one or more files: selected images (mono) or events of which any image is selected (stereo).

    In memory is the index alone. `cut_flow` says how many images and events there were and what each cut removed;
    `event_ids` is as in `ShowerBatch`. Raises `UserError` for a selection that leaves nothing.
    """

    kind = "telescope_images"

    def __init__(self, config: IactConfig, file: str | Sequence[str]):
        self.config, self.classes = config, class_ids(config.classes)
        cuts = parse_cuts(config.cuts)
        zeroed = config.bad_pixels != "error"
        self.files = [open_file(path, zeroed) for path in matching_files(config.data_directory, file)]
        self.simulated = self._any_simulated()
        array, rows = merge_subarrays([(file.path, file.subarray) for file in self.files])
        _refuse_copies(self.files)
        allowed = chosen_telescopes(array, config.telescopes, config.telescope_types)
        self.spec = spec_of(array, allowed, config.mode, config.classes)
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

    def read(self, entries: np.ndarray) -> ShowerBatch:
        """The images of these entries, in this order. Raises `DataError` naming file, telescope and event."""
        entries = np.asarray(entries, np.int64)
        batch_row, images = self._images_of(entries)
        camera = self.spec.camera[self._telescope[images]]
        parts = tuple(
            self._camera_images(kind, images[camera == kind], batch_row[camera == kind])
            for kind in range(len(self.spec.cameras))
        )
        return ShowerBatch(parts, self._showers(entries), entries, self.event_ids[entries])

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
        """Of these names (all), what there is: of each entry `multiplicity`, its number of images, and in simulations
        `interaction`, the name of its primary's class, and the names of `image_file.TRUTH`: energy in TeV, angles in
        rad, lengths in m, depth in g/cm2, NaN for what was observed."""
        found: dict[str, np.ndarray] = {"multiplicity": self._counts[entries]}
        if self.simulated:
            found |= {name: column[self._event[entries]] for name, column in self._truth.items()}
            found["interaction"] = np.array(self.spec.classes)[classified(found["primary"], self.classes)]
        return found if names is None else {name: found[name] for name in names if name in found}

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> ShowerPredictionWriter:
        """Writes predictions for these entries as DL2."""
        return ShowerPredictionWriter(path, self.files, self.config.mode, self.images_of, provenance)

    def images_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The images of entries: rows among `entries`, of `files`, and of that file's index, int64 [images] each."""
        row, images = self._images_of(entries)
        return row, self._file[images], self._image[images]

    def thrown(self) -> list[ThrownShowers]:
        """What was simulated in each run, also where no event triggered or passed the cuts: such a run is of the
        primaries of its file. Nothing for observations, and for a class of which files do not say all."""
        found, unknown = [], set()
        for file in self.files:
            if file.truth is None:
                continue
            runs = {run.obs_id: run for run in getattr(file, "runs", [])}
            kinds = classified(file.truth["primary"], self.classes)
            for obs_id in sorted({*runs, *file.events.obs_id.tolist()}):
                run, kind = runs.get(obs_id), np.unique(kinds[file.events.obs_id == obs_id])
                if run is not None and not len(kind):
                    if not run.showers:
                        continue
                    kind = np.unique(kinds)
                if run is None or not run.known or len(kind) > 1:
                    unknown.update(kind.tolist())
                else:
                    thrown = run.showers * run.reuse
                    found.append(ThrownShowers(int(kind[0]), thrown, run.energy_range, run.spectral_index, run.area))
        for kind in sorted(unknown & {run.primary for run in found} - {-1}):
            logger.warning("no effective area of %s: not all files say what was simulated", self.spec.classes[kind])
        return [run for run in found if run.primary not in unknown]

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

    def _images_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Rows among `entries` and of the index of selected images, int64 [images] each."""
        counts = self._counts[entries]
        row = np.repeat(np.arange(len(entries)), counts)
        return row, np.repeat(self._first[entries] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())

    def _selected(self, file: ImageFile, telescope: np.ndarray, cuts: list[Cut]) -> np.ndarray:
        """Rows of a file's image index that pass all cuts."""
        images, events = file.images, file.events
        selector = Selector(images.event, len(events), self.cut_flow)
        selector.cut("no telescope triggered", (events.triggered > 0)[images.event])
        selector.cut("calibration", (events.event_type >= FIRST_SHOWER_TYPE)[images.event])
        selector.cut("telescopes", telescope[images.telescope] >= 0)
        if self.simulated:
            found = classified(self._truth_of(file)["primary"], self.classes)
            selector.cut("other primaries than data.classes", (found >= 0)[images.event])
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
        images, ids, truth, starts, events = [], [], [], [], 0
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
        seen_by = np.zeros(len(self._first), np.int64) if stereo else self.spec.telescope_ids[self._telescope]
        self.event_ids = np.column_stack([np.concatenate(ids)[self._event], seen_by])

    def _camera_images(self, camera: int, images: np.ndarray, batch_row: np.ndarray) -> TelescopeImages:
        pixels = len(self.spec.cameras[camera].x)
        charge, time = np.empty((2, len(images), pixels), np.float32)
        clean = np.empty((len(images), pixels), bool) if self.clean else None
        pointing = np.empty((len(images), 2), np.float32)
        for place in np.unique(self._file[images]):
            at, file = np.flatnonzero(self._file[images] == place), self.files[place]
            rows = self._image[images[at]]
            charge[at], time[at], kept = file.read(rows)
            pointing[at] = file.pointing[rows]
            for row in rows[~np.isfinite(pointing[at]).all(1)][:1]:
                raise DataError(f"{file.where(row)}: the file does not say where the telescope points to")
            if clean is not None:
                clean[at] = kept
        return TelescopeImages(charge, time, clean, batch_row, self._telescope[images], pointing)

    def _showers(self, entries: np.ndarray) -> Showers | None:
        if not self.simulated:
            return None
        truth = {name: column[self._event[entries]] for name, column in self._truth.items()}

        def columns(*names: str) -> np.ndarray:
            return np.stack([truth[name].astype(np.float32) for name in names], 1)

        return Showers(
            primary=classified(truth["primary"], self.classes),
            energy=truth["energy"].astype(np.float32),
            direction=columns("alt", "az"),
            core=columns("core_x", "core_y"),
            x_max=truth["x_max"].astype(np.float32),
            weight=np.ones(len(entries), np.float32),
        )


class Iact:
    """`data=cta`: files of telescopes' images. Validation comes from `aux_file`, or from a fraction of the showers of
    `file`; inference runs over what is held out as a test, or over everything."""

    kind = IactImages.kind

    @dataclass
    class Config(IactConfig):
        """`data.*`."""

        file: Any = MISSING
        aux_file: Any = ""
        validation_fraction: float = number(0.0, low=0.0, high=0.9)
        test_fraction: float = number(0.0, low=0.0, high=0.9)
        resample: str = choice("none", "undersample", "oversample")

    def __init__(self, config: Config, seed: int):
        self.config, self.seed = config, seed

    def open(self) -> Splits:
        """Opens the files, selects, and splits by shower. Raises `UserError` if a split would be empty."""
        source = IactImages(self.config, self.config.file)
        config = self.config
        fraction = 0.0 if config.aux_file else config.validation_fraction
        splits = split_by_shower(source, source.showers, fraction, config.test_fraction, self.seed)
        validation = splits.validation
        if self.config.aux_file:
            aux = IactImages(self.config, self.config.aux_file)
            _check_aux(source, aux)
            validation = Selection(aux, np.arange(len(aux)))
        train = Selection(source, self._resampled(source, splits.train.entries))
        return Splits(train, validation, splits.whole)

    def _resampled(self, source: IactImages, entries: np.ndarray) -> np.ndarray:
        """The entries to train on, of each class that is there as many as of the smallest or of the largest one if so
        asked for: some left out, or all as often as there is room for and then some, drawn with the seed."""
        of_class = source.truth(entries, ("interaction",)).get("interaction")
        if of_class is None:  # observations, which are not trained on
            return entries
        groups = {name: entries[of_class == name] for name in source.spec.classes}
        counted = ", ".join(f"{len(group)} {name}" for name, group in groups.items())
        logger.info("data: to train on there are %s, resample=%s", counted, self.config.resample)
        there = [group for group in groups.values() if len(group)]
        if self.config.resample == "none" or len(there) < 2:
            return entries
        size = (min if self.config.resample == "undersample" else max)(map(len, there))
        generator = np.random.default_rng(self.seed)
        drawn = [(np.tile(group, size // len(group)), generator.permutation(group)) for group in there]
        return np.sort(np.concatenate([part for whole, some in drawn for part in (whole, some[: size % len(some)])]))


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
    whole, camera = asked.copy(), file.subarray.camera[file.images.telescope]
    for kind in np.unique(camera[asked]):
        images = np.flatnonzero(asked & (camera == kind))
        for part in np.split(images, range(PART, len(images), PART)):
            whole[part] = ~file.bad_pixels(part).any(1)
    return whole


def _check_aux(source: IactImages, aux: IactImages) -> None:
    if aux.simulated != source.simulated or not np.array_equal(aux.spec.telescope_ids, source.spec.telescope_ids):
        raise UserError("data.aux_file: its telescopes are not those of data.file, or one of both is not simulated")
    shared = np.intersect1d(source.showers, aux.showers)
    if len(shared):
        raise UserError(f"data.aux_file: {len(shared)} of its showers are also in data.file; validate on others")
    merge_subarrays([(file.path, file.subarray) for file in (*source.files, *aux.files)])
