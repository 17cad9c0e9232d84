"""Images of Cherenkov telescopes as a source of entries: DL1 files of simulations or observations."""

import difflib
import glob
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from omegaconf import MISSING

from airshower.config.fields import choice, number
from airshower.data.showers import IactSpec, ShowerBatch, Showers, TelescopeImages
from airshower.data.source import Selection, Splits, ThrownShowers
from airshower.detectors.cta.dl1_file import Dl1File
from airshower.detectors.cta.dl1_instrument import Subarray, merge_subarrays
from airshower.detectors.cta.dl2_writer import ShowerPredictionWriter
from airshower.detectors.cta.selection import Cut, CutFlow, Selector, check_names, parse_cuts
from airshower.errors import DataError, UserError
from airshower.runtime.log import logger

# shower_primary_id as sim_telarray writes it; 14 is CORSIKA's own for protons
PRIMARIES = {
    "gamma": (0,),
    "electron": (1, -1),
    "muon": (2, -2),
    "proton": (101, 14),
    "helium": (402,),
    "nitrogen": (1407,),
    "silicon": (2814,),
    "iron": (5626,),
}
FIRST_SHOWER_TYPE = 16  # types of events below are calibration
# what tells showers apart: simulations use each several times, with other cores, also in other runs and files
SHOWER = ("primary", "energy", "alt", "az", "h_first_interaction", "x_max")
KEYS = ("obs_id", "event_id", "tel_id")


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
    order: str = choice("shuffled", "serial", "random_blocks")


