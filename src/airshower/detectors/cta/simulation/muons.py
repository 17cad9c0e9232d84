"""Cherenkov light of single muons: rings and arcs."""

from dataclasses import dataclass

import numpy as np

from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.cherenkov import YIELD
from airshower.detectors.cta.simulation.hadrons import MUON_MASS
from airshower.detectors.cta.simulation.light import Light
from airshower.detectors.cta.simulation.showers import Muons, Primaries
from airshower.detectors.cta.simulation.telescopes import Array

REACH = 120.0  # m from a muon's way to a telescope; light from further has left the muon too high
NEAR = 20.0  # m, where a mirror sees a good part of the ring
LOSS = 2.0e-3  # GeV per g/cm2, about that of minimum ionisation in air
POINTS = 24, 6  # on a mirror, where the light of a muon is evaluated, near and far from it
JITTER = 0.2, 0.4  # of a mirror's radius, between such points
NEAREST = 0.3  # m, where the light per area stops to rise


@dataclass(frozen=True)
class _Tracks:
    """Muons at the height of the array, [n] each."""

    axis: np.ndarray  # f8 [n, 3], unit vectors to where they come from
    foot: np.ndarray  # f8 [n, 3] m, where they reach that height
    energy: np.ndarray  # GeV there
    production: np.ndarray  # m, height of production
    cosine: np.ndarray  # of the shower's zenith angle

    def __getitem__(self, rows: np.ndarray) -> "_Tracks":
        return _Tracks(*(values[rows] for values in vars(self).values()))


def muon_light(rng: np.random.Generator, primaries: Primaries, array: Array, muons: Muons) -> Light:
    """Rings and arcs of muons that pass near telescopes."""
    tracks = _tracks(primaries, muons)
    away = np.hypot(*(tracks.foot[:, None, :2] - array.position[:, :2]).transpose(2, 0, 1))
    bright = tracks.energy > MUON_MASS / np.sqrt(2.0 * atmosphere.refractivity(primaries.ground))
    muon, telescope = np.nonzero((away < REACH) & bright[:, None])
    distant = (away[muon, telescope] > NEAR).astype(np.int64)

    # points on the mirror, which is perpendicular to the pointing
    points = np.array(POINTS)[distant]
    pair = np.repeat(np.arange(len(muon)), points)
    radius = np.sqrt(rng.random(len(pair)))
    around = 2.0 * np.pi * rng.random(len(pair))
    mirror = array.radius[telescope]
    on_mirror = mirror[pair] * radius * [np.cos(around), np.sin(around)]
    flux, _, _ = _flux(primaries.ground, tracks[muon[pair]], _on_mirror(array, telescope[pair], on_mirror))
    counts = rng.poisson(flux * (array.collecting[telescope] / points)[pair])

    # photo-electrons of a point are spread over the part of the mirror that it represents
    pair = np.repeat(pair, counts)
    on_mirror = np.repeat(on_mirror, counts, axis=1)
    on_mirror += (np.array(JITTER)[distant] * mirror)[pair] * rng.standard_normal(on_mirror.shape)
    spot = _on_mirror(array, telescope[pair], on_mirror)
    _, arrival, late = _flux(primaries.ground, tracks[muon[pair]], spot)
    lat, lon, ahead = array.axes @ arrival.T
    shower = muons.shower[muon[pair]]
    time = (((primaries.feet[shower] - spot) * primaries.towards[shower]).sum(1) + late) / atmosphere.LIGHT
    parts = (values.astype(np.float32) for values in (lat / ahead, lon / ahead, time, np.ones(len(time))))
    return Light(len(primaries) * len(array.kind), shower * len(array.kind) + telescope[pair], *parts)


def _tracks(primaries: Primaries, muons: Muons) -> _Tracks:
    slope = np.insert(muons.slope, 2, 1.0, axis=1)
    height = muons.position[:, 2]
    cosine = primaries.cosine[muons.shower]
    foot = muons.position + (primaries.ground - height)[:, None] * slope
    lost = LOSS * (atmosphere.depth(primaries.ground) - atmosphere.depth(height)) / cosine
    axis = slope / np.linalg.norm(slope, axis=1, keepdims=True)
    return _Tracks(axis, foot, muons.energy - lost, height, cosine)


def _on_mirror(array: Array, telescope: np.ndarray, offset: np.ndarray) -> np.ndarray:
    """Points [n, 3] m at offsets [2, n] m on the mirrors of telescopes [n]."""
    return array.position[telescope] + offset.T @ array.axes[:2]


def _flux(ground: float, tracks: _Tracks, spot: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Photons per m2 at points `spot` [n, 3] of muons [n], unit vectors to their origin, and delays in m.

    A muon radiates all along its way under the Cherenkov angle, so that at the distance r to its foot the light per
    area is dN/dl / (2 pi r tan(angle)), from r / tan(angle) above (Vacanti et al., Astropart. Phys. 2 (1994) 1). It
    comes r * angle later than the muon's front: half of that is its longer way, half the refraction.
    """
    from_foot = spot - tracks.foot
    along = (from_foot * tracks.axis).sum(1)
    outward = from_foot - along[:, None] * tracks.axis
    distance = np.maximum(np.sqrt((outward**2).sum(1)), NEAREST)
    slow = (MUON_MASS / tracks.energy) ** 2  # 1 - beta^2
    ground_angle = np.sqrt(2.0 * atmosphere.refractivity(ground) - slow)
    height = ground + (along + distance / ground_angle) * tracks.axis[:, 2]
    index = 2.0 * atmosphere.refractivity(height)
    angle = np.sqrt(np.maximum(index - slow, 1e-8))
    # YIELD is per g/cm2 and for the largest angle at a density
    per_metre = YIELD * 100.0 * atmosphere.density(height) * angle**2 / index
    flux = per_metre / (2.0 * np.pi * distance * angle) * atmosphere.transmission(height, ground, tracks.cosine)
    # light flies outward: it seems to come from the muon's side
    toward = tracks.axis - (outward / distance[:, None]) * angle[:, None]
    return np.where((height < tracks.production) & (index > slow), flux, 0.0), toward, distance * angle
