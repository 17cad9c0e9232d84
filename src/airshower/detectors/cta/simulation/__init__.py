"""Simulated gamma and proton showers as an array of Cherenkov telescopes sees them.

`simulate_event(config, seed, number)` is all a user needs. A shower is a sum of electromagnetic cascades and muons
(`showers`) in the US standard atmosphere (`atmosphere`); the light of its electrons (`cherenkov`) reaches the
telescopes (`light`, `telescopes`), whose cameras see it together with the night sky (`readout`).
"""

from airshower.detectors.cta.simulation.event import OBS_IDS, SimulatedEvent, SimulationConfig, simulate_event

__all__ = ["OBS_IDS", "SimulatedEvent", "SimulationConfig", "simulate_event"]
