"""Directions in the two conventions, frames, offsets and separations."""

import numpy as np
import pytest
import torch

from airshower.geometry.separation import angular_separation
from airshower.geometry.sky import (
    altitude_azimuth,
    angles_of_east_north,
    angles_of_north_west_up,
    common_pointing,
    direction_at,
    east_north,
    north_west_up,
    pointing_frame,
    rising,
    seen_from,
    separation,
    tangent_offset,
    unit_vector,
    with_pointing,
)


def test_unit_vectors_point_north_west_up() -> None:
    direction = torch.tensor([[0.0, 0.0], [0.0, 1.5 * torch.pi], [torch.pi / 2, 1.0]])
    torch.testing.assert_close(unit_vector(direction), torch.eye(3), atol=1e-6, rtol=0)
    back = altitude_azimuth(5.0 * unit_vector(direction[:2].double())).float()
    torch.testing.assert_close(back, direction[:2], atol=1e-6, rtol=0)


def directions() -> np.ndarray:
    """Altitudes and azimuths all over the sky, [n, 2]."""
    generator = np.random.default_rng(4)
    return np.stack([generator.uniform(0.1, 1.5, 50), generator.uniform(0, 2 * np.pi, 50)], 1)


def test_arrays_and_tensors_have_one_convention() -> None:
    angles = directions()
    vectors = north_west_up(*angles.T).T
    np.testing.assert_allclose(unit_vector(torch.from_numpy(angles)).numpy(), vectors, atol=1e-15)
    np.testing.assert_allclose(np.stack(angles_of_north_west_up(vectors), 1), angles, atol=1e-12)
    for pointing in angles[:5]:
        tensor = with_pointing(rising(torch.from_numpy(pointing)))
        np.testing.assert_allclose(pointing_frame(*pointing), tensor.numpy(), atol=1e-14)


def test_frames_are_right_handed_and_point_to_where_angles_rise() -> None:
    step = 1e-6
    for alt, az in directions()[:10]:
        up, along, ahead = pointing_frame(alt, az)
        np.testing.assert_allclose(np.cross(up, along), ahead, atol=1e-14)
        np.testing.assert_allclose(north_west_up(alt + step, az) - ahead, step * up, atol=1e-11)
        np.testing.assert_allclose(north_west_up(alt, az + step) - ahead, step * np.cos(alt) * along, atol=1e-11)


def test_tanks_count_azimuths_from_east_to_north() -> None:
    """The same sky: north and east in both conventions."""
    alt, az = directions().T
    north, west, _ = north_west_up(alt, az)
    horizontal = east_north(np.pi / 2 - alt, np.pi / 2 - az)
    np.testing.assert_allclose(horizontal, np.stack([-west, north], 1), atol=1e-15)
    zenith, azimuth = angles_of_east_north(horizontal)
    np.testing.assert_allclose(zenith, np.pi / 2 - alt, atol=1e-12)
    np.testing.assert_allclose(azimuth % (2 * np.pi), (np.pi / 2 - az) % (2 * np.pi), atol=1e-12)
    assert angles_of_east_north(np.array([[0.0, 2.0]]))[0] == pytest.approx(np.pi / 2), "at the horizon"


def test_offsets_are_towards_rising_altitude_and_azimuth() -> None:
    pointing = torch.tensor([[0.5, 6.28]])
    degree = float(np.radians(1.0))
    up = tangent_offset(pointing + torch.tensor([[degree, 0.0]]), pointing)
    along = tangent_offset(pointing + torch.tensor([[0.0, degree]]), pointing)  # over the north
    torch.testing.assert_close(up, torch.tensor([[1.0, 0.0]]), atol=2e-4, rtol=0)
    assert along[0, 1] == pytest.approx(np.cos(0.5), abs=2e-4)
    assert direction_at(along, pointing)[0, 1] == pytest.approx(6.28 + degree - 2 * np.pi, abs=1e-6)
    seen = seen_from(pointing, pointing + torch.tensor([[degree, 0.0]]))
    torch.testing.assert_close(seen, torch.tensor([[np.sin(degree), 0.0, np.cos(degree)]], dtype=torch.float32))


def test_separations_of_vectors_are_those_of_angles() -> None:
    one, other = np.split(directions(), 2)
    expected = np.degrees(angular_separation(*one.T, *other.T))
    vectors = (unit_vector(torch.from_numpy(angles)) for angles in (one, other))
    np.testing.assert_allclose(separation(*vectors), expected, rtol=1e-12)


@pytest.mark.parametrize("angle", [1e-7, 1e-3, 1.0, 3.1])
def test_separation_is_exact(angle: float) -> None:
    assert angular_separation(0.0, 0.2, 0.0, 0.2 + angle) == pytest.approx(angle, rel=1e-8)
    assert angular_separation(np.pi / 2, 0.0, np.pi / 2 - angle, 2.0) == pytest.approx(angle, rel=1e-8)


def test_a_common_pointing_of_telescopes_that_point_alike_is_exact() -> None:
    ahead = unit_vector(torch.tensor([[1.2, 0.3]])).expand(7, 3)
    one, many = common_pointing(ahead[:1], torch.zeros(1, dtype=torch.int64), 1), torch.zeros(7, dtype=torch.int64)
    assert torch.equal(common_pointing(ahead, many, 1), one)
    assert not common_pointing(ahead, many, 2)[1].any()
