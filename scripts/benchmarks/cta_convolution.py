"""Layers on images of LSTCam: over the neighbours of hexagons, on the axial grid or as IndexedConv gathers them, and
over squares of the interpolated image."""

import argparse
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from benchmarks.common import measure, timed
from benchmarks.sparse_steps import used_memory

if TYPE_CHECKING:
    import torch

    from airshower.geometry.camera import Lattice

IMAGES, FEW, CHANNELS = 64, 2, 32
LAYERS = ("hexagonal", "hexagonal channels_last", "square bilinear", "square bilinear channels_last", "IndexedConv")
SAME = 1e-12  # of the largest value, in float64


def run(arguments: argparse.Namespace) -> None:
    """CPU time of a forward and a backward pass and memory of each layer, and how many times those of the first."""
    common = {"peer": str(arguments.peer or ""), "device": arguments.device, "threads": arguments.threads}
    common["images"] = images = FEW if arguments.quick else IMAGES
    print(
        f"LSTCam, {images} images, {CHANNELS} -> {CHANNELS} channels, {arguments.threads} threads, {arguments.device}: "
        "forward and backward, memory kept for backward and at the peak; in times the first",
        flush=True,
    )
    for kind in ("convolution", "pooling"):
        if arguments.peer:
            largest = max(measure(compare, {"kind": kind, "peer": common["peer"]}).values())
            print(f"{kind}  airshower and IndexedConv differ by {largest:.0e} of the largest value", flush=True)
        base = None
        for layer in LAYERS if arguments.peer else LAYERS[:-1]:
            result = measure(cost, {**common, "kind": kind, "layer": layer, "seconds": arguments.seconds})
            base = base or result
            print(f"{kind}  {layer}: {cells(result, base)}", flush=True)


def cells(result: dict, base: dict) -> str:
    """One line of the table; in brackets how many times the first layer's."""
    texts = {"cpu": "CPU {:.1f} ms", "wall": "wall {:.1f} ms", "kept": "kept {:.1f} MiB", "peak": "peak {:.1f} MiB"}
    return ", ".join(f"{text.format(result[name])} ({result[name] / base[name]:.2f}x)" for name, text in texts.items())


def cost(kind: str, layer: str, peer: str, device: str, threads: int, images: int, seconds: float) -> dict:
    """Milliseconds of both passes, MiB kept between them, and MiB at the peak above what was in use before."""
    import torch

    from airshower.runtime.device import choose_device, peak_memory, synchronize
    from airshower.runtime.ranks import Ranks

    torch.set_num_threads(threads)
    place = choose_device(device, Ranks())

    def step() -> int:
        """Both passes."""
        values.grad = None
        made = function(values)
        made.backward(torch.ones_like(made))
        synchronize(place)
        return 1

    for count in (1, images):  # the first time libraries take memory of their own
        function, values = make_layer(kind, layer, peer, place, count)[1:]
        before = used_memory(place)
        step()
    peak = peak_memory(place) - before  # before all else, as it never falls
    kept: dict[int, int] = {}

    def note(tensor: "torch.Tensor") -> "torch.Tensor":
        """Counts what the backward pass needs, each piece of memory once."""
        kept[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor):
        function(values)
    times = {name: 1e3 / rate for name, rate in timed(step, seconds).items()}
    return {**times, "kept": sum(kept.values()) / 2**20, "peak": peak / 2**20}


def compare(kind: str, peer: str) -> dict:
    """The largest differences of outputs and gradients between airshower's layer and IndexedConv's, of the largest
    value; exits where they are more than rounding."""
    import torch

    torch.set_default_dtype(torch.float64)
    (layer, ours, values), (other, theirs, vectors) = (
        make_layer(kind, name, peer, torch.device("cpu"), FEW) for name in (LAYERS[0], LAYERS[-1])
    )
    grid = lstcam()
    convolution = kind == "convolution"
    pixels = torch.from_numpy(grid.mask)
    order = torch.from_numpy(grid.pixel)[pixels]  # of the pixels by rows, which IndexedConv's are in
    with torch.no_grad():
        vectors[..., order] = values[..., pixels]
        if convolution:
            other.weight.copy_(layer.weight[..., layer.near.bool()])
            other.bias.copy_(layer.bias)
    made = ours(values)
    indexed = theirs(vectors)
    # IndexedConv has a pixel at half the resolution only where there is one in the middle of the neighbours
    made = made[..., pixels] if convolution else made[..., pixels[::2, ::2]]
    weight = torch.rand_like(made)
    (made * weight).sum().backward()
    (indexed * weight).sum().backward()
    assert values.grad is not None
    assert vectors.grad is not None
    pairs = {"output": (made, indexed), "gradient": (values.grad[..., pixels], vectors.grad[..., order])}
    if convolution:
        pairs["gradient of weights"] = layer.weight.grad[..., layer.near.bool()], other.weight.grad
    found = {name: float((a - b).abs().max() / b.abs().max()) for name, (a, b) in pairs.items()}
    if max(found.values()) > SAME:
        sys.exit(f"{kind}: airshower and IndexedConv differ: {found}")
    return found


def make_layer(
    kind: str, layer: str, peer: str, place: "torch.device", images: int
) -> tuple[Any, Callable[["torch.Tensor"], "torch.Tensor"], "torch.Tensor"]:
    """A layer, the function of images that it is, and images in its own form, all above 0."""
    import torch
    from torch import nn

    from airshower.geometry.mapping import camera_mapping
    from airshower.networks.telescopes.hexagonal import CameraMap, HexConv2d, HexPool

    torch.manual_seed(0)
    grid = lstcam()
    convolution = kind == "convolution"
    if layer == "IndexedConv":
        made = indexed(kind, peer, grid)
        shape = (len(grid),)
    elif "hexagonal" in layer:
        made = HexConv2d(CHANNELS, CHANNELS) if convolution else HexPool()
        shape = grid.shape
    else:
        made = nn.Conv2d(CHANNELS, CHANNELS, 3, padding=1) if convolution else nn.MaxPool2d(3, 2, 1)
        shape = camera_mapping("bilinear", grid).shape
    values = torch.rand(images, CHANNELS, *shape, device=place)
    mask = torch.from_numpy(grid.mask).to(place)
    values = values * mask if "hexagonal" in layer else values
    if "channels_last" in layer:
        layout: dict[str, Any] = {"memory_format": torch.channels_last}
        made = made.to(**layout)
        values = values.to(**layout)
    made = made.to(place)
    function = (lambda x: made(CameraMap(x, mask[None, None])).values) if "hexagonal" in layer else made
    return made, function, values.requires_grad_()


def indexed(kind: str, peer: str, grid: "Lattice") -> "torch.nn.Module":
    """IndexedConv's layer, its tables made from the same lattice."""
    import torch

    sys.path.append(peer)
    from indexedconv.engine import IndexedConv, IndexedMaxPool2d
    from indexedconv.utils import neighbours_extraction

    pixels = torch.from_numpy(grid.pixel).to(torch.get_default_dtype())[None, None]
    if kind == "convolution":
        return IndexedConv(CHANNELS, CHANNELS, neighbours_extraction(pixels, "Hex"))
    return IndexedMaxPool2d(neighbours_extraction(pixels, "Hex", stride=2))


def lstcam() -> "Lattice":
    """The camera's lattice."""
    from airshower.geometry.camera import builtin_camera, lattice

    return lattice(builtin_camera("LSTCam"))
