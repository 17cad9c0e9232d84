"""Reading larcv3 files: layouts that differ from larcv's own, and damaged ones, which are never read in silence."""

import h5py
import hdf5plugin
import numpy as np
import pytest
from numpy.lib.recfunctions import drop_fields

from airshower.detectors.lartpc.larcv.file import LarcvFile
from airshower.detectors.lartpc.larcv.format import PARTICLE, product_name
from airshower.detectors.lartpc.larcv.wires import Products, WireFile
from airshower.errors import DataError

WIRE, LABEL, NU = (f"Data/{name}_group" for name in ("sparse2d_wire", "sparse2d_label", "particle_nu"))
TABLES = [f"{group}/{name}" for group in (WIRE, LABEL) for name in ("extents", "voxel_extents", "image_meta", "voxels")]
TABLES += [f"{NU}/extents", f"{NU}/particles", "Events/event_id"]
VOXELS = [f"{WIRE}/voxels", f"{LABEL}/voxels"]


def read_all(path):
    """Every event, the neutrinos and the particles of a file."""
    file = WireFile(path, Products("wire", "label", "nu"))
    table = LarcvFile(path).particles("nu")
    everything = [file.read(entry) for entry in range(len(file))]
    return file.event_ids, everything, file.neutrinos(), [table.read(entry) for entry in range(len(file))]


def packed(rows):
    """The same columns without padding."""
    return rows.astype([(name, rows.dtype[name]) for name in rows.dtype.names])


def retyped(**types):
    """A change of the types of columns."""
    return lambda rows: rows.astype([(name, types.get(name, rows.dtype[name])) for name in rows.dtype.names])


def swapped(rows):
    """Columns in reverse order."""
    out = np.empty(len(rows), [(name, rows.dtype[name]) for name in reversed(rows.dtype.names)])
    for name in rows.dtype.names:
        out[name] = rows[name]
    return out


def put(column, row, value):
    """A change of one number."""

    def change(rows):
        rows[column][row] = value
        return rows

    return change


def wider(rows):
    """One column more, in front."""
    out = np.zeros(len(rows), [("extra", "i4")] + [(name, rows.dtype[name]) for name in rows.dtype.names])
    for name in rows.dtype.names:
        out[name] = rows[name]
    return out


LAYOUTS = {
    "packed": (TABLES, packed, {}),
    "other order": (TABLES, swapped, {}),
    "a column more": (TABLES, wider, {}),
    "u4 ids": (VOXELS, retyped(id="u4"), {}),
    "big endian": (VOXELS, retyped(id=">u8", value=">f4"), {}),
    "f8 values": (VOXELS, retyped(value="f8"), {}),
    "i4 event ids": (["Events/event_id"], retyped(run="i4", event=">i8"), {}),
    "signed extents": ([f"{WIRE}/extents", f"{WIRE}/voxel_extents"], retyped(first="i8", N="u8"), {}),
    "small chunks": (TABLES, packed, {"chunks": (7,), "maxshape": (None,)}),
    "shuffle": (TABLES, packed, {"chunks": (100_000,), "maxshape": (None,), "compression": "gzip", "shuffle": True}),
    "lzf": (VOXELS, packed, {"compression": "lzf"}),
    "blosc": (VOXELS, packed, {"compression": hdf5plugin.Blosc(cname="lz4", shuffle=hdf5plugin.Blosc.BITSHUFFLE)}),
}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_other_layouts_read_the_same(wires, rewrite, same_event, layout):
    tables, change, options = LAYOUTS[layout]
    ids, events, neutrinos, particles = read_all(wires)
    for table in tables:
        rewrite(wires, table, change, **options)
    other_ids, other_events, other_neutrinos, other_particles = read_all(wires)
    assert np.array_equal(ids, other_ids)
    assert other_ids.dtype == np.int64
    assert all(map(same_event, events, other_events))
    assert np.array_equal(neutrinos, other_neutrinos)
    assert all(map(np.array_equal, particles, other_particles))
    assert all(one.dtype == PARTICLE for one in other_particles)


