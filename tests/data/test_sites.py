"""Sites against dense images: the same pixels, labels, counts and predictions."""

import numpy as np
import pytest
import torch
from torch import Tensor

from airshower.data.containers import SparseImages
from airshower.data.dense import DensePixels, Densifier
from airshower.data.sites import SitePixels, SitePooler
from airshower.data.spec import SparseImagesSpec

PLANES, SHAPE = 3, (16, 24)


def images(events: int, seed: int = 0, labelled: bool = True) -> SparseImages:
    """Pixels of random images, one of them empty, the corners of another filled."""
    rng = np.random.default_rng(seed)
    pixels = [rng.permutation(SHAPE[0] * SHAPE[1])[: rng.integers(1, 60)] for _ in range(events * PLANES)]
    if pixels:
        pixels[0], pixels[-1] = pixels[0][:0], np.array([0, SHAPE[1] - 1, SHAPE[0] * SHAPE[1] - 1])
    counts = np.array([len(p) for p in pixels], np.int64).reshape(events, PLANES)
    index = np.concatenate([*pixels, []]).astype(np.int32)
    label = rng.integers(0, 3, len(index)).astype(np.uint8) if labelled else None
    value = rng.normal(20, 30, len(index)).astype(np.float32)
    given = SparseImages(index // SHAPE[1], index % SHAPE[1], value, label, counts, SHAPE)
    return given.to(torch.device("cpu"))


def both(downsample: int, events: int = 2, log: bool = False, **more: object) -> tuple[DensePixels, SitePixels]:
    spec, given = SparseImagesSpec(PLANES, SHAPE, downsample, ("a", "b", "c"), log), images(events, **more)
    return Densifier(spec)(given), SitePooler(spec)(given)


def spread(sites: SitePixels, values: Tensor, empty: float = 0.0) -> Tensor:
    """Values of sites as dense images [events, planes, ..., rows, columns]."""
    where = sites.input
    full = values.new_full((where.events * PLANES, *values.shape[1:], *where.shape), empty)
    full[where.image, ..., where.row, where.column] = values
    return full.unflatten(0, (where.events, PLANES))


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("downsample", [0, 1, 2, 3])
@pytest.mark.parametrize("events", [0, 1, 2])
def test_sites_are_the_pixels_that_the_densifier_fills(downsample: int, events: int, log: bool) -> None:
    for seed in range(3):
        dense, sites = both(downsample, events, log, seed=seed)
        torch.testing.assert_close(spread(sites, sites.values), dense.input)
        assert torch.equal(spread(sites, sites.label), dense.label)
        where = sites.input
        key = (where.image * where.shape[1] + where.column) * where.shape[0] + where.row
        assert (key[1:] > key[:-1]).all()
        assert len(key) <= int(images(events, seed).counts.sum())


@pytest.mark.parametrize("downsample", [0, 2])
def test_counts_and_predictions_are_those_of_dense_images(downsample: int) -> None:
    """Where pixels without a site are predicted to be background."""
    dense, sites = both(downsample)
    logits = torch.randn(len(sites.values), 3, generator=torch.Generator().manual_seed(0))
    full = spread(sites, logits)
    active = spread(sites, torch.ones(len(logits))).bool()
    full[:, :, 0][~active] = 9.0
    assert torch.equal(sites.confusion(logits), dense.confusion(full))
    for one, other in zip(sites.found(logits), dense.found(full), strict=True):
        assert torch.equal(one, other)
    for event in range(2):
        for one, other in zip(sites.event_images(logits, event), dense.event_images(full, event), strict=True):
            torch.testing.assert_close(one, other)


def test_sums_by_plane_and_counts_are_those_over_the_sites() -> None:
    dense, sites = both(1)
    active = spread(sites, torch.ones(len(sites.values))).bool()
    expected = (dense.input * active).sum((0, 2, 3))
    torch.testing.assert_close(sites.sum_by_plane(sites.values), expected)
    counts = [[int(((dense.label == c) & active)[:, p].sum()) for c in range(3)] for p in range(PLANES)]
    assert sites.class_counts(3).tolist() == counts
    assert sites.class_counts(3).sum() == len(sites.values)
    plane, target = sites.plane, sites.target
    table = torch.rand(PLANES, 3)
    other = spread(sites, table[plane, target])
    wanted = table[torch.arange(PLANES)[None, :, None, None], dense.label.long()] * active
    torch.testing.assert_close(other, wanted)


def test_without_truth_there_are_no_labels() -> None:
    dense, sites = both(1, labelled=False)
    assert dense.label is None
    assert sites.label is None
    assert sites.event_images(torch.zeros(len(sites.values), 3), 0)[1] is None
