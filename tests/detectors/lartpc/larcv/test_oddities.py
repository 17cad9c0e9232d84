"""What HDF5 allows and larcv3 does not: other objects and columns, claims of many rows; too many open files."""

import os
import resource
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.data.handles import HANDLES
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.detectors.lartpc.larcv.writer import ImageMeta, LarcvWriter, Voxels
from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents
from airshower.errors import DataError
from tests.detectors.lartpc.whole_file import read_all, write

GROUPS = ["sparse2d_wire", "sparse2d_label", "cluster2d_nu", "particle_nu"]
TABLES = ["Events/event_id"]
TABLES += [
    f"Data/{group}_group/{t}" for group in GROUPS[:2] for t in ("extents", "voxel_extents", "image_meta", "voxels")
]
TABLES += [
    f"Data/cluster2d_nu_group/{t}" for t in ("extents", "projection_extents", "cluster_extents", "image_meta", "voxels")
]
TABLES += [f"Data/particle_nu_group/{t}" for t in ("extents", "particles")]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A file of four events of all products."""
    return write(tmp_path_factory.mktemp("whole") / "whole.h5").read_bytes()


@pytest.fixture
def file(tmp_path: Path, whole: bytes) -> Path:
    """A file of four events of all products, to be altered."""
    path = tmp_path / "odd.h5"
    path.write_bytes(whole)
    return path


def pairs(names: Iterable[str], tables: list[str]) -> list:
    """All pairs; a fifth of them, in which each name and table occurs, are not marked `full`."""
    return [
        pytest.param(name, table, marks=[] if (row + column) % 5 == 0 else pytest.mark.full)
        for row, name in enumerate(names)
        for column, table in enumerate(tables)
    ]


def refused(path: Path) -> str:
    """The one line of the `DataError` that reading everything raises."""
    with pytest.raises(DataError) as error:
        list(read_all(path))
    said = str(error.value)
    assert said.startswith(f"{path}: ")
    assert "\n" not in said
    return said.removeprefix(f"{path}: ")


def replaced(make: Callable[[h5py.Group, str, np.ndarray | None], object]) -> Callable[[h5py.File, str], None]:
    """Puts what `make` creates, given parent, name and rows, into the place of a table or group."""

    def change(file: h5py.File, name: str) -> None:
        parent, _, last = name.rpartition("/")
        rows = file[name][:] if isinstance(file[name], h5py.Dataset) else None
        del file[name]
        make(file[parent or "/"], last, rows)

    return change


def linked(link: object) -> Callable[[h5py.Group, str, np.ndarray | None], None]:
    """A link in the place of an object."""
    return lambda parent, name, _: parent.__setitem__(name, link)


ODD = {
    "group": replaced(lambda parent, name, _: parent.create_group(name)),
    "number": replaced(lambda parent, name, _: parent.create_dataset(name, data=3)),
    "numbers": replaced(lambda parent, name, _: parent.create_dataset(name, data=np.arange(4))),
    "text": replaced(lambda parent, name, _: parent.create_dataset(name, data="text")),
    "texts": replaced(lambda parent, name, _: parent.create_dataset(name, data=[b"a"] * 4)),
    "nothing": replaced(lambda parent, name, _: parent.create_dataset(name, data=h5py.Empty("f8"))),
    "type": replaced(lambda parent, name, _: parent.__setitem__(name, np.dtype("f8"))),
    "dangling link": replaced(linked(h5py.SoftLink("/nowhere"))),
    "circular link": replaced(lambda parent, name, _: parent.__setitem__(name, h5py.SoftLink(f"{parent.name}/{name}"))),
    "link to another file": replaced(linked(h5py.ExternalLink("nowhere.h5", "/x"))),
    "square table": replaced(lambda parent, name, rows: parent.create_dataset(name, data=np.stack([rows, rows]))),
}


@pytest.mark.parametrize(("odd", "table"), pairs(ODD, TABLES))
def test_objects_that_are_no_table(file: Path, odd: str, table: str) -> None:
    with h5py.File(file, "r+") as stored:
        ODD[odd](stored, table)
    assert any(
        said in refused(file) for said in ("is no table", "missing", "no column", "is HDF5 but not", "can't be r")
    )


@pytest.mark.parametrize(
    ("odd", "group"),
    pairs(
        [name for name in ODD if name not in ("group", "square table")],
        ["Data", "Events", *(f"Data/{name}_group" for name in GROUPS[:2])],
    ),
)
def test_objects_that_are_no_group(file: Path, odd: str, group: str) -> None:
    with h5py.File(file, "r+") as stored:
        ODD[odd](stored, group)
    refused(file)


COLUMNS = {
    "extents": ("first", "N"), "voxel_extents": ("first", "N", "ID"), "projection_extents": ("first", "N", "ID"),
    "cluster_extents": ("first", "N", "ID"), "event_id": ("run", "subrun", "event"), "voxels": ("id", "value"),
    "image_meta": ("valid", "projection_id", "image_sizes", "number_of_voxels", "origin"),
    "particles": ("pdg", "current_type", "energy_init"),
}  # fmt: skip
KINDS = {
    "text": "S8", "long text": h5py.string_dtype(), "arrays": h5py.vlen_dtype("f8"), "complex": "c16",
    "records": [("a", "i4"), ("b", "f4")], "pairs": ("i8", (3,)), "references": h5py.ref_dtype, "bytes": "V8",
}  # fmt: skip


@pytest.mark.parametrize(("kind", "table"), pairs(KINDS, TABLES))
def test_columns_of_another_kind(file: Path, kind: str, table: str) -> None:
    for column in COLUMNS[table.rpartition("/")[2]]:
        path = file.with_name(f"{column}.h5")
        shutil.copy(file, path)
        with h5py.File(path, "r+") as stored:
            rows = stored[table]
            types = [(name, KINDS[kind] if name == column else rows.dtype[name]) for name in rows.dtype.names]
            del stored[table]
            stored.create_dataset(table, (len(rows),), types)
        assert f"in its column {column}, " in refused(path)


@pytest.mark.parametrize(("kind", "table"), pairs(["f8"], [name for name in TABLES if not name.endswith("particles")]))
def test_floats_where_integers_are_due(file: Path, kind: str, table: str) -> None:
    column = COLUMNS[table.rpartition("/")[2]][0]
    with h5py.File(file, "r+") as stored:
        rows = stored[table][:]
        types = [(name, kind if name == column else rows.dtype[name]) for name in rows.dtype.names]
        del stored[table]
        stored.create_dataset(table, data=rows.astype(types))
    assert f"has numbers in its column {column}, integers are needed" in refused(file)


@pytest.mark.parametrize("product", GROUPS[:3])
def test_signed_voxel_ids(file: Path, product: str) -> None:
    """-1 marks no voxel somewhere; HDF5 would make it 0, the first voxel."""
    before = [array.tobytes() for array in read_all(file)]
    for number, path in ((None, file.with_name("signed.h5")), (-1, file.with_name("negative.h5"))):
        shutil.copy(file, path)
        with h5py.File(path, "r+") as stored:
            rows = stored[f"Data/{product}_group/voxels"][:]
            rows = rows.astype([("id", "<i8"), ("value", "<f4")])
            rows["id"][1] = rows["id"][1] if number is None else number
            del stored[f"Data/{product}_group/voxels"]
            stored.create_dataset(f"Data/{product}_group/voxels", data=rows)
    assert [array.tobytes() for array in read_all(file.with_name("signed.h5"))] == before
    said = refused(file.with_name("negative.h5"))
    assert "entry 0, plane 0: " in said
    assert "outside" in said


MEMORY = """
import sys
from airshower.errors import DataError
from tests.detectors.lartpc.whole_file import read_all
from tests.memory import peak_memory
from pathlib import Path

