"""Image parameters of simulated DL1 files beside those of official ones, at like energies and zenith angles."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from matplotlib import pyplot as plt

from airshower.detectors.cta.dl1.file import Dl1File
from airshower.detectors.cta.dl1.format import PRIMARY_IDS
from airshower.geometry.sky import north_west_up

COLOURS = {"gamma": "#4477aa", "proton": "#cc3311"}
TYPE_COLOURS = {"LST": "#228833", "MST": "#aa3377", "SST": "#ccbb44"}
LEAST = 50.0  # p.e. of a cleaned image
LIKE_ENERGY, LIKE_ZENITH = 1.3, 5.0  # factor; deg
# name in the figure -> bins
PANELS = {
    "intensity (p.e.)": np.geomspace(LEAST, 2e4, 40),
    "length (deg)": np.linspace(0.0, 0.8, 40),
    "width (deg)": np.linspace(0.0, 0.35, 40),
    "centre to camera centre (deg)": np.linspace(0.0, 3.5, 40),
    "true direction to image axis (deg)": np.linspace(0.0, 1.5, 40),
    "|skewness|": np.linspace(0.0, 1.6, 40),
    "leakage (2 rows)": np.linspace(0.0, 1.0, 40),
    "|time gradient| (ns/deg)": np.linspace(0.0, 25.0, 40),
    "islands": np.arange(0.5, 8.0),
    "telescopes with a trigger": np.arange(1.5, 13.0),
}
STORED = ["hillas_intensity", "hillas_length", "hillas_width", "hillas_r", "hillas_psi", "hillas_fov_lon"]
STORED += ["hillas_fov_lat", "hillas_skewness", "leakage_intensity_width_2", "timing_slope", "morphology_n_islands"]


@dataclass(frozen=True)
class Images:
    """Images of a file: `values` by the names of `PANELS`, what was simulated, [images] each."""

    values: dict[str, np.ndarray]
    primary: np.ndarray
    energy: np.ndarray  # TeV
    impact: np.ndarray  # m
    type: np.ndarray  # of `TYPE_COLOURS`
    zenith: np.ndarray  # deg
    event: np.ndarray

    def __getitem__(self, rows: np.ndarray) -> "Images":
        values = {name: value[rows] for name, value in self.values.items()}
        return Images(values, *(value[rows] for value in list(vars(self).values())[1:]))

    def of(self, primary: str) -> "Images":
        return self[self.primary == PRIMARY_IDS[primary]]


def read(path: Path) -> Images:
    """The images of `LEAST` p.e. or more."""
    file = Dl1File(path)
    stored = file.parameters(STORED)
    event = file.images.event
    pointing = file.pointing
    assert file.truth is not None
    truth = {name: values[event] for name, values in file.truth.items()}
    psi = np.radians(stored["hillas_psi"])
    lon = np.degrees((truth["az"] - pointing[:, 1] + np.pi) % (2 * np.pi) - np.pi) * np.cos(pointing[:, 0])
    lat = np.degrees(truth["alt"] - pointing[:, 0])
    miss = (stored["hillas_fov_lon"] - lon) * np.sin(psi) - (stored["hillas_fov_lat"] - lat) * np.cos(psi)
    columns = (
        stored["hillas_intensity"], stored["hillas_length"], stored["hillas_width"], stored["hillas_r"], np.abs(miss),
        np.abs(stored["hillas_skewness"]), stored["leakage_intensity_width_2"], np.abs(stored["timing_slope"]),
        stored["morphology_n_islands"], file.triggered().sum(1)[event].astype(float),
    )  # fmt: skip
    axis = north_west_up(truth["alt"], truth["az"])
    core = file.subarray.position[file.images.telescope, :2] - np.stack([truth["core_x"], truth["core_y"]], 1)
    along = core[:, 0] * axis[0] + core[:, 1] * axis[1]
    impact = np.sqrt(np.maximum((core**2).sum(1) - along**2, 0.0))
    kind = np.array(file.subarray.types)[file.images.telescope]
    images = Images(
        dict(zip(PANELS, columns, strict=True)), truth["primary"], truth["energy"], impact, kind,
        90.0 - np.degrees(pointing[:, 0]), event,
    )  # fmt: skip
    return images[stored["hillas_intensity"] >= LEAST]


def figure(simulated: Path, real: list[Path]) -> plt.Figure:
    """Distributions of what was simulated (filled and lines) and each official image (ticks, with their median)."""
    ours = read(simulated)
    official = [read(path) for path in real]
    made, axes = plt.subplots(3, 4, figsize=(16, 10), layout="constrained")
    about = []
    there = np.concatenate([one.primary for one in official])
    for place, primary in enumerate(name for name in COLOURS if PRIMARY_IDS[name] in there):
        theirs = [one.of(primary) for one in official]
        theirs = [one[np.abs(one.zenith - ours.zenith.mean()) < LIKE_ZENITH] for one in theirs]
        energies = np.unique(np.concatenate([one.energy for one in theirs]))
        like = np.abs(np.log(ours.energy[:, None] / energies)).min(1, initial=np.inf) < np.log(LIKE_ENERGY)
        mine = ours[like].of(primary)
        number = sum(len(one.energy) for one in theirs)
        events = sum(len(np.unique(one.event)) for one in theirs)
        energies = ", ".join(f"{energy:.2g}" for energy in energies)
        about.append(
            f"{primary}s of {energies} TeV: {len(mine.energy)} simulated, {number} official of {events} events"
        )
        print(about[-1])
        for axis, (name, bins) in zip(axes.flat, PANELS.items(), strict=False):
            values = np.concatenate([one.values[name] for one in theirs])
            _panel(axis, name, bins, mine.values[name], values, primary, place)
        _against_impact(axes[2, 2 + place], mine, theirs, primary)
    for axis in axes.flat:
        axis.set_visible(axis.has_data())
    made.suptitle(
        f"{', '.join(np.unique(ours.type))} images of at least {LEAST:.0f} p.e., zenith angle {ours.zenith.mean():.0f} "
        f"deg, energies within a factor {LIKE_ENERGY}; triangles are medians, the last bin has what is beyond\n"
        + "; ".join(about)
    )
    return made


def _panel(
    axis: plt.Axes, name: str, bins: np.ndarray, mine: np.ndarray, theirs: np.ndarray, primary: str, place: int
) -> None:
    """Simulated as a histogram; official ones as ticks below, one row a primary; triangles are medians."""
    colour = COLOURS[primary]
    below = -0.06 * (place + 1)
    share = np.histogram(np.clip(mine, bins[0], bins[-1]), bins)[0]
    share = share / share.max()
    axis.stairs(
        share, bins, color=colour, fill=not place, alpha=0.45 if not place else 1.0, label=f"{primary}, simulated"
    )
    theirs = np.clip(theirs, bins[0], bins[-1])
    axis.plot(theirs, np.full(len(theirs), below), "|", color=colour, ms=11, label=f"{primary}, official")
    axis.plot(np.median(theirs), below, "v", color=colour, ms=8, mec="black")
    axis.plot(np.median(mine), 1.04 + 0.04 * place, "v", color=colour, ms=8)
    axis.set(xlabel=name, yticks=[], ylim=(-0.18, 1.15), xscale="log" if "intensity" in name else "linear")
    axis.axhline(0.0, color="black", lw=0.6)
    print(f"  {name}: median {np.median(mine):.3g} simulated, {np.median(theirs):.3g} official")
    if "intensity" in name:
        axis.legend(fontsize=8)


def _against_impact(axis: plt.Axes, mine: Images, theirs: list[Images], primary: str) -> None:
    """Size per energy; lines: median and the middle 68 % of what was simulated."""
    edges = np.array([0, 40, 80, 110, 140, 180, 230, 300, 400])
    for kind, colour in ((kind, TYPE_COLOURS[kind]) for kind in np.unique(mine.type)):
        some = mine[mine.type == kind]
        size = some.values["intensity (p.e.)"] / some.energy
        inside = np.searchsorted(edges, some.impact) - 1
        bins = [i for i in range(len(edges) - 1) if (inside == i).sum() > 4]
        low, middle, high = np.array([np.quantile(size[inside == i], (0.16, 0.5, 0.84)) for i in bins]).T
        centre = (edges[:-1] + edges[1:])[bins] / 2
        axis.fill_between(centre, low, high, color=colour, alpha=0.25)
        axis.plot(centre, middle, color=colour, label=f"{kind}, simulated")
        for number, one in enumerate(theirs):
            points = one[one.type == kind]
            label = None if number else f"{kind}, official"
            axis.plot(points.impact, points.values["intensity (p.e.)"] / points.energy, "o", color=colour, label=label)
    axis.set(xlabel="distance to the shower's axis (m)", ylabel="p.e. / TeV", yscale="log", title=f"{primary}s")
    axis.legend(fontsize=8)
