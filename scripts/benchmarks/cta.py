"""Cherenkov telescopes: reading, hexagonal convolutions, training steps of every network and the simulation."""

import argparse
import os
import tempfile
from importlib import import_module

SIMULATED = {"events": 200, "validation_events": 1, "simulation": {}}
QUICK = {"events": 8, "validation_events": 1, "simulation": {"lsts": 2, "msts": 2, "energy_min": 0.5}}


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


def simulate_file(events: int, validation_events: int, simulation: dict) -> dict:
    """The `path` of the simulated events, made if they are not in the cache."""
    from airshower.detectors.cta.simulated import SimulatedCta
    from airshower.detectors.cta.simulation import SimulationConfig

    thrown = SimulationConfig(**simulation)
    # stereo: in mono all telescopes must have one camera
    config = SimulatedCta.Config(events=events, validation_events=validation_events, simulation=thrown, mode="stereo")
    source = SimulatedCta(config, seed=0).open().train.source
    return {"path": str(source.files[0].path)}
