"""Where the telescopes of a DL1 file point to: one direction for each observation, or directions against time."""

from itertools import pairwise

import numpy as np

from airshower.detectors.cta.dl1_hdf5 import Hdf5
from airshower.detectors.cta.dl1_index import seconds
from airshower.detectors.cta.image_file import Events
from airshower.detectors.cta.keys import find
from airshower.errors import DataError

FIXED = "/configuration/telescope/pointing"
MONITORED = ("/dl0/monitoring/telescope/pointing", "/dl1/monitoring/telescope/pointing")


def telescope_pointing(file: Hdf5, tel_id: int, events: Events, rows: np.ndarray) -> np.ndarray:
    """Altitude and azimuth in rad of a telescope in some of the events, f8 [rows, 2]; NaN where the file has none.
    Raises `DataError` for directions that contradict each other."""
    pointing = np.full((len(rows), 2), np.nan)
    if (path := f"{FIXED}/tel_{tel_id:03d}") in file:
        pointing = _fixed(file, path, tel_id, events.obs_id[rows])
    for group in MONITORED:
        path = f"{group}/tel_{tel_id:03d}"
        if np.isnan(pointing).any() and path in file and file.length(path):
            pointing = np.where(np.isnan(pointing), _monitored(file, path, events, rows), pointing)
    return pointing


def _fixed(file: Hdf5, path: str, tel_id: int, obs_id: np.ndarray) -> np.ndarray:
    keys = file.keys(path, ["obs_id"])
    if "tel_id" in file.names(path) and (file.keys(path, ["tel_id"]) != tel_id).any():
        raise DataError(f"{file.path}: {path}: has a row of another telescope")
    observations, count = np.unique(keys, return_counts=True)
    for observation in observations[count > 1][:1]:
        raise DataError(f"{file.path}: observation {observation} is in {path} twice")
    row = find(obs_id[:, None], keys)
    return np.where(row[:, None] < 0, np.nan, _alt_az(file, path)[row])


def _monitored(file: Hdf5, path: str, events: Events, rows: np.ndarray) -> np.ndarray:
    """Interpolated in time between the directions of the event's own observation."""
    time, angles = seconds(file.columns(path, ["time"])["time"]), _alt_az(file, path)
    order = np.argsort(time, kind="stable")
    time, angles = time[order], angles[order]
    if (angles == angles[0]).all():
        return np.tile(angles[0], (len(rows), 1))
    if "obs_id" in file.names(path):
        owner = file.keys(path, ["obs_id"])[order, 0]
    else:
        owner = _owners(time, events, f"{file.path}: {path}")
    pointing = np.full((len(rows), 2), np.nan)
    for observation in np.unique(events.obs_id[rows]):
        of, at = owner == observation, events.obs_id[rows] == observation
        again = np.flatnonzero((np.diff(time[of]) == 0) & (np.diff(angles[of], axis=0) != 0).any(1))
        if len(again):
            raise DataError(f"{file.path}: {path}: has two directions at one time in observation {observation}")
        if of.any():
            wanted = events.time[rows[at]]
            pointing[at] = np.stack([np.interp(wanted, time[of], np.unwrap(angle)) for angle in angles[of].T], 1)
    return pointing


def _owners(time: np.ndarray, events: Events, where: str) -> np.ndarray:
    """The observation of each direction, in the order of time, of a table that does not say. Between the last event of
    one and the first of the next the longest gap without a direction parts them."""
    observations = np.unique(events.obs_id)
    known = np.isfinite(events.time)
    spans = [events.time[known & (events.obs_id == one)] for one in observations]
    spans = sorted((span.min(), span.max(), one) for span, one in zip(spans, observations, strict=True) if len(span))
    if len(observations) == 1 or not spans:
        return np.full(len(time), observations[0])
    edges = []
    for (_, end, one), (start, _, other) in pairwise(spans):
        if start <= end:
            raise DataError(
                f"{where}: does not say of which observation its directions are, and {one} and {other} overlap in time"
            )
        between = np.concatenate([[end], time[(time > end) & (time < start)], [start]])
        edges.append(between[np.diff(between).argmax()])
    return np.array([one for *_, one in spans])[np.searchsorted(edges, time, side="left")]


def _alt_az(file: Hdf5, path: str) -> np.ndarray:
    """Altitude and azimuth in rad, f8 [rows, 2], of a table whose columns end in these words."""
    names = file.names(path)
    columns = []
    for word in ("altitude", "azimuth"):
        name = next((name for name in names if name.endswith(word)), None)
        if name is None:
            raise DataError(f"{file.path}: {path} has no column of the {word}")
        columns.append(file.quantity(path, name))
    return np.stack(columns, 1)
