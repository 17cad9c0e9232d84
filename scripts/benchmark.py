#!/usr/bin/env python
"""Speed and memory, as ratios of things measured in one run.

    python scripts/benchmark.py reading --file events.h5 [--peer DIR --peer-python PYTHON]
    python scripts/benchmark.py training [--networks uresnet a21 uresnet3d] [--downsample 1 2 3] [--peer DIR]
    python scripts/benchmark.py scaling --file events.h5 [--ranks 1 2] [--network a21] [--downsample 2]
    python scripts/benchmark.py sparse --file events.h5 [--networks uresnet a21] [--downsample 0 1 2] [--figure PNG]
    python scripts/benchmark.py sim_to_real --file events.h5 --weights uresnet_laptop [FOLDER] [--downsample 0 1]
    python scripts/benchmark.py xcdf --file events.xcd [--repeat 10]
    python scripts/benchmark.py index --dl1 gamma.dl1.h5 [--larcv events.h5] [--xcdf gamma.xcd] [--files 100]
    python scripts/benchmark.py order [--file events.h5] [--detectors lartpc cta hawc] [--sizes 16:256 64:1024]
    python scripts/benchmark.py pixelcnn [--batches 1 16] [--filters 48] [--resnets 2] [--device gpu]
    python scripts/benchmark.py cta [--file gamma.dl1.h5] [--peer DIR] [--peer-python PYTHON] [--parts reading]

Each measurement is a process of its own, one after the other; keep the machine otherwise idle. `--peer` is a checkout
of CosmicTagger, measured beside; its reader needs a Python with larcv and numpy 1.26 (`--peer-python`). Where there is
an accelerator, `training`, `sparse` and `cta` measure there with `--device gpu`. Of `cta`, `--peer` is a folder
with the package indexedconv, and `--peer-python` are Pythons with ctapipe, or with dl1-data-handler.
"""

import argparse
import json
import sys
from importlib import import_module
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

COMMANDS = {
    "reading": "events/s of dense batches, one thread",
    "training": "seconds and memory of forward passes and training steps",
    "scaling": "images/s of ranks on one machine, and what coordination costs",
    "sparse": "training steps of dense and sparse networks on real events",
    "sim_to_real": "networks that were trained on simulated wire images, on real ones: IoU",
    "xcdf": "events/s of reading and writing an XCDF file, against a pass over its bytes",
    "index": "opening many files, cold and with their index, and random batches over them",
    "order": "orders of reading on modelled disks, and how well they mix",
    "pixelcnn": "sampling of PixelCNN++, cached against not",
    "cta": "Cherenkov telescopes: reading, convolutions, training, simulation",
}


def main() -> None:
    """Parse and dispatch to the modules of the commands' names."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    for name, about in COMMANDS.items():
        module = import_module(f"benchmarks.{name}")
        command = commands.add_parser(name, help=about)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    arguments = parser.parse_args()
    arguments.run(arguments)


def measure(function: str, what: str) -> None:
    """What the commands start as processes: print what a function, named with its module, returns given `what`."""
    module, name = function.rsplit(".", 1)
    result = getattr(import_module(module), name)(**json.loads(what))
    if result is not None:
        print(json.dumps(result))


if __name__ == "__main__":
    if sys.argv[1:2] == ["_measure"]:
        measure(*sys.argv[2:])
    else:
        main()
