"""Sparse: what sparse networks cost beside dense ones, on real events."""

import argparse
import itertools
from pathlib import Path

from benchmarks.common import HALVINGS, add_machine, measure
from benchmarks.sparse_figure import draw
from benchmarks.sparse_steps import attempt, limit_memory, read_events, time_steps, used_memory


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--file", type=Path, required=True)
    parser.add_argument("--networks", nargs="+", default=["uresnet", "a21"], help="dense ones; also built sparse")
    parser.add_argument("--downsample", type=int, nargs="+", default=[0, 1, 2])
    parser.add_argument("--backends", nargs="+", default=["torch", "spconv"], help="torch, spconv")
    parser.add_argument("--bottlenecks", nargs="+", default=["dense"], help="of the sparse networks: dense, sparse")
    parser.add_argument("--limit", type=float, default=0.0, help="GiB of a process, by default most of what is free")
    parser.add_argument("--figure", type=Path, help="PNG of the cost against sites and area, at the first --downsample")
    add_machine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Seconds and memory of a training step (minibatch 1) of dense and sparse networks, and the ratios of the two."""
    print(
        f"minibatch 1, {arguments.threads} threads, {arguments.device}; a training step without reading: seconds, peak "
        "memory, how much of it is above what was in use before there was a network",
        flush=True,
    )
    common = {name: getattr(arguments, name) for name in ("threads", "device", "limit")}
    common["file"], kinds = str(arguments.file), name_kinds(arguments.backends, arguments.bottlenecks)
    for network, downsample in itertools.product(arguments.networks, arguments.downsample):
        base = None
        for name, kind in kinds.items():
            result = measure(train, {**common, "network": network, "downsample": downsample, "kind": kind})
            if base is None:
                base = result
                print(f"{network} downsample {downsample}  {occupancy(result)}", flush=True)
            print(f"{network} downsample {downsample}  {name}: {cells(result, base)}", flush=True)
    if arguments.figure:
        print(draw(arguments.figure, kinds, {**common, "downsample": arguments.downsample[0]}))


def name_kinds(backends: list[str], bottlenecks: list[str]) -> dict[str, dict[str, str]]:
    """The networks to measure by name: the dense one, whose backend is "", then the sparse ones."""
    kinds = {"dense": {"backend": ""}}
    for bottleneck, backend in itertools.product(bottlenecks, backends):
        name = f"sparse {backend}" + (f", {bottleneck} bottleneck" if len(bottlenecks) > 1 else "")
        kinds[name] = {"backend": backend, "bottleneck": bottleneck}
    return kinds


def occupancy(result: dict) -> str:
    """How much of the events is there."""
    sites = result["sites"]
    mean = sum(sites) / len(sites)
    share = 100 * mean / result["pixels"]
    return f"active sites of an event: {min(sites)} to {max(sites)}, mean {mean:.0f}, {share:.2f} % of the pixels"


def cells(result: dict, base: dict) -> str:
    """One line of the table; in brackets how many times as much the dense network, `base`, takes."""
    if "why" in result:
        return result["why"]
    texts = {
        "seconds": f"{result['seconds']:.3f} s",
        "memory": f"{result['memory'] / 2**30:.2f} GiB",
        "above": f"{result['above'] / 2**30:.2f} GiB above",
    }
    if result is not base and "why" not in base:
        texts = {name: f"{text} (dense/sparse {base[name] / result[name]:.2f})" for name, text in texts.items()}
    threads = f"{result['threads']} thread{'s' * (result['threads'] > 1)}"
    return ", ".join([*texts.values(), f"{1 / result['seconds']:.2f} images/s", threads])


def train(
    file: str, network: str, downsample: int, kind: dict[str, str], threads: int, device: str, limit: float
) -> dict:
    """Seconds, peak bytes and peak bytes above those before there was a network; or `why` there are none."""
    import torch

    from airshower.networks.uresnet.network import UResNetSparse
    from airshower.networks.uresnet.sparse_backends import sparse_backend
    from airshower.runtime.device import choose_device, peak_memory
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    place = choose_device(device, Ranks())
    limit = limit_memory(limit, place)
    spec, batches = read_events(file, downsample)
    batches = [batch.to(place) for batch in batches]
    sites = [len(UResNetSparse.view(spec)(batch).values) for batch in batches]
    steps = 2 * len(batches)
    if not kind["backend"]:  # slow, and the same whatever the event
        steps = 1 if downsample == 0 and place.type == "cpu" else 3

    def step() -> dict:
        """Timed steps, and the memory that they took."""
        if kind["backend"]:
            sparse_backend(kind["backend"])  # its libraries are not the network's memory
        before = used_memory(place)
        timed = time_steps(kind, network, HALVINGS - downsample, spec, batches, steps)
        memory = peak_memory(place)
        return {**timed, "memory": memory, "above": memory - before}

    images = spec["images"]
    pixels = images.planes * images.pooled[0] * images.pooled[1]
    return {"sites": sites, "pixels": pixels, **attempt(step, limit)}