class IactImages:
    """Entries of one or more DL1 files: selected images (mono) or events of which any image is selected (stereo).

    In memory is the index alone. `cut_flow` says how many images and events there were and what each cut removed;
    `event_ids` is as in `ShowerBatch`. Raises `UserError` for a selection that leaves nothing.
    """

    kind = "telescope_images"

    def __init__(self, config: IactConfig, file: str | Sequence[str]):
        self.config, self.classes = config, _class_ids(config.classes)
        cuts = parse_cuts(config.cuts)
        self.files = [Dl1File(path) for path in _paths(config.data_directory, file)]
        self.simulated = self.files[0].simulated
        for other in self.files[1:]:
            if other.simulated != self.simulated:
                raise DataError(f"{other.path}: one of it and {self.files[0].path} is simulated, the other observed")
        array, rows = merge_subarrays([(file.path, file.subarray) for file in self.files])
        allowed = _allowed(array, config)
        self.spec = _spec(array, allowed, config)
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
        counts = self._counts[entries]
        batch_row = np.repeat(np.arange(len(entries)), counts)
        images = np.repeat(self._first[entries] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        camera = self.spec.camera[self._telescope[images]]
        parts = tuple(
            self._camera_images(kind, images[camera == kind], batch_row[camera == kind])
            for kind in range(len(self.spec.cameras))
        )
        return ShowerBatch(parts, self._showers(entries), entries, self.event_ids[entries])

    def truth(self, entries: np.ndarray, names: tuple[str, ...] | None = None) -> dict[str, np.ndarray]:
        """Of these names (all), what there is: of each entry `multiplicity`, its number of images, and in simulations
        `interaction`, the name of its primary's class, and the names of `dl1_file.TRUTH`: energy in TeV, angles in rad,
        lengths in m, depth in g/cm2."""
        found: dict[str, np.ndarray] = {"multiplicity": self._counts[entries]}
        if self.simulated:
            found |= {name: column[self._event[entries]] for name, column in self._truth.items()}
            found["interaction"] = np.array(self.spec.classes)[self._class(found["primary"])]
        return found if names is None else {name: found[name] for name in names if name in found}

    def prediction_writer(self, path: Path, provenance: dict[str, str]) -> ShowerPredictionWriter:
        """Writes predictions for these entries as DL2."""
        return ShowerPredictionWriter(path, self, provenance)

    def images_of(self, entries: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The images of entries: rows among `entries`, of `files`, and of that file's index, int64 [images] each."""
        counts = self._counts[entries]
        row = np.repeat(np.arange(len(entries)), counts)
        images = np.repeat(self._first[entries] - np.cumsum(counts) + counts, counts) + np.arange(counts.sum())
        return row, self._file[images], self._image[images]

    def thrown(self) -> list[ThrownShowers]:
        """What was simulated in each run whose events are of one of the classes; none for observations, and where a
        file does not say."""
        found = []
        for file in self.files if self.simulated else []:
            for run in file.runs:
                primary = np.unique(file.truth["primary"][file.events.obs_id == run.obs_id])
                area = np.pi * run.scatter_radius**2
                known = np.isfinite([*run.energy_range, run.spectral_index, area]).all() and run.showers * area > 0
                if known and len(primary) == 1:
                    showers, kind = run.showers * run.reuse, int(self._class(primary)[0])
                    found.append(ThrownShowers(kind, showers, run.energy_range, run.spectral_index, area))
        return found

    @property
    def showers(self) -> np.ndarray:
        """The shower of each entry, bytes that are equal where it is the same one, in whatever run or file."""
        columns = [self._truth[name][self._event] for name in SHOWER] if self.simulated else self.event_ids.T[:2]
        rows = np.ascontiguousarray(np.stack(columns, 1) + 0.0)  # no -0.0
        return rows.view(f"V{rows.itemsize * rows.shape[1]}").reshape(-1)

    def _selected(self, file: Dl1File, telescope: np.ndarray, cuts: list[Cut]) -> np.ndarray:
        """Rows of a file's image index that pass all cuts."""
        images, events = file.images, file.events
        selector = Selector(images.event, len(events), self.cut_flow)
        selector.cut("no telescope triggered", (events.triggered > 0)[images.event])
        selector.cut("calibration", (events.event_type >= FIRST_SHOWER_TYPE)[images.event])
        selector.cut("telescopes", telescope[images.telescope] >= 0)
        if self.simulated:
            selector.cut("other primaries than data.classes", (self._class(file.truth["primary"]) >= 0)[images.event])
        columns = self._columns(file, [name for cut in cuts for name in cut.names])
        for cut in cuts:
            selector.cut(cut.text, cut.keeps(columns))
        selector.cut_multiplicity(self.config.multiplicity)
        return np.flatnonzero(selector.kept)

    def _columns(self, file: Dl1File, names: list[str]) -> dict[str, np.ndarray]:
        """What cuts are made on, f8 [images] each."""
        parameters = {name: found for name in names if (found := file.find_parameter(name))}
        stored = file.parameters(sorted(set(parameters.values())))
        columns = {name: stored[found] for name, found in parameters.items()}
        if self.simulated:
            columns |= {f"true_{name}": column[file.images.event] for name, column in file.truth.items()}
        return columns

    def _check_cuts(self, cuts: list[Cut]) -> None:
        for file in self.files:
            truth = [f"true_{name}" for name in file.truth] if self.simulated else []
            names = [*sorted(set(file.parameter_names) - set(KEYS)), *truth]
            known = {name for cut in cuts for name in cut.names if name in truth or file.find_parameter(name)}
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
            truth.append({name: column[used] for name, column in file.truth.items()} if self.simulated else {})
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
            primary=self._class(truth["primary"]),
            energy=truth["energy"].astype(np.float32),
            direction=columns("alt", "az"),
            core=columns("core_x", "core_y"),
            x_max=truth["x_max"].astype(np.float32),
            weight=np.ones(len(entries), np.float32),
        )

    def _class(self, primary: np.ndarray) -> np.ndarray:
        """Rows of the spec's classes, -1 for a primary that is in none."""
        found = np.full(len(primary), -1)
        for row, ids in enumerate(self.classes):
            found[np.isin(primary, ids)] = row
        return found


class Iact:
    """`data=cta`: DL1 files. Validation comes from `aux_file`, or from a fraction of the showers of `file`; inference
    runs over what is held out as a test, or over everything."""

    kind = IactImages.kind

    @dataclass
    class Config(IactConfig):
        """`data.*`."""

        file: Any = MISSING
        aux_file: Any = ""
        validation_fraction: float = number(0.0, low=0.0, high=0.9)
        test_fraction: float = number(0.0, low=0.0, high=0.9)

    def __init__(self, config: Config, seed: int):
        self.config, self.seed = config, seed

    def open(self) -> Splits:
        """Opens the files, selects, and splits by shower. Raises `UserError` if a split would be empty."""
        source = IactImages(self.config, self.config.file)
        train, validation, test = self._split(source)
        whole = test if self.config.test_fraction else Selection(source, np.arange(len(source)))
        if self.config.aux_file:
            aux = IactImages(self.config, self.config.aux_file)
            _check_aux(source, aux)
            validation = Selection(aux, np.arange(len(aux)))
        return Splits(train, validation if len(validation.entries) else None, whole)

    def _split(self, source: IactImages) -> list[Selection]:
        """Train, validation and test: the entries of a shower are all in one of them."""
        validation = 0.0 if self.config.aux_file else self.config.validation_fraction
        shower = np.unique(source.showers, return_inverse=True)[1]
        count = int(shower.max()) + 1
        held = [int(np.ceil(count * fraction)) for fraction in (validation, self.config.test_fraction)]
        if sum(held) >= count:
            raise UserError(
                f"data.validation_fraction={validation}, data.test_fraction={self.config.test_fraction}: leave none of "
                f"{count} showers to train on"
            )
        place = np.random.default_rng(self.seed).permutation(count)[shower]
        edges = [sum(held), count], [0, held[0]], [held[0], sum(held)]
        return [Selection(source, np.flatnonzero((low <= place) & (place < high))) for low, high in edges]


def _class_ids(classes: list[str]) -> list[tuple[int, ...]]:
    """Primary ids of each class; `proton+helium` is one class of two primaries, and numbers are ids as in the files."""
    found = []
    for name in classes:
        ids: tuple[int, ...] = ()
        for part in (part.strip() for part in str(name).split("+")):
            if part not in PRIMARIES and not part.lstrip("-").isdigit():
                near = difflib.get_close_matches(part, PRIMARIES, n=1)
                hint = f"did you mean {near[0]}?" if near else f"there are {', '.join(PRIMARIES)}, and ids as numbers"
                raise UserError(f"data.classes: {part} is no primary; {hint}")
            ids += PRIMARIES.get(part) or (int(part),)
        found.append(ids)
    everything = [primary for ids in found for primary in ids]
    for primary in everything:
        if everything.count(primary) > 1:
            raise UserError(f"data.classes={classes}: primary {primary} is in two of them")
    if not found:
        raise UserError("data.classes: is empty; name the primaries to read, such as [gamma, proton]")
    return found


def _allowed(array: Subarray, config: IactConfig) -> np.ndarray:
    """Which telescopes `data.telescopes` and `data.telescope_types` name, bool [telescopes]."""
    for wanted in config.telescopes:
        if wanted not in array.ids:
            there = ", ".join(map(str, array.ids))
            raise UserError(f"data.telescopes: telescope {wanted} is not in the subarray; it has {there}")
    named = [
        {array.types[row], array.names[row], array.descriptions[row], array.cameras[array.camera[row]].name}
        for row in range(len(array.ids))
    ]
    for wanted in config.telescope_types:
        if not any(wanted in names for names in named):
            raise UserError(f"data.telescope_types: there are no telescopes {wanted}; there are {_kinds(array)}")
    of_type = np.array([not config.telescope_types or bool(names & set(config.telescope_types)) for names in named])
    allowed = of_type & (np.isin(array.ids, config.telescopes) if config.telescopes else True)
    if not allowed.any():
        raise UserError("data.telescopes and data.telescope_types: no telescope is in both")
    return allowed


def _kinds(array: Subarray, rows: np.ndarray | None = None) -> str:
    """Types of telescopes with their number and camera, for messages."""
    rows = np.arange(len(array.ids)) if rows is None else rows
    kinds = [(array.types[row], array.cameras[array.camera[row]].name) for row in rows]
    return ", ".join(f"{kinds.count(kind)} {kind[0]} with {kind[1]}" for kind in dict.fromkeys(kinds))


def _spec(array: Subarray, allowed: np.ndarray, config: IactConfig) -> IactSpec:
    rows = np.flatnonzero(allowed)
    cameras = list(dict.fromkeys(array.camera[rows].tolist()))  # by telescope ids, in whatever order the files came
    if config.mode == "mono" and len(cameras) > 1:
        one = {array.types[row] for row in rows}
        how = f"data.telescope_types=[{array.types[rows[0]] if len(one) > 1 else array.descriptions[rows[0]]}]"
        raise UserError(
            f"data.mode=mono: a network for single images sees one kind of camera, there are {_kinds(array, rows)}; "
            f"choose with {how} or data.telescopes, or take data.mode=stereo"
        )
    return IactSpec(
        config.mode,
        tuple(array.cameras[kind] for kind in cameras),
        array.ids[rows],
        tuple(array.types[row] for row in rows),
        array.position[rows],
        array.focal_length[rows],
        np.array([cameras.index(kind) for kind in array.camera[rows]]),
        tuple(config.classes),
    )


def _check_aux(source: IactImages, aux: IactImages) -> None:
    if aux.simulated != source.simulated or not np.array_equal(aux.spec.telescope_ids, source.spec.telescope_ids):
        raise UserError("data.aux_file: its telescopes are not those of data.file, or one of both is not simulated")
    shared = np.intersect1d(source.showers, aux.showers)
    if len(shared):
        raise UserError(f"data.aux_file: {len(shared)} of its showers are also in data.file; validate on others")
    merge_subarrays([(file.path, file.subarray) for file in (*source.files, *aux.files)])


def _paths(directory: str, files: str | Sequence[str]) -> list[Path]:
    """The files that a path, a pattern or a list of them names, each once."""
    found: dict[Path, None] = {}
    for file in [files] if isinstance(files, str) else files:
        pattern = str(Path(directory).expanduser() / Path(str(file)).expanduser())
        matching = sorted(glob.glob(pattern)) if glob.has_magic(pattern) and not Path(pattern).exists() else [pattern]
        if not matching:
            raise DataError(f"{pattern}: no file matches")
        found |= dict.fromkeys(map(Path, matching))
    if not found:
        raise UserError("data.file: is empty")
    return list(found)
