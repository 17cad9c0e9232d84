"""True particles in a larcv3 file."""

import h5py
import numpy as np

from airshower.detectors.lartpc.larcv import format as larcv3
from airshower.detectors.lartpc.larcv.tables import (
    check_columns,
    extents_of,
    names_of,
    open_table,
    outside,
    overlap,
    rows_at,
    rows_of,
)
from airshower.errors import DataError
from airshower.runtime.hdf5_input import reading

NEUTRINOS = (12, 14, 16)  # |PDG code|
NEEDED = np.dtype([(name, larcv3.PARTICLE[name]) for name in ("pdg", "current_type", "energy_init")])


class ParticleTable:
    """True particles of one producer, read by event as records of type `larcv_format.PARTICLE`."""

    def __init__(self, where: str, group: h5py.Group, events: int):
        self.where = where
        with reading(self.where):
            self.extents = extents_of(group, events, where)
            self.records = open_table(group, "particles", self.where, NEEDED)
            check_columns(self.records.dtype, larcv3.PARTICLE, f"{self.where}: its table particles")
        wrong = outside(self.extents, len(self.records)) & (self.extents["N"] > 0)
        for entry in np.flatnonzero(wrong)[:1]:
            raise DataError(f"{self.where}, entry {entry}: points outside the table of {len(self.records)} particles")
        self.first, self.counts = (self.extents[name].astype(np.int64) for name in ("first", "N"))
        entry = overlap(self.first, self.counts)
        if entry is not None:
            raise DataError(f"{self.where}, entry {entry}: has particles of another event, the file is damaged")

    def read(self, entry: int) -> np.ndarray:
        """The particles of one event."""
        names = [name for name in names_of(larcv3.PARTICLE) if name in names_of(self.records.dtype)]
        columns = np.dtype([(name, larcv3.PARTICLE[name]) for name in names])
        with reading(f"{self.where}, entry {entry}"):
            stored = rows_of(self.records, columns, slice(self.first[entry], self.first[entry] + self.counts[entry]))
        records = np.full(len(stored), larcv3.UNSET_PARTICLE, larcv3.PARTICLE)
        for name in names:  # numpy would match columns by position
            records[name] = stored[name]
        return records

    def neutrinos(self) -> np.ndarray:
        """The neutrino of every event: records of `pdg`, `current_type` and `energy_init`; 0, -1 and NaN without one.

        It is the first particle of the event that is a neutrino with a stated current (0 charged, 1 neutral), which
        neutrinos that come out of an interaction do not have; or else the first that is a neutrino.
        """
        event = np.repeat(np.arange(len(self.counts)), self.counts)
        row = np.arange(len(event)) + np.repeat(self.first - (np.cumsum(self.counts) - self.counts), self.counts)
        with reading(self.where):
            stored = rows_at(self.records, NEEDED, row)
        stated = np.isin(stored["current_type"], (0, 1))
        neutrino = np.isin(np.abs(stored["pdg"].astype(np.int64)), NEUTRINOS)
        chosen = np.flatnonzero(neutrino)[np.lexsort((row[neutrino], ~stated[neutrino], event[neutrino]))]
        event, first = np.unique(event[chosen], return_index=True)
        records = np.zeros(len(self.counts), [("pdg", "i8"), ("current_type", "i8"), ("energy_init", "f8")])
        records["current_type"], records["energy_init"] = -1, np.nan
        for name in names_of(NEEDED):
            records[name][event] = stored[name][chosen[first]]
        return records
