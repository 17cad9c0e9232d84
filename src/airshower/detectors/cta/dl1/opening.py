"""What is read of a DL1 file to open it: version, telescopes, events, images, truth. Inconsistent files are refused."""

from dataclasses import fields

import numpy as np

from airshower.data.index_table import Entry
from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.dl1.index import Dl1Index, read_index, refuse_repeated
from airshower.detectors.cta.dl1.instrument import LAYOUT, SimulatedRun, read_runs, read_subarray
from airshower.detectors.cta.dl1.parameters import ImageParameters, parameter_names
from airshower.detectors.cta.entry import pack
from airshower.detectors.cta.image_file import describe_image
from airshower.detectors.cta.keys import KEYS, find, named
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError

VERSION = "CTA PRODUCT DATA MODEL VERSION"
VERSIONS = (4, 7)  # of the data model, first and last that are read
IMAGES = ("/dl1/event/telescope/images", "/dl1/event/telescope/image")  # ctapipe, lstchain
SHOWERS = "/simulation/event/subarray/shower"
# of `image_file.TRUTH`: ctapipe's column of the shower table, lstchain's among the parameters
TRUTH_COLUMNS = {
    "energy": ("true_energy", "mc_energy"),
    "alt": ("true_alt", "mc_alt"),
    "az": ("true_az", "mc_az"),
    "core_x": ("true_core_x", "mc_core_x"),
    "core_y": ("true_core_y", "mc_core_y"),
    "h_first_interaction": ("true_h_first_int", "mc_h_first_int"),
    "x_max": ("true_x_max", "mc_x_max"),
    "primary": ("true_shower_primary_id", "mc_type"),
}
RUN = [field.name for field in fields(SimulatedRun)]


def is_dl1(file: Hdf5) -> bool:
    """True for DL1 files of any version."""
    return file.attribute("/", VERSION) is not None or LAYOUT in file


def read_entry(file: Hdf5) -> Entry:
    """See `entry.pack`; with it `table` and `parameter_table`, paths of tables, `parameter_row` (see `Dl1Index`),
    `parameter_name` of numbers, `has_clean`, and columns of simulated runs. Raises `DataError` as `Dl1File`."""
    group = _check(file)
    subarray = read_subarray(file)
    index = read_index(file, group, subarray)
    names = parameter_names(file, index.parameter_tables)
    truth = _truth(file, index, subarray, names)
    runs = read_runs(file)
    if runs and truth is None:
        raise DataError(f"{file.path}: has simulated runs but not what was simulated, {SHOWERS}")
    has_clean = all("image_mask" in file.names(table) for table in index.tables)
    _check_pixels(file, index, subarray, has_clean)
    texts = {"table": index.tables, "parameter_table": index.parameter_tables, "parameter_name": names}
    return {
        **pack(subarray, index.events, index.images, truth),
        **{name: np.array(column, np.str_) for name, column in texts.items()},
        **{f"run.{name}": np.array([getattr(run, name) for run in runs]) for name in RUN if runs},
        "parameter_row": index.parameter_row,
        "has_clean": np.array(has_clean),
    }


def unpack_runs(entry: Entry) -> list[SimulatedRun]:
    """The simulated runs of an entry."""
    if "run.obs_id" not in entry:
        return []
    columns = {name: entry[f"run.{name}"].tolist() for name in RUN}
    columns["energy_range"] = list(map(tuple, columns["energy_range"]))
    return [SimulatedRun(*values) for values in zip(*columns.values(), strict=True)]


def _check(file: Hdf5) -> str:
    """The group of the image tables of a file that is DL1 of a version read here."""
    version = str(file.attribute("/", VERSION) or "")
    group = next((group for group in IMAGES if group in file), None)
    if not version and (group is None or LAYOUT not in file):
        raise DataError(f"{file.path}: is HDF5 but not DL1 of ctapipe or lstchain")
    major = version.lstrip("v").split(".")[0]
    if version and not (major.isdigit() and VERSIONS[0] <= int(major) <= VERSIONS[1]):
        raise DataError(
            f"{file.path}: is of ctapipe's data model {version}, v{VERSIONS[0]} to v{VERSIONS[1]} are read; make it "
            "again with a ctapipe that writes one of these"
        )
    if group is None or not file.tables(group):
        raise DataError(f"{file.path}: has no images; write them with ctapipe-process --write-images")
    if LAYOUT not in file:
        raise DataError(f"{file.path}: has no {LAYOUT}, the telescopes' positions and cameras")
    return group


def _check_pixels(file: Hdf5, index: Dl1Index, subarray: Subarray, has_clean: bool) -> None:
    """Raise `DataError` unless the images of all tables have as many pixels as their telescopes' cameras."""
    pairs = np.stack([index.images.table, index.images.telescope], 1)
    for image in np.unique(pairs, axis=0, return_index=True)[1].tolist():
        number, telescope = pairs[image]
        pixels = len(subarray.cameras[subarray.camera[telescope]].x)
        table = index.tables[number]
        kind = file.dtype(table)
        for name in ("image", "peak_time", *(("image_mask",) if has_clean else ())):
            if name not in file.names(table):
                raise DataError(f"{file.path}: {table} has no {name}")
            where = describe_image(file.path, subarray, index.events, index.images, image)
            if kind[name].shape != (pixels,):
                shape = " x ".join(map(str, kind[name].shape)) or "a single number"
                raise DataError(f"{where}: {name} is {shape}, its camera has {pixels} pixels")
            if kind[name].base.kind not in "fiub":
                raise DataError(f"{where}: {name} is {kind[name].base}, numbers are due")


def _truth(file: Hdf5, index: Dl1Index, subarray: Subarray, names: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """The true values of `TRUTH_COLUMNS`, f8 [events] each; None of observations."""
    if SHOWERS in file:
        return _truth_of_showers(file, index)
    if not {"mc_energy", "mc_type"} <= set(names):
        return None
    events = index.events
    images = index.images
    for image in np.flatnonzero(index.parameter_row < 0)[:1]:
        where = describe_image(file.path, subarray, events, images, image)
        raise DataError(f"{where}: the image has no parameters, which have the truth")
    parameters = ImageParameters(file, index.parameter_tables, names, index.parameter_row, images.telescope, subarray)
    truth = {name: np.full(len(events), np.nan) for name in TRUTH_COLUMNS}
    for name, (_, column) in TRUTH_COLUMNS.items():
        if column in names:
            values = parameters.quantities([column])[column]
            truth[name][images.event] = values
            for image in np.flatnonzero(~_same(truth[name][images.event], values))[:1]:
                where = describe_image(file.path, subarray, events, images, image)
                raise DataError(f"{where}: its {column} is not that of the event's other images")
    return truth


def _truth_of_showers(file: Hdf5, index: Dl1Index) -> dict[str, np.ndarray]:
    events = index.events
    keys = file.keys(SHOWERS, KEYS[:2])
    refuse_repeated(file, keys, SHOWERS)
    row = find(events.keys, keys)
    for key in events.keys[row < 0][:1]:
        raise DataError(f"{file.path}: {named(key)} is not in {SHOWERS}")
    names = file.names(SHOWERS)
    return {
        name: file.quantity(SHOWERS, column)[row] if column in names else np.full(len(events), np.nan)
        for name, (column, _) in TRUTH_COLUMNS.items()
    }


def _same(values: np.ndarray, others: np.ndarray) -> np.ndarray:
    return (values == others) | (np.isnan(values) & np.isnan(others))
