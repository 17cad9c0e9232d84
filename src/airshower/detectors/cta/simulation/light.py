"""Cherenkov light at the telescopes: how much of it, and photo-electrons with direction and time."""

from dataclasses import dataclass

import numpy as np

from airshower.detectors.cta.simulation import atmosphere
from airshower.detectors.cta.simulation.cherenkov import (
    LEVER,
    MOLIERE,
    RADIATION_LENGTH,
    SPREAD,
    YIELD,
    distances,
    emission,
)
from airshower.detectors.cta.simulation.showers import MUON_MASS, Muons, Primary, Subshowers, greisen, maximum
from airshower.detectors.cta.simulation.telescopes import Array

DEPTH_STEP = 24.0  # g/cm2, two thirds of a radiation length
LARGEST = 4_000  # photo-electrons of an image that are followed; with more, each stands for several
MUON_REACH = 120.0  # m from a muon's way to a telescope; light from further has left the muon too high
MUON_LOSS = 2.0e-3  # GeV per g/cm2, minimum ionisation in air
MUON_POINTS = 24  # on a mirror, where the light of a muon is evaluated
MUON_JITTER = 0.2  # of a mirror's radius, between such points
MUON_NEAREST = 0.3  # m, where the light per area stops to rise


@dataclass(frozen=True)
class Light:
    """Photo-electrons at the telescopes of an array, [n] each; directions are tangents of angles from their axis."""

    telescope: np.ndarray  # int64, ascending
    lat: np.ndarray  # f4, towards rising altitude
    lon: np.ndarray  # f4, towards rising azimuth
    time: np.ndarray  # f4, ns after the shower's front would have reached the core at the speed of light
    weight: np.ndarray  # f8 [telescopes]: photo-electrons that each one of a telescope stands for


@dataclass(frozen=True)
class Source:
    """Light of cascades, in cells of depth of each sub-shower; f4 [telescopes, cells] and in the telescopes' frames."""

    expected: np.ndarray  # photo-electrons
    distance: np.ndarray  # m, mean distance of the electrons to where they are expected
    shift: np.ndarray  # part of the way from the axis to the telescope that electrons have gone
    delay: np.ndarray  # m, what the air's refraction adds to the light's way
    point: np.ndarray  # f4 [3, telescopes, cells] m from the telescope: to altitude, to azimuth, ahead
    step: np.ndarray  # f4 [3, cells] m, along the cell's axis


def cascade_light(primary: Primary, array: Array, cascades: Subshowers) -> Source:
    """What the electrons of cascades are expected to give to each telescope."""
    ground = primary.ground_depth / primary.cosine
    first = max(min(float(cascades.start.min(initial=np.inf)), ground - 3.0 * DEPTH_STEP), 0.0)
    depth = np.arange(first + DEPTH_STEP / 2, ground - DEPTH_STEP, DEPTH_STEP)
    height = primary.heights(depth)
    energy, start = cascades.energy[:, None], cascades.start[:, None]
    electrons = cascades.weight[:, None] * greisen((depth - start) / RADIATION_LENGTH, energy)
    stage = (depth - maximum(start, energy)) / RADIATION_LENGTH

    # in the telescopes' frame, f8 [3, sub-showers] and so on: to rising altitude, to rising azimuth, ahead
    axis = array.axes @ np.stack([*cascades.slope.T, np.ones(len(start))])
    length = np.sqrt((axis**2).sum(0))
    drop = height - cascades.position[:, 2, None]
    point = (array.axes @ cascades.position.T)[..., None] + drop * axis[..., None]
    edges = primary.heights(np.maximum(np.append(depth - DEPTH_STEP / 2, depth[-1] + DEPTH_STEP / 2), 0.1))
    step = (axis[..., None] * np.diff(edges)).reshape(3, -1)
    toward = np.repeat(axis / length, len(depth), 1)

    to = point.reshape(3, 1, -1) - (array.axes @ array.position.T)[..., None]  # [3, telescopes, cells]
    far2 = to[0] ** 2 + to[1] ** 2 + to[2] ** 2
    far = np.sqrt(far2)
    cosine = (to[0] * toward[0] + to[1] * toward[1] + to[2] * toward[2]) / far
    cells = len(start)
    per_cm2 = np.tile(0.01 / atmosphere.density(height), cells)  # m per g/cm2
    angle = np.sqrt(np.maximum(2.0 * (1.0 - cosine), 1e-12))
    tables = emission(primary.ground)
    density, moliere = tables.at(tables.cells(height, stage).ravel(), angle)
    sent = electrons * (length[:, None] * (primary.cosine * DEPTH_STEP * YIELD))
    sent = (sent * atmosphere.transmission(height, primary.ground, primary.cosine)).ravel()
    # a telescope doesn't see what is far outside of its field of view
    facing = np.where(to[2] > far * array.edge[:, None], to[2], 0.0)
    expected = density * sent * (array.collecting[:, None] * facing / (far2 * far))
    cone = np.tile(np.sqrt(2.0 * atmosphere.refractivity(height)), cells)
    beyond = np.maximum(1.0 - cone / angle, 0.0)  # part of the angle that is the electron's
    shift = beyond * (LEVER * RADIATION_LENGTH * per_cm2) / far
    vertical = np.tile(atmosphere.optical_delay(primary.ground_depth - depth * primary.cosine), cells)
    delay = vertical / np.tile(height - primary.ground, cells) * far
    parts = expected, moliere * (SPREAD * MOLIERE * per_cm2), shift, delay, to, step
    return Source(*(part.astype(np.float32) for part in parts))