path = Path(sys.argv[1])
before = peak_memory()
try:
    list(read_all(path))
except DataError as error:
    print(error)
print(peak_memory() - before)
"""


def memory(path: Path) -> tuple[str, float]:
    """What reading everything in another process says, and the memory it takes, in MB."""
    environment = os.environ | {
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[4]), *filter(None, sys.path)])
    }
    line = [sys.executable, "-c", MEMORY, str(path)]
    done = subprocess.run(line, capture_output=True, text=True, check=True, env=environment, timeout=100)
    *said, most = done.stdout.splitlines()
    return "\n".join(said), int(most) / 1e3


@pytest.mark.parametrize(("rows", "table"), pairs([100_000_000], TABLES))
def test_claims_of_many_rows(file: Path, rows: int, table: str) -> None:
    with h5py.File(file, "r+") as stored:
        stored[table].resize((rows,))
    assert f"claims {rows} rows, of which" in refused(file)


def test_claims_take_no_memory(file: Path) -> None:
    with h5py.File(file, "r+") as stored:
        for table in TABLES[1:]:
            stored[table].resize((100_000_000,))
    said, most = memory(file)
    assert "claims 100000000 rows, of which 10 are on disk" in said
    assert most < 100


@pytest.mark.parametrize("most", [4000, pytest.param(600_000, marks=pytest.mark.full)])
def test_rows_of_no_event_are_not_read(file: Path, most: int) -> None:
    """They are on disk, chunks of zeros that are compressed to nothing."""
    before = [array.tobytes() for array in read_all(file)]
    with h5py.File(file, "r+") as stored:
        for table in TABLES:
            if table.endswith(("/extents", "event_id")):
                continue
            rows = stored[table][:]
            del stored[table]
            long = stored.create_dataset(table, (3 * most,), rows.dtype, chunks=(most,), compression="gzip")
            long[2 * most :] = np.zeros(most, rows.dtype)
            long[: len(rows)] = rows
            long[most] = rows[0]
    assert [array.tobytes() for array in read_all(file)] == before
    if most > 4000:  # a chunk of particles, of which one is read
        said, taken = memory(file)
        assert said == ""
        assert taken < 400


def test_tables_in_chunks_of_many_rows_are_refused(file: Path) -> None:
    with h5py.File(file, "r+") as stored:
        rows = stored["Data/sparse2d_wire_group/voxels"]
        length, kind = len(rows), rows.dtype
        del stored["Data/sparse2d_wire_group/voxels"]
        stored.create_dataset("Data/sparse2d_wire_group/voxels", (length,), kind, chunks=(10**8,), maxshape=(None,))
    assert "is stored in chunks of 100000000 rows, which are too large to read" in refused(file)


def test_tables_in_other_files_are_refused(file: Path, tmp_path: Path) -> None:
    with h5py.File(file, "r+") as stored:
        extents = stored["Data/sparse2d_wire_group/extents"]
        rows, kind = len(extents), extents.dtype
        (tmp_path / "raw").write_bytes(extents[:].tobytes())
        del stored["Data/sparse2d_wire_group/extents"]
        stored.create_dataset(
            "Data/sparse2d_wire_group/extents",
            (rows,),
            kind,
            external=[(str(tmp_path / "raw"), 0, rows * kind.itemsize)],
        )
    assert "has its rows in other files" in refused(file)


def test_virtual_tables_are_refused(file: Path) -> None:
    with h5py.File(file, "r+") as stored:
        extents = stored["Data/sparse2d_wire_group/extents"]
        rows, kind = len(extents), extents.dtype
        del stored["Data/sparse2d_wire_group/extents"]
        layout = h5py.VirtualLayout((rows,), kind)
        layout[:] = h5py.VirtualSource(str(file), "Data/sparse2d_label_group/extents", (rows,), kind)
        stored.create_virtual_dataset("Data/sparse2d_wire_group/extents", layout)
    assert "has its rows in other files" in refused(file)


@pytest.mark.skipif(sys.platform == "win32", reason="no limit of open files")
def test_too_few_file_descriptors(tmp_path: Path) -> None:
    for number in range(40):
        with LarcvWriter(tmp_path / f"{number:02}.h5") as writer:
            image = (ImageMeta.unit((4, 4)), Voxels(np.array([3]), np.ones(1)))
            writer.append((1, 1, number), {"wire": [image], "label": [image]})
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    names = {"image_producer": "wire", "label_producer": "label", "downsample": 0}
    pattern = str(tmp_path / "*.h5")
    for path in list(HANDLES._open):  # of other tests
        HANDLES.close(path)
    used = len(os.listdir("/dev/fd"))
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (used + 20, limits[1]))
        source = LartpcEvents(LartpcConfig(**names), pattern)
        assert len(source.read(np.arange(40))) == 40, "there are fewer open files than files"
        resource.setrlimit(resource.RLIMIT_NOFILE, (3, limits[1]))
        with pytest.raises(
            DataError, match=r"\d\d\.h5: can't be opened beside so many open files; .*ulimit -n"
        ) as error:
            source.read(np.arange(40))
        assert "\n" not in str(error.value)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)


def test_a_file_that_may_not_be_read_is_named(file: Path) -> None:
    if os.geteuid() == 0:
        pytest.skip("root may read all")
    file.chmod(0)
    with pytest.raises(DataError, match="there is no permission to read it"):
        WireFile(file, Products("wire", "label", "nu"))
