"""Timed training steps on real events, of dense and sparse networks, within a limit of memory."""

import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import build_step, network_options

if TYPE_CHECKING:
    import torch

    from airshower.data.batch import Batch
    from airshower.data.spec import Spec

EVENTS = 5  # of the file, one a step
OUT_OF_MEMORY = ("memory", "alloc", "could not create a primitive")  # what torch, C++ and oneDNN say


def limit_memory(limit: float, place: "torch.device") -> float:
    """Makes allocations fail beyond `limit` GiB of the process (of the GPU), before the machine swaps or kills; 0 is
    90 % of what is free (all of the GPU). Returns the limit."""
    import resource

    import torch

    if place.type == "cuda":
        total = torch.cuda.get_device_properties(place).total_memory / 2**30
        limit = min(limit or total, total)
        torch.cuda.set_per_process_memory_fraction(limit / total, place)
        return limit
    if not limit:
        words = next(line for line in Path("/proc/meminfo").read_text().splitlines() if "MemAvailable" in line).split()
        limit = 0.9 * int(words[1]) / 2**20
    most = int(limit * 2**30)
    resource.setrlimit(resource.RLIMIT_DATA, (most, most))
    return limit


def used_memory(place: "torch.device") -> int:
    """Bytes in use now: of the process on a CPU, of the allocator on a GPU."""
    import torch

    if place.type == "cuda":
        return torch.cuda.memory_allocated(place)
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def attempt(function: Callable[[], dict], limit: float) -> dict:
    """What the function returns, or `why` it can't: no such backend here, or not enough memory."""
    from airshower.errors import UserError

    try:
        return function()
    except UserError as error:
        return {"why": str(error)}
    except (MemoryError, RuntimeError) as error:
        if not isinstance(error, MemoryError) and not any(word in str(error) for word in OUT_OF_MEMORY):
            raise
        return {"why": f"does not fit in {limit:.1f} GiB"}


def read_events(file: str, downsample: int) -> tuple["Spec", list["Batch"]]:
    """The first events of a file, one a batch."""
    import numpy as np

    from airshower.detectors.lartpc.source import LartpcConfig, LartpcEvents

    source = LartpcEvents(LartpcConfig(downsample=downsample), file)
    return source.spec, [source.read(np.array([entry])) for entry in range(min(EVENTS, len(source)))]


def time_steps(
    kind: dict[str, str], network: str, most: int, spec: "Spec", batches: list["Batch"], steps: int
) -> dict[str, float]:
    """Seconds of a step, and the threads that computed it, of a network with a depth of `most` at most.

    Each step is on another event; one more warms up. A sparse step's is the mean over events of each one's fastest,
    as it depends on the event; a dense one's does not, and is the fastest of all.
    """
    import torch

    from airshower.config.schema import FrameworkConfig, RunConfig
    from airshower.networks.uresnet import network as uresnet
    from airshower.runtime.device import Precision, place, synchronize
    from airshower.tasks.segmentation.task import Segmentation

    device = batches[0].device
    net_class, options = network_options(network, most)
    backend = kind["backend"]
    if backend:
        net_class = getattr(uresnet, net_class.__name__.replace("UResNet", "UResNetSparse"))
        options["bottleneck"] = kind["bottleneck"]
    framework = FrameworkConfig(sparse_backend=backend or "auto")
    torch.manual_seed(0)
    task = Segmentation(Segmentation.Config(), spec, net_class.view(spec))
    net = place(net_class(net_class.Config(**options), spec, task.outputs, framework), device, framework)
    step = build_step(net, task, Precision(RunConfig(), device))
    times: list[list[float]] = [[] for _ in batches]
    for number in range(-1, steps):
        event = number % len(batches)
        start = time.perf_counter()
        step([batches[event]], 1e-3, measure=True)
        synchronize(device)
        if number >= 0:
            times[event].append(time.perf_counter() - start)
    fastest = [min(seconds) for seconds in times if seconds]
    seconds = sum(fastest) / len(fastest) if backend else min(fastest)
    return {"seconds": seconds, "threads": torch.get_num_threads()}
