"""The events and images of a DL1 file, joined on the whole key. Inconsistent tables are refused."""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.image_file import SHOWER_EVENT, Events, ImageIndex
from airshower.detectors.cta.keys import KEYS, find, first_repeated, named
from airshower.detectors.cta.subarray import Subarray
from airshower.errors import DataError

PARAMETERS = "/dl1/event/telescope/parameters"
TRIGGER = "/dl1/event/subarray/trigger"
TELESCOPE_TRIGGER = "/dl1/event/telescope/trigger"


@dataclass(frozen=True, eq=False)
class Dl1Index:
    """`events` and `images`. `tables` are the paths of the image tables, `parameter_tables` those of image parameters;
    `parameter_row` int64 [images] counts the rows of the latter one after another, -1 for an image without
    parameters."""

    events: Events
    images: ImageIndex
    tables: tuple[str, ...]
    parameter_tables: tuple[str, ...]
    parameter_row: np.ndarray


def read_index(file: Hdf5, group: str, subarray: Subarray) -> Dl1Index:
    """The index of the image tables in `group`. Raises `DataError` naming event and telescope for a missing or
    repeated row, and for an event or telescope that other tables lack."""
    names = file.tables(group)
    tables = tuple(f"{group}/{name}" for name in names)
    parameters = tuple(f"{PARAMETERS}/{name}" for name in (file.tables(PARAMETERS) if PARAMETERS in file else ()))
    stated = _triggers(file, tables, subarray) if TRIGGER in file else None
    # ctapipe and lstchain write parameters side by side with the images: keys are read from them in a fraction of the
    # time. An image is compared with its key when it is read, and searched in its table if they differ.
    beside = [f"{PARAMETERS}/{name}" for name in names]
    paired = [b in parameters and file.length(b) == file.length(t) for b, t in zip(beside, tables, strict=True)]
    keys = [table_keys(file, b if p else t) for b, t, p in zip(beside, tables, paired, strict=True)]
    key = np.concatenate(keys)
    table = np.repeat(np.arange(len(keys)), list(map(len, keys)))
    refuse_repeated(file, key, group)
    events = stated[0] if stated else _events_of(key)
    event = _event_rows(file, key, events, group)
    telescope = _telescope_rows(file, key, subarray, "has images")
    if stated:
        _check_complete(file, "image", (event, telescope), *stated, subarray)
        _check_telescope_triggers(file, *stated, subarray)
    images = ImageIndex(event, telescope, table, np.concatenate([np.arange(len(part)) for part in keys]))
    same = all(paired) and len(parameters) == len(tables)
    row = np.arange(len(key)) if same else _parameter_rows(file, parameters, key)
    return Dl1Index(events, images, tables, parameters, row)


def table_keys(file: Hdf5, table: str) -> np.ndarray:
    """The whole keys of a table's rows. Raises `DataError` if it is named after a telescope and has a row of
    another."""
    keys = file.keys(table)
    named_by = re.fullmatch(r"tel_(\d+)", table.rsplit("/", 1)[1])
    for row in np.flatnonzero(keys[:, 2] != int(named_by[1]))[:1] if named_by else ():
        raise DataError(f"{file.path}: {table}: has a row of {named(keys[row])}")
    return keys


def refuse_repeated(file: Hdf5, keys: np.ndarray, table: str) -> None:
    """Raise `DataError` if two rows of `table` have one key."""
    if (row := first_repeated(keys)) is not None:
        raise DataError(f"{file.path}: {named(keys[row])} is in {table} twice")


def triggered_telescopes(file: Hdf5, subarray: Subarray) -> np.ndarray:
    """The telescopes of the trigger table, bool [events, telescopes]; files have such a mask, or lists of ids."""
    stored = file.columns(TRIGGER, ["tels_with_trigger"])["tels_with_trigger"]
    telescopes = len(subarray.ids)
    if stored.dtype.kind not in "iub" or stored.ndim != 2:
        raise DataError(f"{file.path}: {TRIGGER}: tels_with_trigger is {stored.dtype}, a mask or ids are due")
    if stored.dtype.itemsize > 1:
        for tel_id in stored[(stored > 0) & ~np.isin(stored, subarray.ids)][:1]:
            raise DataError(f"{file.path}: {TRIGGER}: telescope {tel_id} is not in the subarray's layout")
        return (stored[:, None, :] == subarray.ids[None, :, None]).any(2)
    if stored.shape[1:] != (telescopes,):
        raise DataError(f"{file.path}: {TRIGGER} is about {stored.shape[1]} telescopes, the subarray has {telescopes}")
    return stored.astype(bool)


def seconds(time: np.ndarray) -> np.ndarray:
    """f8 [rows]: v7 has seconds and quarters of nanoseconds [rows, 2], before it was modified julian days."""
    return time[:, 0] + time[:, 1] / 4e9 if time.ndim == 2 else time * 86400.0


