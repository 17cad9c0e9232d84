"""Channels of batches: what values and events they have, by hand, for each shape of container."""

from dataclasses import replace

import numpy as np
import pytest

from airshower.data.batch import Batch
from airshower.data.channels import Channel, channels
from airshower.data.containers import CameraImages, Images, SparseImages, Table, TelescopeImages
from airshower.data.quantity import Quantity
from airshower.data.spec import CameraImagesSpec, ImagesSpec, SparseImagesSpec, Spec, TableSpec
from airshower.data.truth import Frame
from airshower.geometry.camera import CameraGeometry

CHARGE = Quantity("charge", "p.e.", 0.0, np.log(1e4), logarithmic=True)
TIME = Quantity("time", "ns", -100.0, 300.0)


def found(spec: object, container: object, events: int, frame: Frame | None = None) -> dict[str, Channel]:
    """The channels of a batch with one container, by name."""
    batch = Batch({"x": container}, np.arange(events), np.zeros((events, 3), np.int64), frame=frame)
    return {channel.name: channel for channel in channels(Spec({"x": spec}), batch)}


def values(channel: Channel) -> list[float]:
    return np.asarray(channel.values, np.float64).round(6).tolist()


def test_wire_images_plane_by_plane() -> None:
    images = SparseImages(
        np.zeros(5, np.int32), np.zeros(5, np.int32), np.array([1.0, -2.0, 4.0, 8.0, 16.0], np.float32),
        np.array([0, 1, 1, 2, 2], np.uint8), np.array([[2, 0], [0, 0], [1, 2]]), (4, 5),
    )  # fmt: skip
    spec = SparseImagesSpec(2, (4, 5), 0, ("background", "cosmic", "neutrino"), unit="ADC")
    of = found(spec, images, 3)
    assert values(of["charge, plane 0"]) == [1, -2, 4]
    assert of["charge, plane 0"].event.tolist() == [0, 0, 2]
    assert of["charge, plane 1"].event.tolist() == [2, 2]
    assert of["charge, plane 1"].unit == "ADC"
    assert of["class of pixels"].names == spec.classes
    assert values(of["class of pixels"]) == [0, 1, 1, 2, 2]
    assert values(of["non-empty pixels"]) == [2, 0, 3]
    assert of["non-empty pixels"].count
    assert values(of["share of non-empty pixels"]) == [5, 0, 7.5]
    assert values(of["charge of an event"]) == [-1, 0, 28]
    assert "class of pixels" not in found(spec, replace(images, label=None), 3)


@pytest.mark.parametrize("cleaned", [True, False])
def test_telescopes_camera_by_camera(cleaned: bool) -> None:
    def kind(charge: list[list[float]], event: list[int]) -> TelescopeImages:
        array = np.array(charge, np.float32).reshape(len(event), -1)
        clean = array > 2 if cleaned else None
        return TelescopeImages(array, 10 * array, clean, np.array(event), np.zeros(len(event), int), np.zeros(2))

    cameras = tuple(CameraGeometry(name, *np.zeros((3, pixels)), "hexagon") for name, pixels in (("A", 3), ("B", 2)))
    nothing = np.zeros(0)
    spec = CameraImagesSpec("stereo", cameras, nothing, (), nothing, nothing, nothing)
    images = CameraImages((kind([[1, 5, 0], [3, 4, 9]], [0, 2]), kind([[7, 0]], [2])))
    of = found(spec, images, 3)
    assert values(of["charge, A"]) == [1, 5, 0, 3, 4, 9]
    assert of["charge, A"].event.tolist() == [0, 0, 0, 2, 2, 2]
    assert values(of["time, A"]) == ([50, 30, 40, 90] if cleaned else [10, 50, 30, 40, 90])
    assert values(of["time, B"]) == [70]
    assert values(of["images of an event"]) == [1, 0, 2]
    name = "pixels that cleaning kept" if cleaned else "non-empty pixels"
    assert values(of[name]) == ([1, 0, 4] if cleaned else [2, 0, 4])
    assert values(of[f"share of {name}"]) == ([33.333333, 0, 80] if cleaned else [66.666667, 0, 80])
    assert values(of["charge of an event"]) == ([5, 0, 23] if cleaned else [6, 0, 23])
    mono = found(replace(spec, mode="mono"), images, 3)
    assert "images of an event" not in mono


def test_images_of_an_array_hit_by_hit() -> None:
    spec = ImagesSpec((CHARGE, TIME), np.zeros((2, 3)), np.array([[0, 0], [0, 1]]), np.array([[0, 1], [-1, -1]]))
    images = np.zeros((2, 2, 2, 2), np.float32)
    for event, cell, charge, time in ((0, 0, 10.0, -50.0), (0, 1, 100.0, 20.0)):
        images[event, :, 0, cell] = CHARGE.scaled(np.array(charge)), TIME.scaled(np.array(time))
    of = found(spec, Images(images), 2)
    np.testing.assert_allclose(of["charge of hits"].values, [10, 100], rtol=1e-5)
    np.testing.assert_allclose(of["time of hits"].values, [-50, 20], rtol=1e-4)
    assert of["charge of hits"].event.tolist() == [0, 0]
    assert (of["charge of hits"].log, of["time of hits"].log) == (True, False)
    assert values(of["hits"]) == [2, 0]
    assert values(of["share of PMTs with a hit"]) == [100, 0]
    np.testing.assert_allclose(of["charge of an event"].values, [110, 0], rtol=1e-5)


def test_tables_have_the_values_of_files() -> None:
    """Also of a logarithm in steps, which scaling rounds."""
    hits = Quantity("hits", "", 4.7, 0.8, logarithmic=True, step=1.0)
    primary = Quantity("primary", "", 0.5, 0.5, names=("gamma", "proton"))
    table = Table(np.stack([hits.scaled(np.array([35.0, 1110.0])), primary.scaled(np.array([0.0, 1.0]))], 1))
    of = found(TableSpec((hits, primary)), table, 2)
    assert of["hits"].values.tolist() == [35, 1110]
    assert of["primary"].names == ("gamma", "proton")
    assert of["primary"].values.tolist() == [0, 1]


def test_the_frame_in_degrees_and_metres() -> None:
    frame = Frame(np.array([[np.pi / 2, np.pi]], np.float32), np.array([[3.0, -4.0]], np.float32))
    of = found(TableSpec(()), Table(np.zeros((1, 0), np.float32)), 1, frame)
    expected = {"altitude of the axis": 90, "azimuth of the axis": 180, "x of the origin": 3, "y of the origin": -4}
    assert {name: round(values(channel)[0], 4) for name, channel in of.items()} == expected
    whole_sky = found(TableSpec(()), Table(np.zeros((1, 0), np.float32)), 1, replace(frame, axis=None))
    assert list(whole_sky) == ["x of the origin", "y of the origin"]
