"""Training: seconds and memory of the dense networks, and of the peer's beside."""

import argparse
import itertools
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.common import HALVINGS, add_machine, build_step, measure, network_options

if TYPE_CHECKING:
    import torch

    from airshower.data.dense import DensePixels

SIZE = (1280, 2048)  # rows and columns of SBND's images


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--networks", nargs="+", default=["uresnet", "a21"])
    parser.add_argument("--downsample", type=int, nargs="+", default=[3, 2, 1])
    parser.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    parser.add_argument("--variants", nargs="+", default=["channels_last"], help="channels_last, contiguous, compile")
    parser.add_argument("--peer", type=Path)
    add_machine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Seconds and memory per event (minibatch 1) of networks, and the ratio to the peer's and to the first network."""
    print(f"minibatch 1, {arguments.threads} threads, {arguments.device}; wall seconds, peak GiB", flush=True)
    first: dict[tuple, dict] = {}
    for network, downsample in itertools.product(arguments.networks, arguments.downsample):
        common = {"network": network, "downsample": downsample, "threads": arguments.threads}
        base = None
        if arguments.peer:
            base = measure(train, {**common, "peer": str(arguments.peer)})
            print(f"{network} downsample {downsample}  peer float32: {cells(base, None)}", flush=True)
        for precision, variant in itertools.product(arguments.precision, arguments.variants):
            what = {**common, "precision": precision, "variant": variant, "device": arguments.device}
            result = measure(train, what)
            line = f"{network} downsample {downsample}  {variant} {precision}: {cells(result, base)}"
            reference = first.setdefault((downsample, precision, variant), result)
            if reference is not result:
                time_, memory = (result[name] / reference[name] for name in ("step", "memory"))
                line += f"; of {arguments.networks[0]}: {time_:.2f} of the step, {memory:.2f} of the memory"
            print(line, flush=True)


def cells(result: dict, base: dict | None) -> str:
    """One line of the table; in brackets how many times `base` that is faster or smaller."""
    names = {"forward": "forward {:.3f} s", "step": "step {:.3f} s", "memory": "{:.2f} GiB"}
    scale = {"memory": 2**30}
    shown = []
    for name, text in names.items():
        ratio = f" ({base[name] / result[name]:.2f}x)" if base else ""
        shown.append(text.format(result[name] / scale.get(name, 1)) + ratio)
    return ", ".join(shown)


def train(
    network: str,
    downsample: int,
    threads: int,
    precision: str = "float32",
    variant: str = "",
    device: str = "cpu",
    peer: str = "",
) -> dict:
    """Seconds of a forward pass and of a training step, and the peak memory after each."""
    import torch

    from airshower.runtime.device import choose_device, peak_memory, synchronize
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    torch.manual_seed(0)
    place = choose_device("cpu" if peer else device, Ranks())
    example = make_example((1, 3, SIZE[0] >> downsample, SIZE[1] >> downsample), place)
    if peer:
        forward, step = peer_functions(network, downsample, example, peer)
    else:
        forward, step = our_functions(network, downsample, example, precision, variant)

    def fastest(function: Callable[[], object]) -> float:
        """Seconds of the fastest of a few calls."""
        seconds = []
        for _ in range(3 if downsample < 2 and place.type == "cpu" else 6):
            start = time.perf_counter()
            function()
            synchronize(place)
            seconds.append(time.perf_counter() - start)
        return min(seconds)

    result = {"forward": fastest(forward)}
    result["forward_memory"] = peak_memory(place)
    return {**result, "step": fastest(step), "memory": peak_memory(place)}


def make_example(shape: tuple[int, ...], place: "torch.device") -> "DensePixels":
    """Images with 2 % of their pixels filled, half of them labelled."""
    import torch

    from airshower.data.dense import DensePixels

    filled = torch.rand(shape) < 0.02
    image = torch.where(filled, torch.rand(shape) * 20, 0.0)
    label = (filled * torch.randint(0, 3, shape)).to(torch.uint8)
    return DensePixels(image.to(place), label.to(place))


def our_functions(
    network: str, downsample: int, example: "DensePixels", precision: str, variant: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward pass and a training step of ours."""
    import numpy as np
    import torch

    from airshower.config.schema import FrameworkConfig, RunConfig
    from airshower.data.batch import Batch
    from airshower.data.spec import SparseImagesSpec, Spec
    from airshower.runtime import device
    from airshower.tasks.segmentation.task import Segmentation

    place = example.input.device
    kind, options = network_options(network, HALVINGS - downsample)
    spec = Spec({"images": SparseImagesSpec(3, SIZE, downsample, ("background", "cosmic", "neutrino"))})
    framework = FrameworkConfig(channels_last=variant != "contiguous", compile=variant == "compile")
    task = Segmentation(Segmentation.Config(), spec, lambda _: example)
    net = device.place(kind(kind.Config(**options), spec, task.outputs, framework), place, framework)
    arithmetic = device.Precision(RunConfig(precision=precision), place)
    step = build_step(net, task, arithmetic)
    batch = Batch({}, np.zeros(1, np.int64), np.zeros((1, 3), np.int64))  # its images are the example

    def forward() -> None:
        """Logits, nothing kept for gradients."""
        with torch.no_grad(), arithmetic.autocast():
            net(example.input)

    return forward, lambda: step([batch], 1e-3, measure=True)


def peer_functions(
    network: str, downsample: int, example: "DensePixels", peer: str
) -> tuple[Callable[[], object], Callable[[], object]]:
    """A forward pass and a training step of the peer's."""
    sys.path.insert(0, peer)
    import torch
    from src.config import network as configs
    from src.networks.torch import uresnet2D, uresnet3D

    names = {"uresnet": "UResNet", "a21": "A21", "polaris": "Polaris", "scc21": "SCC21", "uresnet3d": "UResNet3D"}
    config = getattr(configs, names[network])()
    config.depth = min(config.depth, HALVINGS - downsample)
    image = example.input
    label = example.label
    flat = config.conv_mode == configs.ConvMode.conv_2D
    net = uresnet2D.UResNet(config) if flat else uresnet3D.UResNet3D(config, image.shape[2:])
    optimizer = torch.optim.Adam(net.parameters(), 1e-3)
    assert label is not None
    planes = [label[:, plane].long() for plane in range(3)]

    def step() -> None:
        """The peer's focal loss, as its LossCalculator computes it."""
        optimizer.zero_grad()
        loss = image.new_zeros(())
        for logits, target in zip(net(image), planes, strict=True):
            entropy = torch.nn.functional.cross_entropy(logits, target, reduction="none")
            with torch.no_grad():
                onehot = torch.nn.functional.one_hot(target, 3).permute(0, 3, 1, 2)
                weight = (onehot * (1 - logits.softmax(1)) ** 2).mean(1)
            loss = loss + (weight * entropy).sum() / weight.sum()
        loss.backward()
        optimizer.step()

    def forward() -> None:
        """Logits, nothing kept for gradients."""
        with torch.no_grad():
            net(image)

    return forward, step
