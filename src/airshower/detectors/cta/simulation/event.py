"""One simulated event: a gamma or a proton that at least some telescopes see."""

from dataclasses import dataclass, field

import numpy as np

from airshower.config.fields import number
from airshower.detectors.cta.dl1_format import PRIMARY_IDS, TelescopeImage, ThrownRun, TrueShower
from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.cherenkov import RADIATION_LENGTH
from airshower.detectors.cta.simulation.light import cascade_light, muon_light, photo_electrons
from airshower.detectors.cta.simulation.readout import record
from airshower.detectors.cta.simulation.showers import Primary, Shower, greisen, simulate_shower
from airshower.detectors.cta.simulation.telescopes import ALTITUDE, Array, build_array, direction, frame
from airshower.errors import UserError

OBS_IDS = {"gamma": 1, "proton": 2}  # observation blocks of files that hold both
MOST_THROWN = 20_000  # showers without a trigger, after which the configuration is taken to be wrong
PROMISING = 0.6  # of the trigger's threshold: a telescope with less light in its whole image is left out


@dataclass
class SimulationConfig:
    """What a user would turn. Angles are in degrees, lengths in metres, energies in TeV."""

    proton_fraction: float = number(0.5, low=0.0, high=1.0)
    energy_min: float = number(0.05, low=0.01)
    energy_max: float = number(10.0, low=0.01)
    proton_energy_factor: float = number(3.0, low=1.0)
    gamma_index: float = number(-2.0, low=-5.0, high=0.0)
    proton_index: float = number(-2.7, low=-5.0, high=0.0)
    gamma_radius: float = number(300.0, above=0.0)
    proton_radius: float = number(400.0, above=0.0)
    gamma_offset: float = number(0.0, low=0.0, high=10.0)
    gamma_cone: float = number(2.0, low=0.0, high=10.0)
    proton_cone: float = number(4.0, low=0.0, high=10.0)
    zenith: float = number(20.0, low=0.0, high=60.0)
    azimuth: float = number(180.0, low=0.0, high=360.0)
    lsts: int = number(4, low=0, high=4)
    msts: int = number(8, low=0, high=50)
    ring: float = number(170.0, above=0.0)
    night_sky: float = number(0.24, low=0.0, high=10.0)
    threshold: float = number(28.0, above=0.0)
    min_telescopes: int = number(2, low=1)

    def array(self) -> Array:
        """The telescopes."""
        return build_array(self.lsts, self.msts, self.ring, self.zenith, self.azimuth)

    def runs(self) -> dict[int, ThrownRun]:
        """What is thrown, by the `OBS_IDS` of the primaries."""
        return {OBS_IDS[name]: self.run(name) for name in OBS_IDS}

    def run(self, name: str) -> ThrownRun:
        """How "gamma" or "proton" are thrown."""
        pointing = 90.0 - self.zenith, self.azimuth
        factor, source = self.proton_energy_factor, (pointing[0] + self.gamma_offset, pointing[1])
        if name == "gamma":
            energies = self.energy_min, self.energy_max
            return ThrownRun(pointing, source, self.gamma_cone, energies, self.gamma_index, self.gamma_radius, ALTITUDE)
        energies = factor * self.energy_min, factor * self.energy_max
        return ThrownRun(
            pointing, pointing, self.proton_cone, energies, self.proton_index, self.proton_radius, ALTITUDE
        )


@dataclass(frozen=True)
class SimulatedEvent:
    """What a shower is and what the telescopes that triggered saw of it."""

    primary: str  # "gamma" or "proton"
    shower: TrueShower
    images: tuple[TelescopeImage, ...]  # by telescope
    thrown: np.ndarray = field(repr=False)  # f8 [n, 2]: energy (TeV) and distance of the core (m) of all showers thrown


