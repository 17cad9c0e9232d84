"""Arrays in memory as a source: the same batches as from files, and other shapes refused."""

import numpy as np
import pytest

import airshower as library
from airshower.data.arrays import ArraySource
from airshower.data.batch import Batch
from airshower.data.containers import CameraImages, Images, SparseImages
from airshower.data.spec import Spec
from airshower.detectors.hawc.simulated import SimulatedHawc
from airshower.errors import UserError
from tests.samples import simulated


def assert_same(one: object, other: object) -> None:
    """Containers whose arrays are equal, bit by bit."""
    assert type(one) is type(other)
    for name, value in vars(one).items():
        if isinstance(value, tuple) and value and not isinstance(value[0], int):
            for mine, theirs in zip(value, getattr(other, name), strict=True):
                assert_same(mine, theirs)
        elif value is not None and name != "label":
            np.testing.assert_array_equal(value, getattr(other, name), err_msg=name)


def test_wires() -> None:
    events = library.open(simulated(3), downsample=0)
    images: SparseImages = events.read([0, 1, 2])["images"]
    dense = np.zeros((3, 3, *images.shape), np.float32)
    event, plane = np.divmod(images.image_index, 3)
    dense[event, plane, images.row, images.column] = images.value
    source = ArraySource(events.spec, {"images": dense})
    assert_same(source.read(np.array([2, 0]))["images"], events.read([2, 0])["images"])
    assert source.read(np.array([1])).truth is None


def test_tanks() -> None:
    config = SimulatedHawc.Config(events=5, channels=["charge", "time"])
    selection = SimulatedHawc(config, 0).everything()
    batch = selection.source.read(selection.entries)
    spec = selection.source.spec
    physical = np.zeros(batch["images"].values.shape)
    hits = spec["images"].hits(batch["images"].values)
    row, column = spec["images"].cell[hits.grid_id - 1].T
    for channel, values in enumerate(hits.values):
        physical[hits.event, channel, row, column] = values
    tables = {name: spec[name].physical(batch[name].values) for name in ("parameters", "conditions")}
    source = ArraySource(spec, {"images": physical, **tables, "frame": {"axis": [1.5, 0.0], "origin": [30.0, 245.0]}})
    read = source.read(np.arange(len(source)))
    images: Images = read["images"]
    np.testing.assert_allclose(images.values, batch["images"].values, atol=1e-6)
    assert ((images.values > 0) == (batch["images"].values > 0)).all()
    np.testing.assert_allclose(read["parameters"].values, batch["parameters"].values, rtol=1e-5, atol=1e-5)
    assert read.frame is not None
    assert read.frame.origin.tolist() == [[30.0, 245.0]] * len(source)


def mono() -> tuple[Spec, Batch, CameraImages]:
    options = {"events": 6, "mode": "mono", "telescope_types": ["MST"], "simulation": {"lsts": 1, "msts": 2}}
    events = library.open(data="cta_simulated", **options)
    batch = events.read(range(len(events)))
    return events.spec, batch, batch["images"]


def test_images_of_single_telescopes() -> None:
    spec, batch, images = mono()
    (camera,) = images.cameras
    arrays = {"charge": camera.charge, "time": camera.time, "clean": camera.clean, "pointing": camera.pointing}
    arrays["telescope"] = spec["images"].telescope_ids[camera.telescope]
    source = ArraySource(spec, {"images": arrays})
    read = source.read(batch.entries)
    assert_same(read["images"], images)
    assert_same(read.frame, batch.frame)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"charge": np.zeros((2, 7))}, "has 7 pixels"),
        ({"time": np.zeros((2, 7))}, "images.time"),
        ({"telescope": [77, 77]}, "telescope=77"),
    ],
)
def test_arrays_of_another_shape_are_refused(change: dict, says: str) -> None:
    spec, _, images = mono()
    (camera,) = images.cameras
    ids = spec["images"].telescope_ids[camera.telescope[:2]]
    arrays = {"charge": camera.charge[:2], "time": camera.time[:2], "telescope": ids, **change}
    with pytest.raises(UserError, match=says):
        ArraySource(spec, {"images": arrays})


def test_other_containers_are_refused() -> None:
    spec = library.open(simulated(3), downsample=0).spec
    with pytest.raises(UserError, match="the network takes images"):
        ArraySource(spec, {"image": np.zeros((1, 3, 96, 128))})
    with pytest.raises(UserError, match=r"should be \[events, 3, 96, 128\]"):
        ArraySource(spec, {"images": np.zeros((1, 2, 96, 128))})
