"""Small files of simulated events."""

from pathlib import Path

from airshower.data.splits import Selection
from airshower.detectors.cta.simulated import SimulatedCta
from airshower.detectors.cta.simulation import CtaSimulation
from airshower.detectors.lartpc.simulated import SimulatedLartpc
from airshower.detectors.lartpc.simulation import LartpcSimulation


def simulated(events: int, seed: int = 2) -> Path:
    """So many events of 128 x 96 pixels; another seed, other events."""
    return simulated_file("sample", events, seed)


def simulated_file(name: str, events: int, seed: int) -> Path:
    """The file of the events that runs with the options `command.TINY` simulate; made if it is not there."""
    config = SimulatedLartpc.Config(events=events, simulation=LartpcSimulation(image_size=[128, 96], cosmic_rate=4.0))
    return SimulatedLartpc(config, seed=0).file(name, events, seed=seed)


def simulated_showers() -> Selection:
    """Ten events, gammas and protons, of two telescopes of each kind."""
    simulation = CtaSimulation(lsts=2, msts=2, energy_min=1.0)
    config = SimulatedCta.Config(events=10, mode="stereo", simulation=simulation)
    return SimulatedCta(config, seed=0).open().train
