"""Simulated events: gammas and protons that trigger enough telescopes."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count

import numpy as np

from airshower.config.fields import number
from airshower.detectors.cta.dl1.format import PRIMARY_IDS, TelescopeImage, ThrownRun, TrueShower
from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.file_array import file_array
from airshower.detectors.cta.simulation.hadrons import simulate_protons
from airshower.detectors.cta.simulation.light import cascade_light, photo_electrons
from airshower.detectors.cta.simulation.muons import muon_light
from airshower.detectors.cta.simulation.readout import record
from airshower.detectors.cta.simulation.showers import Primaries, Showers, shower_maximum, simulate_gammas
from airshower.detectors.cta.simulation.telescopes import Array, standard_array
from airshower.errors import UserError
from airshower.geometry.sky import angles_of_north_west_up, pointing_frame
from airshower.statistics import power_law

OBS_IDS = {"gamma": 1, "proton": 2}  # observation blocks of files that hold both
SLAB = 32  # showers that are made at once: of twice as many, arrays outgrow a core's cache
MOST_THROWN = 20_000  # showers without a trigger, after which an error is raised
PROMISING = 0.6  # of the trigger's threshold: a telescope with less light in its whole image is left out


@dataclass
class CtaSimulation:
    """`data.simulation.*`. Angles are in degrees, lengths in metres, energies in TeV."""

    proton_fraction: float = number(0.5, low=0.0, high=1.0)
    energy_min: float = number(0.05, low=0.01)
    energy_max: float = number(10.0, low=0.01)
    proton_energy_factor: float = number(3.0, low=1.0)
    gamma_index: float = number(-2.0, low=-5.0, high=0.0)
    proton_index: float = number(-2.7, low=-5.0, high=0.0)
    gamma_radius: float = number(300.0, above=0.0)
    proton_radius: float = number(300.0, above=0.0)
    gamma_offset: float = number(0.0, low=0.0, high=10.0)
    gamma_cone: float = number(2.0, low=0.0, high=10.0)
    proton_cone: float = number(2.0, low=0.0, high=10.0)
    zenith: float = number(20.0, low=0.0, high=60.0)
    azimuth: float = number(180.0, low=0.0, high=360.0)
    array: str = ""
    lsts: int = number(4, low=0, high=4)
    msts: int = number(8, low=0, high=50)
    ring: float = number(170.0, above=0.0)
    night_sky: float = number(0.24, low=0.0, high=10.0)
    threshold: float = number(28.0, above=0.0)
    min_telescopes: int = number(2, low=1)

    def build_array(self) -> Array:
        """The telescopes."""
        if self.array:
            return file_array(self.array, self.zenith, self.azimuth)
        return standard_array(self.lsts, self.msts, self.ring, self.zenith, self.azimuth)

    def runs(self) -> dict[int, ThrownRun]:
        """The thrown showers, keyed by the `OBS_IDS` of the primaries."""
        return {OBS_IDS[name]: self.run(name) for name in OBS_IDS}

    def run(self, name: str) -> ThrownRun:
        """The distribution of thrown "gamma" or "proton" showers."""
        pointing = 90.0 - self.zenith, self.azimuth
        factor = self.proton_energy_factor
        source = (pointing[0] + self.gamma_offset, pointing[1])
        site = self.build_array().altitude
        if name == "gamma":
            energies = self.energy_min, self.energy_max
            return ThrownRun(pointing, source, self.gamma_cone, energies, self.gamma_index, self.gamma_radius, site)
        energies = factor * self.energy_min, factor * self.energy_max
        return ThrownRun(pointing, pointing, self.proton_cone, energies, self.proton_index, self.proton_radius, site)


@dataclass(frozen=True)
class SimulatedEvent:
    """The truth of a shower and the images of the telescopes that triggered."""

    primary: str  # "gamma" or "proton"
    shower: TrueShower
    images: tuple[TelescopeImage, ...]  # by telescope
    # f8 [n, 2]: energy (TeV) and distance of the core (m) of all showers of this kind since the event before
    thrown: np.ndarray = field(repr=False)


def simulate_events(config: CtaSimulation, seed: int, events: int) -> Iterator[SimulatedEvent]:
    """Events that trigger; of more events with the same `config` and `seed`, the first are the same.

    Raises `UserError` if the configuration is wrong or hardly any shower triggers.
    """
    if config.energy_max <= config.energy_min:
        raise UserError(f"energy_max={config.energy_max}: must be above energy_min={config.energy_min}")
    telescopes = len(config.build_array().ids)
    if telescopes < config.min_telescopes:
        raise UserError(f"min_telescopes={config.min_telescopes}: there are {telescopes} telescopes")
    streams = {name: _stream(config, seed, name) for name in OBS_IDS}
    rng = np.random.default_rng(seed)
    for _ in range(events):
        yield next(streams["proton" if rng.random() < config.proton_fraction else "gamma"])


def _stream(config: CtaSimulation, seed: int, name: str) -> Iterator[SimulatedEvent]:
    """All events of one kind, made in slabs of thrown showers, each with random numbers of its own."""
    array = config.build_array()
    before = np.zeros((0, 2))  # thrown since the last event
    for slab in count():
        rng = np.random.default_rng([seed, OBS_IDS[name], slab])
        primaries = throw(rng, config, name, SLAB)
        showers = simulate_protons(rng, primaries) if name == "proton" else simulate_gammas(rng, primaries)
        x_max = shower_maximum(showers.subshowers, SLAB)
        thrown = np.stack([primaries.energy / 1000.0, np.hypot(*(primaries.core - array.middle).T)], 1)
        first = 0
        for shower, images in observe(rng, config, array, primaries, showers).items():
            truth = _truth(primaries, showers, x_max, shower)
            yield SimulatedEvent(name, truth, images, np.concatenate([before, thrown[first : shower + 1]]))
            before = before[:0]
            first = shower + 1
        before = np.concatenate([before, thrown[first:]])
        if len(before) > MOST_THROWN:
            raise UserError(f"none of {len(before)} simulated showers is seen by {config.min_telescopes} telescopes")


def throw(rng: np.random.Generator, config: CtaSimulation, name: str, showers: int) -> Primaries:
    """Primaries with energies from a power law, directions from a cone and cores from a disc around the array."""
    run = config.run(name)
    energy = power_law.energies(rng.random(showers), *run.energy_range, run.spectral_index)
    # uniform in solid angle
    tilt = np.arccos(1.0 - rng.random(showers) * (1.0 - np.cos(np.radians(run.view_cone))))
    turn, around = rng.uniform(0.0, 2.0 * np.pi, (2, showers))
    inside = np.stack([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)], 1)
    alt, az = angles_of_north_west_up(inside @ pointing_frame(*np.radians(run.source)))
    distance = run.scatter_radius * np.sqrt(rng.random(showers))
    core = config.build_array().middle + np.stack([distance * np.cos(around), distance * np.sin(around)], 1)
    return Primaries(name, 1000.0 * energy, alt, az, core, run.altitude)


def observe(
    rng: np.random.Generator, config: CtaSimulation, array: Array, primaries: Primaries, showers: Showers
) -> dict[int, tuple[TelescopeImage, ...]]:
    """The images of the telescopes that trigger, keyed by shower, ascending; only showers with enough telescopes."""
    size = len(primaries) * len(array.kind)
    telescopes = len(array.kind)
    muons = muon_light(rng, primaries, array, showers.muons)
    source = cascade_light(primaries, array, showers.subshowers)
    expected = source.totals(len(primaries)) + np.bincount(muons.image, minlength=size).reshape(-1, telescopes)
    promising = expected > PROMISING * config.threshold
    promising &= promising.sum(1, keepdims=True) >= config.min_telescopes
    light = photo_electrons(rng, primaries, array, source, promising) + muons
    impact = impact_distances(array, primaries)
    images_of: dict[int, list[TelescopeImage]] = {}
    for kind, camera in enumerate(array.kinds):
        images = np.flatnonzero(promising & (array.kind == kind))
        recorded = record(rng, camera, images, light, config.night_sky, config.threshold)
        for i, (shower, telescope) in enumerate(zip(*np.divmod(recorded.image, telescopes), strict=True)):
            image = TelescopeImage(
                int(telescope), recorded.charge[i], recorded.peak_time[i], recorded.true_image[i],
                float(impact[shower, telescope]), int(recorded.n_trigger_pixels[i]), float(recorded.time[i]),
            )  # fmt: skip
            images_of.setdefault(int(shower), []).append(image)
    return {
        shower: tuple(images_of[shower])
        for shower in sorted(images_of)
        if len(images_of[shower]) >= config.min_telescopes
    }


def impact_distances(array: Array, primaries: Primaries) -> np.ndarray:
    """From telescopes to the showers' axes in m, f8 [showers, telescopes]."""
    to = array.position - primaries.feet[:, None]
    return np.linalg.norm(np.cross(to, primaries.towards[:, None]), axis=2)


def _truth(primaries: Primaries, showers: Showers, x_max: np.ndarray, shower: int) -> TrueShower:
    first = showers.first_interaction[shower]
    height = atmosphere.height(first * primaries.cosine[shower])
    return TrueShower(
        PRIMARY_IDS[primaries.name], *(float(v) for v in (
            primaries.energy[shower] / 1000.0, np.degrees(primaries.alt[shower]), np.degrees(primaries.az[shower]),
            *primaries.core[shower], height, x_max[shower],
        )),
    )  # fmt: skip
