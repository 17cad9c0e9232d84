"""Cherenkov light of cascades at the telescopes: expected light, and photo-electrons with direction and time."""

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
from airshower.detectors.cta.simulation.showers import Primaries, Subshowers, greisen, maximum
from airshower.detectors.cta.simulation.telescopes import Array

DEPTH_STEP = 24.0  # g/cm2, two thirds of a radiation length
FEWEST = 0.5  # electrons in such a step, below which its light is left out
LARGEST = 2_500  # photo-electrons of an image that are simulated; if there are more, each represents several


@dataclass(frozen=True)
class Light:
    """Photo-electrons of many images, [n] each; directions are tangents of angles from the telescopes' axis."""

    images: int  # showers * telescopes
    image: np.ndarray  # int64, shower * telescopes + telescope
    lat: np.ndarray  # f4, towards rising altitude
    lon: np.ndarray  # f4, towards rising azimuth
    time: np.ndarray  # f4, ns after the shower's front would have reached the core at the speed of light
    weight: np.ndarray  # f4, photo-electrons that each one represents

    def __add__(self, other: "Light") -> "Light":
        mine, others = (list(vars(light).values())[1:] for light in (self, other))
        return Light(self.images, *(np.concatenate(both) for both in zip(mine, others, strict=True)))


@dataclass(frozen=True)
class Source:
    """Light of cascades, in cells of depth of each sub-shower; vectors are in the telescopes' frame."""

    shower: np.ndarray  # int64 [cells], ascending
    expected: np.ndarray  # photo-electrons, f4 [cells, telescopes]
    angle: np.ndarray  # rad, between the way to the telescope and the sub-shower's axis, f4 likewise
    far: np.ndarray  # m, the length of that way, f4 likewise
    table_row: np.ndarray  # int64 [cells], in the tables of `emission`
    height: np.ndarray  # f8 [cells] m
    depth: np.ndarray  # f8 [cells] g/cm2 along the primary's axis
    point: np.ndarray  # f8 [cells, 3] m, the middle
    step: np.ndarray  # f8 [cells, 3] m, from end to end

    def totals(self, showers: int) -> np.ndarray:
        """Photo-electrons expected by each telescope, f8 [showers, telescopes]."""
        totals = np.zeros((showers, self.expected.shape[1]))
        present, first = np.unique(self.shower, return_index=True)
        if len(first):
            totals[present] = np.add.reduceat(self.expected, first, axis=0)
        return totals


def cascade_light(primaries: Primaries, array: Array, cascades: Subshowers) -> Source:
    """The expected light of the electrons of cascades at each telescope."""
    depth, sub, electrons = _cells(primaries, cascades)
    shower = cascades.shower[sub]
    height = primaries.heights(shower, depth)
    stage = (depth - maximum(cascades.start, cascades.energy)[sub]) / RADIATION_LENGTH

    # in the telescopes' frame: to rising altitude, to rising azimuth, ahead
    axis = np.insert(cascades.slope, 2, 1.0, axis=1)
    length = np.linalg.norm(axis, axis=1)
    toward = (axis / length[:, None]) @ array.axes.T
    position = cascades.position @ array.axes.T
    telescope = array.position @ array.axes.T
    away = (height - cascades.position[sub, 2]) * length[sub]  # of the cells from `position` along `toward`
    point = position[sub] + away[:, None] * toward[sub]
    ends = (primaries.heights(shower, np.maximum(depth + side * DEPTH_STEP / 2, 0.1)) for side in (-1, 1))
    step = (np.subtract(*ends) * length[sub])[:, None] * toward[sub]

    # how far telescopes are from a sub-shower's axis, and the cells from their feet on it
    to = telescope - position[:, None]
    foot = (to * toward[:, None]).sum(2)
    across = np.sqrt(np.maximum((to**2).sum(2) - foot**2, 0.0)).astype(np.float32)[sub]
    along = (away[:, None] - foot[sub]).astype(np.float32)
    far2 = across * across + along * along
    far = np.sqrt(far2)
    angle = across / far
    tables = emission(primaries.ground)
    table_row = tables.cells(height, stage)
    sent = electrons * length[sub] * primaries.cosine[shower] * (DEPTH_STEP * YIELD)
    sent *= atmosphere.transmission(height, primaries.ground, primaries.cosine[shower])
    ahead = point[:, 2:].astype(np.float32) - telescope[:, 2].astype(np.float32)
    expected = tables.densities(table_row[:, None], angle) * sent.astype(np.float32)[:, None]
    expected *= array.collecting.astype(np.float32) * ahead / (far2 * far)
    # no light from far outside of a telescope's field of view, or from below
    expected[(ahead < far * array.edge.astype(np.float32)) | (along <= 0.0)] = 0.0
    return Source(shower, expected, angle, far, table_row, height, depth, point, step)