def simulate_event(config: SimulationConfig, seed: int, number: int) -> SimulatedEvent:
    """An event that triggers; a pure function of its arguments, so events can be made in any order or in parallel.

    Showers are thrown until one makes `min_telescopes` trigger. Raises `UserError` if none does for long.
    """
    if config.energy_max <= config.energy_min:
        raise UserError(f"energy_max={config.energy_max}: must be above energy_min={config.energy_min}")
    if config.lsts + config.msts < config.min_telescopes:
        raise UserError(f"min_telescopes={config.min_telescopes}: there are {config.lsts + config.msts} telescopes")
    rng = np.random.default_rng([seed, number])
    array = config.array()
    name = "proton" if rng.random() < config.proton_fraction else "gamma"
    thrown = []
    for _ in range(MOST_THROWN):
        primary = throw(rng, config, name)
        thrown.append((primary.energy / 1000.0, float(np.hypot(*primary.core))))
        shower = simulate_shower(rng, primary)
        images = observe(rng, config, array, primary, shower)
        if len(images) >= config.min_telescopes:
            return SimulatedEvent(name, _truth(primary, shower), images, np.array(thrown))
    raise UserError(f"none of {MOST_THROWN} simulated showers is seen by {config.min_telescopes} telescopes")


def throw(rng: np.random.Generator, config: SimulationConfig, name: str) -> Primary:
    """A primary with its energy from a power law, its direction from a cone and its core from a disc."""
    run = config.run(name)
    energy = power_law(rng.random(), *run.energy_range, run.spectral_index)
    # uniform in solid angle
    tilt = np.arccos(1.0 - rng.random() * (1.0 - np.cos(np.radians(run.view_cone))))
    turn, around = rng.uniform(0.0, 2.0 * np.pi, 2)
    inside = np.array([np.sin(tilt) * np.cos(turn), np.sin(tilt) * np.sin(turn), np.cos(tilt)])
    north, west, up = inside @ frame(*np.radians(run.source))
    distance = run.scatter_radius * np.sqrt(rng.random())
    core = float(distance * np.cos(around)), float(distance * np.sin(around))
    alt, az = float(np.arcsin(up)), float(np.arctan2(-west, north) % (2.0 * np.pi))
    return Primary(name, 1000.0 * energy, alt, az, core, run.altitude)


def power_law(uniform: float, low: float, high: float, index: float) -> float:
    """The energy below which a part `uniform` of a spectrum E^index lies."""
    power = 1.0 + index
    if abs(power) < 1e-6:
        return low * (high / low) ** uniform
    return (low**power + uniform * (high**power - low**power)) ** (1.0 / power)


def observe(
    rng: np.random.Generator, config: SimulationConfig, array: Array, primary: Primary, shower: Shower
) -> tuple[TelescopeImage, ...]:
    """The images of the telescopes that trigger on a shower; none if they are fewer than `min_telescopes`."""
    muons = muon_light(rng, primary, array, shower.muons)
    source = cascade_light(primary, array, shower.subshowers)
    expected = source.expected.sum(1) + np.bincount(muons.telescope, minlength=len(array.kind))
    promising = expected > PROMISING * config.threshold
    if promising.sum() < config.min_telescopes:
        return ()
    cascades = photo_electrons(rng, primary, array, source, promising)
    impact = impact_distances(array, primary)
    images = []
    for kind, camera in enumerate(array.kinds):
        telescopes = np.flatnonzero((array.kind == kind) & promising)
        if not len(telescopes):
            continue
        seen = record(rng, camera, telescopes, [cascades, muons], config.night_sky, config.threshold)
        images += [
            TelescopeImage(
                int(telescope), seen.charge[i], seen.peak_time[i], seen.true_image[i], float(impact[telescope]),
                int(seen.n_trigger_pixels[i]), float(seen.time[i]),
            )
            for i, telescope in enumerate(seen.telescope)
        ]  # fmt: skip
    return tuple(images) if len(images) >= config.min_telescopes else ()


def impact_distances(array: Array, primary: Primary) -> np.ndarray:
    """From each telescope to the shower's axis in m, f8 [telescopes]."""
    to = array.position - [*primary.core, primary.ground]
    return np.linalg.norm(np.cross(to, direction(primary.alt, primary.az)), axis=1)


def _truth(primary: Primary, shower: Shower) -> TrueShower:
    depth, cascades = np.arange(10.0, 1500.0, 10.0), shower.subshowers
    profile = greisen((depth - cascades.start[:, None]) / RADIATION_LENGTH, cascades.energy[:, None])
    x_max = depth[(cascades.weight @ profile).argmax()]
    height = float(atmosphere.height(shower.first_interaction * primary.cosine))
    return TrueShower(
        PRIMARY_IDS[primary.name], primary.energy / 1000.0, np.degrees(primary.alt), np.degrees(primary.az),
        *primary.core, height, float(x_max),
    )  # fmt: skip
