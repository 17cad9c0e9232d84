"""Simulated gamma and proton showers as the tanks of HAWC see them.

`simulate_events(config, primary, seed, events)` is all a user needs. `showers` has cascades and muons at the ground,
`tanks` the light, the times and the trigger, `reconstruction` what is found of direction and core, `event` the columns
that files have. Formulas instead of particles: it is for a generator and a classifier to have something to learn from
where there are no HAWC data, not for physics.
"""

from airshower.detectors.hawc.simulation.event import PRIMARIES, SimulationConfig, simulate_events

__all__ = ["PRIMARIES", "SimulationConfig", "simulate_events"]
