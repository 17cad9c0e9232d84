"""Tanks' hits in simulated showers beside those of Geant4, of the same energies, directions and cores."""

from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from airshower.data.hits import TankHits
from airshower.detectors.hawc.geant4_file import Geant4Showers
from airshower.detectors.hawc.images import one_hit_each
from airshower.detectors.hawc.simulation.showers import Primaries, axis_distance, develop, relative
from airshower.detectors.hawc.simulation.tanks import observe, read_out
from airshower.geometry.shower_front import LIGHT_SPEED
from airshower.geometry.tank_array import PMTS, TankArray, hawc_array

COLOURS = {"Geant4": "#333333", "simulated": "#4477aa"}
EDGES = np.array([0, 5, 10, 15, 20, 30, 40, 60, 80, 100, 130])  # m from the axis
LEAST, NOISE = 0.2, 25.0  # p.e. of a hit; kHz
TIMED, NEAR = 2.0, 150.0  # p.e. of hits whose time is compared, ns around their median
VERDICTS = ((1.3, "#228833"), (2.0, "#cc8800"), (np.inf, "#cc3311"))  # ratios up to which titles have a colour
SLACK = 10.0  # ns that count as the factor 2


@dataclass(frozen=True)
class Hits:
    """Of n showers: `charge` (0: no hit), `late` (ns behind the plane), `distance` (m from the axis), [n, PMTs]."""

    charge: np.ndarray
    late: np.ndarray
    distance: np.ndarray


def figure(path: Path) -> plt.Figure:
    """Both kinds of primary; lines are Geant4's and ours, titles say by how much they differ."""
    made, axes = plt.subplots(2, 5, figsize=(22, 9), layout="constrained")
    array = hawc_array()
    for row, name in zip(axes, ("gamma", "proton"), strict=True):
        primaries, geant4 = read(path, name)
        own = simulated(primaries, array)
        _lateral(row[:3], name, geant4, own)
        _events(row[3:], name, geant4, own)
    made.suptitle(
        f"The same gammas and protons of 0.4 to 6.3 TeV, by Geant4 and simulated; a hit has {LEAST} p.e. or more, and "
        "noise is in both. Bands: the middle 68 %. Titles are green within 30 %, red beyond a factor 2 or 10 ns"
    )
    return made


def read(path: Path, name: str) -> tuple[Primaries, Hits]:
    """Geant4's showers of gammas or protons, with the largest hit of each PMT."""
    showers = Geant4Showers.read(path)
    rows = showers.rows(name)
    primaries = showers.primaries(name, rows)
    return primaries, _largest(primaries, showers.array, showers.hits(rows))


def simulated(primaries: Primaries, array: TankArray) -> Hits:
    """The same showers, simulated."""
    rng = np.random.default_rng(1)
    charge, time = observe(rng, primaries, develop(rng, primaries), array)
    return _largest(primaries, array, read_out(rng, charge, time, np.zeros(len(primaries)), array, NOISE))


def _largest(primaries: Primaries, array: TankArray, hits: TankHits) -> Hits:
    hits = one_hit_each(hits, "largest")
    charge, time = np.zeros((2, len(primaries), PMTS))
    charge[hits.event, hits.grid_id - 1] = hits.charge
    time[hits.event, hits.grid_id - 1] = hits.time
    return _hits(primaries, array, charge, time)


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


def _lateral(row: np.ndarray, name: str, geant4: Hits, own: Hits) -> None:
    """Against the distance from the axis: how many PMTs have a hit, of how much charge, and when."""
    middle = (EDGES[:-1] + EDGES[1:]) / 2
    found = {"Geant4": _profiles(geant4), "simulated": _profiles(own)}
    titles = "share of PMTs with a hit", "charge of a hit (p.e.)", f"time behind the plane (ns), above {TIMED:.0f} p.e."
    for place, (axis, title) in enumerate(zip(row, titles, strict=True)):
        for label, profiles in found.items():
            low, median, high = profiles[place]
            axis.fill_between(middle, low, high, color=COLOURS[label], alpha=0.25, lw=0)
            axis.plot(middle, median, "o-", color=COLOURS[label], label=label)
        axis.set(xlabel="distance from the axis (m)", ylabel=f"{name}s: {title}")
        axis.legend(fontsize=8)
        theirs, ours = (profiles[place][1] for profiles in found.values())
        _verdict(axis, f"{name}s, {title}", *((ours - theirs, "ns") if place == 2 else (ours / theirs, "")))
    row[0].set(ylim=(0.0, None))
    row[1].set(yscale="log")


def _profiles(hits: Hits) -> list[np.ndarray]:
    """Quantiles [3, rings] of 16, 50 and 84 % of the share of hits (that share, three times), charge and time."""
    inside = [(hits.distance >= low) & (hits.distance < high) for low, high in pairwise(EDGES)]
    hit = hits.charge > LEAST
    timed = (hits.charge > TIMED) & (np.abs(hits.late) < NEAR)
    share = [3 * [hit[ring].mean()] for ring in inside]
    charge, late = (
        [np.quantile(values[ring & chosen], (0.16, 0.5, 0.84)) for ring in inside]
        for values, chosen in ((hits.charge, hit), (hits.late, timed))
    )
    return [np.array(values).T for values in (share, charge, late)]


def _events(row: np.ndarray, name: str, geant4: Hits, own: Hits) -> None:
    """Hits and charge of whole events."""
    found = [((hits.charge > LEAST).sum(1), hits.charge.sum(1)) for hits in (geant4, own)]
    titles = "hits of an event", "charge of an event (p.e.)"
    for axis, title, both, low, high in zip(row, titles, zip(*found, strict=True), (20, 50), (1200, 1e5), strict=True):
        bins = np.geomspace(low, high, 40)
        for (label, colour), values in zip(COLOURS.items(), both, strict=True):
            axis.stairs(np.histogram(values, bins)[0], bins, color=colour, label=label, lw=1.6)
            axis.axvline(np.median(values), color=colour, ls=":")
        axis.set(xlabel=f"{title}; dotted: medians", ylabel=f"{name}s: events", xscale="log")
        axis.legend(fontsize=8)
        theirs, ours = (np.quantile(values, (0.25, 0.5, 0.75)) for values in both)
        _verdict(axis, f"{name}s, {title}, quartiles", ours / theirs, "")


def _verdict(axis: plt.Axes, what: str, differ: np.ndarray, unit: str) -> None:
    """A title with the least and greatest ratio of ours to Geant4's, or difference in ns, and its colour."""
    if unit:
        said = f"simulated less Geant4: {differ.min():+.1f} to {differ.max():+.1f} {unit}"
        worst = 2 ** np.abs(differ / SLACK)
    else:
        said = f"simulated / Geant4: {differ.min():.2f} to {differ.max():.2f}"
        worst = np.maximum(differ, 1 / differ)
    colour = next(colour for most, colour in VERDICTS if worst.max() <= most)
    axis.set_title(said, color=colour, fontsize=11, fontweight="bold")
    print(f"{what}: {said}: {np.round(differ, 2).tolist()}")
