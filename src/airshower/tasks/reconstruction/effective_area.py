"""The effective area of an instrument, from the showers that were simulated and the events that are left of them."""

import numpy as np

from airshower.data.source import ThrownShowers
from airshower.statistics import power_law
from airshower.statistics.bins import counts_in

ROUNDING = 1e-6  # relative, of energies that files have as float32


def thrown_per_area(runs: list[ThrownShowers], edges: np.ndarray) -> np.ndarray:
    """Simulated showers per m2 in bins of energy (TeV) [bins], from the power laws of the runs; showers of a run of one
    energy are all in the bin of it."""
    density = np.zeros(len(edges) - 1)
    for run in runs:
        low, high = run.energy_range
        if low == high:
            density += run.showers / run.area * counts_in(np.array([low]), edges)
        else:
            density += run.showers / run.area * power_law.fractions(edges, low, high, run.spectral_index)
    return density


def at_thrown_energies(energy: np.ndarray, runs: list[ThrownShowers]) -> np.ndarray:
    """Energies f8 [n] in TeV; of runs of one energy they are exactly that of the run, since with another rounding they
    could be in the bin beside that of the thrown showers."""
    energy = energy.astype(np.float64)
    for line in (run.energy_range[0] for run in runs if run.energy_range[0] == run.energy_range[1]):
        energy[np.isclose(energy, line, rtol=ROUNDING, atol=0)] = line
    return energy


def effective_area(selected: np.ndarray, thrown: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The effective area and its Poisson error in m2, [bins] each, from numbers of selected events and from
    `thrown_per_area`; NaN where nothing was thrown."""
    with np.errstate(divide="ignore", invalid="ignore"):
        area, error = (np.where(thrown > 0, numbers / thrown, np.nan) for numbers in (selected, np.sqrt(selected)))
    return area, error
