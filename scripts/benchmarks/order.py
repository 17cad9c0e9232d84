"""Orders of reading: how fast a modelled disk gives an epoch's events in each, and how well each mixes them."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import measure, repeat_events
from benchmarks.disk import Counts, mounted

if TYPE_CHECKING:
    from airshower.data.plan import EntryPlan
    from airshower.data.source import Source

DISKS = {"hard disk": (8e-3, 150e6), "network": (1e-3, 500e6), "flash": (1e-4, 500e6)}
"""Seconds of a jump, bytes a second."""
FILES = 4
EPOCHS = 10  # that are drawn to see how an order mixes
CACHE = 0.1  # of the files' bytes are what the page cache and readers keep: real files are much larger than memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, help="larcv3 file of lartpc; simulated without")
    parser.add_argument("--detectors", nargs="+", default=list(MAKERS), choices=list(MAKERS))
    parser.add_argument("--disks", nargs="*", default=list(DISKS), choices=list(DISKS))
    parser.add_argument("--events", type=int, default=800)
    parser.add_argument("--minibatch", type=int, default=16)
    parser.add_argument("--sizes", nargs="+", default=["16:256", "64:1024"], help="block:buffer of random_blocks")


def run(arguments: argparse.Namespace) -> None:
    """Of each order: events/s, reads, jumps and bytes a disk; how far it is from a random order."""
    orders = ["shuffled", "serial", *(f"random_blocks:{sizes}" for sizes in arguments.sizes)]
    with tempfile.TemporaryDirectory() as folder:
        for detector in arguments.detectors:
            what = {
                "detector": detector,
                "events": arguments.events,
                "folder": folder,
                "file": str(arguments.file or ""),
            }
            made = measure(make_files, what)
            what = {"detector": detector, "files": made["files"], "minibatch": arguments.minibatch}
            print(f"{detector}: {made['events']} events in {FILES} files, {made['bytes'] / 1e6:.0f} MB", flush=True)
            for order in orders:
                mixed = measure(mix, {**what, "order": order})
                print(f"  {order}: " + ", ".join(f"{name} {value:.3f}" for name, value in mixed.items()), flush=True)
            for disk in ["in memory", *arguments.disks]:
                base = 0.0
                for order in orders:
                    result = measure_disk({**what, "order": order}, disk)
                    base = base or result["rate"]
                    counted = "".join(f", {value:.2f} {name} an event" for name, value in result["counted"].items())
                    unit = "events/s" if disk != "in memory" else "events per CPU second"
                    rate = f"{result['rate']:.0f} {unit} ({result['rate'] / base:.1f}x)"
                    print(f"  {disk}  {order}: {rate}{counted}", flush=True)


def measure_disk(what: dict, disk: str) -> dict:
    """What `read` returns in a process of its own, with the files on this disk."""
    if disk == "in memory":
        return measure(read, what)
    files = list(map(Path, what["files"]))
    with tempfile.TemporaryDirectory() as folder, mounted(files, Path(folder), *DISKS[disk]) as (path, counts):
        return measure(read, {**what, "files": [str(path / file.name) for file in files], "counts": str(counts)})


def make_files(detector: str, events: int, folder: str, file: str) -> dict:
    """Files with about so many events in all, and what they hold."""
    files = MAKERS[detector](events, Path(folder), file)
    source = open_source(detector, files)
    size = sum(Path(path).stat().st_size for path in files)
    return {"files": files, "events": len(source), "bytes": size}


def mix(detector: str, files: list[str], minibatch: int, order: str) -> dict[str, float]:
    """How minibatches differ from random ones, by the place of their entries in the files: the variance of their means
    and the pairs of one file, both 1 in a random order; and the correlation of the means of one and the next, 0 in a
    random order."""
    import numpy as np

    source = open_source(detector, files)
    plan = plan_of(source, minibatch, order)
    sizes = np.diff(source.file_ends(), prepend=0)
    expected = (sizes * (sizes - 1)).sum() / (len(source) * (len(source) - 1))
    means = []
    pairs = 0
    same = 0
    for _ in range(EPOCHS):
        steps = [plan.next() for _ in range(plan.steps_per_epoch)][: len(source) // minibatch]  # whole ones
        means.append([step.mean() for step in steps])
        for step in steps:
            of_file = np.bincount(np.searchsorted(source.file_ends(), step, side="right"))
            pairs += minibatch * (minibatch - 1)
            same += int((of_file * (of_file - 1)).sum())
    random = np.arange(len(source)).var() / minibatch
    following = np.concatenate([np.stack([of[:-1], of[1:]]) for of in means], 1)
    return {
        "variance of means": float(np.concatenate(means).var() / random),
        "pairs of one file": same / pairs / expected,
        "correlation with the next": float(np.corrcoef(following)[0, 1]),
    }


def read(detector: str, files: list[str], minibatch: int, order: str, counts: str = "") -> dict:
    """Events/s of an epoch as training reads it, without a network, and with `counts` of a disk what that did for an
    event; without, events per CPU second of the second of two epochs, from memory."""
    if not counts:
        source = open_source(detector, files)
        epoch(source, minibatch, order, [], 0)
        start = time.process_time()
        epoch(source, minibatch, order, [], 0)
        return {"rate": len(source) / (time.process_time() - start), "counted": {}}
    kept = int(CACHE * sum(Path(path).stat().st_size for path in files))
    source = open_source(detector, files, kept)
    before = Counts.of(Path(counts))
    rate = epoch(source, minibatch, order, files, kept)
    done = Counts.of(Path(counts)).since(before)
    sums = {"jumps": done.jumps, "reads": done.reads, "kB": done.bytes / 1e3}
    return {"rate": rate, "counted": {name: value / len(source) for name, value in sums.items()}}


def epoch(source: "Source", minibatch: int, order: str, files: list[str], kept: int) -> float:
    """Events/s of an epoch; the page cache of `files` is emptied when so many bytes can have come into it."""
    from airshower.data.feeder import Feeder
    from airshower.data.plan import Dealer
    from airshower.runtime.ranks import Ranks

    plan = plan_of(source, minibatch, order)
    each = sum(Path(path).stat().st_size for path in files) / len(source)
    forget(files)
    read = 0.0
    start = time.perf_counter()
    with Feeder(source, Dealer(plan, minibatch, Ranks()), plan.steps_per_epoch) as feeder:
        for dealt, _ in feeder:
            read += dealt.events * each
            if read > kept:
                forget(files)
                read = 0.0
    return len(source) / (time.perf_counter() - start)


def forget(files: list[str]) -> None:
    """Empty the page cache of these files."""
    import os

    for path in files:
        file = os.open(path, os.O_RDONLY)
        os.posix_fadvise(file, 0, 0, os.POSIX_FADV_DONTNEED)
        os.close(file)


def plan_of(source: "Source", minibatch: int, order: str) -> "EntryPlan":
    """A plan of all entries in an order with its sizes, such as random_blocks:16:256."""
    import numpy as np

    from airshower.data.order import OrderConfig
    from airshower.data.plan import EntryPlan

    name, *sizes = order.split(":")
    config = OrderConfig(name)
    if sizes:
        config.block, config.buffer = map(int, sizes)
    return EntryPlan(np.arange(len(source)), minibatch, config, 1, source.file_ends())


def open_source(detector: str, files: list[str], kept: int = 0) -> "Source":
    """The events of files as a training reads them; `kept` bytes are what a reader may keep, 0 for its default."""
    from airshower.detectors.cta.source import CtaConfig, CtaEvents
    from airshower.detectors.hawc import source as hawc
    from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents

    if detector == "lartpc":
        return LartpcEvents(LartpcConfig(), files)
    if detector == "cta":
        return CtaEvents(CtaConfig(mode="stereo"), files)
    hawc.KEPT_BYTES = kept or hawc.KEPT_BYTES
    return hawc.HawcEvents(hawc.HawcConfig(channels=["charge", "time"]), {"gamma": list(map(Path, files))})


def make_wires(events: int, folder: Path, file: str) -> list[str]:
    """Files that repeat the events of one in larcv's layout, or simulated ones."""
    from airshower.detectors.lartpc.simulated import SimulatedLartpc

    if file:
        return [str(repeat_events(Path(file), folder / f"{n}.h5", events // FILES)) for n in range(FILES)]
    data = SimulatedLartpc(SimulatedLartpc.Config(), seed=0)
    return [str(data.file("order", events // FILES, seed)) for seed in range(FILES)]


def make_showers(events: int, folder: Path, file: str) -> list[str]:
    """Simulated DL1 files."""
    from airshower.detectors.cta.simulated import SimulatedCta

    data = SimulatedCta(SimulatedCta.Config(), seed=0)
    return [str(data.file("order", events // FILES, seed)) for seed in range(FILES)]


def make_tanks(events: int, folder: Path, file: str) -> list[str]:
    """Simulated XCDF files, of ten times as many events, which are small."""
    from airshower.detectors.hawc.simulated import SimulatedHawc

    data = SimulatedHawc(SimulatedHawc.Config(), seed=0)
    return [str(data.file("order", 10 * events // FILES, seed)) for seed in range(FILES)]


MAKERS = {"lartpc": make_wires, "cta": make_showers, "hawc": make_tanks}
