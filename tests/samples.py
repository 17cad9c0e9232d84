"""Small files of simulated events."""

from pathlib import Path

from airshower.detectors.lartpc.simulated import SimulatedLartpc
from airshower.detectors.lartpc.simulation import SimulationConfig


def simulated(events: int, seed: int = 2) -> Path:
    """So many events of 128 x 96 pixels; another seed, other events."""
    config = SimulatedLartpc.Config(events=events, simulation=SimulationConfig(image_size=[128, 96], cosmic_rate=4.0))
    return SimulatedLartpc(config, seed=0).file("sample", events, seed=seed)
