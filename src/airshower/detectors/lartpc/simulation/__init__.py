"""Simulated liquid-argon events: cosmic muons and a neutrino in an SBND-like chamber, as three sparse wire images.

`simulate_event(config, seed, entry)` is the interface. Muons and hadrons step 1.5 mm at a time and lose energy by
Landau's law (`tracks`, `energy_loss`), electrons and photons make a cascade (`showers`), the ionisation recombines,
drifts, diffuses and is read as charge per pixel (`readout`, `geometry`).
"""

from airshower.detectors.lartpc.simulation.event import LartpcSimulation, SimulatedEvent, simulate_event
from airshower.detectors.lartpc.simulation.readout import SimulatedPlane

__all__ = ["LartpcSimulation", "SimulatedEvent", "SimulatedPlane", "simulate_event"]