def test_reads_what_else_a_file_may_hold(wires, same_event):
    expected = read_all(wires)[1]
    with h5py.File(wires, "r+") as file:
        file.create_group("Extra/sparse2d_wire_group")
        file.create_group("Data/nounderscore")
        file.create_group("Data/a_b_group")
        file.attrs["note"] = "attributes do not matter"
    assert all(map(same_event, expected, read_all(wires)[1]))
    assert [product_name(name) for name in ("sparse2d_a_b_group", "x", "a_b", "_group")] == [
        ("sparse2d", "a_b"), None, None, None,
    ]  # fmt: skip


def test_event_ids_of_other_types_are_exact(wires, rewrite):
    """numpy stacks signed and unsigned integers as floats, which have 53 bits."""
    types = [("run", "<i8"), ("subrun", "<i4"), ("event", "<u8")]

    def stored(numbers):
        def change(rows):
            changed = rows.astype(types)
            changed["event"] = numbers
            return changed

        rewrite(wires, "Events/event_id", change)

    stored([1, 2**53 + 1, 2**63 - 1, 4])
    file = WireFile(wires, Products("wire", "label", "nu"))
    assert file.event_ids[:, 2].tolist() == [1, 2**53 + 1, 2**63 - 1, 4]
    file.close()
    stored([1, 2, 3, 2**63 + 5])
    with pytest.raises(DataError, match="entry 3: its event 9223372036854775813 is above 9223372036854775807"):
        WireFile(wires, Products("wire", "label", "nu"))


@pytest.mark.parametrize("entry", [0, 1, 3])
def test_an_event_without_projections_is_empty(wires, rewrite, same_event, entry):
    expected = read_all(wires)[1]
    for group in (WIRE, LABEL):
        rewrite(wires, f"{group}/extents", put("N", entry, 0))
    events = read_all(wires)[1]
    assert events[entry].counts.tolist() == [0, 0, 0]
    assert len(events[entry].row) == len(events[entry].label) == 0
    assert all(same_event(expected[i], events[i]) for i in range(4) if i != entry)


def swapped_first(rows):
    """The voxels of planes 0 and 1 of the first event have changed places."""
    rows["first"][:2] = rows["N"][1], 0
    return rows


def first_as_before(rows):
    """The second event points to voxels of the first."""
    rows["first"][3:6] = 0, rows["N"][3], rows["N"][3:5].sum()
    return rows


