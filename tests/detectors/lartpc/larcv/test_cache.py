"""The columnar copy of a wire file."""

import os
import subprocess
import sys

import h5py
import numpy as np
import pytest

from airshower.detectors.lartpc.larcv import cache
from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import DataError, UserError
from airshower.runtime.folders import cache_folder

SBND = Products("sbndwire", "sbnd_cosmicseg", "sbndneutrino")
SMALL = Products("wire", "label", "nu")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    """A cache folder for each test."""
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "lartpc"


def test_the_copy_has_the_same_pixels(sbnd_file, wires, same_event):
    for path, products in ((sbnd_file, SBND), (wires, SMALL)):
        file = WireFile(path, products)
        for _ in ("made", "found"):
            reader = CachedReader(file)
            assert all(same_event(file.read(entry), reader.read(entry)) for entry in range(len(file)))


def test_a_source_reads_the_copy(wires):
    config = {"image_producer": "wire", "label_producer": "label", "downsample": 2}
    entries = np.array([1, 3, 0])
    cached, native = (
        LartpcEvents(LartpcConfig(cache=c, **config), str(wires)).read(entries)["images"] for c in (True, False)
    )
    for name in ("row", "column", "value", "label", "counts"):
        assert np.array_equal(getattr(cached, name), getattr(native, name))


READ = """
import sys
from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.wires import Products, WireFile

print(CachedReader(WireFile(sys.argv[1], Products("wire", "label", "nu"))).read(0).value.sum())
"""


def test_another_process_reads_the_copy(wires, folder):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", READ, str(wires)]
    made, found = (
        subprocess.run(command, capture_output=True, text=True, timeout=100, check=True, env=environment).stdout
        for _ in range(2)
    )
    assert float(made) == float(found) == pytest.approx(WireFile(wires, SMALL).read(0).value.sum())
    assert len(os.listdir(folder)) == 1


def test_a_copy_is_made_once_and_anew_for_a_changed_file(wires, write_wires, same_event, folder, monkeypatch):
    first = CachedReader(WireFile(wires, SMALL))
    monkeypatch.setattr(cache, "_write", None)
    assert CachedReader(WireFile(wires, SMALL)).copy == first.copy
    monkeypatch.undo()
    monkeypatch.setenv("AIRSHOWER_CACHE", str(folder.parent))
    os.utime(wires, ns=(1, 10**18))
    assert CachedReader(WireFile(wires, SMALL)).copy != first.copy
    write_wires(wires, seed=9)
    os.utime(wires, ns=(1, 10**18))
    file = WireFile(wires, SMALL)
    changed = CachedReader(file)
    assert all(same_event(file.read(entry), changed.read(entry)) for entry in range(len(file)))
    assert len(os.listdir(folder)) == 3


def test_other_products_are_another_copy(wires, same_event):
    choices = [SMALL, Products("wire", "", "nu"), Products("wire", "other", "nu")]
    with h5py.File(wires, "r+") as file:
        file.copy("Data/sparse2d_label_group", "Data/sparse2d_other_group")
        voxels = file["Data/sparse2d_other_group/voxels"]
        rows = voxels[:]
        rows["value"] = 2 - rows["value"]
        voxels[:] = rows
    for products in choices:
        file = WireFile(wires, products)
        assert same_event(file.read(0), CachedReader(file).read(0))


@pytest.mark.parametrize("damage", ["cut", "empty", "text", "flipped", "counts", "short"])
def test_a_damaged_copy_is_named(sbnd_file, damage):
    file = WireFile(sbnd_file, SBND)
    copy = CachedReader(file).copy
    data = bytearray(copy.read_bytes())
    with h5py.File(copy) as stored:
        chunk = stored["value"].id.get_chunk_info(0)
    if damage == "flipped":
        data[chunk.byte_offset + 16 : chunk.byte_offset + 5000] = bytes(4984)
    copy.write_bytes({"cut": data[:-1000], "empty": b"", "text": b"text"}.get(damage, data))
    if damage in ("counts", "short"):
        with h5py.File(copy, "r+") as stored:
            if damage == "counts":
                del stored["counts"]
            else:
                stored["value"].resize((len(stored["value"]) - 1,))
    with pytest.raises(DataError, match="is damaged; delete it, it will be made again") as error:
        CachedReader(file).read(0)
    assert str(error.value).startswith(f"{copy}: ")
    assert "\n" not in str(error.value)
    copy.unlink()
    assert np.array_equal(CachedReader(file).read(0).value, file.read(0).value)


