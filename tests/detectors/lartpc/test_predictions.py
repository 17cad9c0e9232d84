"""Predictions as larcv3 files."""

import numpy as np
import pytest

from airshower.data.pixels import FoundPixels
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents


def found(labels, scores=None):
    """The pixels that are not background, as a task hands them over."""
    plane, column, row = np.nonzero(labels.transpose(0, 2, 1))
    chosen = None if scores is None else scores[plane, :, row, column]
    return FoundPixels(plane, row, column, labels[plane, row, column], chosen)


PRODUCTS = {1: "airshower_cosmic", 2: "airshower_neutrino"}


@pytest.fixture(scope="module")
def predicted(sbnd_file, tmp_path_factory):
    """A file of predictions at downsample 2 for entries 3 and 0, and their (labels, scores)."""
    source = LartpcEvents(LartpcConfig(downsample=2), str(sbnd_file))
    path, rng, content = tmp_path_factory.mktemp("predictions") / "p.h5", np.random.default_rng(1), []
    with source.pixel_writer(path, {"made_by": "a test"}) as writer:
        for entry in (3, 0):
            labels = rng.choice(3, (3, 320, 512), p=[0.99, 0.008, 0.002]).astype(np.uint8)
            labels[1] = 0 if entry == 0 else labels[1]
            labels[0, 319, 0], labels[0, 0, 511] = 1, 2
            scores = rng.random((3, 3, 320, 512)).astype(np.float32)
            writer.append(entry, writer.pack(found(labels, scores)))
            content.append((labels, scores))
    return path, content, source


@pytest.mark.larcv
@pytest.mark.full
def test_larcv_finds_labels_and_scores_at_their_pixels(larcv, predicted):
    path, content, _ = predicted
    manager = larcv.IOManager()
    manager.add_in_file(str(path))
    manager.initialize()
    assert manager.get_n_entries() == 2
    for entry, (labels, scores) in enumerate(content):
        manager.read_entry(entry)
        tensors = manager.get_data("sparse2d", "airshower_label").as_vector()
        for plane, tensor in enumerate(tensors):
            assert np.array_equal(tensor.dense().T, labels[plane])
            for index, name in PRODUCTS.items():
                score = manager.get_data("sparse2d", name).as_vector()[plane]
                assert np.array_equal(score.dense().T, np.where(labels[plane] > 0, scores[plane, index], 0))
            meta = tensor.meta()
            assert meta.id() == plane
            assert [meta.number_of_voxels(axis) for axis in (0, 1)] == [512, 320]
    assert meta.coordinates(320 * 511 + 319) == [511, 319]


@pytest.mark.larcv
@pytest.mark.full
def test_larger_pixels_keep_the_extent(larcv, sbnd_file, predicted):
    metas = []
    for path, producer in ((sbnd_file, "sbndwire"), (predicted[0], "airshower_label")):
        manager = larcv.IOManager()
        manager.add_in_file(str(path))
        manager.initialize()
        manager.read_entry(0)
        tensors = manager.get_data("sparse2d", producer).as_vector()
        metas.append([larcv.ImageMeta2D(tensor.meta()) for tensor in tensors])
    for original, larger in zip(*metas, strict=True):
        for axis in (0, 1):
            assert larger.image_size(axis) == original.image_size(axis)
            assert larger.origin(axis) == original.origin(axis)
            assert larger.voxel_dimensions(axis) == 4 * original.voxel_dimensions(axis)
        # the centre of a large pixel lies in the middle of the 4 x 4 small ones
        corners = [original.position([c0, c1]) for c0, c1 in ((400, 800), (403, 803))]
        np.testing.assert_allclose(larger.position([100, 200]), np.mean(corners, 0))


def test_the_reader_reads_predictions(predicted):
    path, content, source = predicted
    file = LarcvFile(path)
    names = ["airshower_cosmic", "airshower_label", "airshower_neutrino"]
    assert file.products == [("sparse2d", name) for name in names]
    assert [list(row) for row in file.event_ids.tolist()] == source.event_ids[[3, 0]].tolist()
    table = file.images("airshower_label")
    assert table.shapes.tolist() == [[512, 320]] * 3
    for entry, (labels, _) in enumerate(content):
        raw = table.read(entry)
        assert raw.counts.tolist() == np.count_nonzero(labels, (1, 2)).tolist()
        assert raw.values.tolist() == np.concatenate([plane.T[plane.T > 0] for plane in labels]).tolist()
    assert file.file.attrs["made_by"] == "a test"


def test_labels_alone(sbnd_file, tmp_path):
    source = LartpcEvents(LartpcConfig(downsample=3), str(sbnd_file))
    with source.pixel_writer(tmp_path / "p.h5", {}) as writer:
        writer.append(2, writer.pack(found(np.zeros((3, 160, 256), np.uint8))))
    file = LarcvFile(tmp_path / "p.h5")
    assert file.products == [("sparse2d", "airshower_label")]
    assert file.images("airshower_label").read(0).counts.tolist() == [0, 0, 0]


def test_a_failure_leaves_no_predictions(sbnd_file, tmp_path):
    writer = LartpcEvents(LartpcConfig(downsample=3), str(sbnd_file)).pixel_writer(tmp_path / "p.h5", {})
    with pytest.raises(ValueError, match="lie in the image"), writer:
        writer.append(2, writer.pack(found(np.ones((3, 1280, 2048), np.uint8))))
    assert not list(tmp_path.iterdir())
