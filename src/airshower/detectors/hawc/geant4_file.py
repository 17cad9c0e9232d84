"""Showers of Geant4 over HAWC in an HDF5 file of arrays, turned into XCDF files of gammas and of protons.

Such a file has `energy_GeV`, `zenith_deg`, `azimuth_deg` (where the shower goes to, from east to north), `core_x_m`,
`core_y_m` (from the middle of the tanks), `is_proton` and `shower_id` [events], `event_offsets` [events + 1] into
`hit_pmt`, `hit_charge_pe` and `hit_time_ns` [hits], and `pmt_xy_m` [PMTs, 2]. A shower is used several times, with
other cores. Times are relative to the median of the event's hits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from airshower.data.containers import spans
from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.simulation.event import PRIMARIES, event_columns
from airshower.detectors.hawc.simulation.showers import Primaries
from airshower.detectors.hawc.simulation.tanks import TRIGGER_TIME
from airshower.detectors.hawc.xcdf.block import Columns
from airshower.detectors.hawc.xcdf.writer import XcdfWriter
from airshower.errors import DataError
from airshower.geometry.tank_array import PMTS, HawcArray, hawc_array
from airshower.runtime.hdf5_input import open_hdf5, reading

OF_EVENTS = ("energy_GeV", "zenith_deg", "azimuth_deg", "core_x_m", "core_y_m", "is_proton", "shower_id")
OF_HITS = ("hit_pmt", "hit_charge_pe", "hit_time_ns")
SAME_PLACE = 1.0  # m between a PMT of the file and the one of the built-in array that it is
BLOCK_EVENTS = 100  # that are reconstructed, and in a block of the XCDF file


@dataclass(frozen=True)
class Geant4Showers:
    """Arrays of a file by name; `grid_id` int64 [PMTs] of its PMTs, and the `array` with their positions."""

    path: Path
    columns: dict[str, np.ndarray]
    grid_id: np.ndarray
    array: HawcArray

    @classmethod
    def read(cls, path: Path) -> "Geant4Showers":
        """Raises `DataError` naming file and array for a damaged file, and for another one."""
        with open_hdf5(path, "Geant4 shower") as file, reading(str(path)):
            names = (*OF_EVENTS, *OF_HITS, "event_offsets", "pmt_xy_m")
            for name in names:
                if name not in file:
                    raise DataError(
                        f"{path}: has no {name}; a file of Geant4's showers over HAWC has {', '.join(names)}"
                    )
            columns = {name: np.asarray(file[name][()]) for name in names}
        _check(path, columns)
        return cls(path, columns, *_placed(path, columns.pop("pmt_xy_m")))

    def events(self, primary: str) -> Iterator[Columns]:
        """The gammas, or the protons, some at a time, as columns of the fields of XCDF files. What is reconstructed is
        so by the simulation's fits."""
        rows = self.rows(primary)
        for part in np.split(rows, range(BLOCK_EVENTS, len(rows), BLOCK_EVENTS)):
            if len(part):
                yield event_columns(self.primaries(primary, part), self.hits(part), self.array)

    def rows(self, primary: str) -> np.ndarray:
        """The rows of the gammas, or of the protons, int64 [events]."""
        return np.flatnonzero((self.columns["is_proton"] > 0) == (primary == "proton"))

    def primaries(self, primary: str, rows: np.ndarray) -> Primaries:
        """What was simulated in these rows."""
        of = {name: self.columns[name][rows].astype(float) for name in OF_EVENTS}
        comes_from = np.radians(of["azimuth_deg"]) + np.pi
        core = np.stack([of["core_x_m"], of["core_y_m"]], 1) + self.array.centre
        return Primaries(primary, of["energy_GeV"], np.radians(of["zenith_deg"]), comes_from, core)

    def hits(self, rows: np.ndarray) -> TankHits:
        """In the order of event, PMT and time; the median of an event's times is that of a trigger."""
        offsets = self.columns["event_offsets"].astype(np.int64)
        counts = np.diff(offsets)[rows]
        chosen = spans(offsets[:-1][rows], counts)
        pmt, charge, time = (self.columns[name][chosen] for name in OF_HITS)
        event, grid_id, time = (
            np.repeat(np.arange(len(rows)), counts),
            self.grid_id[pmt],
            time.astype(float) + TRIGGER_TIME,
        )
        order = np.lexsort((time, grid_id, event))
        return TankHits(event, grid_id, charge.astype(float), time).rows(order)


def to_xcdf(source: Path, target: Path) -> dict[Path, int]:
    """Write the showers of a file to `target` with _gamma and _proton before its ending: the files with their numbers
    of events. Raises `DataError`."""
    showers = Geant4Showers.read(source)
    written = {}
    for primary in PRIMARIES:
        path = target.with_name(f"{target.stem}_{primary}.xcd")
        about = f"{source.name}: Geant4's showers; reconstructed by the fits of airshower's simulation"
        events = 0
        with XcdfWriter(path, EVENT_FIELDS, [about], (), BLOCK_EVENTS) as writer:
            for columns in showers.events(primary):
                writer.append(columns)
                events += len(columns["rec.nHit"])
        written[path] = events
    return written


def _check(path: Path, columns: dict[str, np.ndarray]) -> None:
    events = len(columns["energy_GeV"])
    due = dict.fromkeys(OF_EVENTS, (events,)) | dict.fromkeys(OF_HITS, (len(columns["hit_pmt"]),))
    due |= {"event_offsets": (events + 1,), "pmt_xy_m": (PMTS, 2)}
    for name, shape in due.items():
        values = columns[name]
        if values.shape != shape or values.dtype.kind not in "iuf" or not np.isfinite(values).all():
            raise DataError(f"{path}: {name}: should be finite numbers {list(shape)}, is {list(values.shape)}")
    offsets = columns["event_offsets"]
    if offsets[0] or offsets[-1] != len(columns["hit_pmt"]) or (np.diff(offsets.astype(np.int64)) < 0).any():
        raise DataError(f"{path}: event_offsets: do not rise from 0 to {len(columns['hit_pmt'])}, the number of hits")
    pmt = columns["hit_pmt"]
    if pmt.dtype.kind not in "iu" or (len(pmt) and (pmt.min() < 0 or pmt.max() >= PMTS)):
        raise DataError(f"{path}: hit_pmt: has values that are no PMT; whole numbers from 0 to {PMTS - 1} are due")
    truth = np.stack(
        [columns[name] for name in ("shower_id", "is_proton", "energy_GeV", "zenith_deg", "azimuth_deg")], 1
    )
    showers = len(np.unique(truth, axis=0))  # which files are split by: energy and direction
    if not showers == len(np.unique(truth[:, 0])) == len(np.unique(truth[:, 1:], axis=0)):
        raise DataError(f"{path}: shower_id: events of one are not those of one energy and direction")


def _placed(path: Path, place: np.ndarray) -> tuple[np.ndarray, HawcArray]:
    """Grid ids of PMTs at these places [PMTs, 2] around the middle of the tanks, and the array with their positions."""
    from scipy.spatial import cKDTree

    array = hawc_array()
    position = array.position.copy()
    own = place + array.centre
    distance, row = cKDTree(position[:, :2]).query(own)
    if len(np.unique(row)) < PMTS or distance.max() > SAME_PLACE:
        raise DataError(f"{path}: pmt_xy_m: are not the places of HAWC's PMTs, around the middle of its tanks")
    position[row, :2] = own
    return row + 1, replace(array, position=position)
