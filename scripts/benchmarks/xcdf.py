"""XCDF: events per second of reading all and some columns, of random access and of writing.

Beside each stands its time as a multiple of one plain pass over the same bytes (read, Adler-32), measured in turn with
it so that another load of the machine meets both.
"""

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.common import measure

FIVE = ["rec.nHit", "rec.zenithAngle", "event.hit.gridId", "event.hit.charge", "event.hit.time"]
TIMES = 5


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--columns", nargs="+", default=[], help="what is read beside all; by default five of HAWC's")
    parser.add_argument("--repeat", type=int, default=1, help="so many copies of the file one after the other")
    parser.add_argument("--minibatch", type=int, default=64, help="events at once in random access")


def run(arguments: argparse.Namespace) -> None:
    """Print a line for each way of reading or writing."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "events.xcd"
        path.write_bytes(arguments.file.read_bytes() * arguments.repeat)
        what = {"file": str(path), "columns": arguments.columns or FIVE, "size": arguments.minibatch}
        for way in ("all columns", "some columns", "in sequence", "at random", "writing"):
            result = measure(measured, {**what, "way": way})
            plain = f"{result['cpu'] / result['plain']:.1f} plain passes"
            print(f"{way:13} {result['events'] / result['cpu']:9.0f} events/s  {plain}", flush=True)


def measured(file: str, columns: list[str], size: int, way: str) -> dict:
    """Median CPU seconds of one way over the file, and of a plain pass over its bytes."""
    import statistics

    from airshower.detectors.hawc.xcdf.file import XcdfFile

    step = ways(file, columns, size)[way]
    path = Path(file)
    step()
    pairs = [(cpu(step), cpu(lambda: plain_pass(path))) for _ in range(TIMES)]
    spent, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
    return {"cpu": spent, "plain": plain, "events": len(XcdfFile(file))}


def ways(file: str, columns: list[str], size: int) -> dict[str, Callable[[], object]]:
    """What is measured: whole passes over a file just opened, or batches of `size` events of one in memory."""
    import numpy as np

    from airshower.detectors.hawc.xcdf.file import XcdfFile
    from airshower.detectors.hawc.xcdf.writer import XcdfWriter

    opened = XcdfFile(file)
    order = np.random.default_rng(0).permutation(len(opened))
    starts = range(0, len(opened), size)

    def write() -> None:
        """All events again, into another file."""
        with XcdfWriter(f"{file}.written", opened.fields) as writer:
            for start in range(0, len(opened), 1000):
                writer.append(opened.columns(start=start, stop=start + 1000))

    return {
        "all columns": lambda: XcdfFile(file).columns(),
        "some columns": lambda: XcdfFile(file).columns(columns),
        "in sequence": lambda: [opened.columns(columns, start, start + size) for start in starts],
        "at random": lambda: [opened.read(order[start : start + size], columns) for start in starts],
        "writing": write,
    }


def plain_pass(path: Path) -> int:
    """Read a file and add its bytes up."""
    import zlib

    return zlib.adler32(path.read_bytes())


def cpu(step: Callable[[], object]) -> float:
    """CPU seconds of a call."""
    begin = time.process_time()
    step()
    return time.process_time() - begin
