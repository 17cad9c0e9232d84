"""Simulated gamma and proton showers in an array of Cherenkov telescopes.

`simulate_events(config, seed, events)` is the interface. A shower is a sum of electromagnetic cascades and muons
(`showers`, `hadrons`) in the US standard atmosphere (`atmosphere`); the light of its electrons (`cherenkov`, `light`)
and muons (`muons`) reaches the `telescopes`, whose cameras see it together with the night sky (`readout`).
"""

from airshower.detectors.cta.simulation.event import OBS_IDS, CtaSimulation, SimulatedEvent, simulate_events

__all__ = ["OBS_IDS", "CtaSimulation", "SimulatedEvent", "simulate_events"]
