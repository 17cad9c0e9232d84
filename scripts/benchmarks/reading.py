"""Reading: how fast events become dense batches, by every reader."""

import argparse
import itertools
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import measure, repeat_events


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--events", type=int, default=500)
    parser.add_argument("--downsample", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--minibatch", type=int, nargs="+", default=[1, 8])
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer-python", default="")


def run(arguments: argparse.Namespace) -> None:
    """CPU milliseconds per event and events per second of every reader, and the ratio to the peer's or to larcv's."""
    with tempfile.TemporaryDirectory() as folder:
        file = repeat_events(arguments.file, Path(folder) / "repeated.h5", arguments.events)
        os.environ["AIRSHOWER_CACHE"] = folder
        readers = ["queueloader"] if arguments.peer and arguments.peer_python else []
        readers += ["larcv"] if has_larcv() else []
        print(f"{arguments.events} events, one thread; CPU ms per event (events/s)", flush=True)
        for downsample, size in itertools.product(arguments.downsample, arguments.minibatch):
            results = {}
            for reader in [*readers, "native", "cache"]:
                what = {"file": str(file), "reader": reader, "downsample": downsample, "size": size}
                python = sys.executable
                if reader == "queueloader":
                    what["peer"], python = str(arguments.peer), arguments.peer_python
                results[reader] = measure(read, what, python)
            base = results.get("queueloader") or results.get("larcv") or results["native"]
            cells = [
                f"{name} {1e3 * r['cpu']:.2f} ({1 / r['wall']:.0f}/s) x{base['cpu'] / r['cpu']:.1f}"
                for name, r in results.items()
            ]
            print(f"downsample {downsample} minibatch {size}:  " + "   ".join(cells), flush=True)


def has_larcv() -> bool:
    """Whether the larcv package can be imported here."""
    return subprocess.run([sys.executable, "-c", "import larcv"], capture_output=True, check=False).returncode == 0


def read(file: str, reader: str, downsample: int, size: int, peer: str = "") -> dict:
    """Wall and CPU seconds per event of one reader."""
    fetch, events = peer_reader(file, downsample, size, peer) if peer else our_reader(file, reader, downsample, size)
    batches = min(events // size, max(24, 120 // size))
    for batch in range(4):
        fetch(batch)
    wall = time.perf_counter()
    cpu = time.process_time()
    for batch in range(batches):
        fetch(batch)
    done = batches * size
    return {"wall": (time.perf_counter() - wall) / done, "cpu": (time.process_time() - cpu) / done}


def our_reader(file: str, reader: str, downsample: int, size: int) -> tuple[Callable[[int], object], int]:
    """What makes a dense batch, given its number, and how many events there are."""
    import numpy as np
    import torch

    from airshower.data.dense import Densifier
    from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents

    torch.set_num_threads(1)
    name = reader if reader == "larcv" else "native"
    # without the logarithm, which the peer's reader does not take either
    config = LartpcConfig(reader=name, cache=reader == "cache", downsample=downsample, img_transform=False)
    source = LartpcEvents(config, file)
    cpu = torch.device("cpu")
    densify = Densifier(source.spec["images"])

    def fetch(batch: int) -> None:
        """Read a batch and make it dense."""
        densify(source.read(np.arange(batch * size, (batch + 1) * size) % len(source)).to(cpu)["images"])

    return fetch, len(source)


def peer_reader(file: str, downsample: int, size: int, peer: str) -> tuple[Callable[[int], object], int]:
    """The same with the peer's queueloader."""
    sys.path.insert(0, peer)
    from src.utils.core.larcvio.larcv_fetcher import larcv_fetcher

    loader = larcv_fetcher("inference", False, downsample, "channels_first", False, False)
    events = loader.prepare_cosmic_sample("sample", file, size)
    return lambda batch: loader.fetch_next_batch("sample", force_pop=True), events