LARGEST = 2**64 - 1
FAULTS = {
    "planes swapped": (
        "voxel_extents",
        lambda rows: rows[[1, 0, *range(2, 12)]],
        "entry 0: its projection 0 is plane 1",
    ),
    "voxels swapped": ("voxel_extents", swapped_first, "sparse2d_wire, entry 0.*one run"),
    "other ids": (
        "voxel_extents",
        put("ID", slice(None), np.tile([2, 1, 0], 4)),
        "wire, entry 0: .*is plane 2 by its e",
    ),
    "another id": (
        "image_meta",
        put("projection_id", 4, 7),
        "entry 1: its projection 1 is plane 1 by .*plane 7 by its",
    ),
    "invalid meta": (
        "image_meta",
        put("valid", 4, 0),
        "sparse2d_wire, entry 1, plane 1: its image_meta .* is not that",
    ),
    "no pixels": (
        "image_meta",
        put("number_of_voxels", slice(None), 0),
        "entry 0, plane 0: its image_meta .* is not that",
    ),
    "huge images": (
        "image_meta",
        put("number_of_voxels", slice(None), 2**40),
        "plane 0: its image_meta .* is not that",
    ),
    "projections of another event": ("extents", put("first", 2, 3), "wire, entry 2: has projections of another event"),
    "voxels of another event": ("voxel_extents", first_as_before, "wire, entry 1: has voxels of another event"),
    "voxels of -1": (
        "voxel_extents",
        lambda rows: put("N", 3, -1)(retyped(N="i8")(rows)),
        "entry 1, plane 0: .*outside",
    ),
    "voxel twice": ("voxels", put("id", 1, 0), "sparse2d_wire, entry 0, plane 0: has voxel"),
    "events outside": ("extents", put("first", 1, 10**6), "sparse2d_wire, entry 1: .*outside"),
    "events past all integers": ("extents", put("first", 1, LARGEST), "sparse2d_wire, entry 1: .*outside"),
    "too many planes": ("extents", put("N", 1, 4_000_000_000), "sparse2d_wire, entry 1: has 4000000000 planes"),
    "a plane less": ("extents", put("N", 1, 2), "sparse2d_wire, entry 1: has 2 planes, others have 3"),
    "no images": ("extents", put("N", slice(None), 0), "sparse2d_wire: no event has an image"),
    "voxels outside": ("voxel_extents", put("N", 4, 10**6), "sparse2d_wire, entry 1, plane 1: .*outside"),
    "voxels past all integers": ("voxel_extents", put("first", 3, LARGEST), "sparse2d_wire, entry 1, plane 0: .*outs"),
    "voxels cut": ("voxels", lambda rows: rows[:-1], "sparse2d_wire, entry 2, plane 2: .*outside"),
    "id outside": ("voxels", put("id", 0, 192), "sparse2d_wire, entry 0, plane 0: voxel id 192 .*16 x 12"),
    "id far outside": ("voxels", put("id", -1, LARGEST), "sparse2d_wire, entry 2, plane 2: voxel id"),
    "value NaN": ("voxels", put("value", 0, np.nan), "sparse2d_wire, entry 0, plane 0: .*finite"),
    "value inf": ("voxels", put("value", -1, np.inf), "sparse2d_wire, entry 2, plane 2: .*finite"),
    "sizes differ": ("image_meta", put("number_of_voxels", 5, (8, 12)), "sparse2d_wire, entry 1: .*size"),
    "planes differ": ("image_meta", put("number_of_voxels", slice(2, None, 3), (32, 12)), "planes differ"),
    "meta cut": ("image_meta", lambda rows: rows[:9], "sparse2d_wire: image_meta has 9 rows, 12 are needed"),
    "events cut": ("extents", lambda rows: rows[:3], "sparse2d_wire: has 3 events, the file has 4"),
    "column missing": ("voxels", lambda rows: drop_fields(rows, "value"), "sparse2d_wire: .*no column value"),
    "no records": ("voxels", lambda rows: rows["value"], "sparse2d_wire: .*no column id, value"),
    "label 3": ("label voxels", put("value", 0, 3), "sparse2d_label, entry 0: label 3 is none of 0, 1, 2"),
    "label 0.5": ("label voxels", put("value", 0, 0.5), "sparse2d_label, entry 0: label 0.5 is none"),
    "label -1": ("label voxels", put("value", 0, -1), "sparse2d_label, entry 0: label -1 is none"),
    "label 1e20": ("label voxels", put("value", 0, 1e20), "sparse2d_label, entry 0: label 1e"),
    "label NaN": ("label voxels", put("value", 0, np.nan), "sparse2d_label, entry 0, plane 0: .*finite"),
    "label size": (
        "label image_meta",
        put("number_of_voxels", slice(None), (32, 12)),
        "label, entry 0, plane 0: .*32 x 12 pixels.* has pixels of another size .*wire .*16 x 12 pixels",
    ),
    "particles outside": ("nu extents", put("N", 3, 10**6), "particle_nu, entry 3: points outside"),
    "particles cut": ("nu extents", lambda rows: rows[:3], "particle_nu: has 3 events, the file has 4"),
    "no energy": ("nu particles", lambda rows: drop_fields(rows, "energy_init"), "particle_nu: .*column energy_init"),
    "event ids short": ("ids", lambda rows: rows[:3], "sparse2d_wire: has 4 events, the file has 3"),
    "event ids long": ("ids", lambda rows: rows[[0, 1, 2, 3, 3]], "sparse2d_wire: has 4 events, the file has 5"),
    "no events": ("ids", lambda rows: rows[:0], "has no events"),
    "no event number": ("ids", lambda rows: drop_fields(rows, "event"), "no column event"),
}


