"""Tanks' hits in simulated showers beside those of Geant4, of the same energies, directions and cores."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import h5py
import numpy as np
from matplotlib import pyplot as plt

from airshower.detectors.hawc.array import PMTS, TankArray, hawc_array
from airshower.detectors.hawc.images import LIGHT_SPEED
from airshower.detectors.hawc.simulation.showers import Primaries, axis_distance, develop, relative
from airshower.detectors.hawc.simulation.tanks import observe, read_out

COLOURS = {"Geant4": "#333333", "simulated": "#4477aa"}
EDGES = np.array([0, 5, 10, 15, 20, 30, 40, 60, 80, 100, 130])  # m from the axis
LEAST, NOISE = 0.2, 25.0  # p.e. of a hit; kHz
TIMED, NEAR = 2.0, 150.0  # p.e. of hits whose time is compared, ns around their median


@dataclass(frozen=True)
class Hits:
    """Of n showers: `charge` (0: no hit), `late` (ns behind the plane), `distance` (m from the axis), [n, PMTs]."""

    charge: np.ndarray
    late: np.ndarray
    distance: np.ndarray


def figure(path: Path) -> plt.Figure:
    """Both kinds of primary; lines are Geant4's and ours."""
    made, axes = plt.subplots(2, 5, figsize=(22, 8.5), layout="constrained")
    array = hawc_array()
    for row, name in zip(axes, ("gamma", "proton"), strict=True):
        primaries, geant4 = read(path, name, array)
        for label, hits in (("Geant4", geant4), ("simulated", simulated(primaries, array))):
            _lateral(row, hits, label, name)
            _events(row, hits, label, name)
    made.suptitle(
        f"The same gammas and protons of 0.4 to 6.3 TeV, by Geant4 and simulated; a hit has {LEAST} p.e. or more, and "
        "noise is in both. Bands: the middle 68 %"
    )
    return made


def read(path: Path, name: str, array: TankArray) -> tuple[Primaries, Hits]:
    """Geant4's showers of gammas or protons, with the largest hit of each PMT."""
    with h5py.File(path) as file:
        stored = {key: file[key][()] for key in file}
    rows = np.flatnonzero((stored["is_proton"] > 0) == (name == "proton"))
    core = np.stack([stored["core_x_m"], stored["core_y_m"]], 1)[rows] + array.centre
    comes_from = np.radians(stored["azimuth_deg"][rows]) + np.pi  # the file's azimuth is where showers go to
    primaries = Primaries(name, stored["energy_GeV"][rows], np.radians(stored["zenith_deg"][rows]), comes_from, core)
    charge, time = np.zeros((2, len(rows), PMTS))
    for event, row in enumerate(rows):
        hits = slice(*stored["event_offsets"][row : row + 2])
        order = np.argsort(stored["hit_charge_pe"][hits], kind="stable")
        pmt = stored["hit_pmt"][hits][order]
        charge[event, pmt] = stored["hit_charge_pe"][hits][order]
        time[event, pmt] = stored["hit_time_ns"][hits][order]
    return primaries, _hits(primaries, array, charge, time)


def simulated(primaries: Primaries, array: TankArray) -> Hits:
    """The same showers, simulated."""
    rng = np.random.default_rng(1)
    charge, time = observe(rng, primaries, develop(rng, primaries), array)
    hits = read_out(rng, charge, time, np.zeros(len(primaries)), NOISE)
    shower = hits.charge > 0
    charge = np.where(shower, hits.charge, hits.noise_charge)
    return _hits(primaries, array, charge, np.where(shower, hits.time, hits.noise_time))


def _hits(primaries: Primaries, array: TankArray, charge: np.ndarray, time: np.ndarray) -> Hits:
    """With times behind the plane of the true direction, which passes when half of the hits near the axis have."""
    x, y = relative(array.position[:, :2], primaries.core)
    east, north = primaries.towards.T[..., None]
    distance = axis_distance(primaries.towards, x, y)
    late = time + (x * east + y * north) / LIGHT_SPEED
    for event in range(len(primaries)):
        near = (charge[event] > TIMED) & (distance[event] < 30.0)
        late[event] -= np.median(late[event, near]) if near.sum() > 3 else np.nan
    return Hits(charge, late, distance)


def _lateral(row: np.ndarray, hits: Hits, label: str, name: str) -> None:
    """Against the distance from the axis: how many PMTs have a hit, of how much charge, and when."""
    middle, colour = (EDGES[:-1] + EDGES[1:]) / 2, COLOURS[label]
    inside = [(hits.distance >= low) & (hits.distance < high) for low, high in pairwise(EDGES)]
    share = [(hits.charge[ring] > LEAST).mean() for ring in inside]
    charge = [np.quantile(hits.charge[ring & (hits.charge > LEAST)], (0.16, 0.5, 0.84)) for ring in inside]
    timed = (hits.charge > TIMED) & (np.abs(hits.late) < NEAR)
    late = [np.quantile(hits.late[ring & timed], (0.16, 0.5, 0.84)) for ring in inside]
    row[0].plot(middle, share, "o-", color=colour, label=label)
    for axis, values in ((row[1], charge), (row[2], late)):
        low, median, high = np.array(values).T
        axis.fill_between(middle, low, high, color=colour, alpha=0.25)
        axis.plot(middle, median, "o-", color=colour, label=label)
    row[0].set(ylabel="share of PMTs with a hit", title=f"{name}s")
    row[1].set(ylabel="charge of a hit (p.e.)", yscale="log")
    row[2].set(ylabel=f"time behind the plane (ns), above {TIMED:.0f} p.e.")
    for axis in row[:3]:
        axis.set(xlabel="distance from the axis (m)")
        axis.legend(fontsize=8)
    print(f"{name}, {label}: share of PMTs with a hit {np.round(share, 3).tolist()} at {middle.tolist()} m")
    print(f"  median charge {np.round([c[1] for c in charge], 2).tolist()} p.e., time {np.round(late, 1).tolist()} ns")


def _events(row: np.ndarray, hits: Hits, label: str, name: str) -> None:
    """Hits and charge of whole events."""
    columns = {"hits of an event": (hits.charge > LEAST).sum(1), "charge of an event (p.e.)": hits.charge.sum(1)}
    for axis, (title, values), low, high in zip(row[3:], columns.items(), (20, 50), (1200, 1e5), strict=True):
        bins = np.geomspace(low, high, 40)
        axis.stairs(np.histogram(values, bins)[0], bins, color=COLOURS[label], label=label, lw=1.6)
        axis.set(xlabel=title, ylabel="events", xscale="log")
        axis.legend(fontsize=8)
        print(f"  {name}s, {label}: {title}: median {np.median(values):.0f}, {len(values)} events")
