"""Writing larcv3 files: larcv and the reader see what was written, and a failure leaves nothing behind."""

import contextlib
import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.format import PARTICLE, POINT, image_meta
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.errors import UserError

METAS = [ImageMeta((16, 12), (80.0, 60.0), (1.5, -3.0)), ImageMeta((9, 20), (9.0, 20.0), (0.0, 0.0)),
         ImageMeta((16, 12), (32.0, 6.0), (-7.0, 100.0))]  # fmt: skip
IDS = [(7, 1, 4), (-1, -1, -1), (2**40, 0, 9), (7, 1, 5)]


def voxels(rng, meta, count):
    """Random pixels, the first and the last of the image among them."""
    size = int(np.prod(meta.number_of_voxels))
    ids = np.sort(rng.choice(np.arange(1, size - 1), max(0, count - 2), replace=False))
    ids = np.r_[0, ids, size - 1][:count] if count else ids
    return Voxels(ids.astype(np.uint64), rng.normal(10, 50, len(ids)).astype(np.float32))


def particles(rng, count):
    """Records with a number of its own in every field."""
    records = np.zeros(count, PARTICLE)
    for name in PARTICLE.names:
        if PARTICLE[name] == POINT:
            for axis in "xyzt":
                records[name][axis] = rng.normal(0, 100, count)
        elif PARTICLE[name].kind == "f":
            records[name] = rng.normal(0, 10, count)
        elif name != "process":
            records[name] = rng.integers(0, 4 if name == "shape" else 30_000, count)
    records["process"] = [f"process{i}".encode() for i in range(count)]
    return records


def some_events():
    """Four events: wires with an empty projection and an event of none, clusters (one of them empty), particles."""
    rng = np.random.default_rng(3)
    for event, counts in enumerate([(30, 0, 5), (2, 60, 1), (0, 0, 0), (100, 1, 9)]):
        wires = [(meta, voxels(rng, meta, count)) for meta, count in zip(METAS, counts, strict=True)]
        sizes = [(4, 0, 7), (), (event,)]
        clusters = [(meta, [voxels(rng, meta, n) for n in ns]) for meta, ns in zip(METAS, sizes, strict=True)]
        yield IDS[event], wires, clusters, particles(rng, (2, 0, 1, 5)[event])


@pytest.fixture
def written(tmp_path):
    """A file of `some_events`."""
    path = tmp_path / "written.h5"
    with LarcvWriter(path, {"made_by": "a test"}) as writer:
        for ids, wires, clusters, records in some_events():
            writer.append(ids, {"wire": wires}, {"wire_cluster": clusters}, {"nu": records})
    return path


def check_meta(stored, meta, index):
    """Compare larcv's meta with what was written."""
    assert (stored.id(), stored.n_dims(), stored.is_valid()) == (index, 2, True)
    for axis in (0, 1):
        assert stored.number_of_voxels(axis) == meta.number_of_voxels[axis]
        assert (stored.image_size(axis), stored.origin(axis)) == (meta.image_sizes[axis], meta.origin[axis])
    wire, tick = meta.number_of_voxels[0] - 1, 3
    assert stored.coordinates(wire * meta.number_of_voxels[1] + tick) == [wire, tick]


@pytest.mark.larcv
@pytest.mark.full
def test_larcv_reads_what_was_written(larcv, written):
    manager = larcv.IOManager()
    manager.add_in_file(str(written))
    manager.initialize()
    assert manager.get_n_entries() == 4
    for entry, (ids, wires, clusters, records) in enumerate(some_events()):
        manager.read_entry(entry)
        event = manager.event_id()
        assert (event.run(), event.subrun(), event.event()) == ids
        tensors = manager.get_data("sparse2d", "wire").as_vector()
        for index, (tensor, (meta, expected)) in enumerate(zip(tensors, wires, strict=True)):
            check_meta(tensor.meta(), meta, index)
            assert np.array_equal(tensor.indexes(), expected.ids)
            assert np.array_equal(tensor.values(), expected.values)
        stored = manager.get_data("cluster2d", "wire_cluster").as_vector()
        for index, (image, (meta, expected)) in enumerate(zip(stored, clusters, strict=True)):
            check_meta(image.meta(), meta, index)
            for number, (cluster, pixels) in enumerate(zip(image.as_vector(), expected, strict=True)):
                assert cluster.id() == number
                assert np.array_equal(cluster.indexes(), pixels.ids)
                assert np.array_equal(cluster.values(), pixels.values)
        if not len(records):
            continue  # for an event without particles larcv has those of the event before, in its own files too
        for particle, record in zip(manager.get_data("particle", "nu").as_vector(), records, strict=True):
            fields = particle.as_array()
            for name, stored_name in zip(PARTICLE.names, fields.dtype.names, strict=True):
                assert stored_name == f"_{name}"
                if name != "process":
                    assert fields[stored_name][0].item() == record[name].item(), name
            assert particle.creation_process() == record["process"].decode()
            assert (particle.pdg_code(), particle.end_position().z()) == (record["pdg"], record["end_pt"]["z"])
    manager.finalize()


