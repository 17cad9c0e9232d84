"""The pointing of the telescopes of a DL1 file: one direction for each observation, or directions as a function of
time."""

from itertools import pairwise

import numpy as np

from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.detectors.cta.dl1.index import seconds
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
    key_names = [name for name in ("obs_id", "tel_id") if name in file.names(path) or name == "obs_id"]
    rows = file.columns(path, [*key_names, *_angles(file, path)])
    keys = file.keys(path, ["obs_id"], rows)
    if "tel_id" in key_names and (file.keys(path, ["tel_id"], rows) != tel_id).any():
        raise DataError(f"{file.path}: {path}: has a row of another telescope")
    observations, count = np.unique(keys, return_counts=True)
    for observation in observations[count > 1][:1]:
        raise DataError(f"{file.path}: observation {observation} is in {path} twice")
    row = find(obs_id[:, None], keys)
    return np.where(row[:, None] < 0, np.nan, _alt_az(file, path, rows)[row])


def _monitored(file: Hdf5, path: str, events: Events, rows: np.ndarray) -> np.ndarray:
    """The pointing interpolated in time between the directions of the event's observation."""
    time = seconds(file.columns(path, ["time"])["time"])
    angles = _alt_az(file, path)
    order = np.argsort(time, kind="stable")
    time = time[order]
    angles = angles[order]
    if (angles == angles[0]).all():
        return np.tile(angles[0], (len(rows), 1))
    if "obs_id" in file.names(path):
        owner = file.keys(path, ["obs_id"])[order, 0]
    else:
        owner = _owners(time, events, f"{file.path}: {path}")
    pointing = np.full((len(rows), 2), np.nan)
    for observation in np.unique(events.obs_id[rows]):
        of = owner == observation
        at = events.obs_id[rows] == observation
        again = np.flatnonzero((np.diff(time[of]) == 0) & (np.diff(angles[of], axis=0) != 0).any(1))
        if len(again):
            raise DataError(f"{file.path}: {path}: has two directions at one time in observation {observation}")
        if of.any():
            wanted = events.time[rows[at]]
            pointing[at] = np.stack([np.interp(wanted, time[of], np.unwrap(angle)) for angle in angles[of].T], 1)
    return pointing


def _owners(time: np.ndarray, events: Events, where: str) -> np.ndarray:
    """The observation of each direction, ordered by time, for tables without it. The boundary between observations is
    the longest gap between directions from the last event of one to the first event of the next."""
    observations = np.unique(events.obs_id)
    has_time = np.isfinite(events.time)
    spans = [events.time[has_time & (events.obs_id == one)] for one in observations]
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


def _alt_az(file: Hdf5, path: str, rows: np.ndarray | None = None) -> np.ndarray:
    """Altitude and azimuth in rad, f8 [rows, 2], of a table or of its `rows` if these were read."""
    return np.stack([file.quantity(path, name, rows) for name in _angles(file, path)], 1)


def _angles(file: Hdf5, path: str) -> list[str]:
    """The columns of a table that end in these words."""
    names = []
    for word in ("altitude", "azimuth"):
        name = next((name for name in file.names(path) if name.endswith(word)), None)
        if name is None:
            raise DataError(f"{file.path}: {path} has no column of the {word}")
        names.append(name)
    return names
