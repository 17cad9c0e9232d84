"""Opening and reading thousands of files: the first time (cold), with the index of the first time (warm), and random
batches over many files against those of one.

The files are copies of a sample. Those of telescopes get true energies of their own, as files with the same events are
refused; of the other formats, copies beyond the first 200 are links to these.
"""

import argparse
import json
import os
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from benchmarks.common import command, measure
from benchmarks.scaling import launch

CUTS = "hillas_intensity > 50 and leakage_pixels_width_2 < 0.5"
DISTINCT = 200
BATCH, WARM_UP = 8, 100
SHOWERS = "/simulation/event/subarray/shower"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of the command."""
    parser.add_argument("--dl1", type=Path, help="a DL1 file of simulations")
    parser.add_argument("--larcv", type=Path, help="a larcv3 file")
    parser.add_argument("--xcdf", type=Path, help="an XCDF file of gammas")
    parser.add_argument("--files", type=int, default=100)
    parser.add_argument("--links", type=int, default=0, help="open so many links of the DL1 file, with their index")
    parser.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    parser.add_argument("--seconds", type=float, default=10.0, help="of random batches")
    parser.add_argument("--folder", type=Path, help="for the copies; by default a temporary one")


def run(arguments: argparse.Namespace) -> None:
    """Print opening and reading of each format."""
    samples = {name: getattr(arguments, name) for name in ("dl1", "larcv", "xcdf")}
    for name, sample in samples.items():
        if sample:
            with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
                os.environ["AIRSHOWER_CACHE"] = f"{folder}/cache"
                _report(name, sample, Path(folder), arguments)
    if arguments.dl1 and arguments.links:
        with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
            os.environ["AIRSHOWER_CACHE"] = f"{folder}/cache"
            count = arguments.links
            measure(make_links, {"sample": str(arguments.dl1), "folder": f"{folder}/files", "count": count})
            result = measure(opened, {"name": "dl1", "files": f"{folder}/files/*.dl1.h5", "cuts": ""})
            words = f"{result['cpu']:.1f} CPU-s, {result['wall']:.1f} s, {result['memory']:.2f} GiB"
            print(f"dl1: {count} links of a file, warm: {words}", flush=True)


def _report(name: str, sample: Path, folder: Path, arguments: argparse.Namespace) -> None:
    count = arguments.files
    measure(make_files, {"name": name, "sample": str(sample), "folder": str(folder / "files"), "count": count})
    files = str(folder / "files" / f"*{''.join(sample.suffixes)}")
    print(f"{name}: {count} copies of {sample.name}", flush=True)
    if name != "xcdf":
        walk = measure(walked, {"files": files})["cpu"] / count
        print(f"  bare walk through the tables: {walk:.4f} CPU-s a file", flush=True)
    for ranks in arguments.ranks:
        for cuts in ("", CUTS) if name == "dl1" else ("",):
            shutil.rmtree(folder / "cache", ignore_errors=True)
            for state in ("cold", "warm"):
                _wait(folder / "files")
                result = _on_ranks(opened, {"name": name, "files": files, "cuts": cuts}, ranks)
                words = f"  {state}, {ranks} rank(s){', cuts' * bool(cuts)}: {result['cpu'] / count:.4f} CPU-s a file"
                print(f"{words}, {result['wall']:.1f} s, {result['memory']:.2f} GiB", flush=True)
    what = {"name": name, "seconds": arguments.seconds}
    one = measure(read, {**what, "files": str(sample)})
    many = measure(read, {**what, "files": files})
    for words, result in (("one file", one), (f"{count} files", many)):
        print(f"  random batches of {BATCH} events, {words}: {result['cpu']:.0f} events per CPU-s", flush=True)
    print(f"  {count} files at {many['cpu'] / one['cpu']:.2f} of the speed of one", flush=True)


def _wait(folder: Path) -> None:
    """Files that were just written would count as being written still."""
    for path in folder.iterdir():
        os.utime(path, (1.7e9, 1.7e9))


def _on_ranks(function: Callable, what: dict[str, Any], ranks: int) -> dict[str, float]:
    """The result of the slowest of so many ranks."""
    if ranks == 1:
        return measure(function, what)
    lines = launch(ranks, command(function, what)).splitlines()
    results = [json.loads(line) for line in lines if line.startswith("{")]
    return {name: max(result[name] for result in results) for name in results[0]}


def make_files(name: str, sample: str, folder: str, count: int) -> dict:
    """Copies of a file, see above."""
    target = Path(folder)
    target.mkdir(parents=True)
    suffix = "".join(Path(sample).suffixes)
    for number in range(count):
        path = target / f"{number:05}{suffix}"
        if name != "dl1" and number >= DISTINCT:
            os.link(target / f"{number % DISTINCT:05}{suffix}", path)
            continue
        shutil.copyfile(sample, path)
        if name == "dl1":
            _own_energies(path, number)
    return {}


def make_links(sample: str, folder: str, count: int) -> dict:
    """Links of a DL1 file, and an index in which each has true energies of its own."""
    import time

    import numpy as np

    from airshower.data.handles import stamp_of
    from airshower.data.index_table import Table

    Path(folder).mkdir(parents=True)
    original = Path(folder, "00000.dl1.h5")
    shutil.copyfile(sample, original)
    os.utime(original, (1.7e9, 1.7e9))
    paths = [original, *(Path(folder, f"{number:05}.dl1.h5") for number in range(1, count))]
    for path in paths[1:]:
        os.link(original, path)
    index = _data("dl1", str(original), "").build_index()
    entry = index.open([original])[0].entry
    entries = [{**entry, "true.energy": entry["true.energy"] * (1.0 + 1e-5 * number)} for number in range(count)]
    stamps = np.array([stamp_of(original)] * count)
    index._write(Table.joined(paths, stamps, np.full(count, time.time_ns()), entries))
    return {}


def _own_energies(path: Path, number: int) -> None:
    import h5py
    import hdf5plugin  # noqa: F401

    with h5py.File(path, "r+") as file:
        rows = file[SHOWERS][:]
        rows["true_energy"] *= 1.0 + 1e-5 * number
        file[SHOWERS][:] = rows


def walked(files: str) -> dict:
    """CPU seconds of visiting all nodes of the files with h5py."""
    import glob
    import time

    import h5py

    paths = sorted(glob.glob(files))
    begin = time.process_time()
    for path in paths:
        with h5py.File(path) as file:
            file.visititems(lambda name, node: None)
    return {"cpu": time.process_time() - begin}


def opened(name: str, files: str, cuts: str) -> dict:
    """CPU and wall seconds until the data are open, and peak memory in GiB."""
    import resource
    import time

    from airshower.runtime import mpi
    from airshower.runtime.launcher import launched

    ranks = mpi.connect(launched().size > 1, 600.0)
    data = _data(name, files, cuts)
    cpu = time.process_time()
    wall = time.perf_counter()
    if hasattr(data, "prepare"):
        data.prepare(ranks)
    splits = ranks.in_turn(data.open)
    assert len(splits.train.entries)
    spent = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    ranks.close()
    return {**spent, "memory": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20}


def read(name: str, files: str, seconds: float) -> dict:
    """Events per CPU second and per second of random batches."""
    import numpy as np
    from benchmarks.common import timed

    selection = _data(name, files, "").open().train
    generator = np.random.default_rng(0)

    def fetch() -> int:
        selection.source.read(generator.choice(selection.entries, BATCH))
        return BATCH

    for _ in range(WARM_UP):
        fetch()
    return timed(fetch, seconds)


def _data(name: str, files: str, cuts: str) -> Any:
    if name == "dl1":
        from airshower.detectors.cta.source import Cta

        return Cta(Cta.Config(file=files, mode="stereo", cuts=cuts), 0)
    if name == "larcv":
        from airshower.detectors.lartpc.source import Lartpc

        return Lartpc(Lartpc.Config(file=files), 0)
    from airshower.detectors.hawc.source import Hawc

    return Hawc(Hawc.Config(gammas=files, channels=["charge"]), 0)
