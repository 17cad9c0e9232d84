"""Simulated events: showers that trigger, with their hits and reconstructed quantities."""

import hashlib
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import count
from typing import Any

import numpy as np

from airshower.config.fields import number
from airshower.data.hits import TankHits
from airshower.detectors.hawc.event_fields import EVENT_FIELDS
from airshower.detectors.hawc.simulation.reconstruction import reconstruct
from airshower.detectors.hawc.simulation.showers import ALTITUDE, Primaries, develop
from airshower.detectors.hawc.simulation.tanks import observe, promising, read_out, triggered
from airshower.detectors.hawc.xcdf.block import Columns, Ragged
from airshower.errors import UserError
from airshower.geometry.tank_array import PMTS, TankArray
from airshower.geometry.tank_layouts import array_text, tank_array
from airshower.statistics import power_law

PRIMARIES = ("gamma", "proton")
SLAB = 4096  # showers that are thrown at once; few trigger
MOST_THROWN = 1_000_000  # showers without a trigger, after which an error is raised


@dataclass
class HawcSimulation:
    """`data.simulation.*`. Energies are in TeV, angles in degrees, lengths in metres."""

    energy_min: float = number(0.05, low=0.05)
    energy_max: float = number(500.0, low=0.05)
    gamma_index: float = number(-1.93, low=-5.0, high=0.0)
    proton_index: float = number(-1.93, low=-5.0, high=0.0)
    zenith_max: float = number(60.0, above=0.0, high=70.0)
    radius: float = number(1000.0, above=0.0)
    noise: float = number(25.0, low=0.0, high=200.0)
    threshold: int = number(28, low=5, high=1000)
    array: str = "hawc"
    altitude: float = number(ALTITUDE, low=0.0, high=8000.0)

    def build_array(self) -> TankArray:
        """The array that is simulated. Raises `UserError` for a file that is none of positions."""
        return tank_array(self.array)

    def made_from(self) -> dict[str, Any]:
        """What events follow from. Keys of HAWC at its altitude are those before there were other arrays, so that files
        in the cache stay valid; of other arrays the positions count, not the file's name."""
        values = asdict(self)
        if self.altitude == ALTITUDE:
            del values["altitude"]
        if self.array == "hawc":
            del values["array"]
        else:
            values["array"] = hashlib.sha256(array_text(self.build_array()).encode()).hexdigest()[:16]
        return values


def simulate_events(config: HawcSimulation, primary: str, seed: int, events: int) -> Iterator[Columns]:
    """Events of `primary` (gamma or proton) that trigger, some at a time, as columns of the fields of real files; of
    more events with the same `config` and `seed`, the first are the same.

    Raises `UserError` if the configuration is wrong or hardly any shower triggers.
    """
    if config.energy_max <= config.energy_min:
        raise UserError(f"data.simulation.energy_max={config.energy_max}: must be above energy_min={config.energy_min}")
    array = config.build_array()
    yielded = 0
    silent = 0
    for slab in count():
        rng = np.random.default_rng([seed, PRIMARIES.index(primary), slab])
        columns = _slab(rng, config, primary, array)
        triggered = len(columns["rec.nHit"])
        silent = 0 if triggered else silent + SLAB
        if silent > MOST_THROWN:
            raise UserError(
                f"data.simulation.threshold={config.threshold}: none of {silent} showers makes so many PMTs see light; "
                "lower it or radius, or raise energy_max"
            )
        use = min(triggered, events - yielded)
        if use:
            yield {name: c.slice(0, use) if isinstance(c, Ragged) else c[:use] for name, c in columns.items()}
        yielded += use
        if yielded == events:
            return


def throw(
    rng: np.random.Generator, config: HawcSimulation, primary: str, showers: int, densest: np.ndarray
) -> Primaries:
    """Primaries with energies from a power law; a rate per solid angle proportional to the squared cosine of the zenith
    angle; cores at all distances from `densest` alike, from which those that trigger in HAWC have the published
    spread."""
    index = config.gamma_index if primary == "gamma" else config.proton_index
    energy = power_law.energies(rng.random(showers), 1000.0 * config.energy_min, 1000.0 * config.energy_max, index)
    lowest = np.cos(np.radians(config.zenith_max)) ** 3
    zenith = np.arccos(np.cbrt(1.0 - rng.random(showers) * (1.0 - lowest)))
    azimuth, around = rng.uniform(-np.pi, np.pi, (2, showers))
    distance = config.radius * rng.random(showers)
    core = densest + distance[:, None] * np.stack([np.cos(around), np.sin(around)], 1)
    return Primaries(primary, energy, zenith, azimuth, core)


def threshold_of(array: TankArray, threshold: int) -> int:
    """PMTs that make a trigger: `threshold` of HAWC's, the same fraction of the PMTs of another array."""
    return round(threshold * len(array.position) / PMTS)


def _slab(rng: np.random.Generator, config: HawcSimulation, primary: str, array: TankArray) -> Columns:
    """The events among `SLAB` showers."""
    threshold = threshold_of(array, config.threshold)
    primaries = throw(rng, config, primary, SLAB, array.densest)
    cascades = develop(rng, primaries, config.altitude)
    rows = promising(primaries, cascades, array, threshold)
    primaries = primaries[rows]
    cascades = cascades[rows]
    charge, time = observe(rng, primaries, cascades, array)
    rows, when = triggered(rng, charge, time, array, threshold, config.noise)
    hits = read_out(rng, charge[rows], time[rows], when, array, config.noise)
    return event_columns(primaries[rows], hits, array)


def event_columns(primaries: Primaries, hits: TankHits, array: TankArray) -> Columns:
    """The columns of files for events."""
    rec = reconstruct(hits, len(primaries), array)
    counts = np.bincount(hits.event, minlength=len(primaries))
    x, y, z = array.position[hits.grid_id - 1].T
    hit = {"gridId": hits.grid_id, "charge": hits.charge, "time": hits.time}
    hit |= {"xPMT": x, "yPMT": y, "zPMT": z}
    columns = {f"event.hit.{name}": Ragged(values, counts) for name, values in hit.items()} | {
        "event.nHit": counts,
        "rec.nHit": rec.hits,
        "rec.nTankHit": rec.tanks,
        "rec.logNPE": rec.log_charge,
        "rec.zenithAngle": rec.zenith,
        "rec.azimuthAngle": rec.azimuth,
        "rec.coreX": rec.core[:, 0],
        "rec.coreY": rec.core[:, 1],
        "rec.CxPE40": rec.compactness_charge,
        "rec.PINC": rec.pinc,
        "SimEvent.energyTrue": primaries.energy,
        "SimEvent.thetaTrue": np.degrees(primaries.zenith),
        "SimEvent.phiTrue": np.degrees(primaries.azimuth) % 360.0,
        "SimEvent.coreXTrue": primaries.core[:, 0],
        "SimEvent.coreYTrue": primaries.core[:, 1],
    }
    return {field.name: columns[field.name] for field in EVENT_FIELDS}
