"""Neighbours of padded points, beside scipy's tree; ties on lattices; few points."""

import numpy as np
import pytest
import torch
from scipy.spatial import cKDTree

from airshower.geometry.tank_array import hawc_array
from airshower.networks.layers.neighbours import nearest, take, within


def padded(events: list[np.ndarray]) -> tuple[torch.Tensor, torch.Tensor]:
    most = max(1, *map(len, events))
    position = torch.zeros(len(events), most, events[0].shape[1])
    mask = torch.zeros(len(events), most, dtype=torch.bool)
    for row, points in enumerate(events):
        position[row, : len(points)] = torch.from_numpy(points)
        mask[row, : len(points)] = True
    return position, mask


@pytest.mark.parametrize("axes", [2, 3])
def test_distances_are_those_of_a_tree(axes: int) -> None:
    rng = np.random.default_rng(axes)
    events = [rng.uniform(-100, 100, (n, axes)).astype(np.float32) for n in (300, 7, 40)]
    position, mask = padded(events)
    index, valid = nearest(position, mask, 6)
    apart = (take(position, index) - position[:, :, None]).norm(dim=3)
    for row, points in enumerate(events):
        k = min(6, len(points) - 1)
        expected = cKDTree(points).query(points, k + 1)[0][:, 1:]
        assert valid[row, : len(points)].sum(1).unique().tolist() == [k]
        assert np.allclose(apart[row, : len(points), :k], expected, atol=2e-3)
        assert not valid[row, len(points) :].any()


def test_ties_are_broken_by_coordinates_whatever_the_order_of_points() -> None:
    lattice = np.stack(np.meshgrid(np.arange(9) * 7.905, np.arange(9) * 7.905, indexing="ij"), -1).reshape(-1, 2)
    lattice = lattice.astype(np.float32) + np.float32(137.3)
    order = np.random.default_rng(1).permutation(len(lattice))
    found = []
    for points in (lattice, lattice[order]):
        position, mask = padded([points])
        index, valid = nearest(position, mask, 6)
        assert valid.all()
        found.append(take(position, index)[0])
    assert torch.equal(found[0][order], found[1])
    middle = 4 * 9 + 4
    apart = np.abs(found[0][middle].numpy() - lattice[middle]).max(1)
    assert np.allclose(apart, 7.905, atol=1e-4)  # four beside it, and two of the four diagonal ones
    assert np.allclose(found[0][middle, 4:, 0], lattice[middle, 0] - 7.905, atol=1e-4)  # those of the smaller x


def test_few_points() -> None:
    position, mask = padded([np.zeros((0, 2), np.float32), np.zeros((1, 2), np.float32), np.eye(2, dtype=np.float32)])
    index, valid = nearest(position, mask, 4)
    assert valid.sum((1, 2)).tolist() == [0, 0, 2]
    assert index[2, :, 0].tolist() == [1, 0]


def test_a_radius_includes_its_edge() -> None:
    position, mask = padded([np.array([[0.0, 0.0], [3.0, 4.0], [6.0, 8.0]], np.float32)])
    index, valid = within(position, mask, 5.0, 3)
    assert valid[0].sum(1).tolist() == [1, 2, 1]
    assert index[0, 1, :2].tolist() == [0, 2]


def test_features_are_compared_in_place_of_positions() -> None:
    position, mask = padded([hawc_array().position[:50, :2].astype(np.float32)])
    features = torch.zeros(1, 50, 3)
    features[0, :25, 0] = 1.0
    index, valid = nearest(features, mask, 24, position)
    assert valid.all()
    assert (index[0, :25] < 25).all()
    assert (index[0, 25:] >= 25).all()
