"""Wire images and labels of an event, and the dense images made of them."""

import math
import tempfile
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from airshower.data.containers import SparseImages
from airshower.data.dense import Densifier
from airshower.data.sites import SitePooler
from airshower.data.spec import SparseImagesSpec
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.wires import CLASSES, Products, WireFile
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import DataError
from airshower.runtime.log import logger

CPU = torch.device("cpu")
META = ImageMeta.unit((16, 12))


def test_the_real_file_is_read_as_it_is_stored(sbnd_file):
    file = WireFile(sbnd_file, Products("sbndwire", "sbnd_cosmicseg", "sbndneutrino"))
    assert (len(file), file.planes, file.shape) == (5, 3, (1280, 2048))
    assert file.event_ids.tolist() == [[-1, -1, -1]] * 5
    with h5py.File(sbnd_file) as stored:
        wires, labels = (stored[f"Data/sparse2d_{name}_group/voxels"][:] for name in ("sbndwire", "sbnd_cosmicseg"))
        counts = stored["Data/sparse2d_sbndwire_group/voxel_extents"]["N"].reshape(5, 3)
    events = [file.read(entry) for entry in (4, 3, 2, 1, 0)][::-1]
    assert np.array_equal([event.counts for event in events], counts)
    assert np.array_equal(np.concatenate([event.value for event in events]), wires["value"])
    assert np.array_equal(np.concatenate([event.label for event in events]), labels["value"])
    ids = np.concatenate([event.column.astype(np.uint64) * 1280 + event.row.astype(np.uint64) for event in events])
    assert np.array_equal(ids, wires["id"])


def write(path, wires, labels):
    """One event of these pixels {id: value} per plane."""

    def images(planes):
        return [(META, Voxels(np.array(sorted(p), np.uint64), [p[i] for i in sorted(p)])) for p in planes]

    with LarcvWriter(path) as writer:
        writer.append((0, 0, 0), {"wire": images(wires), "label": images(labels)})
    return WireFile(path, Products("wire", "label", ""))


def test_pixels_of_wires_and_labels_are_united(tmp_path):
    wires = [{3: 10.0, 14: 20.0}, {}, {191: 30.0}, {5: 6.0}]
    labels = [{14: 2, 25: 1}, {7: 1}, {}, {5: 2}]
    event = write(tmp_path / "a.h5", wires, labels).read(0)
    assert event.counts.tolist() == [3, 1, 1, 1]
    assert (event.column * 12 + event.row).tolist() == [3, 14, 25, 7, 191, 5]
    assert event.value.tolist() == [10, 20, 0, 0, 30, 6]
    assert event.label.tolist() == [0, 2, 1, 1, 0, 2]
    assert (event.value.dtype, event.label.dtype, event.row.dtype) == (np.float32, np.uint8, np.int32)


def test_equal_ids_that_belong_to_other_planes_are_not_taken_for_equal(tmp_path):
    event = write(tmp_path / "a.h5", [{3: 10.0}, {4: 20.0, 9: 30.0}], [{3: 1, 4: 2}, {9: 1}]).read(0)
    assert event.counts.tolist() == [2, 2]
    assert event.value.tolist() == [10, 0, 20, 30]
    assert event.label.tolist() == [1, 2, 0, 1]


def test_without_labels(wires):
    file = WireFile(wires, Products("wire", "", ""))
    assert file.read(0).label is None
    assert file.neutrinos() is None
    assert len(file.read(0).value) == len(WireFile(wires, Products("wire", "label", "nu")).read(0).value)


def test_planes_of_other_number_are_refused(tmp_path):
    with pytest.raises(DataError, match=r"a\.h5: sparse2d_label: has planes 0, 1, but sparse2d_wire has 0, 1, 2"):
        write(tmp_path / "a.h5", [{3: 1.0}] * 3, [{3: 1}] * 2)


def test_the_digest_is_of_what_is_read(tmp_path, write_wires, wires):
    def digest(path, *products):
        return WireFile(path, Products(*products)).digest

    same = write_wires(tmp_path / "same.h5")
    other = write_wires(tmp_path / "other.h5", seed=1)
    assert digest(wires, "wire", "label", "nu") == digest(wires, "wire", "label", "nu")
    assert digest(same, "wire", "label", "nu") == digest(wires, "wire", "label", "nu")
    different = [digest(other, "wire", "label", "nu")]
    different += [digest(wires, "wire", label, "nu") for label in ("label", "", "wire")]
    assert len(set(different)) == 4