def test_the_reader_reads_what_was_written(written):
    file = LarcvFile(written)
    images, table = file.images("wire"), file.particles("nu")
    assert [tuple(row) for row in file.event_ids] == IDS
    assert images.shapes.tolist() == [list(meta.number_of_voxels) for meta in METAS]
    assert images.planes.meta["origin"][0].tolist() == [list(meta.origin) for meta in METAS]
    assert images.planes.meta["image_sizes"][0].tolist() == [list(meta.image_sizes) for meta in METAS]
    for entry, (_, wires, _, records) in enumerate(some_events()):
        raw = images.read(entry)
        assert raw.counts.tolist() == [len(pixels.ids) for _, pixels in wires]
        assert np.array_equal(raw.ids, np.concatenate([pixels.ids for _, pixels in wires]))
        assert np.array_equal(raw.values, np.concatenate([pixels.values for _, pixels in wires]))
        assert np.array_equal(table.read(entry), records)


def test_equal_events_make_equal_files(written, tmp_path):
    with LarcvWriter(tmp_path / "again.h5", {"made_by": "a test"}) as writer:
        for ids, wires, clusters, records in some_events():
            writer.append(ids, {"wire": wires}, {"wire_cluster": clusters}, {"nu": records})
    assert (tmp_path / "again.h5").read_bytes() == written.read_bytes()


def test_the_file_is_as_larcv_needs_it(written):
    with h5py.File(written) as file:
        assert set(file) == {"Data", "Events"}
        assert set(file["Data"]) == {"sparse2d_wire_group", "cluster2d_wire_cluster_group", "particle_nu_group"}
        group = file["Data/sparse2d_wire_group"]
        assert group["extents"]["N"].tolist() == [3] * 4
        assert group["voxel_extents"]["ID"].tolist() == [0, 1, 2] * 4
        first, count = group["voxel_extents"]["first"].astype(int), group["voxel_extents"]["N"].astype(int)
        assert first.tolist() == (np.cumsum(count) - count).tolist()
        assert group["image_meta"].dtype == image_meta(2)
        assert (group["voxels"].dtype.itemsize, file["Data/particle_nu_group/particles"].dtype.itemsize) == (16, 344)
        assert file.attrs["made_by"] == "a test"
    assert written.read_bytes()[8] == 0  # the superblock's version: larcv's HDF5 can't open newer ones
    assert os.listdir(written.parent) == [written.name]


ONE = {"wire": [(METAS[0], Voxels(np.array([3, 7]), np.ones(2)))]}


def refuses(path, said, *events):
    """Appending the last of these events must raise a `ValueError`, and leave no file."""
    writer = LarcvWriter(path)
    for entry, event in enumerate(events[:-1]):
        writer.append((0, 0, entry), *event)
    with pytest.raises(ValueError, match=said), writer:
        writer.append((0, 0, 9), *events[-1])
    assert not os.listdir(path.parent)


@pytest.mark.parametrize("ids", [[7, 3], [3, 3], [3, 192], [-1, 3], [3, -1]])
def test_ids_that_larcv_would_not_find_are_refused(tmp_path, ids):
    event = {"wire": [(METAS[0], Voxels(np.array(ids), np.ones(2)))]}
    refuses(tmp_path / "a.h5", "must ascend and lie in the image", [event])


@pytest.mark.parametrize("images", [[], ONE["wire"] * 2])
def test_events_of_other_numbers_of_projections_are_refused(tmp_path, images):
    refuses(tmp_path / "a.h5", "as many projections", [ONE], [{"wire": images}])
    one, other = ({"wire": [(meta, [pixels]) for meta, pixels in wires]} for wires in (ONE["wire"], images))
    refuses(tmp_path / "a.h5", "as many projections", [{}, one], [{}, other])


def test_events_of_other_products_are_refused(tmp_path):
    refuses(tmp_path / "a.h5", "same products", [ONE], [{"other": ONE["wire"]}])


def test_an_exception_leaves_nothing_and_keeps_an_older_file(tmp_path):
    path = tmp_path / "a.h5"
    path.write_bytes(b"older")
    with contextlib.suppress(KeyboardInterrupt), LarcvWriter(path) as writer:
        writer.append((0, 0, 0), ONE)
        raise KeyboardInterrupt
    assert os.listdir(tmp_path) == ["a.h5"]
    assert path.read_bytes() == b"older"
    with LarcvWriter(path) as writer:
        writer.append((0, 0, 0), ONE)
        assert path.read_bytes() == b"older"
    assert len(LarcvFile(path)) == 1


def test_a_folder_that_can_not_be_written(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match=r"a\.h5: can't be written") as error:
        LarcvWriter(tmp_path / "file" / "a.h5")
    assert "\n" not in str(error.value)


FULL_DISK = """
import resource, sys
import numpy as np
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.errors import DataError

resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
rng, ids = np.random.default_rng(0), np.arange(40_000)
try:
    with LarcvWriter(sys.argv[1]) as writer:
        for entry in range(6):
            writer.append((0, 0, entry), {"wire": [(ImageMeta.unit((200, 200)), Voxels(ids, rng.random(40_000)))]})
except DataError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files can't be limited in size")
@pytest.mark.parametrize("limit", [0, 50, 3000, 20_000, 400_000, 700_000])
def test_a_full_disk_is_one_message(tmp_path, limit):
    path = tmp_path / "a.h5"
    run = subprocess.run(
        [sys.executable, "-c", FULL_DISK, path, str(limit)], capture_output=True, text=True, timeout=100, check=False,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )  # fmt: skip
    assert (run.returncode, run.stderr) == (0, "")  # HDF5 used to end the process after such an error
    assert run.stdout == f"{path}: can't be written (File too large)\n"
    assert not os.listdir(tmp_path)
