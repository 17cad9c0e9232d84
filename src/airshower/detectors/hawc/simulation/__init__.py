"""Simulated gamma and proton showers in the tanks of HAWC.

`simulate_events(config, primary, seed, events)` is the interface. `showers` has cascades and muons at the ground,
`tanks` the light, the times and the trigger, `reconstruction` direction and core, `event` the columns of
files. It uses formulas instead of particle transport: it provides training data for generators and classifiers without
HAWC data, and is not for physics.
"""

from airshower.detectors.hawc.simulation.event import PRIMARIES, HawcSimulation, simulate_events

__all__ = ["PRIMARIES", "HawcSimulation", "simulate_events"]
