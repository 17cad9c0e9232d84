#!/usr/bin/env python
"""Speed and memory, as ratios of things measured in one run.

    python scripts/benchmark.py reading --file events.h5 [--peer DIR --peer-python PYTHON]
    python scripts/benchmark.py training [--networks uresnet a21 uresnet3d] [--downsample 1 2 3] [--peer DIR]
    python scripts/benchmark.py scaling --file events.h5 [--ranks 1 2] [--network a21] [--downsample 2]
    python scripts/benchmark.py sparse --file events.h5 [--networks uresnet a21] [--downsample 0 1 2] [--figure PNG]
    python scripts/benchmark.py xcdf --file events.xcd [--repeat 10]
    python scripts/benchmark.py pixelcnn [--batches 1 16] [--filters 48] [--resnets 2] [--device gpu]
    python scripts/benchmark.py cta [--file gamma.dl1.h5] [--peer DIR] [--peer-python PYTHON] [--parts reading]

Each measurement is a process of its own, one after the other; keep the machine otherwise idle. `--peer` is a checkout
of CosmicTagger, measured beside; its reader needs a Python with larcv and numpy 1.26 (`--peer-python`). Where there is
an accelerator, `training`, `sparse` and `cta` measure there with `--device gpu`. Of `cta`, `--peer` is a folder
with the package indexedconv, and `--peer-python` are Pythons with ctapipe, or with dl1-data-handler.
"""

import argparse
import json
import os
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))


def main() -> None:
    """Parse and dispatch; `_measure` is what the others start as processes."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    reading = commands.add_parser("reading", help="events/s of dense batches, one thread")
    reading.add_argument("--events", type=int, default=500)
    reading.add_argument("--downsample", type=int, nargs="+", default=[0, 1, 2])
    reading.add_argument("--minibatch", type=int, nargs="+", default=[1, 8])
    reading.add_argument("--peer-python", default="")
    training = commands.add_parser("training", help="seconds and memory of forward passes and training steps")
    training.add_argument("--networks", nargs="+", default=["uresnet", "a21"])
    training.add_argument("--downsample", type=int, nargs="+", default=[3, 2, 1])
    training.add_argument("--precision", nargs="+", default=["float32", "bfloat16"])
    training.add_argument("--variants", nargs="+", default=["channels_last"], help="channels_last, contiguous, compile")
    scaling = commands.add_parser("scaling", help="images/s of ranks on one machine, and what coordination costs")
    scaling.add_argument("--events", type=int, default=200)
    scaling.add_argument("--ranks", type=int, nargs="+", default=[1, 2])
    scaling.add_argument("--network", default="a21")
    scaling.add_argument("--downsample", type=int, default=2)
    scaling.add_argument("--steps", type=int, default=12)
    sparse = commands.add_parser("sparse", help="training steps of dense and sparse networks on real events")
    sparse.add_argument("--networks", nargs="+", default=["uresnet", "a21"], help="dense ones; also built sparse")
    sparse.add_argument("--downsample", type=int, nargs="+", default=[0, 1, 2])
    sparse.add_argument("--backends", nargs="+", default=["torch", "spconv"], help="torch, spconv")
    sparse.add_argument("--bottlenecks", nargs="+", default=["dense"], help="of the sparse networks: dense, sparse")
    sparse.add_argument("--limit", type=float, default=0.0, help="GiB of a process, by default most of what is free")
    sparse.add_argument("--figure", type=Path, help="PNG of the cost against sites and area, at the first --downsample")
    xcdf = commands.add_parser(
        "xcdf", help="events/s of reading and writing an XCDF file, against a pass over its bytes"
    )
    xcdf.add_argument("--columns", nargs="+", default=[], help="what is read beside all; by default five of HAWC's")
    xcdf.add_argument("--repeat", type=int, default=1, help="so many copies of the file one after the other")
    xcdf.add_argument("--minibatch", type=int, default=64, help="events at once in random access")
    cta = commands.add_parser("cta", help="Cherenkov telescopes: reading, convolutions, training, simulation")
    cta.add_argument("--parts", nargs="+", default=["reading", "convolution", "training", "simulation"])
    cta.add_argument("--file", type=Path, nargs="+", default=[], help="DL1 files to read, beside simulated events")
    cta.add_argument("--peer-python", nargs="+", default=[])
    cta.add_argument("--networks", nargs="+", default=[], help="to train; all of conf/network/cta_*.yaml")
    cta.add_argument("--minibatch", type=int, default=16, help="entries in a training step")
    cta.add_argument("--steps", type=int, default=12, help="of training")
    cta.add_argument("--seconds", type=float, default=1.0, help="that reading, convolutions and simulation go on for")
    cta.add_argument("--quick", action="store_true", help="see that it works")
    pixelcnn = commands.add_parser("pixelcnn", help="generation by PixelCNN++, cached against naive")
    import_module("benchmarks.pixelcnn").add_arguments(pixelcnn)
    for command in (reading, scaling, sparse, xcdf):
        command.add_argument("--file", type=Path, required=True)
    for command in (reading, training, cta):
        command.add_argument("--peer", type=Path)
    for command in (training, sparse, cta):
        command.add_argument("--threads", type=int, default=os.cpu_count())
        command.add_argument("--device", default="cpu")
    measurement = commands.add_parser("_measure")
    measurement.add_argument("function")
    measurement.add_argument("what", type=json.loads)
    arguments = parser.parse_args()
    if arguments.command == "_measure":
        module, name = arguments.function.rsplit(".", 1)
        result = getattr(import_module(module), name)(**arguments.what)
        if result is not None:
            print(json.dumps(result))
    else:
        import_module(f"benchmarks.{arguments.command}").run(arguments)


if __name__ == "__main__":
    main()