def one_message(path):
    """Read everything: the message of the `DataError`, which must be one line that begins with the path."""
    with pytest.raises(DataError) as error:
        read_all(path)
    message = str(error.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message


@pytest.mark.parametrize("fault", FAULTS)
def test_damaged_tables_are_named(wires, rewrite, fault):
    table, change, said = FAULTS[fault]
    group, _, name = table.rpartition(" ")
    where = {"": WIRE, "label": LABEL, "nu": NU}[group]
    rewrite(wires, "Events/event_id" if table == "ids" else f"{where}/{name}", change)
    with pytest.raises(DataError, match=said):
        read_all(wires)
    one_message(wires)


@pytest.mark.parametrize("table", TABLES[:-1])
def test_missing_tables_are_named(wires, rewrite, table):
    rewrite(wires, table, lambda rows: None)
    message = one_message(wires)
    assert f"{table.split('/')[1][:-6]}: its table {table.split('/')[2]} is missing" in message


@pytest.mark.parametrize("table", TABLES)
def test_flipped_bytes_are_found(wires, table):
    with h5py.File(wires) as file:
        chunk = file[table].id.get_chunk_info(0)
    data = bytearray(wires.read_bytes())
    middle = chunk.byte_offset + chunk.size // 2
    data[middle : middle + 4] = bytes(255 - byte for byte in data[middle : middle + 4])
    wires.write_bytes(data)
    assert "damaged" in one_message(wires)


def test_columns_that_overlap_are_found(wires):
    value, both = h5py.h5t.IEEE_F32LE.copy(), h5py.h5t.create(h5py.h5t.COMPOUND, 12)
    value.set_ebias(100)  # what one flipped bit makes of a float: h5py takes it for a wider one
    both.insert(b"value", 0, value)
    both.insert(b"id", 4, h5py.h5t.STD_U64LE)
    with h5py.File(wires, "r+") as file:
        rows = len(file[f"{WIRE}/voxels"])
        del file[f"{WIRE}/voxels"]
        h5py.h5d.create(file[WIRE].id, b"voxels", both, h5py.h5s.create_simple((rows,)))
    assert "sparse2d_wire: its table voxels has columns that overlap" in one_message(wires)


def test_tables_too_long_for_the_memory_are_found(wires):
    with h5py.File(wires, "r+") as file:
        file[f"{WIRE}/voxel_extents"].resize((2**56,))
    assert "its table voxel_extents claims 72057594037927936 rows, of which 100 are on disk" in one_message(wires)


def test_missing_products_list_what_there_is(wires):
    with pytest.raises(
        DataError, match=r"no product sparse2d_other; it has: particle_nu, sparse2d_label, sparse2d_wire"
    ):
        LarcvFile(wires).images("other")
    with pytest.raises(DataError, match=r"no product particle_wire"):
        LarcvFile(wires).particles("wire")
    assert WireFile(wires, Products("wire", "", "other")).neutrinos() is None


def test_files_that_are_none(wires, tmp_path):
    bad = tmp_path / "bad.h5"
    assert "no such file" in one_message(bad)
    bad.touch()
    assert "is empty" in one_message(bad)
    bad.write_text("some text")
    assert "not an HDF5 file" in one_message(bad)
    assert "is a directory" in one_message(tmp_path)
    for length in (0.1, 0.5, 0.99):
        bad.write_bytes(wires.read_bytes()[: int(length * wires.stat().st_size)])
        assert "is truncated" in one_message(bad)
    with h5py.File(bad, "w") as file:
        file["x"] = 1
    assert "not larcv3" in one_message(bad)