def _triggers(file: Hdf5, tables: Sequence[str], subarray: Subarray) -> tuple[Events, np.ndarray]:
    """The events, and the telescopes that triggered on them. Raises `DataError`, before reading it, for a table that is
    too long for the images."""
    count = file.length(TRIGGER)
    telescopes = len(subarray.ids)
    for table in tables:
        most = count * (1 if re.search(r"/tel_\d+$", table) else telescopes)
        if file.length(table) > most:
            rows = file.length(table)
            raise DataError(f"{file.path}: {table} has {rows} rows, the {count} events have at most {most} such images")
    keys = file.keys(TRIGGER, KEYS[:2])
    names = file.names(TRIGGER)
    refuse_repeated(file, keys, TRIGGER)
    kind = file.numbers(TRIGGER, "event_type") if "event_type" in names else np.full(count, SHOWER_EVENT)
    time = seconds(file.columns(TRIGGER, ["time"])["time"]) if "time" in names else np.full(count, np.nan)
    mask = triggered_telescopes(file, subarray)
    obs_id, event_id = keys.T.copy()
    return Events(obs_id, event_id, kind.astype(np.int64), mask.sum(1), time.astype(np.float64)), mask


def _events_of(keys: np.ndarray) -> Events:
    """The events that have images, for files without a trigger table, such as lstchain's observations."""
    pairs, triggered = np.unique(keys[:, :2], axis=0, return_counts=True)
    obs_id, event_id = pairs.T.copy()
    return Events(obs_id, event_id, np.full(len(pairs), SHOWER_EVENT), triggered, np.full(len(pairs), np.nan))


def _event_rows(file: Hdf5, keys: np.ndarray, events: Events, table: str) -> np.ndarray:
    rows = find(keys[:, :2], events.keys)
    for row in np.flatnonzero(rows < 0)[:1]:
        raise DataError(f"{file.path}: {table}: {named(keys[row])} is not in {TRIGGER}")
    return rows


def _telescope_rows(file: Hdf5, keys: np.ndarray, subarray: Subarray, what: str) -> np.ndarray:
    rows = subarray.rows(keys[:, 2])
    for row in np.flatnonzero(rows < 0)[:1]:
        raise DataError(f"{file.path}: telescope {keys[row, 2]} {what} but is not in the subarray's layout")
    return rows


def _check_complete(
    file: Hdf5,
    what: str,
    rows: tuple[np.ndarray, np.ndarray],
    events: Events,
    triggered: np.ndarray,
    subarray: Subarray,
) -> None:
    """Raise `DataError` unless `rows` (of events, of telescopes) are those that the trigger table names, each of which
    has a `what`. Events without telescopes in the trigger table are not checked."""
    stated = np.any(triggered, axis=1)
    judged = stated[rows[0]]
    if triggered[rows][judged].all() and judged.sum() == triggered.sum():  # no key is there twice
        return
    present = np.zeros_like(triggered)
    present[rows] = True
    wrong = (present != triggered) & stated[:, None]
    for event, telescope in np.argwhere(wrong)[:1]:
        key = [*events.keys[event].tolist(), int(subarray.ids[telescope])]
        state = "triggered" if triggered[event, telescope] else "did not trigger"
        has = "has" if present[event, telescope] else "has no"
        raise DataError(f"{file.path}: {named(key)} {state}, says {TRIGGER}, but {has} {what}")


def _check_telescope_triggers(file: Hdf5, events: Events, triggered: np.ndarray, subarray: Subarray) -> None:
    """As `_check_complete` for the table of telescopes' triggers, if a file has one."""
    if TELESCOPE_TRIGGER not in file or not file.length(TELESCOPE_TRIGGER):
        return
    keys = file.keys(TELESCOPE_TRIGGER)
    refuse_repeated(file, keys, TELESCOPE_TRIGGER)
    event = _event_rows(file, keys, events, TELESCOPE_TRIGGER)
    telescope = _telescope_rows(file, keys, subarray, "triggered")
    _check_complete(file, f"row in {TELESCOPE_TRIGGER}", (event, telescope), events, triggered, subarray)


def _parameter_rows(file: Hdf5, tables: Sequence[str], keys: np.ndarray) -> np.ndarray:
    """The row of each image among those of all parameter tables, -1 without parameters. Raises `DataError` for
    parameters without an image."""
    if not tables:
        return np.full(len(keys), -1)
    stored = np.concatenate([table_keys(file, table) for table in tables])
    refuse_repeated(file, stored, PARAMETERS)
    for row in np.flatnonzero(find(stored, keys) < 0)[:1]:
        raise DataError(f"{file.path}: {named(stored[row])} has image parameters but no image")
    return find(keys, stored)