def photo_electrons(
    rng: np.random.Generator, primary: Primary, array: Array, source: Source, seen: np.ndarray
) -> Light:
    """Photo-electrons of the telescopes `seen` (bool [telescopes])."""
    seen = np.flatnonzero(seen)
    expected = source.expected[seen]
    weight = np.ones(len(array.kind))
    weight[seen] = np.maximum(expected.sum(1) / LARGEST, 1.0)
    counts = rng.poisson(expected / weight[seen, None])
    cells = expected.shape[1]
    number = int(counts.sum())
    along = rng.random(number, np.float32) - np.float32(0.5)
    around = rng.random(number, np.float32) * np.float32(2.0 * np.pi)

    def each(values: np.ndarray) -> np.ndarray:
        """Of each photo-electron, from [telescopes, cells]."""
        return np.repeat(values[seen].ravel(), counts.ravel())

    far = each(source.distance) * distances()[rng.integers(0, 4096, number, np.uint16)]
    cell = np.repeat(np.tile(np.arange(cells), len(seen)), counts.ravel())
    to = [each(point) + along * step[cell] for point, step in zip(source.point, source.step, strict=True)]
    # the plane across the axis differs little from that across the direction that the telescopes look to
    to[0] += far * np.cos(around)
    to[1] += far * np.sin(around)
    towards = (array.axes @ _towards(primary)).astype(np.float32)
    front = towards[0] * to[0] + towards[1] * to[1] + towards[2] * to[2]
    shift = each(source.shift)
    rest, along_axis = 1.0 - shift, shift * front
    lat, lon, ahead = (rest * c + along_axis * t for c, t in zip(to, towards, strict=True))
    way = np.sqrt(lat * lat + lon * lon + ahead * ahead) - front + each(source.delay)
    telescope = np.repeat(seen, counts.sum(1))
    base = ((array.position - [*primary.core, primary.ground]) @ _towards(primary)).astype(np.float32)
    time = (way - base[telescope]) * np.float32(1.0 / atmosphere.LIGHT)
    return Light(telescope, lat / ahead, lon / ahead, time, weight)


def _towards(primary: Primary) -> np.ndarray:
    axis = np.append(primary.slope, 1.0)
    return axis / np.linalg.norm(axis)