def test_one_flipped_bit_is_found_wherever_it_is_read(sbnd_file):
    """In the middle of each column's chunks, of the counts and of the checksums themselves."""
    file = WireFile(sbnd_file, SBND)
    copy = CachedReader(file).copy
    whole, places = copy.read_bytes(), []
    with h5py.File(copy) as stored:
        for name in ("row", "column", "value", "label", "counts", "checksums"):
            for number in range(stored[name].id.get_num_chunks()):
                chunk = stored[name].id.get_chunk_info(number)
                places += [(name, chunk.byte_offset + chunk.size // 2), (name, chunk.byte_offset + chunk.size - 1)]
    assert len(places) > 20
    for number, (name, place) in enumerate(places):
        data = bytearray(whole)
        data[place] ^= 1 << number % 8
        copy.write_bytes(data)
        assert isinstance(read_all(file), str), f"nothing was said of {name}"
    copy.write_bytes(whole)
    assert len(read_all(file)) == len(file)


def test_flipped_bits_are_found_or_do_not_matter(wires, same_event):
    """A bit anywhere in the file of a small copy; some lie in bytes that nothing uses."""
    file, rng, refused = WireFile(wires, SMALL), np.random.default_rng(1), 0
    copy = CachedReader(file).copy
    whole, expected = copy.read_bytes(), [file.read(entry) for entry in range(len(file))]
    for bit in rng.integers(0, 8 * len(whole), 150).tolist():
        data = bytearray(whole)
        data[bit // 8] ^= 1 << bit % 8
        copy.write_bytes(data)
        events = read_all(file)
        refused += isinstance(events, str)
        assert isinstance(events, str) or all(map(same_event, events, expected))
    assert refused > 50


def read_all(file):
    """All events of a file's copy, or the one line that says why not."""
    try:
        reader = CachedReader(file)
        return [reader.read(entry) for entry in range(len(file))]
    except DataError as error:
        said = str(error)
    assert "columns.h5: is damaged; delete it, it will be made again (" in said
    assert "\n" not in said
    return said


def test_the_copy_of_another_file_is_refused(wires, write_wires, tmp_path):
    copies = [CachedReader(WireFile(path, SMALL)).copy for path in (wires, write_wires(tmp_path / "other.h5", seed=5))]
    copies[0].write_bytes(copies[1].read_bytes())
    with pytest.raises(DataError, match=r"is damaged; delete it, .* \(it is of another file\)"):
        CachedReader(WireFile(wires, SMALL))


def test_a_file_without_pixels_has_a_copy(tmp_path, same_event):
    image = (ImageMeta.unit((16, 12)), Voxels(np.empty(0), np.empty(0)))
    with LarcvWriter(tmp_path / "empty.h5") as writer:
        for entry in range(2):
            writer.append((1, 1, entry), {"wire": [image] * 3, "label": [image] * 3})
    file = WireFile(tmp_path / "empty.h5", SMALL)
    for _ in ("made", "found"):
        assert all(map(same_event, read_all(file), [file.read(entry) for entry in range(2)]))


def test_a_folder_that_can_not_be_written(wires, tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("AIRSHOWER_CACHE", str(tmp_path / "file"))
    with pytest.raises(UserError, match=r"data\.cache: .* can't be written \(Not a directory\); set AIRSHOWER_CACHE"):
        CachedReader(WireFile(wires, SMALL))


FULL_DISK = """
import resource, sys
from airshower.detectors.lartpc.larcv.cache import CachedReader
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.errors import UserError

file = WireFile(sys.argv[1], Products("wire", "label", "nu"))
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
try:
    CachedReader(file)
except UserError as error:
    print(error)
"""


@pytest.mark.skipif(sys.platform == "win32", reason="files can't be limited in size")
@pytest.mark.parametrize("limit", [100, 3000])
def test_a_full_disk_is_one_message(wires, folder, limit):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))}
    command = [sys.executable, "-c", FULL_DISK, str(wires), str(limit)]
    run = subprocess.run(command, capture_output=True, text=True, timeout=100, check=False, env=environment)
    assert (run.returncode, run.stderr) == (0, "")
    assert run.stdout.startswith(f"data.cache: {folder}")
    assert "can't be written (File too large); set AIRSHOWER_CACHE" in run.stdout
    assert run.stdout.count("\n") == 1
    assert not os.listdir(folder)


def test_a_damaged_file_leaves_no_copy(wires, rewrite, folder):
    def change(rows):
        rows["value"][-1] = np.nan
        return rows

    rewrite(wires, "Data/sparse2d_wire_group/voxels", change)
    with pytest.raises(DataError, match="sparse2d_wire, entry 2, plane 2"):
        CachedReader(WireFile(wires, SMALL))
    assert not os.listdir(folder)


def test_the_folder_follows_the_environment(monkeypatch, tmp_path):
    assert cache_folder() == tmp_path / "cache"
    monkeypatch.delenv("AIRSHOWER_CACHE")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    assert cache_folder() == tmp_path / "airshower"
