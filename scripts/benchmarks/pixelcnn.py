"""Images of HAWC from PixelCNN++ with random weights: the cached sampler against the whole network for each cell."""

import argparse
import os
import time
from collections.abc import Callable

from benchmarks.common import measure

BATCHES = 1, 16, 64, 256


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Of `benchmark.py pixelcnn`."""
    parser.add_argument("--batches", type=int, nargs="+", default=BATCHES, help="images at a time")
    parser.add_argument("--filters", type=int, default=48)
    parser.add_argument("--resnets", type=int, default=2, help="of each resolution")
    parser.add_argument("--channels", type=int, default=2, help="1 (charge) or 2 (charge and time)")
    parser.add_argument("--precision", choices=["float32", "bfloat16"], default="float32", help="of the cached sampler")
    parser.add_argument("--cells", type=int, default=3, help="that are timed of the uncached sampler")
    parser.add_argument("--graphs", action="store_true", help="replay recorded kernels; on a GPU alone")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--device", default="cpu")


def run(arguments: argparse.Namespace) -> None:
    """Seconds of both at each batch size, on the clock and of the CPU, and how many times longer the uncached takes."""
    names = ("filters", "resnets", "channels", "precision", "cells", "graphs", "threads", "device")
    common = {name: getattr(arguments, name) for name in names}
    print(
        f"40 x 40 cells, {arguments.channels} channels, {arguments.filters} filters, {arguments.resnets} resnets, "
        f"{arguments.threads} threads, {arguments.device}; naive: from {arguments.cells} of all cells",
        flush=True,
    )
    for batch in arguments.batches:
        result = measure(cost, {**common, "batch": batch})
        cached = result["cached"]
        naive = result["naive"]
        print(
            f"batch {batch}: cached {cached['wall']:.2f} s (CPU {cached['cpu']:.2f} s, "
            f"{cached['wall'] / batch:.3f} s/image, {result['bytes'] / 2**20:.2f} MiB/image), naive "
            f"{naive['wall']:.0f} s (CPU {naive['cpu']:.0f} s): {naive['wall'] / cached['wall']:.0f}x "
            f"(CPU {naive['cpu'] / cached['cpu']:.0f}x)",
            flush=True,
        )


def cost(
    filters: int, resnets: int, channels: int, precision: str, cells: int, graphs: bool, threads: int, device: str,
    batch: int,
) -> dict:  # fmt: skip
    """Seconds for a batch of each sampler, `wall` and `cpu`, and bytes that the cache has of an image."""
    import torch

    from airshower.config.schema import FrameworkConfig
    from airshower.data.spec import ImagesSpec, Spec
    from airshower.detectors.hawc.quantities import image_channels
    from airshower.geometry.tank_array import hawc_array
    from airshower.networks.pixelcnn.config import PixelCnnConfig
    from airshower.networks.pixelcnn.network import PixelCnn
    from airshower.networks.pixelcnn.sampler import Sampler, sample_naively
    from airshower.runtime.device import choose_device, synchronize
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    place = choose_device(device, Ranks())
    array = hawc_array()
    values = image_channels(["charge", "time"][:channels], 1e4, -100.0, 200.0)
    images = ImagesSpec(values, array.position, array.cell, array.pmt)
    config = PixelCnnConfig(filters=filters, resnets=resnets, conditional=False)
    network = PixelCnn(config, Spec({"images": images}), {}, FrameworkConfig()).eval().to(place)
    network.fit(torch.rand(4, channels, *images.shape, device=place))
    noise = torch.rand(batch, network.latent, device=place)

    def timed(generate: Callable[[], object]) -> dict[str, float]:
        synchronize(place)
        wall = time.perf_counter()
        cpu = time.process_time()
        generate()
        synchronize(place)
        return {"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}

    sample_naively(network, noise, cells=1)  # the first time libraries set themselves up
    naive = timed(lambda: sample_naively(network, noise, cells=cells))
    sampler = Sampler(network, batch, getattr(torch, precision), graphs)
    for _ in range(2 if graphs else place.type != "cpu"):
        sampler(noise)
    return {
        "cached": timed(lambda: sampler(noise)),
        "naive": {name: seconds * len(network.live) / cells for name, seconds in naive.items()},
        "bytes": sampler.nbytes / batch,
    }
