"""Changes of events to train on: mirrors against the geometry of the chamber, and what each change depends on."""

import dataclasses
from itertools import pairwise

import numpy as np
import pytest

from airshower.data.containers import SparseImages
from airshower.detectors.lartpc.augmentation import Augmentation, AugmentationConfig
from airshower.detectors.lartpc.larcv.wires import CLASSES
from airshower.errors import UserError
from airshower.geometry.wire_planes import Geometry

GEOMETRY = Geometry()
SHAPE = (GEOMETRY.full_size[1], GEOMETRY.full_size[0])  # ticks, wires
MIRRORS = {"mirror_drift": [-1, 1, 1], "mirror_height": [1, -1, 1], "mirror_beam": [1, 1, -1]}
ENTRIES = np.arange(40)


def seen(positions: np.ndarray) -> np.ndarray:
    """Row and column of points [n, 3] (cm) in each plane [n, 3, 2]."""
    x, y, z = positions.T
    rows = GEOMETRY.rows(x, np.full(len(x), GEOMETRY.time_zero))
    return np.stack([np.stack([rows, GEOMETRY.columns(y, z, plane)], 1) for plane in range(3)], 1)


def images(pixels: np.ndarray, label: int = 2) -> SparseImages:
    """One pixel in each plane, at [n, 3, 2]."""
    row, column = pixels.reshape(-1, 2).astype(np.int32).T
    ones = np.ones(len(row))
    counts = np.ones(pixels.shape[:2], np.int64)
    return SparseImages(row, column, ones.astype(np.float32), (label * ones).astype(np.uint8), counts, SHAPE)


def augmentation(**config) -> Augmentation:
    return Augmentation(AugmentationConfig(**config), 3, SHAPE, seed=5)


@pytest.mark.parametrize("mirror", MIRRORS)
def test_mirrors_are_those_of_the_chamber(mirror: str) -> None:
    """Half of the events are seen as the mirrored chamber would show them, the others as they are."""
    centre = np.array([0.0, 0.0, 0.5 * GEOMETRY.length])
    offset = np.random.default_rng(0).uniform(-1, 1, (len(ENTRIES), 3)) * [180.0, 180.0, 240.0]
    as_is, mirrored = seen(centre + offset), seen(centre + offset * MIRRORS[mirror])
    changed = augmentation(**{mirror: True})
    vertices = changed.vertices(as_is, ENTRIES, epoch=0)
    turned = np.abs(vertices - mirrored).max((1, 2)) < 1e-9
    np.testing.assert_allclose(vertices[~turned], as_is[~turned])
    assert 10 < turned.sum() < 30
    pixels = changed.images(images(as_is), ENTRIES, epoch=0)
    expected = np.floor(vertices).reshape(-1, 2)
    np.testing.assert_array_equal(np.stack([pixels.row, pixels.column], 1), expected)


def example() -> SparseImages:
    """40 events of 3 planes with 300 pixels in all each, few of them neutrino's."""
    rng = np.random.default_rng(1)
    counts = rng.multinomial(300, [0.5, 0.0, 0.5], len(ENTRIES))
    counts[3] = 0
    total = counts.sum()
    label = rng.choice(3, total, p=[0.5, 0.4, 0.1]).astype(np.uint8)
    row, column = (rng.integers(0, size, total, np.int32) for size in SHAPE)
    return SparseImages(row, column, rng.random(total, np.float32) * 50 + 5, label, counts, SHAPE)


ALL = {
    **dict.fromkeys(MIRRORS, True), "charge": 0.1, "noise": 1.0, "dropped_wires": 0.1, "windowed": 0.5,
    "window": [300, 500],
}  # fmt: skip


def equal(one: SparseImages, other: SparseImages) -> bool:
    return all(
        np.array_equal(getattr(one, field.name), getattr(other, field.name)) for field in dataclasses.fields(one)
    )


def test_a_change_depends_on_seed_epoch_and_entry_alone() -> None:
    changed = augmentation(**ALL)
    whole = changed.images(example(), ENTRIES, epoch=2)
    for cut in ([0, 7, 7, 40], [0, 1, 2, 40]):
        parts = [
            changed.images(example().taken(ENTRIES[low:high]), ENTRIES[low:high], epoch=2)
            for low, high in pairwise(cut)
        ]
        assert equal(SparseImages.joined(parts, [len(part.counts) for part in parts]), whole)
    order = np.random.default_rng(0).permutation(ENTRIES)
    assert equal(changed.images(example().taken(order), order, epoch=2), whole.taken(order))
    assert not equal(changed.images(example(), ENTRIES, epoch=3), whole)
    assert not equal(Augmentation(AugmentationConfig(**ALL), 3, SHAPE, seed=6).images(example(), ENTRIES, 2), whole)


def test_charges_noise_and_dead_wires() -> None:
    before = example()
    scaled = augmentation(charge=0.2).images(before, ENTRIES, 0)
    event = before.image_index // 3
    factor = np.array([np.unique((scaled.value / before.value)[event == i].round(5)) for i in ENTRIES if i != 3])
    assert factor.shape[1] == 1, "one factor an event"
    assert np.log(factor).std() == pytest.approx(0.2, rel=0.4)
    noise = augmentation(noise=2.0).images(before, ENTRIES, 0).value - before.value
    assert noise.std() == pytest.approx(2.0, rel=0.05)
    left = augmentation(dropped_wires=0.3).images(before, ENTRIES, 0)
    assert len(left.row) == pytest.approx(0.7 * len(before.row), rel=0.05)
    wires = [set(zip(of.image_index, of.column, strict=True)) for of in (before, left)]
    kept = [pixel in wires[1] for pixel in zip(before.image_index, before.column, strict=True)]
    assert sum(kept) == len(left.row), "a wire is dead at all times or at none"


def test_windows_hold_the_neutrino_and_share_their_time() -> None:
    before = example()
    windowed = augmentation(windowed=1.0, window=[300, 500]).images(before, ENTRIES, 0)
    assert 0.02 < len(windowed.row) / len(before.row) < 0.15
    event = windowed.image_index // 3
    for entry in ENTRIES[ENTRIES != 3]:
        rows = windowed.row[event == entry]
        assert np.ptp(rows) < 300
        assert (windowed.label[event == entry] == CLASSES.index("neutrino")).any()
        for plane in (0, 2):
            columns = windowed.column[windowed.image_index == 3 * entry + plane]
            assert not len(columns) or np.ptp(columns) < 500
    assert windowed.counts[3].sum() == 0


def test_what_does_not_fit_is_refused() -> None:
    with pytest.raises(UserError, match="mirror_height"):
        Augmentation(AugmentationConfig(mirror_height=True), 2, SHAPE, 1)
    with pytest.raises(UserError, match=r"data.augmentation.window=\[3\]"):
        Augmentation(AugmentationConfig(window=[3]), 3, SHAPE, 1)
    assert not Augmentation(AugmentationConfig(window=[3, 3]), 3, SHAPE, 1).changes
