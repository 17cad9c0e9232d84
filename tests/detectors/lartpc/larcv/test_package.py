"""The larcv package against the native reader: its own files, the real file, and downsampling."""

import h5py
import numpy as np
import pytest
import torch

from airshower.data.dense import Densifier
from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.package import LarcvReader
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import DataError, UserError

pytestmark = [pytest.mark.larcv, pytest.mark.full]
SBND = Products("sbndwire", "sbnd_cosmicseg", "sbndneutrino")
SMALL = Products("wire", "label", "nu")
SIZES = [(16, 12), (9, 20), (16, 12)]


@pytest.fixture(scope="module")
def written_by_larcv(larcv, tmp_path_factory):
    """A file by larcv's IOManager and what is in it: (ids, values) per event and plane."""
    path, rng, content = tmp_path_factory.mktemp("larcv") / "larcv.h5", np.random.default_rng(5), []
    manager = larcv.IOManager(larcv.IOManager.kWRITE)
    manager.set_out_file(str(path))
    manager.initialize()
    for entry, counts in enumerate([(30, 0, 5), (2, 60, 1), (100, 1, 9)]):
        planes, event = [], manager.get_data("sparse2d", "wire")
        for plane, (size, count) in enumerate(zip(SIZES, counts, strict=True)):
            ids = np.sort(rng.choice(size[0] * size[1], count, replace=False)).astype(np.uint64)
            values = rng.normal(0, 100, count).astype(np.float32)
            voxels = larcv.VoxelSet()
            voxels.id(plane)
            for index, value in zip(ids.tolist(), values.tolist(), strict=True):
                voxels.emplace(index, value, True)
            event.set(voxels, larcv.ImageMeta2D(plane, size, [float(n) for n in size], [1.5 * plane, -3.0]))
            planes.append((ids, values))
        particle = larcv.Particle()
        particle.pdg_code(14)
        particle.energy_init(0.5 + entry)
        particle.creation_process("primary")
        manager.get_data("particle", "nu").append(particle)
        manager.set_id(7, entry, 2**40)
        manager.save_entry()
        content.append(planes)
    manager.finalize()
    return path, content


def test_reads_what_larcv_wrote(written_by_larcv):
    path, content = written_by_larcv
    file = LarcvFile(path)
    images, particles = file.images("wire"), file.particles("nu")
    assert [tuple(row) for row in file.event_ids] == [(7, entry, 2**40) for entry in range(3)]
    assert images.shapes.tolist() == [list(size) for size in SIZES]
    assert images.planes.meta["origin"][0].tolist() == [[0.0, -3.0], [1.5, -3.0], [3.0, -3.0]]
    for entry, planes in enumerate(content):
        raw = images.read(entry)
        assert raw.counts.tolist() == [len(ids) for ids, _ in planes]
        assert np.array_equal(raw.ids, np.concatenate([ids for ids, _ in planes]))
        assert np.array_equal(raw.values, np.concatenate([values for _, values in planes]))
        (particle,) = particles.read(entry)
        assert (particle["pdg"], particle["energy_init"]) == (14, 0.5 + entry)
        assert particle["process"].startswith(b"primary")  # larcv ends no text: whatever was in memory follows it


@pytest.mark.parametrize("sample", ["real", "small"])
def test_both_readers_read_the_same(larcv, request, same_event, sample):
    path = request.getfixturevalue("sbnd_file" if sample == "real" else "wires")
    file = WireFile(path, SBND if sample == "real" else SMALL)
    reader = LarcvReader(file)
    order = [*range(len(file)), 0, len(file) - 1]
    for entry in order:
        assert same_event(file.read(entry), reader.read(entry))


def test_a_source_reads_through_larcv(larcv, sbnd_file, wires):
    batches = [
        LartpcEvents(LartpcConfig(reader=reader, downsample=0), str(sbnd_file)).read(np.array([3, 1]))
        for reader in ("native", "larcv")
    ]
    for name in ("row", "column", "value", "label", "counts"):
        one, other = (getattr(batch["images"], name) for batch in batches)
        assert np.array_equal(one, other)


def test_an_event_without_projections_is_not_the_one_before(larcv, wires, rewrite, same_event):
    def none(rows):
        rows["N"][[1, 2]] = 0
        return rows

    for product in ("wire", "label"):
        rewrite(wires, f"Data/sparse2d_{product}_group/extents", none)
    file = WireFile(wires, SMALL)
    reader = LarcvReader(file)
    for entry in (0, 1, 0, 2, 3):
        assert same_event(reader.read(entry), file.read(entry))
    assert len(reader.read(1).row) == 0


def test_labels_of_other_pixels_are_the_same_in_both_readers(larcv, wires, rewrite, same_event):
    def other(rows):
        rows["N"][1] -= 1
        rows["first"][2:] -= 1
        return rows

    with h5py.File(wires, "r") as file:
        first = int(file["Data/sparse2d_label_group/voxel_extents"]["first"][2])
    rewrite(wires, "Data/sparse2d_label_group/voxel_extents", other)
    rewrite(wires, "Data/sparse2d_label_group/voxels", lambda rows: np.delete(rows, first - 1))
    file = WireFile(wires, SMALL)
    event = LarcvReader(file).read(0)
    assert (event.label == 0).any()
    assert same_event(event, file.read(0))


@pytest.mark.parametrize("group", ["a_b_group", "sparse2d_wire", "nounderscore"])
def test_groups_that_larcv_stumbles_over_are_refused(larcv, wires, group):
    with h5py.File(wires, "r+") as file:
        file.create_group(f"Data/{group}")
    with pytest.raises(DataError, match=rf"wires\.h5: larcv does not know its group /Data/{group}; .*reader=native"):
        LarcvReader(WireFile(wires, SMALL))


@pytest.mark.parametrize(("value", "said"), [(np.nan, "plane 0: .*finite"), (np.inf, "plane 0: .*finite")])
def test_values_are_checked(larcv, wires, rewrite, value, said):
    def change(rows):
        rows["value"][0] = value
        return rows

    rewrite(wires, "Data/sparse2d_wire_group/voxels", change)
    with pytest.raises(DataError, match=rf"sparse2d_wire, entry 0, {said}"):
        LarcvReader(WireFile(wires, SMALL)).read(0)


def test_without_the_package(monkeypatch, wires):
    monkeypatch.setitem(__import__("sys").modules, "larcv", None)
    with pytest.raises(UserError, match=r"data\.reader=larcv: the larcv package can't be imported.*reader=native"):
        LarcvReader(WireFile(wires, SMALL))


@pytest.mark.parametrize("downsample", [0, 1, 2, 3])
def test_downsampling_is_larcvs(larcv, sbnd_file, downsample):
    source = LartpcEvents(LartpcConfig(downsample=downsample, img_transform=False), str(sbnd_file))
    batch = source.read(np.array([2]))
    pixels = Densifier(source.spec["images"])(batch.to(torch.device("cpu"))["images"])
    image, label = pixels.input, pixels.label
    manager = larcv.IOManager()
    manager.add_in_file(str(sbnd_file))
    manager.initialize()
    manager.read_entry(2)
    for producer, pool, ours, tolerance in (
        ("sbndwire", larcv.kPoolAverage, image[0], 1e-4),
        ("sbnd_cosmicseg", larcv.kPoolMax, label[0], 0),
    ):
        for plane, tensor in enumerate(manager.get_data("sparse2d", producer).as_vector()):
            pooled = tensor.compress(2**downsample, pool) if downsample else tensor
            assert np.abs(pooled.dense().T - ours[plane].numpy()).max() <= tolerance
