"""Simulation of showers and of what telescopes see of them, in one process."""

import argparse
import sys

from benchmarks.common import measure, timed

FRACTIONS = {"gamma": 0.0, "proton": 1.0, "gamma and proton": 0.5}


def run(arguments: argparse.Namespace) -> None:
    """Events that trigger per CPU second and per second, and what a shower thrown costs."""
    print("simulation, one process, the telescopes of data=cta_simulated", flush=True)
    for name, fraction in FRACTIONS.items():
        simulation = {**arguments.simulated["simulation"], "proton_fraction": fraction}
        result = measure(simulate, {"simulation": simulation, "seconds": 5 * arguments.seconds})
        rates = f"{result['cpu']:.1f} events per CPU second ({result['wall']:.1f}/s)"
        means = f"{result['images']:.1f} images and {result['thrown']:.1f} showers thrown an event"
        print(f"{name}: {rates}, {means}", flush=True)


def simulate(simulation: dict, seconds: float) -> dict:
    """Events per CPU second and per second; means of images and of showers thrown."""
    from airshower.detectors.cta.simulation import CtaSimulation, simulate_events

    events = simulate_events(CtaSimulation(**simulation), 0, sys.maxsize)
    images = []
    thrown = []

    def event() -> int:
        """One that triggers."""
        made = next(events)
        images.append(len(made.images))
        thrown.append(len(made.thrown))
        return 1

    rates = timed(event, seconds)
    return {**rates, "images": sum(images) / len(images), "thrown": sum(thrown) / len(thrown)}
