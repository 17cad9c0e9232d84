"""Cherenkov telescopes: reading, hexagonal convolutions, training steps of every network and the simulation."""

import argparse
import os
import tempfile
from importlib import import_module
from pathlib import Path

from benchmarks.common import add_machine

SIMULATED = {"events": 200, "simulation": {}}
QUICK = {"events": 8, "simulation": {"lsts": 2, "msts": 2, "energy_min": 0.5}}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """What the command takes."""
    parser.add_argument("--parts", nargs="+", default=["reading", "convolution", "training", "simulation"])
    parser.add_argument("--file", type=Path, nargs="+", default=[], help="DL1 files to read, beside simulated events")
    parser.add_argument("--peer", type=Path)
    parser.add_argument("--peer-python", nargs="+", default=[])
    parser.add_argument("--networks", nargs="+", default=[], help="to train; all of conf/network/cta_*.yaml")
    parser.add_argument("--minibatch", type=int, default=16, help="entries in a training step")
    parser.add_argument("--steps", type=int, default=12, help="of training")
    parser.add_argument(
        "--seconds", type=float, default=1.0, help="that reading, convolutions and simulation go on for"
    )
    parser.add_argument("--quick", action="store_true", help="see that it works")
    add_machine(parser)


def run(arguments: argparse.Namespace) -> None:
    """Each part in turn, on the same simulated file; `AIRSHOWER_CACHE` is where it is kept, or else nowhere."""
    if arguments.quick:
        arguments.seconds = min(arguments.seconds, 0.1)
        arguments.steps, arguments.minibatch = min(arguments.steps, 3), min(arguments.minibatch, 4)
    arguments.simulated = QUICK if arguments.quick else SIMULATED
    with tempfile.TemporaryDirectory() as folder:
        os.environ.setdefault("AIRSHOWER_CACHE", folder)
        for part in arguments.parts:
            import_module(f"benchmarks.cta_{part}").run(arguments)


def simulate_file(events: int, simulation: dict) -> dict:
    """The `path` of the simulated events, made if they are not in the cache."""
    from airshower.detectors.cta.simulated import SimulatedCta
    from airshower.detectors.cta.simulation import CtaSimulation

    thrown = CtaSimulation(**simulation)
    # stereo: in mono all telescopes must have one camera
    config = SimulatedCta.Config(events=events, simulation=thrown, mode="stereo")
    source = SimulatedCta(config, seed=0).open().train.source
    return {"path": str(source.files[0].path)}
