"""Tables in HDF5 files: wrong lengths are refused before anything is read, and too many open files in one line."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import h5py
import hdf5plugin
import numpy as np
import pytest

from airshower.detectors.cta.dl1.hdf5 import Hdf5
from airshower.errors import DataError

ROWS, KIND = 50, [("obs_id", "i4"), ("event_id", "i8"), ("tel_id", "i2")]


def stored(path: Path, **options: object) -> Path:
    """A file with a table /t of 50 rows."""
    with h5py.File(path, "w") as file:
        file.create_dataset("t", data=np.ones(ROWS, KIND), **options)
    return path


CHUNKED = {"maxshape": (None,), "chunks": (8,)}


@pytest.mark.parametrize("rows", [0, 1, 41, 57, 10**4, 10**8, 2**40])
@pytest.mark.parametrize("compression", [{}, hdf5plugin.Blosc(), {"compression": "gzip", "fletcher32": True}], ids=str)
def test_lengths_are_compared_with_what_is_stored(tmp_path: Path, rows: int, compression: dict) -> None:
    """A file claims other lengths by its space of rows alone."""
    path = stored(tmp_path / "a.h5", **CHUNKED, **compression)
    assert Hdf5(path).keys("/t").shape == (ROWS, 3)
    claimed = stored(tmp_path / "b.h5", **CHUNKED, **compression)
    with h5py.File(claimed, "r+") as file:
        file["t"].resize((rows,))
    if rows in (0, 1, 41):
        assert len(Hdf5(claimed).keys("/t")) == rows, "shortened with its chunks"
        return
    with pytest.raises(DataError, match=r"b\.h5: /t: claims \d+ rows, for which \d+ chunks are due; the file has 7"):
        Hdf5(claimed).length("/t")


def test_chunks_that_would_take_all_memory(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        table = file.create_dataset("t", (10,), KIND, maxshape=(None,), chunks=(2**25,), **hdf5plugin.Blosc())
        table[:] = np.ones(10, KIND)
    with pytest.raises(DataError, match=r"/t: a chunk has \d+ bytes, at most 268435456 are read at once"):
        Hdf5(path).keys("/t")


def test_a_table_of_which_nothing_was_written(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file.create_dataset("t", (10**8,), KIND)
        file.create_dataset("single", data=3.0)
    with pytest.raises(DataError, match=r"/t: claims 100000000 rows, more than the file holds"):
        Hdf5(path).keys("/t")
    with pytest.raises(DataError, match=r"/single: is a single value, a table is due"):
        Hdf5(path).values("/single")


@pytest.mark.parametrize(("kind", "value"), [("u8", 2**63), ("f8", 7.0), ("S4", b"7"), ("(2,)i4", (1, 2)), ("?", True)])
def test_keys_are_whole_numbers(tmp_path: Path, kind: str, value: object) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["t"] = np.array([(value, 1, 1)], [("obs_id", kind), *KIND[1:]])
    with pytest.raises(DataError, match=r"a\.h5: /t: obs_id is .*(whole numbers are due|above 2\^63 - 1)"):
        Hdf5(path).keys("/t")


def test_keys_of_any_size(tmp_path: Path) -> None:
    path = tmp_path / "a.h5"
    with h5py.File(path, "w") as file:
        file["t"] = np.array([(2**63 - 1, 2**40, 65535)], [("obs_id", "u8"), ("event_id", "u8"), ("tel_id", "u2")])
    assert Hdf5(path).keys("/t").tolist() == [[2**63 - 1, 2**40, 65535]]


@pytest.mark.parametrize("files", [0, 1, 8])
def test_too_few_file_descriptors(tmp_path: Path, write_dl1: Callable[..., Path], files: int) -> None:
    """So many are left to open: one line, whichever is the first that is one too many."""
    path = write_dl1(tmp_path / "a.h5")
    program = f"""
import os, resource
from airshower.detectors.cta.open_file import open_file
from airshower.errors import DataError
resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))
taken = []
try:
    while True:
        taken.append(os.open(os.devnull, os.O_RDONLY))
except OSError:
    for descriptor in taken[:{files}]:
        os.close(descriptor)
try:
    print(len(open_file({str(path)!r}).images))
except DataError as error:
    print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    expected = f"{path}: can't be opened, too many files are open; raise their limit (ulimit -n)"
    assert done.stdout.strip() == (expected if files < 8 else "12")


def test_wrong_lengths_take_no_memory(
    tmp_path: Path, write_dl1: Callable[..., Path], altered: Callable[..., Path]
) -> None:
    """Of every table of a DL1 file in turn."""
    names: list[str] = []
    whole = write_dl1(tmp_path / "a.h5")
    with h5py.File(whole) as file:
        file.visititems(lambda name, node: names.append(name) if isinstance(node, h5py.Dataset) else None)

    def longer(name: str) -> Callable[[h5py.File], None]:
        def change(file: h5py.File) -> None:
            rows, attributes = file[name][:], dict(file[name].attrs)
            del file[name]
            table = file.create_dataset(name, data=rows, **CHUNKED, **hdf5plugin.Blosc())
            table.attrs.update(attributes)
            table.resize((10**8,))

        return change

    paths = [str(altered(whole, longer(name), f"{number}.h5")) for number, name in enumerate(names)]
    program = f"""
import numpy as np
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import DataError
from tests.memory import peak_memory
for path in {paths!r}:
    try:
        source = CtaEvents(CtaConfig(classes=["gamma"], mode="stereo", cuts="hillas_intensity > 0"), path)
        source.read(np.arange(len(source)))
        print("read", path)
    except DataError as error:
        print(error)
print(peak_memory())
"""
    root = Path(__file__).parents[4]
    command = [sys.executable, "-c", program]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    *said, memory = done.stdout.splitlines()
    for name, line in zip(names, said, strict=True):
        assert f"/{name}: claims 100000000 rows" in line
    assert int(memory) < 2**20, "kB"
