"""Pixels of telescopes as points: which ones, where they look, and what they are given."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

import airshower
from airshower.data.containers import CameraImages, TelescopeImages
from airshower.data.truth import Frame
from airshower.detectors.cta.points import POINT_FEATURES, TelescopePoints
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError, UserError
from airshower.geometry.image_parameters import PICTURE, SkyPixels, clean
from airshower.geometry.sky import direction_at, pointing_frame
from tests.detectors.cta.small_dl1 import write_dl1
from tests.networks.telescopes.arrays import ARRAY

NAMES = list(POINT_FEATURES)
ZENITH_20 = np.array([1.2217, 3.0])  # rad
FIRST = SkyPixels(ARRAY.cameras[0], 28.0)


def images(events: list[int], telescopes: list[int], camera: int = 0) -> TelescopeImages:
    """Bright images, of which cleaning kept the pixels 3, 4 and, with a charge of 0, 5."""
    count, pixels = len(events), len(ARRAY.cameras[camera])
    charge = np.full((count, pixels), 30.0, np.float32)
    charge[:, 5] = 0.0
    kept = np.zeros((count, pixels), bool)
    kept[:, 3:6] = True
    time = np.tile(np.arange(pixels, dtype=np.float32), (count, 1))
    pointing = np.tile(ZENITH_20.astype(np.float32), (count, 1))
    return TelescopeImages(charge, time, kept, np.array(events, int), np.array(telescopes, int), pointing)


def frame(events: int) -> Frame:
    return Frame(np.tile(ZENITH_20.astype(np.float32), (events, 1)), np.tile([[100.0, 10.0]], (events, 1)))


def nowhere(event: int, telescope: int) -> str:
    return f"event {event}, telescope {telescope}"


def test_pixels_that_cleaning_kept_have_the_numbers_of_their_telescope() -> None:
    """Events 0 and 2 have images, event 1 has none: positions by hand, angles as tangents in deg."""
    first, second = images([0, 2], [1, 3]), images([0], [4], camera=1)
    made = TelescopePoints(ARRAY, NAMES)
    points = made.of(CameraImages((first, second)), frame(3), 3, nowhere)
    assert points.counts.tolist() == [4, 0, 2]
    values = made.spec.physical(points.features)
    np.testing.assert_allclose(values["charge"], 30.0, rtol=1e-5)
    np.testing.assert_allclose(values["time"], [3, 4] * 3, atol=1e-4)
    np.testing.assert_allclose(values["telescope_x"], np.repeat([60.0 - 100, 240.0 - 100, 180.0 - 100], 2), atol=1e-3)
    np.testing.assert_allclose(values["telescope_y"], np.repeat([80.0 - 10, 260.0 - 10, 200.0 - 10], 2), atol=1e-3)
    assert np.rint(values["kind"]).astype(int).tolist() == [0, 0, 2, 2, 1, 1]
    for rows, camera, focal in ((slice(0, 2), 0, 28.0), (slice(2, 4), 1, 2.0), (slice(4, 6), 0, 16.0)):
        of = ARRAY.cameras[camera]
        expected = np.degrees(np.stack([of.x[3:5], of.y[3:5]], 1) / focal)
        np.testing.assert_allclose(points.position[rows], expected, atol=1e-5)


def test_telescopes_that_point_apart_see_the_same_sky() -> None:
    """Directions from a position in the common frame are those from the pixel's place in the telescope's own view."""
    apart = images([0, 0], [0, 1])
    own = np.array([[1.20, 3.0], [1.25, 3.1]], np.float32)
    made = TelescopePoints(ARRAY, NAMES).of(
        CameraImages((replace(apart, pointing=own), images([], [], camera=1))), frame(1), 1, nowhere
    )
    axis = torch.from_numpy(np.tile(ZENITH_20.astype(np.float32), (4, 1)))
    found = direction_at(torch.from_numpy(made.position), axis).numpy()
    for image, pixel, direction in zip((0, 0, 1, 1), (3, 4, 3, 4), found, strict=True):
        tangent = np.array([FIRST.geometry.x[pixel] / 28.0, FIRST.geometry.y[pixel] / 28.0, 1.0])
        ray = tangent @ pointing_frame(*own[image].astype(float))
        north, west, up = ray / np.linalg.norm(ray)
        expected = np.arcsin(up), np.arctan2(-west, north) % (2 * np.pi)
        np.testing.assert_allclose(direction, expected, atol=1e-7)


def test_files_without_cleaning_get_tail_cuts() -> None:
    raw = images([0], [0])
    raw.charge[:] = 1.0
    neighbours = [7, *FIRST.neighbours[7][FIRST.neighbours[7] >= 0]]
    raw.charge[0, neighbours] = PICTURE + 1.0
    made = TelescopePoints(ARRAY, NAMES)
    points = made.of(CameraImages((replace(raw, clean=None), images([], [], camera=1))), frame(2), 2, nowhere)
    assert points.counts.tolist() == [clean(FIRST, raw.charge).sum(), 0]
    assert set(made.spec.physical(points.features)["time"].round().astype(int)) == set(neighbours)


def test_what_can_not_be_given_is_refused() -> None:
    for names, says in (
        (["charge", "central"], "there is no central; there are charge, time"),
        (["kind"] * 2, "twice"),
    ):
        with pytest.raises(UserError, match=rf"^data\.features: .*{says}"):
            TelescopePoints(ARRAY, names)
    untimed = images([0, 1], [0, 2])
    untimed.time[1, 4] = np.nan
    batch = CameraImages((untimed, images([], [], camera=1)))
    with pytest.raises(DataError, match=r"^event 1, telescope 2: a pixel that cleaning kept has no peak time; leave"):
        TelescopePoints(ARRAY, NAMES).of(batch, frame(2), 2, nowhere)
    assert TelescopePoints(ARRAY, ["charge"]).of(batch, frame(2), 2, nowhere).counts.tolist() == [2, 2]


@pytest.mark.parametrize("mode", ["mono", "stereo"])
def test_batches_have_points_beside_images(tmp_path: Path, mode: str) -> None:
    types = ["LST"] if mode == "mono" else []
    config = CtaConfig(mode=mode, telescope_types=types, features=NAMES)
    source = CtaEvents(config, write_dl1(tmp_path / "a.dl1.h5"))
    batch = source.read(np.arange(len(source)))
    kinds = batch["images"].cameras
    assert batch["points"].counts.sum() == sum(int((kind.clean & (kind.charge > 0)).sum()) for kind in kinds) > 0
    if mode == "mono":  # cores are learned relative to the telescope
        values = source.spec["points"].physical(batch["points"].features)
        assert np.abs(values["telescope_x"]).max() < 1e-3
    shuffled = np.random.default_rng(1).permutation(len(source))
    again = source.read(shuffled)["points"]
    expected = batch["points"].taken(shuffled)
    np.testing.assert_array_equal(again.position, expected.position)
    np.testing.assert_array_equal(again.features, expected.features)
    assert "points" not in CtaEvents(replace(config, features=[]), write_dl1(tmp_path / "b.dl1.h5")).spec.inputs


def test_a_file_of_ctapipe_becomes_a_file_of_points(sample_file: Callable[[str], Path], tmp_path: Path) -> None:
    """What is read back is the same to the bit, in degrees, with the pointing as the axis of the frame."""
    events = airshower.open(sample_file("cta/gamma_prod4_sst1m.dl1.h5"), mode="stereo", features=NAMES)
    events.to_points(tmp_path / "points.h5")
    back = airshower.open(tmp_path / "points.h5")
    assert len(back) == len(events)
    assert (back.spec["points"].unit, back.spec["points"].axes) == ("deg", ("altitude", "azimuth"))
    one, other = (each.read(np.arange(len(each))) for each in (events, back))
    for name in ("position", "features", "counts"):
        np.testing.assert_array_equal(getattr(one["points"], name), getattr(other["points"], name))
    for name in ("axis", "origin"):
        np.testing.assert_array_equal(getattr(one.frame, name), getattr(other.frame, name))
    np.testing.assert_array_equal(one.truth.get("core")["core"], other.truth.get("core")["core"])
    assert np.abs(one["points"].position).max() < 5.0
    assert back.display(0).axes[0].get_xlabel() == "offset in altitude (deg)"