def muon_light(rng: np.random.Generator, primary: Primary, array: Array, muons: Muons) -> Light:
    """Rings and arcs of muons that pass near telescopes."""
    weight = np.ones(len(array.kind))
    none = Light(*(np.zeros(0, kind) for kind in (int, "f4", "f4", "f4")), weight)
    if not len(muons.energy):
        return none
    foot = muons.position + (primary.ground - muons.position[:, 2:]) * np.insert(muons.slope, 2, 1.0, axis=1)
    lost = MUON_LOSS * (primary.ground_depth - atmosphere.depth(muons.position[:, 2])) / primary.cosine
    energy = muons.energy - lost
    away = np.linalg.norm(foot[:, None, :2] - array.position[:, :2], axis=2)
    bright = energy > MUON_MASS / np.sqrt(2.0 * atmosphere.refractivity(primary.ground))
    muon, telescope = np.nonzero((away < MUON_REACH) & bright[:, None])
    if not len(muon):
        return none
    axis = np.insert(muons.slope, 2, 1.0, axis=1)
    axis /= np.linalg.norm(axis, axis=1, keepdims=True)
    tracks = _Tracks(axis, foot, energy, muons.position[:, 2])

    # places on the mirror, which lies across the direction that is looked to
    shape = len(muon), MUON_POINTS
    radius, around = np.sqrt(rng.random(shape)), rng.uniform(0.0, 2.0 * np.pi, shape)
    places = array.radius[telescope] * np.stack([radius * np.cos(around), radius * np.sin(around)]).transpose(0, 2, 1)
    flux, _ = _muon_flux(primary, tracks, muon, _on_mirror(array, telescope, places))
    flux *= array.collecting[telescope] / MUON_POINTS
    counts = rng.poisson(flux)
    if not counts.any():
        return none
    pair = np.repeat(np.tile(np.arange(len(muon)), MUON_POINTS), counts.ravel())
    # photo-electrons of one place are spread over what it stands for
    places = np.repeat(places.reshape(2, -1), counts.ravel(), axis=1)
    places += MUON_JITTER * array.radius[telescope[pair]] * rng.standard_normal(places.shape)
    spot = _on_mirror(array, telescope[pair], places)
    _, seen = _muon_flux(primary, tracks, muon[pair], spot)
    lat, lon, ahead = (seen @ array.axes.T).T
    time = ([*primary.core, primary.ground] - spot) @ _towards(primary) / atmosphere.LIGHT
    order = np.argsort(telescope[pair], kind="stable")
    parts = ((values[order]).astype(np.float32) for values in (lat / ahead, lon / ahead, time))
    return Light(telescope[pair][order], *parts, weight)


@dataclass(frozen=True)
class _Tracks:
    """Muons at the height of the array."""

    axis: np.ndarray  # f8 [n, 3], unit vectors to where they come from
    foot: np.ndarray  # f8 [n, 3] m, where they reach that height
    energy: np.ndarray  # GeV there
    made: np.ndarray  # m, height of production


def _on_mirror(array: Array, telescope: np.ndarray, places: np.ndarray) -> np.ndarray:
    """Points [..., 3] m of places [2, ...] m on the mirrors of telescopes [last axis of places]."""
    return array.position[telescope] + places[0][..., None] * array.axes[0] + places[1][..., None] * array.axes[1]


def _muon_flux(primary: Primary, tracks: _Tracks, muon: np.ndarray, spot: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Photons per m2 at points `spot` [..., n, 3] of muons `muon` [n], and unit vectors to where they come from.

    A muon radiates all along its way under the Cherenkov angle, so that at the distance r to its foot the light per
    area is dN/dl / (2 pi r tan(angle)), from r / tan(angle) above (Vacanti et al., Astropart. Phys. 2 (1994) 1).
    """
    axis, energy = tracks.axis[muon], tracks.energy[muon]
    from_foot = spot - tracks.foot[muon]
    along = (from_foot * axis).sum(-1)
    outward = from_foot - along[..., None] * axis
    distance = np.maximum(np.sqrt((outward**2).sum(-1)), MUON_NEAREST)
    slow = (MUON_MASS / energy) ** 2  # 1 - beta^2
    ground_angle = np.sqrt(2.0 * atmosphere.refractivity(primary.ground) - slow)
    height = primary.ground + (along + distance / ground_angle) * axis[:, 2]
    index = 2.0 * atmosphere.refractivity(height)
    angle = np.sqrt(np.maximum(index - slow, 1e-8))
    # YIELD is per g/cm2 and for the largest angle at a density
    per_metre = YIELD * 100.0 * atmosphere.density(height) * angle**2 / index
    flux = per_metre / (2.0 * np.pi * distance * angle)
    flux *= atmosphere.transmission(height, primary.ground, primary.cosine)
    # light flies outward: it seems to come from the muon's side
    toward = axis - (outward / distance[..., None]) * angle[..., None]
    return np.where((height < tracks.made[muon]) & (index > slow), flux, 0.0), toward