def _cells(primaries: Primaries, cascades: Subshowers) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Depths, sub-showers (int64) and numbers of electrons of the cells that give light, [cells] each."""
    ground = primaries.ground_depth[cascades.shower] - DEPTH_STEP
    most = int(np.max((ground - cascades.start) / DEPTH_STEP, initial=0.0))
    after = DEPTH_STEP * (np.arange(most) + 0.5)
    electrons = cascades.weight[:, None] * greisen(after / RADIATION_LENGTH, cascades.energy[:, None])
    depth = cascades.start[:, None] + after
    kept = (electrons > FEWEST) & (depth > 0.0) & (depth < ground[:, None])
    return depth[kept], np.nonzero(kept)[0], electrons[kept]


def photo_electrons(
    rng: np.random.Generator, primaries: Primaries, array: Array, source: Source, promising: np.ndarray
) -> Light:
    """Photo-electrons of the `promising` images (bool [showers, telescopes]), grouped by image."""
    cell, telescope = np.nonzero(promising[source.shower])
    image = source.shower[cell] * promising.shape[1] + telescope
    order = np.argsort(image, kind="stable")
    cell = cell[order]
    telescope = telescope[order]
    image = image[order]
    expected = source.expected[cell, telescope]
    weight = np.maximum(np.bincount(image, expected, promising.size) / LARGEST, 1.0)
    counts = rng.poisson(expected / weight[image])
    some = np.flatnonzero(counts)
    cell = cell[some]
    telescope = telescope[some]
    image = image[some]
    counts = counts[some]
    lat, lon, time, spread = _views(primaries, array, source, cell, telescope)

    number = int(counts.sum())
    along = rng.random(number, np.float32)
    around = rng.random(number, np.float32) * np.float32(2.0 * np.pi)
    beside = np.repeat(spread, counts) * distances()[rng.integers(0, 4096, number, np.uint16)]

    def each(ends: np.ndarray) -> np.ndarray:
        """Of each photo-electron, between the ends of its cell."""
        return np.repeat(ends[0], counts) + along * np.repeat(ends[1] - ends[0], counts)

    return Light(
        promising.size,
        np.repeat(image, counts),
        each(lat) + beside * np.cos(around),
        each(lon) + beside * np.sin(around),
        each(time),
        np.repeat(weight[image].astype(np.float32), counts),
    )


def _views(
    primaries: Primaries, array: Array, source: Source, cell: np.ndarray, telescope: np.ndarray
) -> tuple[np.ndarray, ...]:
    """The ends of cells [n] as seen by telescopes [n]: tangents towards altitude and azimuth, ns (f4 [2, n]), spread.

    The spread (f4 [n]) is the mean angle between electrons and their expected direction.
    """
    height = source.height[cell]
    shower = source.shower[cell]
    angle = source.angle[cell, telescope]
    far = source.far[cell, telescope]
    per_cm2 = 0.01 / atmosphere.density(height)  # m per g/cm2
    # electrons that shine to the telescope have gone some way from the axis to it
    beyond = np.maximum(1.0 - np.sqrt(2.0 * atmosphere.refractivity(height)) / angle, 0.0)
    shift = (beyond * (LEVER * RADIATION_LENGTH) * per_cm2 / far)[:, None]
    spread = emission(primaries.ground).distances(source.table_row[cell], angle) * (SPREAD * MOLIERE) * per_cm2 / far
    # of what is between, the light's own way is longer by the refraction
    vertical = (primaries.ground_depth[shower] - source.depth[cell]) * primaries.cosine[shower]
    slower = 1.0 + atmosphere.optical_delay(vertical) / (height - primaries.ground)
    towards = primaries.towards[shower] @ array.axes.T
    base = ((array.position[telescope] - primaries.feet[shower]) * primaries.towards[shower]).sum(1)
    middle = source.point[cell] - (array.position @ array.axes.T)[telescope]
    lat, lon, time = (np.empty((2, len(cell)), np.float32) for _ in range(3))
    for end, side in enumerate((-0.5, 0.5)):
        to = middle + side * source.step[cell]
        front = (to * towards).sum(1)
        to -= shift * (to - front[:, None] * towards)
        lat[end], lon[end] = to[:, 0] / to[:, 2], to[:, 1] / to[:, 2]
        time[end] = (np.sqrt((to**2).sum(1)) * slower - front - base) / atmosphere.LIGHT
    return lat, lon, time, spread.astype(np.float32)