def random_images(seed, events, planes=3, shape=(16, 24), labelled=True):
    """Random sparse images, one of them empty."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(0, shape[0] * shape[1], (events, planes))
    if counts.size:
        counts.flat[rng.integers(counts.size)] = 0
    ids = np.concatenate([rng.permutation(shape[0] * shape[1])[:n] for n in counts.flat] or [np.empty(0)]).astype("i4")
    value = rng.normal(50, 100, len(ids)).astype(np.float32)
    label = rng.integers(0, 3, len(ids)).astype(np.uint8) if labelled else None
    return SparseImages(ids // shape[1], ids % shape[1], value, label, counts, shape)


def plainly(images, downsample, log_transform=False):
    """What the Densifier does, in plain numpy."""
    events, planes = images.counts.shape
    size = 2**downsample
    image = np.zeros((events, planes, *images.shape))
    label = np.zeros((events, planes, *images.shape), np.uint8)
    index = np.repeat(np.arange(images.counts.size), images.counts.reshape(-1))
    image[index // planes, index % planes, images.row, images.column] = images.value
    if images.label is not None:
        label[index // planes, index % planes, images.row, images.column] = images.label
    blocks = (events, planes, images.shape[0] // size, size, images.shape[1] // size, size)
    image, label = image.reshape(blocks).sum((3, 5)) / 4**downsample, label.reshape(blocks).max((3, 5), initial=0)
    return np.sign(image) * np.log1p(np.abs(image)) if log_transform else image, label


def densifier(downsample, log_transform=False):
    return Densifier(SparseImagesSpec(2, (0, 0), downsample, CLASSES, log_transform))


def check(densify, images, downsample, log_transform=False):
    """Compare the Densifier with plain numpy."""
    pixels = densify(images.to(CPU))
    image, label = pixels.input, pixels.label
    expected_image, expected_label = plainly(images, downsample, log_transform)
    assert (image.dtype, tuple(image.shape)) == (torch.float32, expected_image.shape)
    np.testing.assert_allclose(image.numpy(), expected_image, rtol=2e-6, atol=1e-4)
    if images.label is None:
        assert label is None
    else:
        assert label.dtype == torch.uint8
        assert np.array_equal(label.numpy(), expected_label)


@pytest.mark.parametrize("log_transform", [False, True])
@pytest.mark.parametrize("downsample", [0, 1, 2, 3])
def test_dense_images(downsample, log_transform):
    densify = densifier(downsample, log_transform)
    for seed in range(3):
        check(densify, random_images(seed, 2), downsample, log_transform)


BIPOLAR = [(0, 0, -30.0), (1, 0, 30.0), (5, 3, -12.0), (9, 2, 8.0)]  # tick, wire, charge: two lobes in one block


def bipolar(tmp_path, **options):
    """Dense and sparse images of `BIPOLAR`, 12 ticks x 16 wires, as the network is given them."""
    content = sorted((wire * 12 + tick, value) for tick, wire, value in BIPOLAR)
    ids, values = (np.array(column) for column in zip(*content, strict=True))
    with LarcvWriter(tmp_path / "a.h5") as writer:
        label = (META, Voxels(ids, np.ones(len(ids))))
        writer.append((1, 1, 1), {"wire": [(META, Voxels(ids, values))], "label": [label]})
    names = {"image_producer": "wire", "label_producer": "label", "particle_producer": ""}
    source = LartpcEvents(LartpcConfig(**names, **options), str(tmp_path / "a.h5"))
    images = source.read(np.array([0])).to(CPU)["images"]
    dense, sparse = Densifier(source.spec["images"])(images), SitePooler(source.spec["images"])(images)
    assert torch.equal(sparse.event_images(torch.zeros(len(sparse.values), 3), 0)[0], dense.input[0])
    return dense.input[0, 0].numpy()


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize("charge", ["signed", "absolute"])
def test_charges_of_both_signs_reach_the_network(tmp_path, charge, log):
    image = bipolar(tmp_path, downsample=0, charge=charge, img_transform=log)
    expected = np.zeros((12, 16))
    for tick, wire, value in BIPOLAR:
        size = math.log(1 + abs(value)) if log else abs(value)
        expected[tick, wire] = size if charge == "absolute" or value > 0 else -size
    np.testing.assert_allclose(image, expected, rtol=1e-6)


@pytest.mark.parametrize("log", [False, True])
@pytest.mark.parametrize(("charge", "means"), [("signed", (0.0, -3.0, 2.0)), ("absolute", (15.0, 3.0, 2.0))])
def test_lobes_cancel_only_where_signs_are_kept(tmp_path, monkeypatch, charge, means, log):
    """Blocks of four pixels; the cancellation is told once."""
    told = []
    monkeypatch.setattr(logger, "warning", lambda text, *values: told.append(text % values))
    image = bipolar(tmp_path, downsample=1, charge=charge, img_transform=log)
    expected = np.zeros((6, 8))
    for (row, column), mean in zip([(0, 0), (2, 1), (4, 1)], means, strict=True):
        expected[row, column] = math.copysign(math.log(1 + abs(mean)), mean) if log else mean
    np.testing.assert_allclose(image, expected, rtol=1e-6)
    assert len(told) == (charge == "signed")
    assert all("data.downsample=1" in line and "data.charge=absolute" in line for line in told)


@pytest.mark.parametrize("downsample", [0, 2])
def test_buffers_are_used_again(downsample):
    densify = densifier(downsample)
    sequence = [
        random_images(1, 2),
        random_images(2, 2),
        random_images(3, 2, labelled=False),
        random_images(4, 2),
        random_images(5, 1),
        random_images(6, 0),
        random_images(7, 1),
        random_images(8, 1, shape=(8, 48)),
        random_images(9, 1, shape=(16, 24)),
        random_images(10, 1, planes=1, shape=(48, 24)),
    ]
    for images in sequence:
        check(densify, images, downsample)
    before = densify.image.data_ptr()
    check(densify, random_images(11, 1, planes=1, shape=(48, 24)), downsample)
    assert densify.image.data_ptr() == before


def test_an_event_without_pixels_clears_the_one_before():
    densify = densifier(1)
    full = random_images(1, 1)
    none = [array[:0] for array in (full.row, full.column, full.value, full.label)]
    for images in (full, SparseImages(*none, full.counts * 0, full.shape), full):
        check(densify, images, 1)


@pytest.mark.parametrize("downsample", [0, 1, 2, 3])
def test_dense_images_of_real_events(sbnd_file, downsample):
    source, densify = LartpcEvents(LartpcConfig(downsample=downsample), str(sbnd_file)), densifier(downsample)
    for entries in ([0], [4], [2]):
        check(densify, source.read(np.array(entries))["images"], downsample)


def test_images_know_which_image_a_pixel_belongs_to():
    images = random_images(1, 2)
    assert np.array_equal(np.bincount(images.image_index, minlength=6), images.counts.reshape(-1))
    assert images.image_index.dtype == np.int32


@st.composite
def sparse_events(draw):
    """Some events of the same number of planes of random sizes, with random pixels."""
    sizes = draw(st.lists(st.tuples(st.integers(1, 40), st.integers(1, 40)), min_size=1, max_size=3))
    finite = st.floats(width=32, allow_nan=False, allow_infinity=False)

    def image(size):
        ids = draw(hnp.arrays(bool, size[0] * size[1])).nonzero()[0]
        return ImageMeta.unit(size), Voxels(ids, ids.astype(np.float32) + draw(finite))

    return [[image(size) for size in sizes] for _ in range(draw(st.integers(1, 4)))]


@settings(max_examples=40, deadline=None)
@given(sparse_events())
def test_any_event_comes_back(events):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "a.h5"
        with LarcvWriter(path) as writer:
            for entry, event in enumerate(events):
                writer.append((entry, -entry, 2**62 + entry), {"any": event})
        file = LarcvFile(path)
        table = file.images("any")
        assert [tuple(ids) for ids in file.event_ids] == [(i, -i, 2**62 + i) for i in range(len(events))]
        for entry, event in enumerate(events):
            raw = table.read(entry)
            assert raw.counts.tolist() == [len(voxels.ids) for _, voxels in event]
            assert np.array_equal(raw.ids, np.concatenate([voxels.ids for _, voxels in event]))
            assert np.array_equal(raw.values, np.concatenate([voxels.values for _, voxels in event]))
        file.close()
