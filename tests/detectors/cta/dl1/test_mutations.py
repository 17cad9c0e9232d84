"""Damaged DL1 files: 500 mutations of an official one, each refused in one line or read as if it were whole.

They are opened, cut, read and written as DL2 by another process, this module run as a program, whose memory is measured
and whose end by HDF5 would end nothing else.
"""

import json
import shutil
import subprocess
import sys
import traceback
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest

from airshower.data.handles import HANDLES
from airshower.detectors.cta.source import CtaConfig, CtaEvents
from airshower.errors import UserError
from tests.memory import peak_memory

NAME, MUTATIONS = "gamma_prod6_south_lst.dl1.h5", 500
MOST_MEMORY = 2**20  # kB
CUTS = "hillas_r < 5 and hillas_intensity > 1"
# what no other table contradicts: another number, what numbers are, and a table that files may lack
UNTOLD = ("changed row", "CTAFIELD", "PIX_", "CAM_", "bit", "is missing")


def flipped(path: Path, generator: np.random.Generator) -> str:
    """One bit to eight, anywhere or near each other."""
    data = bytearray(path.read_bytes())
    count, first = int(generator.integers(1, 9)), int(generator.integers(len(data)))
    reach = len(data) if generator.random() < 0.5 else 64
    places = [(first + int(generator.integers(reach))) % len(data) for _ in range(count)]
    for place in places:
        data[place] ^= 1 << int(generator.integers(8))
    path.write_bytes(data)
    return f"bits flipped at {places}"


def flipped_header(path: Path, generator: np.random.Generator) -> str:
    """A bit of what HDF5 keeps of tables and attributes, which has no checksum."""
    data = bytearray(path.read_bytes())
    marks = [
        place for mark in (b"TREE", b"SNOD", b"HEAP", b"CTAFIELD", b"obs_id", b"tel_") for place in _all(data, mark)
    ]
    place = marks[int(generator.integers(len(marks)))] + int(generator.integers(-64, 64))
    data[place % len(data)] ^= 1 << int(generator.integers(8))
    path.write_bytes(data)
    return f"bit flipped at {place}"


def truncated(path: Path, generator: np.random.Generator) -> str:
    """Some of the end is missing, or was never written."""
    data = path.read_bytes()
    size = int(generator.integers(len(data)))
    zeros = bytes(len(data) - size) if generator.random() < 0.5 else b""
    path.write_bytes(data[:size] + zeros)
    return f"{size} bytes, then {len(zeros)} zeros"


def lengthened(path: Path, generator: np.random.Generator) -> str:
    """A table that claims another number of rows."""
    with h5py.File(path, "r+") as file:
        table = _table(file, generator)
        rows = int(generator.choice([0, 1, len(table) - 1, len(table) + 1, 10**4, 10**8, 2**40]))
        table.resize((max(rows, 0),))
        return f"{table.name} has {rows} rows"


def attribute(path: Path, generator: np.random.Generator) -> str:
    """An attribute that is missing or says something else."""
    with h5py.File(path, "r+") as file:
        nodes = [file, *_tables(file)]
        node = nodes[int(generator.integers(len(nodes)))]
        names = sorted(node.attrs)
        name = names[int(generator.integers(len(names)))]
        values = [
            None,
            b"",
            b"furlong",
            "\udcff".encode("utf-8", "surrogateescape"),
            0,
            -1,
            2**62,
            np.nan,
            np.zeros(3),
            b"v5",
        ]
        value = values[int(generator.integers(len(values)))]
        del node.attrs[name]
        if value is not None:
            node.attrs[name] = value
        return f"{node.name}: {name} is {value!r}"


def rows(path: Path, generator: np.random.Generator) -> str:
    """A row of a table that is another's, there twice, or lost, or has another number in it."""
    with h5py.File(path, "r+") as file:
        table = _table(file, generator)
        stored, kind = table[:], int(generator.integers(4))
        at, other = generator.integers(len(stored), size=2)
        if kind == 0:
            stored = np.concatenate([stored, stored[at : at + 1]])
        elif kind == 1:
            stored = np.delete(stored, at)
        elif kind == 2:
            stored[[at, other]] = stored[[other, at]]
        else:
            name = stored.dtype.names[int(generator.integers(len(stored.dtype.names)))]
            raw = stored[name][at : at + 1].copy().reshape(-1).view("u1")
            raw[int(generator.integers(len(raw)))] ^= 1 << int(generator.integers(8))
            column = raw.view(stored.dtype[name].base).reshape(stored[name][at : at + 1].shape)
            stored[name][at : at + 1] = column
        table.resize((len(stored),))
        table[...] = stored
        return f"{table.name}: {('twice', 'lost', 'swapped', 'changed')[kind]} row {at}, {other}"


def structure(path: Path, generator: np.random.Generator) -> str:
    """A table that is missing, a group, text, a link to nothing or to another table."""
    with h5py.File(path, "r+") as file:
        table, kind = _table(file, generator), int(generator.integers(5))
        name, target = table.name, _table(file, generator).name
        stored = table[:]
        del file[name]
        if kind == 1:
            file.create_group(name)
        elif kind == 2:
            columns = [
                (column, "S4") if np.dtype(stored.dtype[column]).kind in "iu" else (column, stored.dtype[column])
                for column in stored.dtype.names
            ]
            file[name] = np.zeros(len(stored), columns)
        elif kind == 3:
            file[name] = h5py.SoftLink("/nothing")
        elif kind == 4 and target != name:
            file[name] = h5py.SoftLink(target)
        return f"{name} is {('missing', 'a group', 'text', 'a dangling link', f'a link to {target}')[kind]}"


KINDS: tuple[Callable[[Path, np.random.Generator], str], ...] = (
    flipped, flipped_header, flipped_header, truncated, lengthened, attribute, rows, structure,
)  # fmt: skip


def _all(data: bytes, mark: bytes) -> list[int]:
    found, place = [], data.find(mark)
    while place >= 0:
        found.append(place)
        place = data.find(mark, place + 1)
    return found


def _tables(file: h5py.File) -> list[h5py.Dataset]:
    found = []
    file.visititems(lambda _, node: found.append(node) if isinstance(node, h5py.Dataset) and len(node) else None)
    return found


def _table(file: h5py.File, generator: np.random.Generator) -> h5py.Dataset:
    tables = _tables(file)
    return tables[int(generator.integers(len(tables)))]


def mutated(source: Path, path: Path, number: int) -> str:
    """A copy of a file with the mutation of this number; what it is."""
    shutil.copyfile(source, path)
    generator = np.random.default_rng([number, 1])
    return KINDS[number % len(KINDS)](path, generator)


def contents(path: Path) -> dict[str, list]:
    """What a run has of a file: by event and telescope images and pointings, by event the truth, what was thrown, and
    what a cut leaves. Writes predictions beside it."""
    config = CtaConfig(classes=["gamma"], mode="stereo")
    source = CtaEvents(config, str(path))
    batch = source.read(np.arange(len(source)))
    found: dict[str, list] = {}
    for images in batch["images"].cameras:
        telescope_ids = source.spec["images"].telescope_ids
        ids = np.column_stack([batch.event_ids[images.event, :2], telescope_ids[images.telescope]])
        arrays = (images.charge, images.time, images.clean, images.pointing)
        for row, key in enumerate(ids.tolist()):
            found[str(key)] = [array[row].tolist() for array in arrays]
    if batch.truth is not None:
        truth = np.column_stack(list(batch.truth.get("energy", "direction", "core").values()))
        found |= {str(key): row.tolist() for key, row in zip(batch.event_ids[:, :2].tolist(), truth, strict=True)}
    cut = CtaEvents(replace(config, cuts=CUTS), str(path))
    found |= {"thrown": [repr(source.thrown())], "cut": [str(cut.cut_flow)]}
    with source.event_writer(path.with_suffix(""), {}) as writer:
        writer.append(np.arange(len(source)), {"energy": np.ones(len(source))})
    return found


def work(source: Path, folder: Path, first: int) -> None:
    """Prints a line of JSON before and after each mutation from `first` on."""
    HANDLES.most = 1  # what is measured is one file, not all that were read before it
    whole = contents(Path(shutil.copyfile(source, folder / "whole.dl1.h5")))
    for number in range(first, MUTATIONS):
        path = folder / f"{number}.dl1.h5"
        record = {"number": number, "what": mutated(source, path, number)}
        print(json.dumps(record), flush=True)
        try:
            found = contents(path)
            record["outcome"] = "same" if found == whole else "differs"
            record["said"] = [key for key in sorted({*found, *whole}) if found.get(key) != whole.get(key)][:5]
        except UserError as error:
            record |= {"outcome": "refused", "said": str(error)}
        except Exception:
            record |= {"outcome": "traceback", "said": traceback.format_exc()}
        for made in folder.glob(f"{number}.*"):
            made.unlink()
        record["memory"] = peak_memory()
        print(json.dumps(record), flush=True)


@pytest.mark.full
def test_mutations(sample: Callable[[str], Path], tmp_path: Path) -> None:
    source = sample(NAME)
    root = Path(__file__).parents[4]
    program = ".".join(Path(__file__).relative_to(root).with_suffix("").parts)
    command = [sys.executable, "-m", program, str(source), str(tmp_path), "0"]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    records = {record["number"]: record for record in map(json.loads, done.stdout.splitlines())}
    last = records[max(records)]
    assert done.returncode == 0, f"{last['what']}: {done.stderr[-2000:]}"
    assert len(records) == MUTATIONS
    outcomes = Counter(record["outcome"] for record in records.values())
    assert outcomes["traceback"] == 0, [record for record in records.values() if record["outcome"] == "traceback"]
    assert outcomes["refused"] > MUTATIONS / 4
    assert outcomes["same"] > MUTATIONS / 4
    for record in records.values():
        assert record["memory"] < MOST_MEMORY, record
        if record["outcome"] == "refused":
            assert "\n" not in record["said"], record
            assert "Unable to allocate" not in record["said"], record
            assert f"{record['number']}." in record["said"], record
        if record["outcome"] == "differs":
            assert any(word in record["what"] for word in UNTOLD), record


if __name__ == "__main__":
    work(Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]))
